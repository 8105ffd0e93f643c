//! The books of one stream: what came in and was taken, what was written and how it ended.
//!
//! Whatever the engine says is held against them. They know what the peer has done, not what the
//! network has made of it: where that leaves more than one thing possible, any of them is accepted
//! now, and what is left over at the end decides.

use std::{mem, ops::Range, time::Duration};

use facade_engine::Bytes;

use super::expect::{Spec, Value, Verdict};

/// What the peer sends.
#[derive(Debug, Default)]
pub(crate) struct Inflow {
    pub(crate) sent: Vec<u8>,
    /// Before this place all has been taken, but for what was `returned`, in order.
    fresh: usize,
    returned: Vec<Range<usize>>,
    /// By when how much has arrived at the latest.
    arrivals: Vec<(Duration, usize)>,
    /// That much has been seen unread.
    seen: usize,
    /// Where the end of the stream is, once that is known.
    pub(crate) end_at: Option<usize>,
    /// What was told of the end.
    heard: Option<&'static str>,
    /// What was not found before the end: reads, and the bytes that they could have found it in.
    in_vain: Vec<(Spec, usize, Vec<Range<usize>>, usize)>,
    /// What the end may be.
    pub(crate) may_end: bool,
    pub(crate) may_reset: bool,
    /// The last bytes may be lost on the way, by a reset that overtakes them.
    pub(crate) lossy: bool,
}

/// What a read's success has taken: places in the stream.
pub(crate) type Taken = Vec<Range<usize>>;

impl Inflow {
    /// Of a connection that the network may break, or not.
    pub(crate) fn new(fateful: bool) -> Self {
        Self { may_end: fateful, may_reset: fateful, lossy: fateful, ..Self::default() }
    }

    /// The peer sends, and it arrives by `at`.
    pub(crate) fn send(&mut self, bytes: &[u8], at: Duration) {
        self.sent.extend_from_slice(bytes);
        let at = self.arrivals.last().map_or(at, |last| last.0.max(at));
        self.arrivals.push((at, self.sent.len()));
    }

    /// When what was sent so far arrives at the latest.
    pub(crate) fn clear_at(&self) -> Duration {
        self.arrivals.last().map_or(Duration::ZERO, |last| last.0)
    }

    /// All bytes that nobody has taken, up to a place in the stream.
    fn unread(&self, to: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for range in &self.returned {
            all.extend_from_slice(&self.sent[range.clone()]);
        }
        all.extend_from_slice(&self.sent[self.fresh..to.max(self.fresh)]);
        all
    }

    fn unread_len(&self, to: usize) -> usize {
        self.returned.iter().map(Range::len).sum::<usize>() + to.saturating_sub(self.fresh)
    }

    /// How many bytes are taken.
    pub(crate) fn taken(&self) -> usize {
        self.fresh - self.returned.iter().map(Range::len).sum::<usize>()
    }

    fn take(&mut self, mut count: usize) -> Taken {
        let mut taken = Vec::new();
        while count > 0 && !self.returned.is_empty() {
            let first = &mut self.returned[0];
            let part = first.start..first.end.min(first.start + count);
            count -= part.len();
            first.start = part.end;
            if first.start == first.end {
                self.returned.remove(0);
            }
            taken.push(part);
        }
        if count > 0 {
            taken.push(self.fresh..self.fresh + count);
            self.fresh += count;
            self.seen = self.seen.max(self.fresh);
        }
        taken
    }

    pub(crate) fn give_back(&mut self, taken: Taken) {
        for range in taken {
            let at = self.returned.partition_point(|other| other.start < range.start);
            self.returned.insert(at, range);
        }
        while let Some(last) = self.returned.last()
            && last.end == self.fresh
        {
            self.fresh = last.start;
            self.returned.pop();
        }
    }

    /// How much has arrived by now, at least.
    fn arrived(&self, now: Duration) -> usize {
        if self.lossy {
            return self.seen;
        }
        let at = self.arrivals.partition_point(|arrival| arrival.0 <= now);
        self.seen.max(at.checked_sub(1).map_or(0, |at| self.arrivals[at].1))
    }

