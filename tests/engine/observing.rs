//! Seeing from outside what an engine does: how much, how its operations ended, and what took long.

use std::{
    fmt::Debug,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Engine, Local, Metrics, OperationMetrics, Result, SlowCallback, Stream,
};
use facade_tests::{
    alone::alone,
    told::Told,
    turns::{SOON, now, turn_until, turns},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
};

use super::driver::{self, pair};

fn counting() -> Engine {
    driver::builder().count_operations(true).build().unwrap()
}

/// How operations of this name ended: succeeded, failed, cancelled, timed out.
fn ends(metrics: &Metrics, operation: &str) -> [u64; 4] {
    let found = metrics.operations.iter().find(|one| one.operation == operation);
    found.map_or([0; 4], |one: &OperationMetrics| {
        [one.succeeded, one.failed, one.cancelled, one.timed_out]
    })
}

#[test]
fn operations_are_counted_by_how_they_ended() {
    let engine = counting();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"one\ntwo\nthree\nfour\n").unwrap();
    // Whatever kind of callback it has.
    engine.read_line(&stream, told.callback("plain"));
    engine.read_line(&stream, Callback::ignore());
    let note = told.clone();
    let local = Callback::local_from_fn(&engine, move |_, outcome: Result<Bytes>| {
        note.note(format!("local {:?}", outcome.unwrap()));
    });
    engine.read_line(&stream, local);
    engine.read_line(&stream, told.dropping_claims().callback("claim"));
    turn_until(&engine, || told.len() == 3);
    assert_eq!(told.take(), ["plain Ok", "local b\"three\"", "claim dropped"]);
    assert_eq!(ends(&engine.metrics(), "read_line"), [4, 0, 0, 0]);
    // What the claim gave back is there.
    engine.read_exact(&stream, 5, told.value("rest"));
    engine.read_exact(&stream, 1, told.callback("cancelled")).cancel();
    engine.read_exact(&stream, 1, told.timeout(SOON).callback("expired"));
    engine.read_chunk(&stream, 0, told.callback("wrong"));
    engine.run().unwrap();
    engine.read_exact(&stream, 1, told.callback("pending"));
    turns(&engine, 1);
    let metrics = engine.metrics();
    assert_eq!(ends(&metrics, "read_exact"), [1, 0, 1, 1]);
    assert_eq!(ends(&metrics, "read_chunk"), [0, 1, 0, 0]);
    let names: Vec<_> = metrics.operations.iter().map(|one| one.operation).collect();
    assert_eq!(names, ["read_chunk", "read_exact", "read_line"]);
    // By default they are not, which costs nothing.
    let engine = driver::engine();
    engine.sleep(Duration::ZERO, Callback::ignore());
    engine.run().unwrap();
    assert!(engine.metrics().operations.is_empty());
}

#[test]
fn stages_of_a_chain_and_repeating_operations_are_counted_each() {
    let engine = counting();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine
        .chain()
        .on(&stream)
        .write_line("hello", told.callback("write"))
        .read_line(told.callback("read"))
        .flush(told.callback("flush"))
        .timeout(SOON)
        .submit();
    engine.run().unwrap();
    assert_eq!(told.take(), ["write Ok", "read TimedOut", "flush Stage(2, TimedOut)"]);
    let metrics = engine.metrics();
    assert_eq!(ends(&metrics, "write_line"), [1, 0, 0, 0]);
    assert_eq!(ends(&metrics, "read_line"), [0, 0, 0, 1]);
    assert_eq!(ends(&metrics, "flush"), [0, 1, 0, 0]);
    peer.write_all(b"one\ntwo\n").unwrap();
    drop(peer);
    engine.each_line(&stream, |_, _| (), told.callback("each"));
    engine.close(&stream, told.callback("close"));
    engine.run().unwrap();
    let metrics = engine.metrics();
    assert_eq!(ends(&metrics, "each_line").iter().sum::<u64>(), 1);
    assert_eq!(ends(&metrics, "close"), [1, 0, 0, 0]);
}

