//! Operations of the user's own: completed by hand, made of others, and failing in their own words.

use std::{
    cell::RefCell,
    io::Write,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Cancel, Claim, Engine, Error, Handle, Local, Result, Stream,
    adapter::CompletionHandler,
    matcher::{Matcher, Scan},
};
use facade_tests::{
    drops::Drops,
    told::{Basket, Told},
    turns::turns,
};

use super::driver::{self, pair, tcp_pair};

// Completing

#[test]
fn promise_02_a_callback_that_is_completed_is_told_later_whatever_its_kind() {
    let engine = driver::engine();
    let told = Told::new();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let local = |name: &'static str| {
        let heard = Rc::clone(&heard);
        Callback::local_from_fn(&engine, move |_, outcome: Result<u8>| {
            heard.borrow_mut().push(format!("{name} {outcome:?}"));
        })
    };
    let (fine, bad) = (local("fine"), local("bad"));
    let handler = Arc::new(Note(told.clone()));
    told.submitting(|| {
        engine.complete(told.value("plain"), Ok(1_u8));
        engine.complete(told.callback::<u8>("plain"), Err(Error::other("mine")));
        engine.complete(told.dropping_claims().callback("claim"), Ok(2_u8));
        engine.complete(told.dropping_claims().callback::<u8>("claim"), Err(Error::Closed));
        engine.complete(Callback::handler(Arc::clone(&handler)), Ok(3_u8));
        engine.complete(Callback::handler(handler), Err(Error::TimedOut));
        engine.complete(Callback::ignore(), Ok(4_u8));
        engine.complete(fine, Ok(5));
        engine.complete(bad, Err(Error::Cancelled));
        engine.complete(told.value("map").map(|value: u8| value + 1), Ok(6));
        assert!(heard.borrow().is_empty());
    });
    engine.run().unwrap();
    assert_eq!(
        told.take(),
        [
            "plain 1",
            "plain Other",
            "claim dropped",
            "claim Closed",
            "handler Ok(3)",
            "handler Err(TimedOut)",
            "map 7"
        ]
    );
    assert_eq!(*heard.borrow(), ["fine Ok(5)", "bad Err(Cancelled)"]);
}

struct Note(Told);

impl CompletionHandler<u8> for Note {
    fn completed(self: Arc<Self>, _: &Local, outcome: Result<Claim<u8>>) {
        self.0.note(format!("handler {:?}", outcome.map(Claim::take)));
    }

    fn refused(self: Arc<Self>) {
        self.0.note("handler refused");
    }
}

#[test]
fn promise_02_a_callback_that_is_completed_inside_a_callback_is_told_behind_it() {
    let engine = driver::engine();
    let told = Told::new();
    let inside = told.clone();
    engine.post(move |local| {
        inside.submitting(|| local.complete(inside.callback("complete"), Ok(())));
        inside.note("the post");
    });
    engine.run().unwrap();
    assert_eq!(told.take(), ["the post", "complete Ok"]);
}

#[test]
fn promise_03_completions_of_another_thread_are_told_in_order_on_the_engines() {
    let engine = driver::engine();
    let (order, here) = (Basket::new(), thread::current().id());
    let (handle, guard, told) = (engine.handle().clone(), engine.keep_alive(), order.clone());
    let other = thread::spawn(move || {
        for number in 0..100 {
            let told = told.clone();
            let callback = Callback::new(
                move |_: &Local, number| told.put((number, thread::current().id())),
                |_, error| panic!("{error}"),
            );
            handle.complete(callback, Ok(number));
        }
        drop(guard);
    });
    engine.run().unwrap();
    other.join().unwrap();
    assert_eq!(order.take(), (0..100).map(|number| (number, here)).collect::<Vec<_>>());
}

#[test]
fn promise_07_the_timeout_of_what_is_completed_is_not_looked_at() {
    let engine = driver::engine();
    let told = Told::new().timeout(Duration::ZERO);
    let cancel = engine.complete(told.callback("complete"), Ok(()));
    assert!(!cancel.cancel(), "it has its outcome");
    engine.run().unwrap();
    assert_eq!(told.take(), ["complete Ok"]);
}

