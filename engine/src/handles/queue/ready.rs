//! [`Ready`]: what the next round of a turn runs. [`ReadyQueue`]: all of it, in order. [`Batch`]:
//! what a turn has taken of it.

use std::{collections::VecDeque, mem};

use bytes::Bytes;

use crate::{
    core::chain::Product,
    handles::{
        callback::Slot, delivery::Deliver, local::Local, small_fn::SmallFnOnce, stream::Stream,
    },
    pure::{error::Result, table::Id},
};

/// One thing to run with nothing borrowed. Small, because each is moved several times.
pub(crate) enum Ready {
    Unit(Slot<()>),
    Stream(Success<Stream>),
    /// A failure, a success of another type, or one with a claim that is not withdrawn any more.
    Boxed(Box<dyn Deliver>),
    /// The outcome of a claim, which stays with its operation until the callback runs, so that it
    /// can be withdrawn.
    Claimed(Id),
    /// The reads of this stream are to be served.
    Serve(Id),
    Run(Box<dyn FnOnce(&Local)>),
    /// A user's matcher at the head of this stream's reads wants to look at the unread bytes.
    Scan(Id),
    /// This repeating operation has something to hand out.
    Repeat(Id),
    /// A stage of this chain has ended; the next one begins, or all later ones fail with it.
    Advance(Box<(Id, Result<Product>)>),
}

/// What is ready, in order.
///
/// What is most frequent, a success with bytes or with a count and a post (every step of a task is
/// one), has lanes of its own, in which a closure is moved once, from its caller to its place in
/// the queue, and called there. Wrapped in a [`Ready`] on the way it would be copied twice more, each
/// time as soon as it was stored, which a processor is slow at.
#[derive(Default)]
pub(crate) struct ReadyQueue {
    order: Fifo<Next>,
    bytes: Fifo<Success<Bytes>>,
    counts: Fifo<Success<usize>>,
    posts: Fifo<Option<SmallFnOnce<()>>>,
    requests: Fifo<Option<SmallFnOnce<()>>>,
    others: Fifo<Option<Ready>>,
}

/// What is next. Two numbers, so that it travels in registers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Next {
    pub(crate) lane: Lane,
    /// The stream of a head read; else unused.
    stream: u64,
}

/// In which lane the next entry is.
#[derive(Clone, Copy, Default)]
pub(crate) enum Lane {
    /// What [`ReadyQueue::run_bytes`] runs.
    Bytes,
    /// What [`ReadyQueue::run_count`] runs.
    Count,
    /// The first of [`ReadyQueue::next_post`].
    Post,
    /// The first of [`ReadyQueue::next_request`].
    Request,
    /// The future that drives the run was woken.
    Root,
    /// The head read of [`Next::stream`] with this number has matched, and its callback is to get
    /// its claim.
    HeadRead(u32),
    /// The first of [`ReadyQueue::next_other`].
    #[default]
    Other,
}

/// A callback, and the value that it is run with. Nobody can take it back any more.
pub(crate) struct Success<T> {
    pub(crate) slot: Slot<T>,
    pub(crate) value: T,
}

impl<T: Default> Default for Success<T> {
    fn default() -> Self {
        Self { slot: Slot::Ignore, value: T::default() }
    }
}

impl<T: Default + Send + 'static> Success<T> {
    /// Runs the callback where it stands: user code, so nothing may be borrowed. What is left owns
    /// nothing, even if it panics.
    #[inline(always)]
    fn run(&mut self, local: &Local) {
        let value = mem::take(&mut self.value);
        match &mut self.slot {
            Slot::Plain(f) if f.is_in_place() => f.call_in_place(local, Ok(value)),
            slot => mem::replace(slot, Slot::Ignore).succeed(local, value),
        }
    }
}

impl Next {
    const fn of(lane: Lane) -> Self {
        Self { lane, stream: 0 }
    }

