//! The books of what is sent to one socket of datagrams: each comes once, whole or cut and told to
//! be so, in order. Where the network loses, doubles or swaps them, or there may have been no room,
//! that is allowed for, and nothing else.

use std::time::Duration;

use facade_engine::{Bytes, sim::Link};

#[derive(Debug)]
pub(super) struct Mail {
    sent: Vec<Sent>,
    /// How much of a datagram is received, at any time.
    sizes: Vec<usize>,
    /// Receives that had begun by then may have been served before something was given back, so
    /// that they are told of what came after it.
    undone_order: usize,
}

#[derive(Debug)]
struct Sent {
    bytes: Bytes,
    /// By when it has arrived at the latest.
    by: Duration,
    /// How often it may come, and has.
    most: u32,
    came: u32,
    /// It comes, and behind those before it.
    is_sure: bool,
    is_ordered: bool,
    /// Whoever sent it has heard how that ended.
    is_told: bool,
}

impl Mail {
    /// Every datagram without this many bytes is empty, and others can be told apart by them.
    pub(super) const NUMBER: usize = 4;

    pub(super) fn new() -> Self {
        Self { sent: Vec::new(), sizes: vec![64 << 10], undone_order: 0 }
    }

    /// The number of the next datagram.
    pub(super) const fn next(&self) -> usize {
        self.sent.len()
    }

    /// A datagram is sent over a link, if the receiver is open. Returns its number.
    pub(super) fn send(
        &mut self,
        bytes: Bytes,
        now: Duration,
        link: &Link,
        is_open: bool,
    ) -> usize {
        let coming: usize = self.sent.iter().filter(|sent| sent.came == 0).map(Sent::len).sum();
        let has_room = coming + bytes.len() <= link.buffer;
        if !has_room && !link.latency.is_empty() {
            // It may come before those that were sent before it, and take their room.
            self.forget();
        }
        let is_faithful = link.loss == 0.0 && link.duplicate == 0.0;
        self.sent.push(Sent {
            by: now + link.latency.end,
            most: if link.duplicate > 0.0 { 2 } else { 1 },
            came: 0,
            is_sure: is_open && is_faithful && has_room,
            is_ordered: link.latency.is_empty(),
            is_told: false,
            bytes,
        });
        self.sent.len() - 1
    }

    /// How many bytes wait to be sent at most, an empty datagram as one.
    pub(super) fn untold(&self) -> usize {
        self.sent.iter().filter(|sent| !sent.is_told).map(|sent| sent.len().max(1)).sum()
    }

    /// A send has ended: the system has the datagram, or nothing of it was sent.
    pub(super) fn is_told(&mut self, number: usize, was_sent: bool) {
        let sent = &mut self.sent[number];
        sent.is_told = true;
        if !was_sent {
            assert_eq!(sent.came, 0, "datagram {number} came and was not sent");
            (sent.is_sure, sent.most) = (false, 0);
        }
    }

    /// Nobody hears whether it was sent.
    pub(super) fn is_unheard(&mut self, number: usize) {
        let sent = &mut self.sent[number];
        (sent.is_told, sent.is_sure) = (true, false);
    }

    pub(super) fn set_size(&mut self, size: usize) {
        self.sizes.push(size);
    }

    /// A datagram has come, to a receive that began at `order`. Returns its number.
    pub(super) fn comes(&mut self, bytes: &Bytes, truncated: bool, order: usize) -> usize {
        let is_it = |sent: &Sent| match truncated {
            true => bytes.len() < sent.bytes.len() && sent.bytes.starts_with(bytes),
            false => sent.bytes == *bytes,
        };
        let at = self.sent.iter().position(|sent| sent.came < sent.most && is_it(sent));
        let at = at.unwrap_or_else(|| panic!("{bytes:?}, cut: {truncated}, was not sent"));
        let fits = match truncated {
            true => self.sizes.contains(&bytes.len()),
            false => self.sizes.iter().any(|size| bytes.len() <= *size),
        };
        assert!(fits, "{} bytes of {} within {:?}", bytes.len(), self.sent[at].len(), self.sizes);
        let is_ahead = |sent: &&Sent| sent.is_sure && sent.is_ordered && sent.came == 0;
        if self.sent[at].is_ordered && order > self.undone_order {
            let ahead = self.sent[..at].iter().find(is_ahead);
            assert!(ahead.is_none(), "datagram {at} has overtaken {ahead:?}");
        }
        self.sent[at].came += 1;
        at
    }

    /// A datagram was not taken, when so many operations had begun.
    pub(super) fn give_back(&mut self, number: usize, begun: usize) {
        self.sent[number].came -= 1;
        self.undone_order = begun;
    }

    /// The same, and nobody knows of which.
    pub(super) const fn was_undone(&mut self, begun: usize) {
        self.undone_order = begun;
    }

    /// What has arrived for certain and nobody has taken.
    pub(super) fn is_there(&self, now: Duration) -> Option<&impl std::fmt::Debug> {
        self.sent.iter().find(|sent| sent.is_sure && sent.came == 0 && sent.by <= now)
    }

    /// How many may still come.
    pub(super) fn left(&self) -> usize {
        self.sent.iter().filter(|sent| sent.came < sent.most).count()
    }

    /// Nobody receives any more.
    pub(super) fn forget(&mut self) {
        self.sent.iter_mut().for_each(|sent| sent.is_sure = false);
    }

    /// All is over.
    pub(super) fn close_books(&self) {
        let lost = self.sent.iter().enumerate().find(|(_, sent)| sent.is_sure && sent.came == 0);
        assert!(lost.is_none(), "it never came: {lost:?}");
    }
}

impl Sent {
    const fn len(&self) -> usize {
        self.bytes.len()
    }
}