    /// A read has succeeded. Returns what it has taken.
    pub(crate) fn succeeded(&mut self, spec: &Spec, limit: usize, value: &Value) -> Taken {
        let to = self.end_at.unwrap_or(self.sent.len());
        let unread = self.unread(to);
        let count = match (spec, value) {
            (Spec::Chunk(size) | Spec::Peek(size), Value::Bytes(bytes)) => {
                assert!(!bytes.is_empty() && bytes.len() <= *size, "1 to {size} bytes");
                assert!(unread.starts_with(bytes), "{bytes:?} come next, not {:?}", start(&unread));
                bytes.len()
            }
            (Spec::All, Value::Bytes(bytes))
            | (Spec::Any { end: true, .. }, Value::Range { index: 2, bytes, .. }) => {
                assert!(bytes.len() <= limit, "a limit of {limit}");
                assert!(unread.starts_with(bytes), "{bytes:?} come last, not {:?}", start(&unread));
                if let (Spec::Any { .. }, Value::Range { range, .. }) = (spec, value) {
                    assert_eq!(range.clone(), bytes.len()..bytes.len(), "the end is empty");
                    assert_eq!(
                        spec.judge(bytes, usize::MAX),
                        Verdict::Wait,
                        "found before the end"
                    );
                }
                self.ends("end", self.place_after(bytes.len()));
                bytes.len()
            }
            (Spec::Buffered, Value::Count(count)) => {
                // They were counted when no more than `limit` had been taken, or since.
                let most = self.sent.len() - self.taken().min(limit);
                assert!(*count <= most, "{count} of {most} bytes are unread");
                return Taken::new();
            }
            _ => match spec.judge(&unread, limit) {
                Verdict::Take(count, expected) => {
                    assert_eq!(*value, expected, "of {:?}", start(&unread));
                    count
                }
                other => panic!("{value:?}, not {other:?} of {:?}", start(&unread)),
            },
        };
        self.seen = self.seen.max(self.place_after(count));
        if !spec.takes() {
            return Taken::new();
        }
        self.take(count)
    }

    /// The place behind the next `count` unread bytes.
    fn place_after(&self, mut count: usize) -> usize {
        for range in &self.returned {
            if count <= range.len() {
                return range.start + count;
            }
            count -= range.len();
        }
        self.fresh + count
    }

    /// A copy has taken so many bytes. Returns them.
    pub(crate) fn copied(&mut self, count: usize) -> Bytes {
        let unread = self.unread(self.end_at.unwrap_or(self.sent.len()));
        assert!(count <= unread.len(), "{count} bytes were copied of {}", start(&unread));
        self.take(count);
        Bytes::copy_from_slice(&unread[..count])
    }

    /// The stream has left the engine, with what was received and not read: that is what comes
    /// next, and at least all that was ever seen.
    pub(crate) fn detached(&self, received: &Bytes) {
        let unread = self.unread(self.end_at.unwrap_or(self.sent.len()));
        assert!(unread.starts_with(received), "{received:?} come next, not {:?}", start(&unread));
        let least = self.unread_len(self.seen);
        assert!(received.len() >= least, "{} bytes of {least} at least", received.len());
    }

    /// The stream ends here, and so it was told.
    fn ends(&mut self, how: &'static str, at: usize) {
        self.heard(how);
        let at = at.max(self.fresh);
        assert!(
            self.end_at.is_none_or(|known| known == at),
            "the end is at {:?}, not {at}",
            self.end_at
        );
        assert!(
            self.lossy || at == self.sent.len(),
            "{at} of {} bytes before the end",
            self.sent.len()
        );
        self.end_at = Some(at);
    }

    fn heard(&mut self, how: &'static str) {
        assert!(self.heard.is_none_or(|heard| heard == how), "{how} after {:?}", self.heard);
        assert!(
            if how == "end" { self.may_end } else { self.may_reset },
            "{how}, but the peer did no such thing"
        );
        self.heard = Some(how);
    }

    /// A read has failed because nothing follows that it could be found in.
    pub(crate) fn ended(&mut self, how: &'static str, spec: &Spec, limit: usize) {
        self.heard(how);
        assert!(
            *spec != Spec::All || how != "end",
            "all there is was asked for, and there is an end"
        );
        if self.end_at.is_none() && !self.lossy {
            self.end_at = Some(self.sent.len());
        }
        self.in_vain.push((spec.clone(), limit, self.returned.clone(), self.fresh));
    }

    pub(crate) fn too_long(&self, spec: &Spec, limit: usize) {
        let unread = self.unread(self.end_at.unwrap_or(self.sent.len()));
        assert_eq!(
            spec.judge(&unread, limit),
            Verdict::TooLong,
            "{spec:?} within {limit} bytes of {:?}",
            start(&unread)
        );
    }

    pub(crate) fn unexpected(&self, spec: &Spec, limit: usize, line: &Bytes) {
        let unread = self.unread(self.end_at.unwrap_or(self.sent.len()));
        assert_eq!(spec.judge(&unread, limit), Verdict::Unexpected(line.clone()));
    }

    /// A read has timed out: what has arrived by now must not be what it waited for.
    pub(crate) fn timed_out(&self, spec: &Spec, limit: usize, now: Duration) {
        let unread = self.unread(self.arrived(now));
        match spec {
            Spec::Chunk(_) | Spec::Peek(_) => {
                assert!(unread.is_empty(), "a timeout of what is there")
            }
            _ => {
                assert_eq!(spec.judge(&unread, limit), Verdict::Wait, "a timeout of what is there")
            }
        }
    }

