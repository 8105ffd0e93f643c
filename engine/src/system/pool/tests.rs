//! The pool's behaviour, with channels and barriers instead of time.

use std::{
    cell::RefCell,
    panic::panic_any,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
};

use super::*;

/// One lane.
fn crew_of(pool: &Pool, lane: Lane) -> &Crew {
    match pool {
        Pool::Threads(lanes) => &lanes[lane as usize],
        #[cfg(feature = "sim")]
        Pool::Simulated(_) => unreachable!("these tests are about threads"),
    }
}

#[test]
fn every_job_runs_once() {
    let pool = Pool::new(1, 1, 3, 10_000);
    let (send, receive) = channel();
    for i in 0..10_000 {
        let send = send.clone();
        pool.submit(Lane::Work, Box::new(move |_| send.send(i).unwrap())).unwrap();
    }
    drop(send);
    let mut seen: Vec<i32> = receive.iter().collect();
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..10_000));
}

#[test]
fn all_threads_of_a_lane_work_side_by_side() {
    let pool = Pool::new(1, 1, 4, 8);
    let barrier = Arc::new(Barrier::new(5));
    for _ in 0..4 {
        let barrier = Arc::clone(&barrier);
        pool.submit(Lane::Work, wait_at(barrier)).unwrap();
    }
    barrier.wait();
}

#[test]
fn threads_that_wait_are_all_used_again() {
    let pool = Pool::new(1, 1, 4, 8);
    for _ in 0..200 {
        let barrier = Arc::new(Barrier::new(5));
        for _ in 0..4 {
            let barrier = Arc::clone(&barrier);
            pool.submit(Lane::Work, wait_at(barrier)).unwrap();
        }
        barrier.wait();
    }
    assert!(crew_of(&pool, Lane::Work).lock().threads <= 4);
}

#[test]
fn stuck_lookups_leave_files_and_work_alone() {
    let pool = Pool::new(2, 1, 1, 100);
    let stuck: Vec<_> = (0..100).map_while(|_| stick(&pool, Lane::Names).ok()).collect();
    assert!(stuck.len() >= 100);
    answer(&pool, Lane::Files);
    answer(&pool, Lane::Work);
}

#[test]
fn a_full_queue_gives_the_job_back() {
    let pool = Pool::new(1, 1, 1, 2);
    let (_ticket, started, release) = stick(&pool, Lane::Work).unwrap();
    started.recv().unwrap();
    let (send, receive) = channel();
    for i in 0..2 {
        let send = send.clone();
        pool.submit(Lane::Work, Box::new(move |_| send.send(i).unwrap())).unwrap();
    }
    let last = send.clone();
    match pool.submit(Lane::Work, Box::new(move |_| last.send(9).unwrap())) {
        Err(Refused::Full(job)) => job(&JobContext::outside()),
        other => panic!("{other:?}"),
    }
    drop((send, release));
    assert_eq!(receive.iter().collect::<Vec<_>>(), [9, 0, 1]);
}

#[test]
fn threads_survive_panics_even_while_dropping() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("panic in drop, as the test wants");
        }
    }
    struct PanicsWithThat;
    impl Drop for PanicsWithThat {
        fn drop(&mut self) {
            panic_any(PanicsWhenDropped);
        }
    }
    let pool = Pool::new(1, 1, 1, 8);
    let captured = PanicsWhenDropped;
    pool.submit(Lane::Work, Box::new(|_| panic!("panic, as the test wants"))).unwrap();
    pool.submit(Lane::Work, Box::new(move |_| drop(captured))).unwrap();
    pool.submit(Lane::Work, Box::new(|_| panic_any(PanicsWhenDropped))).unwrap();
    pool.submit(Lane::Work, Box::new(|_| panic_any(PanicsWithThat))).unwrap();
    answer(&pool, Lane::Work);
    let state = crew_of(&pool, Lane::Work).lock();
    assert_eq!((state.threads, state.stuck), (1, 0));
}

#[test]
fn threads_are_named_after_their_lane() {
    let pool = Pool::new(1, 1, 1, 8);
    for (lane, name) in
        [(Lane::Names, "facade-names"), (Lane::Files, "facade-files"), (Lane::Work, "facade-work")]
    {
        let (send, receive) = channel();
        let job = move |_: &JobContext<'_>| {
            send.send(thread::current().name().map(str::to_owned)).unwrap()
        };
        pool.submit(lane, Box::new(job)).unwrap();
        assert_eq!(receive.recv().unwrap().as_deref(), Some(name));
    }
}