    pub(crate) const fn stream(self) -> Id {
        Id::from_bits(self.stream)
    }
}

impl ReadyQueue {
    pub(crate) fn push(&mut self, ready: Ready) {
        self.order.push(Next::of(Lane::Other));
        self.others.push(Some(ready));
    }

    /// Queues a success with bytes, as reads have. The closure is taken out of `slot`.
    #[inline(always)]
    pub(crate) fn push_bytes(&mut self, slot: &mut Slot<Bytes>, value: Bytes) {
        self.order.push(Next::of(Lane::Bytes));
        self.bytes.fill_next(slot, value);
    }

    /// Queues a success with a count, as writes have. The closure is taken out of `slot`.
    #[inline(always)]
    pub(crate) fn push_count(&mut self, slot: &mut Slot<usize>, value: usize) {
        self.order.push(Next::of(Lane::Count));
        self.counts.fill_next(slot, value);
    }

    /// Queues the callback of the head read of a stream with this number, which has matched.
    #[inline(always)]
    pub(crate) fn push_head_read(&mut self, stream: Id, number: u32) {
        self.order.push(Next { lane: Lane::HeadRead(number), stream: stream.to_bits() });
    }

    /// Queues a closure.
    #[inline(always)]
    pub(crate) fn push_post(&mut self, f: SmallFnOnce<()>) {
        self.order.push(Next::of(Lane::Post));
        let place = self.posts.next_free();
        // Forgotten for the same reason as in `fill_next`.
        mem::forget(place.replace(f));
    }

    /// Queues a closure that another thread posted.
    pub(crate) fn push_request(&mut self, f: SmallFnOnce<()>) {
        self.order.push(Next::of(Lane::Request));
        self.requests.push(Some(f));
    }

    /// Queues the future that drives the run.
    pub(crate) fn push_root(&mut self) {
        self.order.push(Next::of(Lane::Root));
    }

    /// Says what is next. The caller takes it out of its lane.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Next> {
        self.order.pop()
    }

    /// Runs the next success with bytes: user code, so nothing may be borrowed.
    #[inline(always)]
    pub(crate) fn run_bytes(&mut self, local: &Local) {
        if let Some(success) = self.bytes.pop_in_place() {
            success.run(local);
        }
    }

    /// Runs the next success with a count: user code, so nothing may be borrowed.
    #[inline(always)]
    pub(crate) fn run_count(&mut self, local: &Local) {
        if let Some(success) = self.counts.pop_in_place() {
            success.run(local);
        }
    }

    #[inline]
    pub(crate) fn next_post(&mut self) -> Option<SmallFnOnce<()>> {
        self.posts.pop().flatten()
    }

    pub(crate) fn next_request(&mut self) -> Option<SmallFnOnce<()>> {
        self.requests.pop().flatten()
    }

    #[inline]
    pub(crate) fn next_other(&mut self) -> Option<Ready> {
        self.others.pop().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.order.len() == 0
    }
}

/// What a turn has taken and not run yet: a panic leaves the rest, and so does a turn that has run
/// enough.
///
/// Posts are put off then, so that what the next look at the system brings does not wait for all of
/// them: nothing but other posts of the same thread has an order with them. Everything else keeps
/// its place.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) queue: Box<ReadyQueue>,
    /// Those of the engine's own thread.
    pub(crate) posts: PutOff,
    /// Those of other threads, which do not wait for our own.
    pub(crate) requests: PutOff,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.posts.0.len() + self.requests.0.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.posts.is_empty() && self.requests.is_empty()
    }

    /// Puts off all posts that are left.
    #[cold]
    pub(crate) fn put_posts_off(&mut self) {
        let Self { queue, posts, requests } = self;
        if queue.posts.len() + queue.requests.len() == 0 {
            return;
        }
        posts.0.extend(std::iter::from_fn(|| queue.posts.pop()).flatten());
        requests.0.extend(std::iter::from_fn(|| queue.requests.pop()).flatten());
        queue.order.retain(|next| !matches!(next.lane, Lane::Post | Lane::Request));
    }
}

