//! Plays a script on one driver.

use std::{
    fmt::Debug,
    io::{Read, Write},
    net::Shutdown,
    time::Duration,
};

use facade_engine::{Callback, Cancel, Engine, Listener, Stream};
use facade_tests::told::Told;

use super::{
    super::script::{How, STREAMS, Step},
    driver,
};
use crate::model::expect::{Expected, Value};

/// So many turns are enough to see what has happened, on any driver...
const TURNS: usize = if cfg!(windows) { 8 } else { 4 };
/// ...if each waits so long for it: on Windows others than the driver bring it.
const WAIT: Duration = if cfg!(windows) { Duration::from_millis(2) } else { Duration::ZERO };

/// Sees what has happened.
fn settle(engine: &Engine) {
    // An engine with nothing pending does not wait.
    let _waits = cfg!(windows).then(|| engine.keep_alive());
    for _ in 0..TURNS {
        engine.run_once(Some(WAIT)).unwrap();
    }
}

struct Player {
    engine: Engine,
    told: Told,
    streams: Vec<(driver::Peer, Stream)>,
    received: Vec<Vec<u8>>,
    listener: Listener,
    clients: Vec<driver::TcpPeer>,
    cancels: Vec<Cancel>,
}

/// Plays it. Returns what was told, in an order that drivers may not change.
pub(in super::super) fn play(script: &[Step]) -> Vec<String> {
    let engine = driver::engine();
    let streams: Vec<_> = (0..STREAMS).map(|_| driver::pair(&engine)).collect();
    for (peer, _) in &streams {
        peer.set_nonblocking(true).unwrap();
    }
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let mut player = Player {
        engine,
        told: Told::new(),
        streams,
        received: vec![Vec::new(); STREAMS],
        listener,
        clients: Vec::new(),
        cancels: Vec::new(),
    };
    for step in script {
        player.does(step);
        settle(&player.engine);
    }
    player.ends()
}

impl Player {
    fn callback<T: Debug + Send + 'static>(&self, name: String, how: How) -> Callback<T> {
        match how {
            How::Plain => self.told.value(name),
            How::AtOnce => self.told.timeout(Duration::ZERO).value(name),
            How::ForEver => self.told.timeout(Duration::MAX).value(name),
            How::Dropped => self.told.dropping_claims().value(name),
        }
    }

    fn does(&mut self, step: &Step) {
        let number = self.cancels.len();
        let engine = &self.engine;
        let cancel = match step {
            Step::Read { stream, spec, how } => {
                let cb = self.callback::<Value>(format!("{stream} reads {number}"), *how);
                spec.submit(engine, &self.streams[*stream].1, cb)
            }
            Step::Write { stream, len, how } => {
                let cb = self.callback(format!("{stream} writes {number}"), *how);
                engine.write(&self.streams[*stream].1, bytes(number, *len), cb)
            }
            Step::Flush { stream, how } => {
                let cb = self.callback(format!("{stream} writes {number}"), *how);
                engine.flush(&self.streams[*stream].1, cb)
            }
            Step::Shutdown { stream } => {
                let cb = self.callback(format!("{stream} writes {number}"), How::Plain);
                engine.shutdown_write(&self.streams[*stream].1, cb)
            }
            Step::WriteThenExpect { stream } => {
                let written = self.callback(format!("{stream} writes {number}"), How::Plain);
                let read = self.callback(format!("{stream} reads {number}"), How::Plain);
                let stream = &self.streams[*stream].1;
                let expected = Expected::Glob.pattern();
                engine.write_then_expect_line(stream, bytes(number, 7), expected, (written, read))
            }
            Step::ReadChain { stream, specs } => {
                let mut chain = engine.chain().on(&self.streams[*stream].1);
                for spec in specs {
                    let cb = self.callback(format!("{stream} reads {number}"), How::Plain);
                    chain = spec.stage(chain, cb);
                }
                chain.submit()
            }
            Step::Accept { how } => {
                let cb = self.callback::<()>(format!("listener {number}"), *how);
                engine.accept(&self.listener, cb.map(|_: Stream| ()))
            }
            Step::Sleep { how } => {
                let cb = self.callback(format!("clock {number}"), *how);
                engine.sleep(Duration::ZERO, cb)
            }
            Step::Close { stream } => {
                let cb = self.callback(format!("{stream} closes {number}"), How::Plain);
                engine.close(&self.streams[*stream].1, cb)
            }
            Step::Cancel { nth } => {
                if let Some(cancel) = self.cancels.get(*nth) {
                    cancel.cancel();
                }
                return;
            }
            Step::PeerSends { stream, bytes } => {
                // It may have ended, or the stream be closed.
                drop(self.streams[*stream].0.write(bytes));
                return;
            }
            Step::PeerReads { stream } => return self.peer_reads(*stream),
            Step::PeerShuts { stream } => {
                drop(self.streams[*stream].0.shutdown(Shutdown::Write));
                return;
            }
            Step::Client => {
                let address = self.listener.local_addr().unwrap();
                return self.clients.push(driver::connect(address).unwrap());
            }
        };
        self.cancels.push(cancel);
    }

    fn peer_reads(&mut self, stream: usize) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.streams[stream].0.read(&mut buffer) {
            self.received[stream].extend_from_slice(&buffer[..count]);
        }
    }

    /// Peers read what there is and end, streams are read to their ends and closed.
    fn ends(mut self) -> Vec<String> {
        for stream in 0..STREAMS {
            self.peer_reads(stream);
            _ = self.streams[stream].0.shutdown(Shutdown::Write);
        }
        settle(&self.engine);
        for stream in 0..STREAMS {
            let handle = &self.streams[stream].1;
            self.engine.read_all(handle, self.told.value(format!("{stream} reads the rest")));
        }
        settle(&self.engine);
        for stream in 0..STREAMS {
            let handle = &self.streams[stream].1;
            self.engine.close(handle, self.told.value(format!("{stream} closes at last")));
        }
        self.engine.close(&self.listener, self.told.value("listener closes"));
        self.cancels.iter().for_each(|cancel| _ = cancel.cancel());
        for _ in 0..TURNS {
            (0..STREAMS).for_each(|stream| self.peer_reads(stream));
            settle(&self.engine);
        }
        let mut trace = self.told.take();
        // In order within each direction; between those nothing is promised.
        trace.sort_by_key(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        for (stream, received) in self.received.iter().enumerate() {
            trace.push(format!("peer {stream} got {}", received.escape_ascii()));
        }
        trace.push(format!(
            "{} pending",
            self.engine.run_once(Some(Duration::ZERO)).unwrap().pending
        ));
        trace
    }
}

fn bytes(number: usize, len: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().skip(number).take(len).collect()
}
