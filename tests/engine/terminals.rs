//! Terminals and shared pipes: they are used without touching flags that others see.

use std::{
    fs::File,
    io::{Read, Write, pipe},
    os::fd::{AsFd, OwnedFd},
};

use facade_tests::{
    peers::numbered,
    terminals::terminal,
    told::Told,
    turns::{turn_until, turns},
};
use rustix::{
    fs::{OFlags, fcntl_getfl},
    termios::Termios,
};

use super::driver;

/// What others see of an open file whose descriptor was attached.
fn flags(fd: &impl AsFd) -> OFlags {
    fcntl_getfl(fd).unwrap()
}

#[test]
fn flags_of_a_shared_pipe_are_not_touched() {
    // As standard input and output are: others hold the same open file.
    let engine = driver::engine();
    let (reader, mut writer) = pipe().unwrap();
    let ours: OwnedFd = reader.as_fd().try_clone_to_owned().unwrap();
    let stream = engine.attach(ours).unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    turns(&engine, 2);
    assert!(!flags(&reader).contains(OFlags::NONBLOCK));
    writer.write_all(b"line\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"line\""]);
    assert!(!flags(&reader).contains(OFlags::NONBLOCK));

    let (mut reader, writer) = pipe().unwrap();
    let ours: OwnedFd = writer.as_fd().try_clone_to_owned().unwrap();
    let stream = engine.attach(ours).unwrap();
    engine.write(&stream, numbered(500_000), told.value("write"));
    turns(&engine, 3);
    assert!(told.is_empty(), "the pipe is full, and the engine does not block");
    assert!(!flags(&writer).contains(OFlags::NONBLOCK));
    let reads = std::thread::spawn(move || {
        let mut all = vec![0; 500_000];
        reader.read_exact(&mut all).unwrap();
        all
    });
    engine.run().unwrap();
    assert!(reads.join().unwrap() == numbered(500_000));
    assert!(!flags(&writer).contains(OFlags::NONBLOCK));
}

#[test]
fn a_terminal_is_used_without_touching_its_flags() {
    let engine = driver::engine();
    let (controller, terminal) = terminal(Termios::make_raw);
    let mut controller = File::from(controller);
    let stream = engine.attach(terminal.try_clone().unwrap()).unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("typed"));
    turns(&engine, 3);
    assert!(told.is_empty(), "nobody has typed, and the engine does not block");
    controller.write_all(b"typed\n").unwrap();
    turn_until(&engine, || !told.is_empty());
    engine.write_line(&stream, "shown", told.value("shown"));
    engine.run().unwrap();
    let mut shown = [0; 6];
    controller.read_exact(&mut shown).unwrap();
    assert_eq!(&shown, b"shown\n");
    assert_eq!(told.take(), ["typed b\"typed\"", "shown 6"]);
    assert!(!flags(&terminal).contains(OFlags::NONBLOCK));
}

#[test]
fn the_controlling_side_of_a_terminal_is_a_stream_like_any_other() {
    let engine = driver::engine();
    let (controller, mut terminal) = terminal(Termios::make_raw);
    let spy = controller.try_clone().unwrap();
    let stream = engine.attach(controller).unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    engine.write(&stream, "typed", told.value("write"));
    turns(&engine, 3);
    assert_eq!(told.take(), ["write 5"]);
    terminal.write_all(b"said\n").unwrap();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["line b\"said\""]);
    let mut typed = [0; 5];
    terminal.read_exact(&mut typed).unwrap();
    assert_eq!(&typed, b"typed");
    assert!(!flags(&spy).contains(OFlags::NONBLOCK));
    // When nobody has the terminal open any more, it has ended.
    engine.read_all(&stream, told.value("end"));
    drop(terminal);
    engine.run().unwrap();
    assert_eq!(told.take(), ["end b\"\""]);
}

#[test]
fn much_is_written_to_a_terminal_without_blocking() {
    let engine = driver::engine();
    let (controller, terminal) = terminal(Termios::make_raw);
    let mut controller = File::from(controller);
    let stream = engine.attach(terminal).unwrap();
    let told = Told::new();
    engine.write(&stream, numbered(300_000), told.value("write"));
    turns(&engine, 3);
    assert!(told.is_empty(), "nobody looks, and the engine does not block");
    let reads = std::thread::spawn(move || {
        let mut all = vec![0; 300_000];
        controller.read_exact(&mut all).unwrap();
        all
    });
    engine.run().unwrap();
    assert!(reads.join().unwrap() == numbered(300_000));
}
