//! Sockets whose address is a path: who connects to them, and who has to wait for room.

use std::{path::Path, time::Duration};

use facade_engine::{Address, Callback, ConnectOptions, Error, Stream};
use facade_tests::{
    alone::alone,
    outcome::Outcome,
    told::{Basket, Told},
    turns::{turn_until, turns},
};

use super::driver::{self, bind_full_unix, bind_unix, descriptors};

#[test]
fn a_path_is_connected_to_and_listened_at() {
    let engine = driver::engine();
    let told = Told::new();
    let (_listening, path) = bind_unix();
    engine.connect(&*path, told.callback("&Path"));
    engine.connect(&path, told.callback("&PathBuf"));
    engine.connect(path.clone(), told.callback("PathBuf"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["&Path Ok", "&PathBuf Ok", "PathBuf Ok"]);

    let beside = path.with_extension("own");
    let listener = engine.listen(&beside).unwrap();
    engine.accept(&listener, told.callback("accept"));
    engine.connect(beside, Callback::ignore());
    engine.run().unwrap();
    assert_eq!(told.take(), ["accept Ok"]);
}

#[test]
fn options_without_a_meaning_for_a_path_are_left_aside() {
    let engine = driver::engine();
    let told = Told::new();
    let (_listening, path) = bind_unix();
    let options = ConnectOptions::new().nodelay(false).keepalive(Duration::from_secs(60));
    engine.connect_with(path, options, told.callback("unix"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["unix Ok"]);
}

#[test]
fn promise_07_without_any_time_a_path_is_tried_once() {
    let engine = driver::engine();
    let told = Told::new();
    let (_listening, path) = bind_unix();
    engine.connect(path, told.timeout(Duration::ZERO).callback("connect"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["connect Ok"]);
}

#[test]
fn a_path_that_is_not_there_or_in_use_is_named() {
    let engine = driver::engine();
    let outcome = Outcome::<Stream>::new();
    engine.connect(Path::new("/nowhere/socket"), outcome.callback());
    engine.run().unwrap();
    let text = "connect to /nowhere/socket: No such file or directory (os error 2)";
    let error = outcome.error();
    assert_eq!((error.to_string().as_str(), error.raw_os_error()), (text, Some(libc::ENOENT)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _listener = engine.listen_unix(&path).unwrap();
    let error = engine.listen_unix(&path).unwrap_err();
    let text = format!("listen on {}: Address already in use", path.display());
    assert!(error.to_string().starts_with(&text), "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
}

#[test]
fn connects_to_a_full_backlog_wait_for_room() {
    let name = "connects_to_a_full_backlog_wait_for_room";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let (mut full, path) = bind_full_unix();
        let (told, connected) = (Told::new(), Basket::<Stream>::new());
        let before = descriptors();
        let cancel = engine.connect(path.clone(), told.callback::<Stream>("cancelled"));
        let soon = told.timeout(Duration::from_millis(35)).callback::<Stream>("expired");
        engine.connect(path.clone(), soon);
        for _ in 0..10 {
            engine.connect(path.clone(), connected.callback());
        }
        turn_until(&engine, || told.len() == 1);
        assert_eq!(told.take(), ["expired TimedOut"]);
        assert!(cancel.cancel());
        turns(&engine, 2);
        assert_eq!(told.take(), ["cancelled Cancelled"]);
        assert_eq!(descriptors(), before + 10, "a socket each, however often it is tried");
        assert!(connected.is_empty());
        turn_until(&engine, || {
            full.make_room();
            connected.len() == 10
        });
        drop(connected);
        engine.run().unwrap();
        assert_eq!(engine.run_once(Some(Duration::ZERO)).unwrap().pending, 0);
    });
}

#[test]
fn promise_04_room_in_a_backlog_at_the_deadline_is_not_a_timeout() {
    // It was tried when there was no room, and is not due again.
    find_room_at_the_deadline(Duration::from_millis(5));
}

/// It is tried every ten milliseconds, and the deadline has come with such a try.
#[test]
fn promise_04_nor_is_it_if_the_next_try_is_due_in_the_same_moment() {
    find_room_at_the_deadline(Duration::from_millis(30));
}

fn find_room_at_the_deadline(timeout: Duration) {
    let engine = driver::engine();
    let (mut full, path) = bind_full_unix();
    let told = Told::new();
    loop {
        engine.connect(path.clone(), told.timeout(timeout).callback::<Stream>("connect"));
        turns(&engine, 1);
        if told.is_empty() {
            break;
        }
        // This machine took longer for that.
        told.take();
    }
    full.make_room();
    driver::pass(timeout);
    engine.run_once(None).unwrap();
    turns(&engine, 2);
    assert_eq!(told.take(), ["connect Ok"]);
}

#[test]
fn paths_that_can_be_no_socket_are_refused() {
    let engine = driver::engine();
    let long = format!("/tmp/{}", "x".repeat(200));
    for path in ["", &long, "/tmp/with\0nul"] {
        let told = Told::new();
        engine.connect(Path::new(path), told.callback("connect"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["connect InvalidInput"], "{path:?}");
        engine.listen_unix(path).unwrap_err();
        let refused = engine.listen(Address::from(Path::new(path)));
        assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{path:?}");
    }
}