/// Posts that have been put off, in order. Later ones stand behind them.
#[derive(Default)]
pub(crate) struct PutOff(VecDeque<SmallFnOnce<()>>);

impl PutOff {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cold]
    pub(crate) fn push(&mut self, f: SmallFnOnce<()>) {
        self.0.push_back(f);
    }

    pub(crate) fn pop(&mut self) -> Option<SmallFnOnce<()>> {
        let next = self.0.pop_front();
        if next.is_some() && self.0.is_empty() {
            // There were many: their memory is freed.
            self.0 = VecDeque::new();
        }
        next
    }
}

/// A queue that is mostly filled and then emptied, as rounds are. A place that nothing is in keeps
/// a value that owns nothing, so that it can be filled where it is.
struct Fifo<T> {
    places: Vec<T>,
    head: usize,
    tail: usize,
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self { places: Vec::new(), head: 0, tail: 0 }
    }
}

impl<T: Default> Fifo<T> {
    fn len(&self) -> usize {
        self.tail - self.head
    }

    #[inline(always)]
    fn push(&mut self, value: T) {
        *self.next_free() = value;
    }

    #[inline(always)]
    fn next_free(&mut self) -> &mut T {
        if self.tail == self.places.len() {
            self.make_room();
        }
        self.tail += 1;
        &mut self.places[self.tail - 1]
    }

    #[cold]
    fn make_room(&mut self) {
        self.places.resize_with(2 * self.places.len() + 16, T::default);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        self.pop_in_place().map(mem::take)
    }

    /// The next value, where it is. Whoever gets it leaves nothing in its place that owns anything.
    #[inline(always)]
    fn pop_in_place(&mut self) -> Option<&mut T> {
        if self.head == self.tail {
            return None;
        }
        let place = self.head;
        self.head += 1;
        if self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        }
        self.places.get_mut(place)
    }
}

impl Fifo<Next> {
    fn retain(&mut self, keep: impl Fn(&Next) -> bool) {
        let mut kept = self.head;
        for at in self.head..self.tail {
            if keep(&self.places[at]) {
                self.places[kept] = self.places[at];
                kept += 1;
            }
        }
        self.tail = kept;
        if self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        }
    }
}

impl<T: Default> Fifo<Success<T>> {
    #[inline(always)]
    fn fill_next(&mut self, slot: &mut Slot<T>, value: T) {
        let place = self.next_free();
        // What was in this place owns nothing, and a drop would take as long as the rest to find
        // that out.
        mem::forget(mem::replace(&mut place.slot, mem::replace(slot, Slot::Ignore)));
        mem::forget(mem::replace(&mut place.value, value));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fmt::Debug,
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::{api::engine::Engine, pure::error::Result};

    type Notes = Arc<Mutex<Vec<String>>>;

    /// Notes the value that it is run with.
    fn noted<T: Debug + Send + 'static>(notes: &Notes) -> Slot<T> {
        let notes = Arc::clone(notes);
        Slot::Plain(SmallFnOnce::new(move |_, value: Result<T>| {
            notes.lock().unwrap().push(format!("{:?}", value.unwrap()));
        }))
    }

