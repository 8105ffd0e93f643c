//! Accepts and connects: connections come in order, and none is lost or made up (promise 9).

use std::time::Duration;

use facade_engine::{Stream, sim::Peer};

use super::{
    expect::Value,
    world::{CONNECTION, Kind, NONE, World},
};

impl World {
    pub(crate) fn add_pair(&mut self) {
        if self.shortage || self.streams.len() > 5 {
            return;
        }
        let (peer, stream) = match self.chance(0.5) {
            true => Peer::pair(&self.engine).unwrap(),
            false => Peer::tcp_pair(&self.engine).unwrap(),
        };
        peer.set_nonblocking(true).unwrap();
        let line = self.new_line(Some(stream), Some(peer));
        self.streams.push(line);
    }

    /// A peer connects to the listener.
    pub(crate) fn add_client(&mut self) {
        if !self.listener.closed && self.listener.waiting.len() <= 4 {
            self.connect_client();
        }
    }

    /// Returns whether it could.
    pub(crate) fn connect_client(&mut self) -> bool {
        let Ok(peer) = self.there.connect(self.here.at(80)) else { return false };
        peer.set_nonblocking(true).unwrap();
        let address = peer.local_addr().unwrap();
        self.listener.waiting.push_back((peer, address, Vec::new()));
        true
    }

    pub(super) fn submit_accept(&mut self) {
        if self.listener.handle.is_some() {
            self.submit(Kind::Accept, NONE, true);
        }
    }

    pub(super) fn submit_connect(&mut self) {
        if self.streams.len() < 8 {
            self.submit(Kind::Connect, NONE, true);
        }
    }

    pub(super) fn accepted(&mut self, id: usize) {
        let connection = CONNECTION.take().expect("on its way");
        let waiting = &self.listener.waiting;
        let at = match connection.peer_addr() {
            Ok(from) => waiting.iter().position(|(_, address, _)| *address == from),
            // It is gone already, so nobody can say which it was.
            Err(_) => Some(0),
        };
        let at = at.expect("somebody connected, and was not accepted before");
        self.say(|| format!("  op {id} has the connection at {at}"));
        // What was given back is in front, but for accepts that may have had theirs already; of
        // several that were, the last is.
        let in_order = at == 0
            || at < self.listener.in_front
            || self.ops[id].order <= self.listener.undone_order;
        assert!(in_order, "connections come in order");
        let (peer, _, sent) = self.listener.waiting.remove(at).expect("somebody connected");
        self.adopt(id, connection, peer);
        if let Some(line) = self.streams.last_mut()
            && !sent.is_empty()
        {
            line.inflow.send(&sent, Duration::MAX);
        }
    }

    pub(super) fn connected(&mut self, id: usize) {
        let connection = CONNECTION.take().expect("on its way");
        let address = connection.local_addr();
        while let Ok(found) = self.peer_listener.accept() {
            self.strays.push(found);
            if self.strays.last().map(|stray| stray.1) == address.as_ref().ok().copied() {
                break;
            }
        }
        let at = match address {
            Ok(address) => self.strays.iter().position(|stray| stray.1 == address),
            Err(_) => None,
        };
        match at {
            Some(at) => {
                let (peer, _) = self.strays.remove(at);
                peer.set_nonblocking(true).unwrap();
                self.adopt(id, connection, peer);
            }
            None => panic!("nobody was connected to"),
        }
    }

    fn adopt(&mut self, id: usize, connection: Stream, peer: Peer) {
        self.say(|| format!("op {id} makes stream {}, {peer:?}", self.streams.len()));
        let line = self.new_line(Some(connection), Some(peer));
        self.streams.push(line);
        self.ops[id].stream = self.streams.len() - 1;
    }
}

/// Puts a connection where the callback finds it.
pub(super) fn keep_connection(stream: Stream) -> Value {
    CONNECTION.set(Some(stream));
    Value::Stream
}
