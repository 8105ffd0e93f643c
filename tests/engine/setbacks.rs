//! The system refuses to send, for a moment or for good: an echo goes on, or whoever waits hears of
//! it. It is sendto(2) that fails, injected by strace(1), which only the readiness driver calls;
//! the simulated one has a suite of its own (`tests/sim/setbacks.rs`).

use std::{
    cell::RefCell,
    io::{BufRead, BufReader},
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    thread::{JoinHandle, spawn},
};

use facade_engine::{Callback, Engine, Error, Handle, Local, Stream};
use facade_futures::Runtime;
use facade_tests::{
    faults::with_faults,
    told::{Basket, Told},
    turns::turns,
};

use super::driver::{self, tcp_pair};

const LINES: [&str; 3] = ["one", "two", "three"];

/// Sends lines, each when the one before has come back, and ends in order. By write(2), into which
/// nothing is injected.
fn ask(peer: TcpStream) -> JoinHandle<()> {
    spawn(move || {
        let mut reader = BufReader::new(&peer);
        for line in LINES {
            rustix::io::write(&peer, format!("{line}\n").as_bytes()).unwrap();
            let mut answer = String::new();
            reader.read_line(&mut answer).unwrap();
            assert_eq!(answer.trim_end(), line);
        }
        peer.shutdown(Shutdown::Write).unwrap();
    })
}

/// Echoes lines, looking at nothing but what is read.
fn serve(engine: &Handle, stream: &Stream, end: Basket<Error>) {
    let (again, ends) = (stream.clone(), end.clone());
    let next = move |engine: &Local, line| {
        engine.write_line(&again, line, Callback::ignore());
        serve(engine, &again, ends);
    };
    engine.read_line(stream, Callback::new(next, move |_, error| end.put(error)));
}

async fn serve_async(mut stream: facade_futures::Stream) -> Error {
    loop {
        let line = match stream.read_line().await {
            Ok(line) => line,
            Err(error) => return error,
        };
        stream.write_line(line).await.unwrap();
    }
}

/// Echoes lines in both styles, each with an engine of its own. Returns what the last reads heard.
fn serve_in_both_styles(begin: impl Fn(TcpStream)) -> [Error; 2] {
    let engine = driver::engine();
    let (peer, stream) = tcp_pair(&engine);
    begin(peer);
    let end = Basket::new();
    serve(&engine, &stream, end.clone());
    engine.run().unwrap();
    let (peer, stream) = tcp_pair(&engine);
    begin(peer);
    [end.only(), Runtime::from(engine).block_on(serve_async(stream.into()))]
}

#[test]
fn promise_10_an_echo_goes_on_when_memory_was_short_for_a_moment() {
    let faults = [
        "sendto:error=ENOBUFS:when=1",
        "sendto:error=ENOMEM:when=2",
        "sendto:error=ENOBUFS:when=2..6",
        "sendto:error=ENOMEM:when=1+2",
    ];
    let name = "promise_10_an_echo_goes_on_when_memory_was_short_for_a_moment";
    with_faults(module_path!(), name, faults, |_| {
        let askers = RefCell::new(Vec::new());
        for error in serve_in_both_styles(|peer| askers.borrow_mut().push(ask(peer))) {
            assert!(matches!(error, Error::EndOfStream), "the end was in order: {error:?}");
        }
        askers.into_inner().into_iter().for_each(|asker| asker.join().unwrap());
    });
}

#[test]
fn an_echo_hears_that_nothing_is_sent_any_more() {
    let faults = [
        "sendto:error=ENOBUFS:when=1+",
        "sendto:error=EPERM:when=1+",
        "sendto:error=ECONNRESET:when=1+",
    ];
    let name = "an_echo_hears_that_nothing_is_sent_any_more";
    with_faults(module_path!(), name, faults, |_| {
        if driver::engine().driver() != "mio" {
            // It makes no such call.
            return;
        }
        let peers = RefCell::new(Vec::new());
        for error in serve_in_both_styles(|peer| {
            rustix::io::write(&peer, b"one\ntwo\nthree\nunfinished").unwrap();
            // It waits for its answers.
            peers.borrow_mut().push(peer);
        }) {
            assert!(matches!(error, Error::Io { .. }), "{error:?}");
        }
    });
}

#[test]
fn promise_08_a_read_for_which_memory_was_short_leaves_all_there() {
    let faults = [
        "recvmsg:error=ENOMEM:when=2",
        "recvmsg:error=ENOBUFS:when=2",
        "recvfrom:error=ENOMEM:when=2",
        "recvfrom:error=ENOBUFS:when=2",
    ];
    let name = "promise_08_a_read_for_which_memory_was_short_leaves_all_there";
    with_faults(module_path!(), name, faults, |fault| {
        let engine = driver::engine();
        if engine.driver() != "mio" {
            // It makes no such call.
            return;
        }
        let (peer, stream) = match fault.starts_with("recvmsg") {
            true => tcp_pair(&engine),
            false => untouched_pair(&engine),
        };
        let told = Told::new();
        rustix::io::write(&peer, b"one\n").unwrap();
        engine.read_line(&stream, told.value("first"));
        engine.run().unwrap();
        for name in ["second", "third", "fourth"] {
            engine.read_until(&stream, "\n", told.value(name));
        }
        turns(&engine, 2);
        rustix::io::write(&peer, b"two\nthree\n").unwrap();
        engine.run().unwrap();
        let told = told.take();
        assert!(told[1].starts_with("second Io(read, "), "{told:?}");
        assert_eq!(told[2..], ["third b\"two\\n\"", "fourth b\"three\\n\""]);
    });
}

/// With the bytes of a TCP connection nothing comes along that matters, unless the program has had
/// it in hand and may have set anything, such as that the kernel decrypts: then it is asked for.
#[test]
fn promise_11_what_comes_along_is_asked_for_once_the_program_has_had_the_descriptor() {
    let faults = ["recvmsg:error=EIO:when=1+"];
    let name = "promise_11_what_comes_along_is_asked_for_once_the_program_has_had_the_descriptor";
    with_faults(module_path!(), name, faults, |_| {
        let engine = driver::engine();
        if engine.driver() != "mio" {
            // It makes no such call.
            return;
        }
        let (peer, stream) = untouched_pair(&engine);
        let told = Told::new();
        rustix::io::write(&peer, b"one\n").unwrap();
        engine.read_line(&stream, told.value("before"));
        engine.run().unwrap();
        let _ = stream.as_fd();
        rustix::io::write(&peer, b"two\n").unwrap();
        engine.read_line(&stream, told.value("after"));
        engine.run().unwrap();
        let told = told.take();
        assert_eq!(told[0], "before b\"one\"");
        assert!(told[1].starts_with("after Io(read, "), "{told:?}");
    });
}

/// A connection that the engine has accepted, and the program never had in hand.
fn untouched_pair(engine: &Engine) -> (TcpStream, Stream) {
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let accepted = Basket::new();
    engine.accept(&listener, accepted.callback());
    engine.run().unwrap();
    (peer, accepted.only())
}