#[test]
fn idle_threads_end_and_new_ones_come() {
    let crew = Arc::new(Crew::new("test", 1, 8, Duration::ZERO, start_thread));
    for _ in 0..3 {
        // The channel closes when the thread is gone.
        let (send, receive) = channel();
        crew.submit(Box::new(move |_| report_end_of_thread(send))).unwrap();
        assert!(receive.recv().is_err());
    }
}

#[test]
fn shutdown_gives_back_what_has_not_begun_and_waits_for_nobody() {
    let pool = Pool::new(1, 1, 1, 8);
    let (_ticket, started, release) = stick(&pool, Lane::Work).unwrap();
    started.recv().unwrap();
    let (send, receive) = channel();
    for i in 0..3 {
        let send = send.clone();
        pool.submit(Lane::Work, Box::new(move |_| send.send(i).unwrap())).unwrap();
    }
    drop(send);
    let jobs = pool.shutdown();
    assert_eq!(jobs.len(), 3);
    assert!(matches!(pool.submit(Lane::Files, Box::new(|_| ())), Err(Refused::Closed(_))));
    drop(jobs);
    assert!(receive.recv().is_err(), "none of them ran");
    drop(release);
}

#[test]
fn shutdown_ends_threads_that_wait() {
    let crew = Arc::new(Crew::new("test", 2, 8, Duration::from_secs(3600), start_thread));
    let (send, receive) = channel();
    crew.submit(Box::new(move |_| report_end_of_thread(send))).unwrap();
    crew.shutdown();
    assert!(receive.recv().is_err());
}

#[test]
fn an_abandoned_job_that_waits_never_runs() {
    let pool = Pool::new(1, 1, 1, 8);
    let (_ticket, started, release) = stick(&pool, Lane::Names).unwrap();
    started.recv().unwrap();
    let (send, receive) = channel();
    let tickets: Vec<_> = (0..3)
        .map(|i| {
            let send = send.clone();
            pool.submit(Lane::Names, Box::new(move |_| send.send(i).unwrap())).unwrap()
        })
        .collect();
    drop(send);
    assert!(pool.abandon(tickets[1]).is_some());
    assert!(pool.abandon(tickets[1]).is_none(), "only once");
    drop(release);
    assert_eq!(receive.iter().collect::<Vec<_>>(), [0, 2]);
    assert!(pool.abandon(tickets[0]).is_none(), "it is done");
}

#[test]
fn abandoned_jobs_that_run_are_replaced_up_to_a_cap() {
    // Threads that wait stay, so that only the excess ones end.
    let crew = |name| Arc::new(Crew::new(name, 2, 8, Duration::from_secs(3600), start_thread));
    let pool = Pool::Threads(Arc::new([
        crew("names"),
        crew("files"),
        crew("work"),
        crew("devices"),
        crew("spawn"),
        crew("closing"),
    ]));
    let mut held = Vec::new();
    for _ in 0..2 + REPLACEMENTS {
        answer(&pool, Lane::Names);
        let (ticket, started, release) = stick(&pool, Lane::Names).unwrap();
        started.recv().unwrap();
        assert!(pool.abandon(ticket).is_none());
        assert!(pool.abandon(ticket).is_none(), "counted once");
        held.push(release);
    }
    assert!(matches!(stick(&pool, Lane::Names), Err(Refused::Full(_))));
    answer(&pool, Lane::Files);
    // One comes back: the lane serves again.
    held.pop();
    while crew_of(&pool, Lane::Names).lock().stuck == 2 + REPLACEMENTS {
        thread::yield_now();
    }
    answer(&pool, Lane::Names);
    // All come back: those that were only replacements end.
    held.clear();
    while crew_of(&pool, Lane::Names).lock().threads > 2 {
        thread::yield_now();
    }
    answer(&pool, Lane::Names);
    assert_eq!(crew_of(&pool, Lane::Names).lock().stuck, 0);
    pool.shutdown();
}

#[test]
fn abandoning_brings_a_thread_for_what_is_queued_already() {
    let pool = Pool::new(1, 1, 1, 8);
    let (ticket, started, _release) = stick(&pool, Lane::Names).unwrap();
    started.recv().unwrap();
    let (send, receive) = channel();
    pool.submit(Lane::Names, Box::new(move |_| send.send(()).unwrap())).unwrap();
    pool.abandon(ticket);
    receive.recv().unwrap();
}