    /// All has been read. Looks whether what was said of the end before was true.
    pub(crate) fn close_books(&self) {
        let Some(end_at) = self.end_at else { return };
        for (spec, limit, returned, fresh) in &self.in_vain {
            let books = Self {
                sent: self.sent.clone(),
                returned: returned.clone(),
                fresh: *fresh,
                ..Self::default()
            };
            let unread = books.unread(end_at);
            let right = match spec {
                Spec::Chunk(_) | Spec::Peek(_) => unread.is_empty(),
                _ => spec.judge(&unread, *limit) == Verdict::Wait,
            };
            assert!(right, "{spec:?} was not found before the end, in {:?}", start(&unread));
        }
    }

    /// How many bytes nobody has taken, if none is lost.
    pub(crate) fn left(&self) -> usize {
        self.unread_len(self.end_at.unwrap_or(self.sent.len()))
    }
}

/// The start of some bytes, for people.
fn start(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(60)];
    format!("{} ({} bytes)", shown.escape_ascii(), bytes.len())
}

/// What the engine writes.
#[derive(Debug, Default)]
pub(crate) struct Outflow {
    writes: Vec<Write>,
    /// What has arrived at the peer.
    pub(crate) received: Vec<u8>,
    failure: Option<Failure>,
    /// A write of which nobody hears.
    unheard: Option<usize>,
    /// What is left of cut writes and nobody has taken, in their order.
    rests: Vec<Rest>,
    /// What was counted need not arrive: the connection was reset, or the rest was dropped.
    pub(crate) lossy: bool,
    /// A shutdown was asked for, and succeeded.
    pub(crate) shutdowns: usize,
    pub(crate) is_shut: bool,
}

/// The direction has failed. Times are numbers in the order in which operations begin.
#[derive(Debug)]
struct Failure {
    /// What later writes hear, any of these.
    causes: Vec<&'static str>,
    since: usize,
    /// When the first was submitted that may take what is left, so that later writes go on.
    lifted: Option<usize>,
}

/// What is left of a cut write.
#[derive(Debug)]
pub(crate) struct Rest {
    number: usize,
    bytes: Bytes,
    /// Since when it is there to be taken.
    since: usize,
}

#[derive(Debug)]
struct Write {
    bytes: Bytes,
    /// How many of them count; not known yet.
    counts: Option<usize>,
}

impl Outflow {
    /// Of a connection that the network may break, or not.
    pub(crate) fn new(fateful: bool) -> Self {
        Self { lossy: fateful, ..Self::default() }
    }

    /// A write is submitted. Returns its number.
    pub(crate) fn write(&mut self, bytes: Bytes) -> usize {
        self.writes.push(Write { bytes, counts: None });
        self.writes.len() - 1
    }

    /// A copy begins, of which nobody knows what it writes until it is over. Returns its number.
    pub(crate) fn begin_copy(&mut self) -> usize {
        self.write(Bytes::new())
    }

    /// A copy is over, and has written this.
    pub(crate) fn end_copy(&mut self, number: usize, bytes: Bytes) {
        let count = bytes.len();
        self.writes[number].bytes = bytes;
        self.counts(number, count);
    }

    /// How many bytes must be unsent, if all writes that have not ended are the engine's and the
    /// system has as much as it has room for.
    pub(crate) fn unsent_least(&self, buffer: usize) -> usize {
        self.all().saturating_sub(self.received.len() + buffer)
    }

    /// Whether nothing has gone wrong, or ended.
    pub(crate) fn is_sound(&self) -> bool {
        !self.lossy && self.failure.is_none() && self.shutdowns == 0
    }

    pub(crate) fn len_of(&self, number: usize) -> usize {
        self.writes[number].bytes.len()
    }

    /// How many bytes count, as far as is known.
    pub(crate) fn counted(&self) -> usize {
        self.writes.iter().map(|write| write.counts.unwrap_or(0)).sum()
    }

    /// How many bytes may be unsent at most; those that were sent, too, if that is told late.
    pub(crate) fn unsent_most(&self, late: bool) -> usize {
        let all = self.all();
        // What a copy has brought there counts only when it is over.
        if late { all } else { all.saturating_sub(self.received.len()) }
    }

    /// How many bytes were written, or are to be.
    fn all(&self) -> usize {
        self.writes.iter().map(|write| write.counts.unwrap_or(write.bytes.len())).sum()
    }

    /// Whether nothing has failed, or ended, and all that counts has arrived.
    pub(crate) fn is_all_there(&self) -> bool {
        self.is_sound() && self.counted() == self.received.len()
    }