    #[test]
    fn all_lanes_are_emptied_in_the_order_they_were_filled() {
        let (engine, notes) = (Engine::new().unwrap(), Notes::default());
        let mut queue = ReadyQueue::default();
        let stream = Id::from_bits(1 << 32 | 7);
        for n in 0..100 {
            queue.push_count(&mut noted(&notes), n);
            queue.push_head_read(stream, 9);
            queue.push_bytes(&mut noted(&notes), Bytes::from(vec![1; n]));
            queue.push_root();
            queue.push_post(SmallFnOnce::new(|_, ()| ()));
            queue.push(Ready::Serve(stream));
        }
        assert_eq!(queue.len(), 600);
        for n in 0..100 {
            assert!(matches!(queue.next(), Some(Next { lane: Lane::Count, .. })));
            queue.run_count(&engine);
            assert_eq!(notes.lock().unwrap().pop().unwrap(), n.to_string());
            let next = queue.next().unwrap();
            assert!(matches!(next.lane, Lane::HeadRead(9)));
            assert_eq!(next.stream(), stream);
            assert!(matches!(queue.next(), Some(Next { lane: Lane::Bytes, .. })));
            queue.run_bytes(&engine);
            assert_eq!(
                notes.lock().unwrap().pop().unwrap(),
                format!("{:?}", Bytes::from(vec![1; n]))
            );
            assert!(matches!(queue.next(), Some(Next { lane: Lane::Root, .. })));
            assert!(matches!(queue.next(), Some(Next { lane: Lane::Post, .. })));
            assert!(queue.next_post().is_some());
            assert!(matches!(queue.next(), Some(Next { lane: Lane::Other, .. })));
            assert!(matches!(queue.next_other(), Some(Ready::Serve(_))));
        }
        assert!(queue.is_empty() && queue.next().is_none());
    }

    #[test]
    fn what_is_no_post_keeps_its_place_when_posts_are_put_off() {
        let (engine, notes) = (Engine::new().unwrap(), Notes::default());
        let mut batch = Batch::default();
        for n in 0..100 {
            batch.queue.push_post(SmallFnOnce::new(|_, ()| ()));
            batch.queue.push_count(&mut noted(&notes), n);
            batch.queue.push_request(SmallFnOnce::new(|_, ()| ()));
            batch.queue.push_root();
        }
        assert!(matches!(batch.queue.next().map(|next| next.lane), Some(Lane::Post)));
        assert!(batch.queue.next_post().is_some());
        batch.put_posts_off();
        assert_eq!(batch.len(), 399);
        for n in 0..100 {
            assert!(matches!(batch.queue.next(), Some(Next { lane: Lane::Count, .. })));
            batch.queue.run_count(&engine);
            assert_eq!(notes.lock().unwrap().pop().unwrap(), n.to_string());
            assert!(matches!(batch.queue.next(), Some(Next { lane: Lane::Root, .. })));
        }
        assert!(batch.queue.is_empty() && !batch.is_empty());
        assert_eq!(std::iter::from_fn(|| batch.posts.pop()).count(), 99);
        assert_eq!(std::iter::from_fn(|| batch.requests.pop()).count(), 100);
        assert!(batch.is_empty());
    }

    #[test]
    fn what_a_callback_captured_is_dropped_once_whatever_becomes_of_it() {
        let (engine, captured) = (Engine::new().unwrap(), Arc::new(()));
        let mut queue = ReadyQueue::default();
        for large in [0, 100] {
            for (runs, panics) in [(true, false), (true, true), (false, false)] {
                let (held, large) = (Arc::clone(&captured), vec![1_u8; large]);
                let f = move |_: &Local, _| assert!(!panics, "as it was told: {held:?}");
                let mut slot: Slot<usize> = match large.is_empty() {
                    true => Slot::Plain(SmallFnOnce::new(f)),
                    false => Slot::Plain(SmallFnOnce::new({
                        let more = [large.len(); 8];
                        move |local: &Local, value| {
                            assert_eq!(more, [100; 8]);
                            f(local, value);
                        }
                    })),
                };
                queue.push_count(&mut slot, 1);
                assert_eq!(Arc::strong_count(&captured), 2);
                match runs {
                    true => {
                        let run = catch_unwind(AssertUnwindSafe(|| queue.run_count(&engine)));
                        assert_eq!(run.is_err(), panics);
                    }
                    false => queue = ReadyQueue::default(),
                }
                assert_eq!(Arc::strong_count(&captured), 1);
            }
        }
    }
}
