//! A server on bare mio: what one would write by hand.
//!
//! Readiness is edge-triggered: a connection is read until a receive comes short, and one with
//! something unsent is not read at all until the socket has taken it.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use super::lines::{self, TooLong};
use super::{BUFFER, EVENTS, Options};

/// Serves the listener's connections on bare mio.
///
/// # Errors
///
/// Fails if the listener or the poll does; a failed connection is closed.
pub fn mio(listener: std::net::TcpListener, options: &Options) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(EVENTS);
    let mut connections = Slab::new();
    let mut scratch = Scratch { received: vec![0; BUFFER], answer: Vec::new() };
    while !options.stopped() {
        match poll.poll(&mut events, options.wait()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, poll.registry(), &mut connections)?;
                continue;
            }
            let Token(key) = event.token();
            let connection: &mut Connection = &mut connections[key];
            match connection.serve(key, poll.registry(), options, &mut scratch) {
                Ok(State::Open) => {}
                Ok(State::Ended) | Err(_) => drop(connections.remove(key)),
            }
        }
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    /// What the socket has not taken yet; nothing is read meanwhile.
    unsent: Vec<u8>,
    /// The line that is not finished.
    line: Vec<u8>,
}

/// Memory shared by all connections: an idle one has none.
struct Scratch {
    received: Vec<u8>,
    answer: Vec<u8>,
}

enum State {
    Open,
    Ended,
}

fn accept(
    listener: &TcpListener,
    registry: &Registry,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        let entry = connections.vacant_entry();
        registry.register(&mut stream, Token(entry.key()), Interest::READABLE)?;
        entry.insert(Connection { stream, unsent: Vec::new(), line: Vec::new() });
    }
}

impl Connection {
    fn serve(
        &mut self,
        key: usize,
        registry: &Registry,
        options: &Options,
        scratch: &mut Scratch,
    ) -> io::Result<State> {
        if !self.unsent.is_empty() {
            let sent = taken(self.stream.write(&self.unsent))?;
            self.unsent.drain(..sent);
            if !self.unsent.is_empty() {
                return Ok(State::Open);
            }
        }
        loop {
            let count = match self.stream.read(&mut scratch.received) {
                Ok(0) => return Ok(State::Ended),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(State::Open),
                Err(error) => return Err(error),
            };
            let mut answer = &scratch.received[..count];
            if options.lines {
                scratch.answer.clear();
                lines::answer(answer, &mut self.line, &mut scratch.answer)
                    .map_err(|TooLong| io::Error::from(ErrorKind::InvalidData))?;
                answer = &scratch.answer;
            }
            let sent = if answer.is_empty() { 0 } else { taken(self.stream.write(answer))? };
            if sent < answer.len() {
                self.unsent = answer[sent..].to_vec();
                let interest = Interest::READABLE | Interest::WRITABLE;
                registry.reregister(&mut self.stream, Token(key), interest)?;
                return Ok(State::Open);
            }
            if count < scratch.received.len() {
                return Ok(State::Open);
            }
        }
    }
}

/// How much a write took: nothing, if it would block.
fn taken(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

const LISTENER: Token = Token(usize::MAX);