#[test]
fn promise_01_what_is_completed_on_an_engine_that_is_gone_is_refused() {
    let engine = driver::engine();
    let handle = engine.handle().clone();
    let (told, drops) = (Told::new(), Drops::new());
    let closure = |drops: &Drops| {
        let (token, told) = (drops.token(), told.clone());
        Callback::from_fn(move |_, _: Result<u8>| {
            told.note("it runs");
            drop(token);
        })
    };
    // What has its outcome before hears it in the last turn.
    engine.complete(told.callback("before"), Ok(()));
    drop(engine);
    assert_eq!(told.take(), ["before Ok"]);
    handle.complete(closure(&drops), Ok(1));
    handle.complete(Callback::handler(Arc::new(Note(told.clone()))), Ok(2));
    assert_eq!(told.take(), ["handler refused"]);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn promise_17_a_completed_callback_that_panics_is_contained() {
    let engine = driver::engine();
    let told = Told::new();
    engine.complete(Callback::from_fn(|_, _: Result<()>| panic!("mine")), Ok(()));
    engine.complete(told.callback("next"), Ok(()));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.run())).unwrap_err();
    engine.run().unwrap();
    assert_eq!(told.take(), ["next Ok"]);
}

// Made of others

/// Reads a line as a number, if it is one.
fn read_number(engine: &Handle, stream: &Stream, cb: Callback<u64>) -> Cancel {
    let parse = |_: &Local, line: Bytes| {
        let text = str::from_utf8(&line).map_err(Error::other)?;
        text.parse().map_err(Error::other)
    };
    engine.read_line(stream, cb.and_then(parse))
}

#[test]
fn promise_08_what_an_operation_of_ones_own_refuses_is_there_for_the_next() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    for told in [told.clone(), told.dropping_claims()] {
        peer.write_all(b"seven\r\n").unwrap();
        read_number(&engine, &stream, told.callback("number"));
        read_number(&engine, &stream, told.callback("again"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["number Other", "again Other"]);
        engine.read_line(&stream, Told::value(&Told::default(), "unheard"));
        engine.run().unwrap();
    }
    peer.write_all(b"7\r\n").unwrap();
    read_number(&engine, &stream, told.value("number"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["number 7"]);
    engine.buffered(&stream, told.value("left"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["left 0"]);
}

#[test]
fn promise_08_a_claim_on_what_was_made_gives_back_what_it_was_made_of() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"7\r\nrest").unwrap();
    read_number(&engine, &stream, told.dropping_claims().callback("number"));
    engine.run().unwrap();
    engine.read_exact(&stream, 7, told.value("raw"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["number dropped", "raw b\"7\\r\\nrest\""]);
}

#[test]
fn promise_09_a_connection_that_is_refused_is_the_next_accepts() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let _peer = driver::connect(listener.local_addr().unwrap()).unwrap();
    let (told, seen) = (Told::new(), Basket::new());
    let first = seen.clone();
    let refuse = told.callback::<Stream>("accept").and_then(move |_, stream: Stream| {
        first.put(stream.peer_addr().unwrap());
        Err(Error::other("not this one"))
    });
    engine.accept(&listener, refuse);
    engine.run().unwrap();
    assert_eq!(told.take(), ["accept Other"]);
    let again = Basket::<Stream>::new();
    engine.accept(&listener, again.callback());
    engine.run().unwrap();
    assert_eq!(again.only().peer_addr().unwrap(), seen.only());
}

