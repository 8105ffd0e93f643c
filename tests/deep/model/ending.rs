//! The good end of a program: the surroundings heal, peers read and end, and then nothing may be
//! left: no operation, no byte, no connection, no descriptor (promises 1, 8, 9, 10). Or the engine
//! goes, and then every operation has been told and every descriptor is closed (promise 16).

use std::{
    io::{ErrorKind, Read},
    time::Duration,
};

use facade_engine::{
    Engine, Limits, Stream,
    sim::{Link, Machine},
};

use super::{
    expect::Spec,
    outcomes::resume_failure,
    turns::turn,
    world::{Kind, World, with},
};

/// After so many turns in which all is well, whatever is pending hangs.
const TURNS_MAX: usize = 3000;

pub(crate) fn settle(engine: Engine) {
    with(World::heal);
    go_on(&engine, World::peers_read);
    with(World::read_the_rest);
    go_on(&engine, World::peers_read);
    with(World::read_what_a_reset_left);
    go_on(&engine, World::peers_read);
    with(World::ends_are_there);
    with(World::close_all);
    go_on(&engine, World::peers_read);
    with(World::let_go);
    for _ in 0..TURNS_MAX {
        with(World::peers_read);
        let pending = turn(&engine, Duration::ZERO);
        with(|world| world.network.pass(Duration::from_secs(10)));
        if pending == 0 && with(|world| world.descriptors() == 0) {
            break;
        }
    }
    with(|world| {
        world.peers_read();
        assert_eq!(world.descriptors(), 0, "descriptors are left");
        world.close_books();
    });
    assert_eq!(turn(&engine, Duration::ZERO), 0, "something is pending");
}

/// The engine goes in the middle of everything.
pub(crate) fn drop_engine(engine: Engine) {
    with(|world| world.gone = true);
    drop(engine);
    resume_failure();
    with(|world| {
        world.held.clear();
        world.held_datagrams.clear();
        world.poll_futures();
        for (id, op) in world.ops.iter().enumerate() {
            assert!(op.told || !op.begun, "operation {id} heard nothing: {op:?}");
        }
        world.listener.handle = None;
        world.let_sockets_go();
        for line in &mut world.streams {
            line.handle = None;
        }
        assert_eq!(world.here.descriptors(), 0, "descriptors are left");
    });
}

/// Turns until every operation was told.
fn go_on(engine: &Engine, mut meanwhile: impl FnMut(&mut World)) {
    for _ in 0..TURNS_MAX {
        with(&mut meanwhile);
        turn(engine, Duration::ZERO);
        if with(|world| world.ops.iter().all(|op| op.told)) {
            return;
        }
        with(|world| world.network.pass(Duration::from_secs(10)));
    }
    with(|world| panic!("hangs: {:?}", world.ops.iter().find(|op| !op.told)));
}

impl World {
    /// From now on the surroundings are good, and the program begins no more.
    pub(crate) fn heal(&mut self) {
        self.winding_down = true;
        self.heal_datagrams();
        self.heal_repeats();
        self.shortage = false;
        self.here.set_machine(Machine::default());
        self.network.set_link(&self.here, &self.there, Link::default());
        while !self.held.is_empty() {
            self.end_hold();
        }
        for id in 0..self.ops.len() {
            if matches!(
                self.ops[id].kind,
                Kind::Sleep
                    | Kind::Accept
                    | Kind::Connect
                    | Kind::Lookup
                    | Kind::Work
                    | Kind::AcceptMatch(_)
                    | Kind::EachConnection
                    | Kind::Every(_)
            ) {
                self.cancel(id);
            }
        }
    }

    fn peers_read(&mut self) {
        for stream in 0..self.streams.len() {
            self.peer_reads(stream, 64 << 10);
            self.peer_shuts(stream);
        }
        self.datagram_peers_read();
    }

    fn open_streams(&self) -> Vec<usize> {
        let is_open = |&stream: &usize| {
            let line = &self.streams[stream];
            line.handle.is_some() && !line.closing
        };
        (0..self.streams.len()).filter(is_open).collect()
    }

    fn read_the_rest(&mut self) {
        for stream in self.open_streams() {
            self.set_limits(stream, Limits::default());
            self.submit(Kind::Read(Spec::All), stream, false);
        }
        self.receive_the_rest();
    }

    /// Reads fail behind a reset, but what came before it is there.
    fn read_what_a_reset_left(&mut self) {
        for stream in self.open_streams() {
            let left = self.streams[stream].inflow.left();
            let mut spec = Spec::Exact(left);
            if self.streams[stream].inflow.lossy {
                spec = Spec::Chunk(1 << 20);
            }
            if left > 0 && self.streams[stream].inflow.end_at.is_none() {
                self.submit(Kind::Read(spec), stream, false);
            }
        }
    }

    /// Where an end was told to have been written, it is there before the stream is closed.
    fn ends_are_there(&mut self) {
        self.network.pass(Duration::from_secs(10));
        self.peers_read();
        for line in self.streams.iter().filter(|line| line.handle.is_some() && !line.closing) {
            let waits = line.outflow.is_shut && line.peer.is_some() && !line.peer_ended;
            assert!(line.outflow.lossy || !waits, "the end was not handed on");
        }
    }

    fn close_all(&mut self) {
        for stream in self.open_streams() {
            let inflow = &self.streams[stream].inflow;
            assert!(inflow.lossy || inflow.left() == 0, "{} bytes are lost", inflow.left());
            self.submit(Kind::Close, stream, false);
            self.streams[stream].closing = true;
        }
        self.close_sockets(None);
    }

    fn let_go(&mut self) {
        self.listener.handle = None;
        self.let_sockets_go();
        for line in &mut self.streams {
            line.handle = None::<Stream>;
        }
    }

    /// All has ended.
    fn close_books(&mut self) {
        for line in &mut self.streams {
            line.inflow.close_books();
            assert!(line.peer.is_none() || line.peer_ended, "the peer has found no end");
            line.outflow.close_books();
        }
        // Connections that nobody accepted were closed with the listener.
        for (mut peer, _, _) in std::mem::take(&mut self.listener.waiting) {
            let found = peer.read(&mut [0; 1]);
            assert!(!matches!(found, Ok(1..)), "nobody has written");
            let blocks = found.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            assert!(!blocks, "a connection that nobody took is open");
        }
        self.strays_are_closed();
        self.close_books_of_datagrams();
    }

    fn strays_are_closed(&mut self) {
        while let Ok(found) = self.peer_listener.accept() {
            self.strays.push(found);
        }
        for (peer, _) in &mut self.strays {
            let found = peer.read(&mut [0; 1]);
            assert!(!found.is_err_and(|error| error.kind() == ErrorKind::Deadlock), "left open");
        }
    }
}