    pub(crate) fn counts(&mut self, number: usize, count: usize) {
        let write = &mut self.writes[number];
        assert!(write.counts.is_none(), "write {number} ends twice");
        assert!(count <= write.bytes.len());
        write.counts = Some(count);
    }

    /// Nobody hears any more how a write ends. What it wrote is seen by what arrives.
    pub(crate) fn counts_as_it_goes(&mut self, number: usize) {
        self.unheard = Some(number);
    }

    /// The direction has failed at `now`. If somebody has asked for the rest of a cut write and was
    /// not told, it was at `asked`.
    pub(crate) fn fails(&mut self, cause: &'static str, now: usize, asked: Option<usize>) {
        let failure =
            self.failure.get_or_insert(Failure { causes: Vec::new(), since: now, lifted: asked });
        if !failure.causes.contains(&cause) {
            failure.causes.push(cause);
        }
    }

    /// Whether a write may hear this because an earlier one has failed.
    pub(crate) fn has_failed(&self, cause: &'static str) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.causes.contains(&cause))
    }

    /// A write that was submitted then was not refused.
    pub(crate) fn goes_on(&self, submitted: usize) {
        let Some(Failure { causes, since, lifted }) = &self.failure else { return };
        let is_lifted = !causes.contains(&"Io") && lifted.is_some_and(|lifted| lifted < submitted);
        assert!(submitted <= *since || is_lifted, "a write after one that failed by {causes:?}");
    }

    /// A write was cut: its rest waits for whoever takes it.
    pub(crate) fn cut(&mut self, number: usize, count: usize, now: usize) {
        self.counts(number, count);
        assert!(
            0 < count && count < self.len_of(number),
            "cut at {count} of {}",
            self.len_of(number)
        );
        let bytes = self.writes[number].bytes.slice(count..);
        self.give_back(vec![Rest { number, bytes, since: now }], now);
    }

    /// Whether a write ended when the system had so many of its bytes, and not all.
    pub(crate) fn was_cut_at(&self, count: usize) -> bool {
        let cut = |write: &Write| write.counts == Some(count) && count < write.bytes.len();
        self.writes.iter().any(cut)
    }

    /// Somebody asks for what is unsent.
    pub(crate) fn ask_for_rest(&mut self, now: usize) {
        if let Some(failure) = &mut self.failure {
            failure.lifted.get_or_insert(now);
        }
    }

    /// What is unsent was given to somebody who asked for it at `asked`: all that was there then,
    /// and what has come since as it may be.
    pub(crate) fn take_rest(&mut self, rest: &Bytes, asked: usize) -> Vec<Rest> {
        let mut left = &rest[..];
        let (taken, kept) = mem::take(&mut self.rests).into_iter().partition(|rest: &Rest| {
            let is_in_it = left.starts_with(&rest.bytes);
            if is_in_it {
                left = &left[rest.bytes.len()..];
            }
            assert!(is_in_it || rest.since >= asked, "{rest:?} is not handed over");
            is_in_it
        });
        assert!(left.is_empty(), "{:?} is of no cut write", start(left));
        self.rests = kept;
        if !rest.is_empty() && !self.has_failed("Io") {
            self.failure = None;
        }
        taken
    }

    /// A claim on what is unsent was not taken.
    pub(crate) fn give_back(&mut self, rests: Vec<Rest>, now: usize) {
        self.rests.extend(rests.into_iter().map(|rest| Rest { since: now, ..rest }));
        self.rests.sort_by_key(|rest| rest.number);
    }

    /// A claim on what is unsent was withdrawn before it was told. Returns whether there is any.
    pub(crate) fn withdraw_rest(&mut self, now: usize) -> bool {
        let rests = mem::take(&mut self.rests);
        self.give_back(rests, now);
        !self.rests.is_empty()
    }

    /// Everything has ended: what the peer got must be what was counted.
    pub(crate) fn close_books(&self) {
        let mut all = Vec::new();
        for (number, write) in self.writes.iter().enumerate() {
            // Whatever a write has put out that nobody hears of, it is a part of it.
            let count = match write.counts {
                None if self.unheard == Some(number) => {
                    write.bytes.len().min(self.received.len().saturating_sub(all.len()))
                }
                count => count.expect("every write has ended"),
            };
            all.extend_from_slice(&write.bytes[..count]);
        }
        assert!(
            all.starts_with(&self.received),
            "the peer got {:?}, of {:?}",
            start(&self.received),
            start(&all)
        );
        assert!(
            self.lossy || all.len() == self.received.len(),
            "the peer got {} of {} bytes that count",
            self.received.len(),
            all.len()
        );
    }
}
