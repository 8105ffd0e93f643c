//! What cuts a receive short although more has arrived: urgent bytes, descriptors that are sent
//! along, a change of who sends.

use std::{
    io::{IoSlice, Write, pipe},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Command, Stdio},
};

use facade_engine::{Bytes, Engine, Stream};
use facade_tests::{
    outcome::Outcome,
    told::Told,
    turns::{turn_until, turns},
};
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, send, sendmsg, sockopt,
};

use super::driver::{self, tcp_pair};

/// When the engine begins to read: before anything comes, or when all of it is there. A stream that
/// was read before is known to the system, and told of in another way.
const STARTS: [bool; 2] = [true, false];

fn unix_pair(engine: &Engine) -> (UnixStream, Stream) {
    let (peer, ours) = UnixStream::pair().unwrap();
    (peer, engine.attach_exclusive(ours).unwrap())
}

/// Reads a line, of which `send` sends the pieces.
fn line(engine: &Engine, stream: &Stream, reads_first: bool, send: impl FnOnce()) -> Bytes {
    let line = Outcome::<Bytes>::new();
    if reads_first {
        engine.read_line(stream, line.callback());
        turns(engine, 3);
        send();
    } else {
        send();
        engine.read_line(stream, line.callback());
    }
    turn_until(engine, || line.is_there());
    line.value()
}

fn send_urgent(peer: &impl AsFd) {
    assert_eq!(send(peer, b"!", SendFlags::OOB), Ok(1));
}

/// A peer that sends an urgent byte in the middle of a line, as Telnet and FTP clients do.
fn interrupt<P: AsFd + Write>(peer: &mut P) {
    peer.write_all(b"ab").unwrap();
    send_urgent(peer);
    peer.write_all(b"cd\n").unwrap();
}

/// What an urgent byte is for a stream, as for read(2): no part of it, unless it is asked for.
fn check_urgent<P, S>(make: impl Fn() -> (P, S))
where
    P: AsFd + Write,
    S: AsFd + Into<OwnedFd>,
{
    for reads_first in STARTS {
        for inline in [false, true] {
            let engine = driver::engine();
            let (mut peer, ours) = make();
            sockopt::set_socket_oobinline(&ours, inline).unwrap();
            let stream = engine.attach(ours).unwrap();
            let expected = if inline { "ab!cd" } else { "abcd" };
            for _ in 0..3 {
                let line = line(&engine, &stream, reads_first, || interrupt(&mut peer));
                assert_eq!(line, expected);
            }
        }
    }
}

#[test]
fn promise_11_what_comes_behind_an_urgent_byte_of_tcp_is_read() {
    check_urgent(|| {
        let listener = driver::bind();
        let peer = driver::connect(listener.local_addr().unwrap()).unwrap();
        (peer, listener.accept().unwrap().0)
    });
}

#[test]
fn promise_11_what_comes_behind_an_urgent_byte_of_a_unix_socket_is_read() {
    check_urgent(|| UnixStream::pair().unwrap());
}

/// The program itself receives the urgent byte, by the descriptor that the stream lends.
#[test]
fn promise_11_what_comes_behind_an_urgent_byte_that_was_taken_is_read() {
    for reads_first in STARTS {
        let engine = driver::engine();
        let (mut tcp_peer, tcp) = tcp_pair(&engine);
        let (mut unix_peer, unix) = unix_pair(&engine);
        for _ in 0..3 {
            let send = || {
                interrupt(&mut tcp_peer);
                take_urgent(&tcp);
            };
            assert_eq!(line(&engine, &tcp, reads_first, send), "abcd");
            let send = || {
                interrupt(&mut unix_peer);
                take_urgent(&unix);
            };
            assert_eq!(line(&engine, &unix, reads_first, send), "abcd");
        }
    }
}

fn take_urgent(stream: &Stream) {
    let mut urgent = [0];
    recv(stream, &mut urgent, RecvFlags::OOB).unwrap();
    assert_eq!(&urgent, b"!");
}

/// Descriptors that nobody takes are closed by the system. The bytes they came with are bytes.
#[test]
fn promise_11_what_comes_behind_descriptors_that_were_sent_along_is_read() {
    for reads_first in STARTS {
        let engine = driver::engine();
        let (mut peer, stream) = unix_pair(&engine);
        for _ in 0..3 {
            let (reader, mut writer) = pipe().unwrap();
            let send = || {
                peer.write_all(b"a").unwrap();
                send_along(&peer, &reader);
                drop(reader);
                peer.write_all(b"c\n").unwrap();
            };
            assert_eq!(line(&engine, &stream, reads_first, send), "abc");
            writer.write_all(b"x").expect_err("the descriptor that was sent is closed");
        }
    }
}

fn send_along(peer: &UnixStream, fd: &impl AsFd) {
    let fds = [fd.as_fd()];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(peer, &[IoSlice::new(b"b")], &mut control, SendFlags::empty()).unwrap();
}

/// Bytes of two processes never come by one receive once somebody asks who sends.
#[test]
fn promise_11_what_another_process_sends_behind_is_read() {
    for reads_first in STARTS {
        let engine = driver::engine();
        let (mut peer, ours) = UnixStream::pair().unwrap();
        sockopt::set_socket_passcred(&ours, true).unwrap();
        let stream = engine.attach(ours).unwrap();
        for _ in 0..3 {
            let send = || {
                peer.write_all(b"a").unwrap();
                let output = Stdio::from(OwnedFd::from(peer.try_clone().unwrap()));
                assert!(Command::new("printf").arg("b").stdout(output).status().unwrap().success());
                peer.write_all(b"c\n").unwrap();
            };
            assert_eq!(line(&engine, &stream, reads_first, send), "abc");
        }
    }
}

/// The end behind an urgent byte, and nothing else.
#[test]
fn promise_12_the_end_behind_an_urgent_byte_comes() {
    for reads_first in STARTS {
        let engine = driver::engine();
        let (mut peer, stream) = tcp_pair(&engine);
        let told = Told::new();
        if reads_first {
            engine.read_all(&stream, told.value("all"));
            turns(&engine, 3);
        }
        peer.write_all(b"ab").unwrap();
        send_urgent(&peer);
        drop(peer);
        if !reads_first {
            engine.read_all(&stream, told.value("all"));
        }
        engine.run().unwrap();
        assert_eq!(told.take(), ["all b\"ab\""]);
    }
}