#[test]
fn promise_04_what_fails_by_itself_does_not_come_to_and_then() {
    let engine = driver::engine();
    let (peer, stream) = tcp_pair(&engine);
    let (told, runs) = (Told::new(), Arc::new(AtomicUsize::new(0)));
    let counting = |name| {
        let runs = Arc::clone(&runs);
        told.callback::<Bytes>(name).and_then(move |_, line: Bytes| {
            runs.fetch_add(1, SeqCst);
            Ok(line)
        })
    };
    engine.read_line(&stream, counting("cancelled")).cancel();
    engine.read_line(&stream, counting("expired").timeout(Duration::ZERO));
    engine.run().unwrap();
    drop(peer);
    engine.read_line(&stream, counting("ended"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["cancelled Cancelled", "expired TimedOut", "ended EndOfStream"]);
    assert_eq!(runs.load(SeqCst), 0);
}

#[test]
fn the_timeout_of_a_callback_goes_with_it() {
    let limit = Duration::from_secs(5);
    let callback = Callback::<u8>::ignore()
        .timeout(limit)
        .and_then(|_, value: u16| u8::try_from(value).map_err(Error::other));
    assert_eq!(callback.get_timeout(), Some(limit));
}

#[test]
fn an_operation_of_ones_own_may_submit_others_as_it_decides() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"first\nsecond\n").unwrap();
    let (again, notes) = (stream.clone(), told.clone());
    engine.read_line(
        &stream,
        told.value("first").and_then(move |local, line: Bytes| {
            local.read_line(&again, notes.value("second"));
            Ok(line)
        }),
    );
    engine.run().unwrap();
    assert_eq!(told.take(), ["first b\"first\"", "second b\"second\""]);
}

#[test]
fn promise_17_an_operation_of_ones_own_that_panics_loses_nothing() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"line\n").unwrap();
    let callback = Callback::<u8>::ignore().and_then(|_, _: Bytes| panic!("mine"));
    engine.read_line(&stream, callback);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.run())).unwrap_err();
    engine.read_line(&stream, told.value("line"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"line\""]);
}

// In their own words

/// A frame whose first byte is its length, of which zero is none.
struct Frame;

impl Matcher for Frame {
    type Output = Bytes;

    fn scan(&mut self, unread: &[u8], _: bool) -> Scan {
        match unread {
            [len, rest @ ..] if rest.len() >= usize::from(*len) => {
                Scan::Found { end: 1 + usize::from(*len) }
            }
            _ => Scan::NeedMore,
        }
    }

    fn restart(&mut self) {}

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        match taken.len() {
            1 => Err(Error::other(EmptyFrame)),
            _ => Ok(taken.slice(1..)),
        }
    }
}

#[derive(Debug)]
struct EmptyFrame;

impl std::fmt::Display for EmptyFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a frame of nothing")
    }
}

impl std::error::Error for EmptyFrame {}

#[test]
fn promise_08_a_matcher_fails_in_its_own_words_and_takes_nothing() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let errors = Basket::new();
    let heard = errors.clone();
    peer.write_all(b"\0\x02ok").unwrap();
    let callback = Callback::from_fn(move |_, outcome: Result<Bytes>| {
        heard.put(outcome.unwrap_err());
    });
    engine.read_with(&stream, Frame, callback);
    turns(&engine, 3);
    let error = errors.only();
    assert_eq!(error.to_string(), "a frame of nothing");
    let Error::Other(cause) = &error else { panic!("{error:?}") };
    assert!(cause.is::<EmptyFrame>());
    let told = Told::new();
    engine.consume(&stream, 1);
    engine.read_with(&stream, Frame, told.value("frame"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["frame b\"ok\""]);
}

#[test]
fn promise_17_engines_are_not_confused_by_who_completes_what() {
    // A local callback of one engine, completed on another: it runs at home.
    let (home, other): (Engine, Engine) = (driver::engine(), driver::engine());
    let heard = Rc::new(RefCell::new(Vec::new()));
    let notes = Rc::clone(&heard);
    let callback = Callback::local_from_fn(&home, move |local: &Local, outcome: Result<u8>| {
        notes.borrow_mut().push((format!("{local:?}"), outcome.unwrap()));
    });
    other.complete(callback, Ok(1));
    other.run().unwrap();
    assert!(heard.borrow().is_empty());
    home.run().unwrap();
    assert_eq!(*heard.borrow(), [(format!("{:?}", &*home), 1)]);
}