#[test]
fn no_thread_at_all_gives_the_job_back() {
    fn refuse(_: &Arc<Crew>) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    let crew = Arc::new(Crew::new("test", 2, 8, IDLE, refuse));
    for _ in 0..2 {
        let refused = crew.submit(Box::new(|_| ()));
        assert!(matches!(refused, Err(Refused::NoThread(..))), "{refused:?}");
    }
    assert!(crew.lock().queue.is_empty());
}

#[test]
fn without_a_second_thread_the_first_does_all() {
    fn once(crew: &Arc<Crew>) -> io::Result<()> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        match STARTED.fetch_add(1, Ordering::SeqCst) {
            0 => start_thread(crew),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
    let crew = Arc::new(Crew::new("test", 4, 100, IDLE, once));
    let (send, receive) = channel();
    for i in 0..100 {
        let send = send.clone();
        crew.submit(Box::new(move |_| send.send(i).unwrap())).unwrap();
    }
    drop(send);
    assert!(receive.iter().eq(0..100), "one thread keeps the order");
}

#[test]
fn jobs_may_use_the_pool_and_be_dropped_with_it() {
    let pool = Pool::new(1, 1, 1, 8);
    let (send, receive) = channel::<()>();
    let inner = pool.clone();
    let job = move |_: &JobContext<'_>| {
        let again = inner.clone();
        inner.submit(Lane::Work, Box::new(move |_| drop((again, send)))).unwrap();
    };
    pool.submit(Lane::Work, Box::new(job)).unwrap();
    drop(pool);
    assert!(receive.recv().is_err());
}

#[test]
fn jobs_that_come_one_after_the_other_stay_on_one_thread() {
    let pool = Pool::new(1, 1, 4, 8);
    let (send, receive) = channel();
    for _ in 0..1000 {
        let send = send.clone();
        let job = move |context: &JobContext<'_>| {
            context.finishing();
            send.send(thread::current().id()).unwrap();
        };
        pool.submit(Lane::Work, Box::new(job)).unwrap();
        receive.recv().unwrap();
    }
    assert_eq!(crew_of(&pool, Lane::Work).lock().threads, 1);
}

#[test]
fn a_thread_that_finishes_an_abandoned_job_is_not_on_its_way() {
    let pool = Pool::new(1, 1, 1, 8);
    let (started, has_started) = channel();
    let (release, released) = channel::<()>();
    let (end, ended) = channel::<()>();
    let job = move |context: &JobContext<'_>| {
        started.send(()).unwrap();
        let _ = released.recv();
        context.finishing();
        started.send(()).unwrap();
        let _ = ended.recv();
    };
    let ticket = pool.submit(Lane::Work, Box::new(job)).unwrap();
    has_started.recv().unwrap();
    pool.abandon(ticket);
    drop(release);
    has_started.recv().unwrap();
    answer(&pool, Lane::Work);
    drop(end);
    while crew_of(&pool, Lane::Work).lock().threads > 1 {
        thread::yield_now();
    }
    let state = crew_of(&pool, Lane::Work).lock();
    assert_eq!((state.stuck, state.finishing), (0, 0));
}

/// A job that says when it begins and runs until the sender is dropped.
fn stick(pool: &Pool, lane: Lane) -> Result<(Ticket, Receiver<()>, Sender<()>), Refused> {
    let (started, has_started) = channel();
    let (release, released) = channel::<()>();
    let job = move |_: &JobContext<'_>| {
        let _ = started.send(());
        let _ = released.recv();
    };
    pool.submit(lane, Box::new(job)).map(|ticket| (ticket, has_started, release))
}

fn wait_at(barrier: Arc<Barrier>) -> Job {
    Box::new(move |_| {
        barrier.wait();
    })
}

/// Submits a job and waits until it has run.
fn answer(pool: &Pool, lane: Lane) {
    let (send, receive) = channel();
    pool.submit(lane, Box::new(move |_| send.send(()).unwrap())).unwrap();
    receive.recv().unwrap();
}

/// Drops the sender when the calling thread ends.
fn report_end_of_thread(sender: Sender<()>) {
    thread_local! {
        static END: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
    }
    END.set(Some(sender));
}