#[test]
fn what_came_and_went_and_what_is_left_is_told() {
    let engine = driver::engine();
    assert_eq!(engine.metrics().resources, 0);
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"line\nrest").unwrap();
    engine.read_line(&stream, Callback::ignore());
    engine.write(&stream, "12345", Callback::ignore());
    engine.run().unwrap();
    let metrics = engine.metrics();
    assert_eq!((metrics.bytes_sent, metrics.resources, metrics.pending), (5, 1, 0));
    assert_eq!(metrics.bytes_received - metrics.unread as u64, 5, "{metrics:?}");
    // A write that nobody wants to hear of runs no callback.
    assert!((1..=2).contains(&metrics.callbacks), "{metrics:?}");
    assert!(metrics.turns > 0);
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let _client = driver::connect(listener.local_addr().unwrap()).unwrap();
    let told = Told::new();
    engine.accept(&listener, told.callback("accept"));
    turn_until(&engine, || !told.is_empty());
    engine.sleep(Duration::MAX, Callback::ignore());
    let metrics = engine.metrics();
    assert_eq!((metrics.connections_accepted, metrics.pending), (1, 1));
    let _work = driver::stuck_work(&engine, Callback::ignore());
    turns(&engine, 1);
    let work = |metrics: &Metrics| {
        let lane = metrics.lanes.iter().find(|lane| lane.name == "facade-work").unwrap();
        lane.running + lane.waiting
    };
    assert_eq!(work(&engine.metrics()), 1);
    let seen = Arc::new(Mutex::new(None));
    let place = Arc::clone(&seen);
    engine.post(move |local: &Local| *place.lock().unwrap() = Some(local.metrics()));
    turns(&engine, 1);
    assert_eq!(seen.lock().unwrap().take().unwrap().pending, 2);
}

#[test]
fn a_callback_that_runs_for_long_is_reported_behind_it() {
    let told = Told::new();
    let slow = Arc::new(Mutex::new(Vec::<SlowCallback>::new()));
    let reports = Arc::clone(&slow);
    let engine = driver::builder()
        .on_slow_callback(SOON, move |slow| reports.lock().unwrap().push(slow.clone()))
        .build()
        .unwrap();
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"one\ntwo\n").unwrap();
    let note = told.clone();
    engine.read_line(
        &stream,
        Callback::from_fn(move |local: &Local, line: Result<Bytes>| {
            busy();
            note.note(format!("{:?}", line.unwrap()));
            let note = note.clone();
            local.post(move |_| {
                busy();
                note.note("post");
            });
        }),
    );
    engine.read_line(&stream, told.callback("quick"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["b\"one\"", "quick Ok", "post"]);
    let slow = std::mem::take(&mut *slow.lock().unwrap());
    let operations: Vec<_> = slow.iter().map(|one| one.operation).collect();
    assert_eq!(operations, ["read_line", "post"]);
    assert!(slow.iter().all(|one| one.took > SOON));
    let (first, second) = (slow[0].to_string(), slow[1].to_string());
    assert!(first.starts_with("the callback of read_line on "), "{first}");
    assert!(second.starts_with("the callback of post took "), "{second}");
}

/// Takes longer than `SOON`.
fn busy() {
    let begun = now();
    while now() - begun <= SOON {
        std::hint::spin_loop();
    }
}

/// Notes spans and events, in order, each with the names of the spans that it is in.
struct Notes(Told);

#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "on" {
            self.0.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Notes {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut words = Words::default();
        attributes.record(&mut words);
        let span = context.span(id).unwrap();
        let within = span.parent().map_or("none", |parent| parent.name());
        self.0.note(format!("{} in {within}:{}", span.name(), words.0));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let within = context.lookup_current().map_or("none", |span| span.name());
        self.0.note(format!("event in {within}:{}", words.0));
    }
}

#[test]
fn an_operation_is_a_span_with_an_event_and_its_callback_runs_where_it_was_submitted() {
    let name = "an_operation_is_a_span_with_an_event_and_its_callback_runs_where_it_was_submitted";
    alone(module_path!(), name, || {
        let told = Told::new();
        let notes = tracing_subscriber::registry().with(Notes(told.clone()));
        tracing::subscriber::with_default(notes, || {
            let engine = driver::engine();
            let (mut peer, stream) = pair(&engine);
            peer.write_all(b"one\n").unwrap();
            let again = stream.clone();
            let next = move |local: &Local, _: Result<Bytes>| submit_next(local, &again);
            tracing::info_span!("mine").in_scope(|| {
                engine.read_line(&stream, Callback::from_fn(next));
            });
            engine.run().unwrap();
            assert_eq!(
                told.take(),
                [
                    "mine in none:",
                    "operation in mine: operation=\"read_line\"",
                    "event in operation: outcome=\"success\"",
                    // Submitted by the callback of the first, and within what that was in.
                    "operation in mine: operation=\"read_exact\"",
                    "event in operation: outcome=\"failure\" error=timed out",
                ]
            );
        });
    });

    fn submit_next(local: &Local, stream: &Stream) {
        local.read_exact(stream, 1, Callback::ignore().timeout(SOON));
    }
}
