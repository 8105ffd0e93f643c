//! A mail server as small as can be, by callbacks: keeps what it accepts.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use facade_engine::{Callback, Engine, Handle, Listener, Result, Stream};

/// How long it waits for a client.
const PATIENCE: Duration = Duration::from_secs(300);

/// The mails that it has accepted; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mailboxes(Arc<Mutex<Vec<Vec<u8>>>>);

impl Mailboxes {
    fn put(&self, mail: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
    }

    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How it reads a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reading {
    Lines,
    /// As a program does that was only ever tried where everything comes in one piece.
    OnePiece,
}

#[derive(Clone)]
struct Session {
    stream: Stream,
    reading: Reading,
    mailboxes: Mailboxes,
}

/// Listens for clients, until none has come for a while.
pub(crate) fn start(
    engine: &Engine,
    address: SocketAddr,
    reading: Reading,
    mailboxes: Mailboxes,
) -> Result<()> {
    accept(engine, engine.listen(address)?, reading, mailboxes);
    Ok(())
}

fn accept(engine: &Handle, listener: Listener, reading: Reading, mailboxes: Mailboxes) {
    let next = listener.clone();
    let accepted = Callback::new(
        move |engine, stream: Stream| {
            let session = Session { stream, reading, mailboxes: mailboxes.clone() };
            answer(engine, session, "220 ready");
            accept(engine, next, reading, mailboxes);
        },
        |_, _| (),
    );
    engine.accept(&listener, accepted.timeout(PATIENCE));
}

/// Replies, and reads the next command. Whatever goes wrong ends the session.
fn answer(engine: &Handle, session: Session, reply: &'static str) {
    let stream = session.stream.clone();
    engine.write_line(&stream, reply, Callback::ignore());
    let command = Callback::new(
        move |engine, line: Bytes| match line.get(..4) {
            Some(b"EHLO") => answer(engine, session, "250-mail.example.org\r\n250 8BITMIME"),
            Some(b"MAIL" | b"RCPT") => answer(engine, session, "250 OK"),
            Some(b"DATA") => data(engine, session),
            Some(b"QUIT") => {
                engine.write_line(&session.stream, "221 bye", Callback::ignore());
            }
            _ => answer(engine, session, "500 what?"),
        },
        |_, _| (),
    );
    engine.read_line(&stream, command.timeout(PATIENCE));
}

fn data(engine: &Handle, session: Session) {
    engine.write_line(&session.stream, "354 go on", Callback::ignore());
    match session.reading {
        Reading::Lines => message(engine, session, Vec::new()),
        Reading::OnePiece => one_piece(engine, session),
    }
}

/// Reads the message line by line, up to the dot that ends it.
fn message(engine: &Handle, session: Session, mut mail: Vec<u8>) {
    let stream = session.stream.clone();
    let line = Callback::new(
        move |engine, line: Bytes| {
            if line == "." {
                session.mailboxes.put(mail);
                return answer(engine, session, "250 accepted");
            }
            mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            mail.extend_from_slice(b"\r\n");
            message(engine, session, mail);
        },
        |_, _| (),
    );
    engine.read_line(&stream, line.timeout(PATIENCE));
}

/// The planted bug: what comes first is taken for all of it.
fn one_piece(engine: &Handle, session: Session) {
    let stream = session.stream.clone();
    let piece = Callback::new(
        move |engine, piece: Bytes| {
            let mut mail = Vec::new();
            for line in piece.split_inclusive(|&byte| byte == b'\n') {
                if line != b".\r\n" {
                    mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
                }
            }
            session.mailboxes.put(mail);
            answer(engine, session, "250 accepted");
        },
        |_, _| (),
    );
    engine.read_chunk(&stream, 64 << 10, piece.timeout(PATIENCE));
}
