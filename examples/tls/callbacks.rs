//! By callbacks: rustls' state machine between the stream and the program. What is read goes in,
//! what it has to send is written, and it does no I/O itself.

use std::{
    io::{Read, Write, stdout},
    sync::{Arc, mpsc},
};

use facade_engine::{Bytes, Callback, Engine, Error, Handle, Listener, Local, Stream};
use facade_examples::{Result, report};
use futures_rustls::rustls::{
    ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection,
};

use crate::config::{CHUNK, PATIENCE, Request};

/// TLS over one stream.
struct Session {
    tls: Connection,
    stream: Stream,
}

impl Session {
    fn new(tls: impl Into<Connection>, stream: Stream) -> Self {
        let mut tls = tls.into();
        // What it has to send is taken out within the call: the stream's limits are what counts.
        tls.set_buffer_limit(None);
        Self { tls, stream }
    }

    /// Takes what has come. Returns the text in it, and whether the peer has said that it ends.
    fn receive(&mut self, mut bytes: &[u8]) -> Result<(Vec<u8>, bool)> {
        let (mut text, mut ended) = (Vec::new(), false);
        while !bytes.is_empty() && !ended {
            self.tls.read_tls(&mut bytes)?;
            let state = self.tls.process_new_packets()?;
            let old = text.len();
            text.resize(old + state.plaintext_bytes_to_read(), 0);
            self.tls.reader().read_exact(&mut text[old..])?;
            ended = state.peer_has_closed();
        }
        Ok((text, ended))
    }

    /// Writes whatever it has to send: records, answers of the handshake, an alert.
    fn send(&mut self, engine: &Handle) -> Result<()> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes)?;
        }
        engine.write(&self.stream, bytes, Callback::ignore());
        Ok(())
    }
}

pub(crate) fn serve(
    engine: &Engine,
    listener: &Listener,
    signals: &Stream,
    config: Arc<ServerConfig>,
) -> facade_engine::Result<()> {
    engine.read_chunk(signals, 1, Callback::from_fn(|engine, _| engine.stop()));
    let accepted = move |engine: &Local, stream| {
        if let Err(error) = echo(engine, stream, config.clone()) {
            eprintln!("{error}");
        }
    };
    let stopped = Callback::from_fn(|engine: &Local, outcome: facade_engine::Result<()>| {
        if let Err(error) = outcome {
            report(&error);
        }
        engine.stop();
    });
    engine.each_connection(listener, accepted, stopped);
    engine.run()
}

/// Sends back what comes. While a client does not read, nothing more is read of it; in the end the
/// stream goes with the session.
fn echo(engine: &Handle, stream: Stream, config: Arc<ServerConfig>) -> Result<()> {
    let mut session = Session::new(ServerConnection::new(config)?, stream.clone());
    let mut answer = move |engine: &Local, bytes: &[u8]| {
        let received = session.receive(bytes);
        if let Ok((text, ended)) = &received {
            session.tls.writer().write_all(text)?;
            if *ended {
                session.tls.send_close_notify();
            }
        }
        // Also if it has failed: an alert says why.
        session.send(engine)?;
        received.map(|(_, ended)| ended)
    };
    engine.each_chunk(
        &stream,
        CHUNK,
        move |engine, bytes| match answer(engine, &bytes) {
            Ok(false) => {}
            Ok(true) => _ = engine.repeating().cancel(),
            Err(error) => {
                eprintln!("{error}");
                engine.repeating().cancel();
            }
        },
        Callback::from_fn(|_, outcome| match outcome {
            Ok(()) => eprintln!("a client has ended without close_notify"),
            Err(Error::Cancelled) => {}
            Err(error) => report(&error),
        })
        .timeout(PATIENCE),
    );
    Ok(())
}

type Tell = mpsc::Sender<Result<()>>;

pub(crate) fn talk(engine: &Engine, request: Request, config: Arc<ClientConfig>) -> Result<()> {
    let tls = ClientConnection::new(config, request.name)?;
    let (tell, told) = mpsc::channel();
    let connected = Callback::with(
        tell,
        |engine: &Local, tell, stream| {
            let mut session = Session::new(tls, stream);
            match session.send(engine) {
                Ok(()) => go_on(engine, session, Some(request.text), tell),
                Err(error) => drop(tell.send(Err(error))),
            }
        },
        |_, tell: Tell, error| drop(tell.send(Err(error.into()))),
    );
    engine.connect(request.server, connected.timeout(PATIENCE));
    engine.run()?;
    told.recv()?
}

/// Reads on, whether or not the server takes what is unsent: else each would wait for the other.
fn go_on(engine: &Handle, session: Session, text: Option<Vec<u8>>, tell: Tell) {
    let stream = session.stream.clone();
    let received = Callback::with(
        (session, text, tell),
        |engine: &Local, (mut session, mut text, tell), bytes: Bytes| match step(
            engine,
            &mut session,
            &mut text,
            &bytes,
        ) {
            Ok(false) => go_on(engine, session, text, tell),
            outcome => drop(tell.send(outcome.map(drop))),
        },
        |_, (_, _, tell): (_, _, Tell), error| {
            drop(tell.send(Err(match error {
                Error::EndOfStream => "the server has ended without close_notify".into(),
                error => error.into(),
            })));
        },
    );
    engine.read_chunk(&stream, CHUNK, received.timeout(PATIENCE));
}

/// Prints what has come, sends the text when the handshake is done, and says whether this is the end.
fn step(
    engine: &Handle,
    session: &mut Session,
    text: &mut Option<Vec<u8>>,
    bytes: &[u8],
) -> Result<bool> {
    let received = session.receive(bytes);
    if received.is_ok()
        && !session.tls.is_handshaking()
        && let Some(text) = text.take()
    {
        session.tls.writer().write_all(&text)?;
        session.tls.send_close_notify();
    }
    session.send(engine)?;
    let (answer, ended) = received?;
    stdout().write_all(&answer)?;
    Ok(ended)
}
