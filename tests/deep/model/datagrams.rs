//! Datagrams: what is sent arrives once and whole, in order, unless the network has it otherwise;
//! and whatever was cancelled, timed out or given back is there for the next receive (promise 8).

use std::{collections::VecDeque, io::ErrorKind, time::Duration};

use facade_engine::{
    Bytes, Claim, Datagram, Error, UdpSocket,
    sim::{Link, PeerSocket},
};

use super::{
    datagram_ledger::Mail,
    expect::Value,
    outcomes::in_callback,
    world::{Kind, NONE, Op, Style, World},
};

/// A socket of the engine's, and the one at the other end.
pub(crate) struct Socket {
    pub(super) handle: Option<UdpSocket>,
    peer: Option<PeerSocket>,
    connected: bool,
    closing: bool,
    /// What the peer has sent, and what the engine has.
    incoming: Mail,
    outgoing: Mail,
    pub(super) receives: VecDeque<usize>,
    pub(super) sends: VecDeque<usize>,
    /// The turn in which something was given back last.
    undone_in: usize,
}

/// A claim on a datagram that is kept for a while.
pub(super) struct HeldDatagram {
    claim: Claim<Value>,
    socket: usize,
    number: usize,
}

/// Longer than a datagram is under way.
const LONG: Duration = Duration::from_secs(60);

impl Kind {
    pub(crate) const fn is_of_socket(&self) -> bool {
        matches!(
            self,
            Self::Receive { .. }
                | Self::EachDatagram { .. }
                | Self::Send { .. }
                | Self::CloseSocket { .. }
        )
    }
}

impl World {
    pub(super) fn draw_datagram_link(&mut self) -> Link {
        const BUFFERS: [usize; 3] = [100, 1000, 128 << 10];
        let ms = Duration::from_millis(self.rng.below(300));
        let latency = match self.below(3) {
            0 => Duration::ZERO..Duration::ZERO,
            1 => ms..ms,
            _ => Duration::ZERO..ms,
        };
        let mut sometimes = |probability| if self.rng.chance(0.3) { probability } else { 0.0 };
        let (loss, duplicate) = (sometimes(0.3), sometimes(0.3));
        Link {
            latency,
            loss,
            duplicate,
            buffer: self.rng.pick(&BUFFERS).copied().unwrap_or(100),
            datagram: if self.rng.chance(0.3) { 50 } else { 65_507 },
            ..Link::default()
        }
    }

    /// From now on this is between the engine's sockets of datagrams and their peers.
    pub(crate) fn set_datagram_link(&mut self, link: Link) {
        self.network.set_link(&self.here, &self.far, link.clone());
        self.datagram_link = link;
    }

    pub(super) fn add_any_socket(&mut self) {
        if !self.shortage && self.sockets.len() <= 2 {
            let connected = self.chance(0.4);
            self.add_socket(connected);
        }
    }

    pub(crate) fn add_socket(&mut self, connected: bool) {
        let peer = self.far.bind_udp(0).unwrap();
        peer.set_nonblocking(true).unwrap();
        let handle = match connected {
            true => self.engine.connect_udp(peer.local_addr().unwrap()),
            false => self.engine.bind_udp(self.here.at(0)),
        };
        self.sockets.push(Socket {
            handle: Some(handle.unwrap()),
            peer: Some(peer),
            connected,
            closing: false,
            incoming: Mail::new(),
            outgoing: Mail::new(),
            receives: VecDeque::new(),
            sends: VecDeque::new(),
            undone_in: 0,
        });
    }

    fn pick_socket(&mut self) -> Option<usize> {
        if self.sockets.is_empty() {
            return None;
        }
        let socket = self.below(self.sockets.len());
        self.sockets[socket].handle.is_some().then_some(socket)
    }

    /// Something that the program does with its sockets of datagrams.
    pub(super) fn act_on_datagrams(&mut self) {
        let Some(socket) = self.pick_socket() else { return self.add_any_socket() };
        match self.below(20) {
            0..9 => _ = self.submit(Kind::Receive { socket }, NONE, true),
            9 => _ = self.submit(Kind::EachDatagram { socket }, NONE, true),
            10..15 => {
                let bytes = self.draw_datagram(self.sockets[socket].outgoing.next());
                let send = self.send(socket, bytes);
                self.submit(send, NONE, true);
            }
            15 => self.end_held_datagram(),
            16 => self.cancel_before_it_comes(socket),
            17 => {
                let size = Mail::NUMBER + self.below(40);
                let socket = &mut self.sockets[socket];
                socket.handle.as_ref().expect("picked").set_receive_size(size).unwrap();
                socket.incoming.set_size(size);
            }
            18 => {
                let shared = self.chance(0.5);
                self.sockets[socket].handle.as_ref().expect("picked").set_exclusive(shared);
            }
            _ => self.end_socket(socket),
        }
    }

    pub(crate) fn send(&self, socket: usize, bytes: Bytes) -> Kind {
        let to = match &self.sockets[socket] {
            Socket { connected: true, .. } => None,
            Socket { peer: Some(peer), .. } => Some(peer.local_addr().unwrap()),
            // To nobody.
            Socket { peer: None, .. } => Some(self.far.at(9)),
        };
        Kind::Send { socket, bytes, to, number: 0 }
    }

    /// The last receive is cancelled, and a moment later there is something for it.
    fn cancel_before_it_comes(&mut self, socket: usize) {
        if let Some(&id) = self.sockets[socket].receives.back() {
            self.cancel(id);
            let bytes = self.draw_datagram(self.sockets[socket].incoming.next());
            self.datagram_peer_sends(socket, bytes);
        }
    }

    /// One that can be told from others by its number, or an empty one.
    fn draw_datagram(&mut self, number: usize) -> Bytes {
        let most = match self.below(8) {
            0 => return Bytes::new(),
            1 => 400,
            _ => 40,
        };
        let len = self.below(most);
        [format!("{number:04}").as_bytes(), &self.draw_bytes(len)].concat().into()
    }

    fn end_socket(&mut self, socket: usize) {
        match self.below(4) {
            0 => _ = self.submit(Kind::CloseSocket { socket }, NONE, true),
            // What is pending goes on.
            1 => {
                let line = &mut self.sockets[socket];
                line.handle = None;
                line.incoming.forget();
            }
            2 => self.sockets[socket].peer = None,
            _ => {}
        }
    }

    pub(super) fn close_sockets(&mut self, timeout: Option<Duration>) {
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].handle.is_some() && !self.sockets[socket].closing {
                self.submit_as(Style::Callback, Kind::CloseSocket { socket }, NONE, timeout);
            }
        }
    }

    // Peers

    pub(super) fn datagram_peer_acts(&mut self) {
        let Some(socket) = self.pick_socket() else { return };
        match self.below(4) {
            0 => self.datagram_peer_reads(socket),
            _ => {
                let bytes = self.draw_datagram(self.sockets[socket].incoming.next());
                self.datagram_peer_sends(socket, bytes);
            }
        }
    }

    pub(crate) fn datagram_peer_sends(&mut self, socket: usize, bytes: Bytes) {
        // In a turn the engine has looked at the network by now.
        let now = self.now() + Duration::from_nanos(self.in_turn.into());
        let link = &self.datagram_link;
        let Socket { handle, peer, incoming, closing, .. } = &mut self.sockets[socket];
        let (Some(handle), Some(peer)) = (handle, peer) else { return };
        let Ok(to) = handle.local_addr() else { return };
        if bytes.len() <= link.datagram {
            peer.send_to(&bytes, to).unwrap();
            incoming.send(bytes, now, link, !*closing);
        }
    }

    pub(crate) fn datagram_peers_read(&mut self) {
        (0..self.sockets.len()).for_each(|socket| self.datagram_peer_reads(socket));
    }

    fn datagram_peer_reads(&mut self, socket: usize) {
        let Socket { peer, outgoing, .. } = &mut self.sockets[socket];
        let Some(peer) = peer else { return };
        let mut buffer = vec![0; 64 << 10];
        loop {
            match peer.recv_from(&mut buffer) {
                Ok((count, _)) => {
                    let bytes = Bytes::copy_from_slice(&buffer[..count]);
                    // The peer takes them in the order in which they come.
                    outgoing.comes(&bytes, false, usize::MAX);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a peer hears {error}"),
            }
        }
    }

    // Operations

    /// A send goes to its place.
    pub(super) fn begin_send(&mut self, id: usize) {
        let now = self.now();
        let Op { kind: Kind::Send { socket, bytes, number, .. }, limit, .. } = &mut self.ops[id]
        else {
            unreachable!("a send")
        };
        let line = &mut self.sockets[*socket];
        line.sends.push_back(id);
        *limit = line.outgoing.untold();
        *number = line.outgoing.send(bytes.clone(), now, &self.datagram_link, line.peer.is_some());
    }

    pub(super) fn begin_close_of_socket(&mut self, socket: usize) {
        self.sockets[socket].closing = true;
        self.sockets[socket].incoming.forget();
    }

    /// The socket that an operation is of, if it is of one.
    pub(super) fn socket_of(&self, kind: &Kind) -> Option<UdpSocket> {
        match *kind {
            Kind::Receive { socket }
            | Kind::EachDatagram { socket }
            | Kind::Send { socket, .. }
            | Kind::CloseSocket { socket } => self.sockets[socket].handle.clone(),
            _ => None,
        }
    }

    /// One that is given to a handler, which takes it only then.
    pub(super) fn is_given_datagram(&mut self, id: usize, socket: usize, value: &Value) {
        let Socket { receives, closing, .. } = &self.sockets[socket];
        assert!(!closing, "given after the close");
        assert_eq!(receives.front(), Some(&id), "it has overtaken another receive");
        self.receives(usize::MAX, socket, value);
    }

    /// Whether a handler may have to wait for others, or for room for answers.
    pub(super) fn may_receive_rest(&self, id: usize, socket: usize) -> bool {
        let Socket { receives, sends, .. } = &self.sockets[socket];
        receives.front() != Some(&id) || !sends.is_empty()
    }

    /// A datagram was received, by an operation of this place in the order: returns its number.
    pub(super) fn receives(&mut self, order: usize, socket: usize, value: &Value) -> usize {
        let Value::Datagram { bytes, from, truncated } = value else {
            panic!("a receive yields {value:?}")
        };
        let socket = &mut self.sockets[socket];
        if let Some(peer) = &socket.peer {
            assert_eq!(*from, peer.local_addr().unwrap(), "who sent it");
        }
        socket.incoming.comes(bytes, *truncated, order)
    }

    pub(super) fn sent(&mut self, socket: usize, number: usize, bytes: &Bytes, count: usize) {
        assert_eq!(count, bytes.len(), "a datagram is sent whole");
        assert!(count <= self.datagram_link.datagram, "too long");
        self.sockets[socket].outgoing.is_told(number, true);
    }

    pub(super) fn receive_fails(
        &mut self,
        id: usize,
        socket: usize,
        error: &Error,
        due: bool,
        was_first: bool,
    ) {
        let (now, turn, begun) =
            (self.looked_at.unwrap_or_else(|| self.now()), self.turns, self.begun);
        let op = &self.ops[id];
        let socket = &mut self.sockets[socket];
        match error {
            Error::Cancelled => {
                assert!(op.cancelled, "nobody cancelled it");
                if op.claims {
                    socket.undone_in = turn;
                    socket.incoming.was_undone(begun);
                }
            }
            Error::TimedOut => {
                assert!(due, "too early");
                if was_first && op.turns_late == 0 && socket.undone_in < turn {
                    let there = socket.incoming.is_there(now);
                    assert!(there.is_none(), "a timeout of what is there: {there:?}");
                }
            }
            Error::Closed => assert!(socket.closing, "nobody closed it"),
            Error::Io { .. } => assert!(socket.connected && socket.peer.is_none(), "{error:?}"),
            _ => panic!("a receive hears {error:?}"),
        }
    }

    pub(super) fn send_fails(&mut self, id: usize, error: &Error, due: bool) {
        let Op { kind: Kind::Send { socket, bytes, number, .. }, cancelled, limit, .. } =
            &self.ops[id]
        else {
            unreachable!("a send")
        };
        let line = &mut self.sockets[*socket];
        line.outgoing.is_told(*number, false);
        match error {
            Error::Cancelled => assert!(cancelled, "nobody cancelled it"),
            Error::TimedOut => assert!(due, "too early"),
            Error::Closed => assert!(line.closing, "nobody closed it"),
            Error::DatagramTooLong { len, .. } => {
                assert_eq!(*len, bytes.len(), "how long it is");
                assert!(*len > self.datagram_link.datagram, "{len} bytes are not too long");
            }
            Error::Overloaded => {
                let least = self.limits.queued;
                assert!(*limit > least, "{limit} bytes are no more than {least}");
            }
            Error::Io { .. } => {
                let is_refused = line.connected && line.peer.is_none();
                assert!(is_refused || self.machine.no_buffers > 0.0, "{error:?}");
            }
            _ => panic!("a send hears {error:?}"),
        }
    }

    pub(super) fn close_of_socket_fails(
        &mut self,
        id: usize,
        socket: usize,
        error: &Error,
        due: bool,
    ) {
        match error {
            Error::TimedOut => assert!(due, "too early"),
            Error::Cancelled => assert!(self.ops[id].cancelled, "nobody cancelled it"),
            Error::Closed => assert!(self.sockets[socket].closing),
            _ => panic!("a close hears {error:?}"),
        }
    }

    /// A close is told after everything that was submitted before it.
    pub(super) fn socket_closed(&self, id: usize, socket: usize) {
        let Socket { receives, sends, .. } = &self.sockets[socket];
        let is_future = |id| self.futures.iter().any(|(future, _)| *future == id);
        let is_earlier =
            |&&other: &&usize| self.ops[other].order < self.ops[id].order && !is_future(other);
        let earlier = receives.iter().chain(sends).find(is_earlier);
        assert_eq!(earlier, None, "a close comes last");
    }

    /// A future that has not yielded its datagram was dropped.
    pub(super) fn receive_dropped(&mut self, socket: usize) {
        self.sockets[socket].undone_in = self.turns;
        self.sockets[socket].incoming.was_undone(self.begun);
    }

    /// A future was dropped before it said whether its datagram was sent.
    pub(super) fn send_dropped(&mut self, socket: usize, number: usize) {
        self.sockets[socket].outgoing.is_unheard(number);
    }

    // Claims

    /// Takes a claim on a datagram that was kept, or drops it.
    pub(super) fn end_held_datagram(&mut self) {
        if self.held_datagrams.is_empty() {
            return;
        }
        let at = self.below(self.held_datagrams.len());
        let HeldDatagram { claim, socket, number } = self.held_datagrams.swap_remove(at);
        match self.chance(0.5) {
            true => _ = claim.take(),
            false => {
                drop(claim);
                self.give_back_datagram(socket, number);
            }
        }
    }

    fn give_back_datagram(&mut self, socket: usize, number: usize) {
        self.say(|| format!("  datagram {number} of socket {socket} is given back"));
        self.sockets[socket].undone_in = self.turns;
        self.sockets[socket].incoming.give_back(number, self.begun);
    }

    // The end

    pub(super) fn heal_datagrams(&mut self) {
        // Some wait to be sent: the latency stays, so that they do not overtake others.
        let link = Link { loss: 0.0, duplicate: 0.0, ..self.datagram_link.clone() };
        self.set_datagram_link(link);
        while !self.held_datagrams.is_empty() {
            self.end_held_datagram();
        }
        for id in 0..self.ops.len() {
            if matches!(self.ops[id].kind, Kind::Receive { .. } | Kind::EachDatagram { .. }) {
                self.cancel(id);
            }
        }
    }

    /// Receives all that may come, and waits longer for it than it is under way.
    pub(super) fn receive_the_rest(&mut self) {
        for socket in 0..self.sockets.len() {
            let Socket { handle: Some(_), closing: false, incoming, .. } = &self.sockets[socket]
            else {
                continue;
            };
            for _ in 0..incoming.left() {
                self.submit_as(Style::Callback, Kind::Receive { socket }, NONE, Some(LONG));
            }
        }
    }

    pub(super) fn let_sockets_go(&mut self) {
        self.sockets.iter_mut().for_each(|socket| socket.handle = None);
    }

    pub(super) fn close_books_of_datagrams(&self) {
        for Socket { peer, incoming, outgoing, .. } in &self.sockets {
            incoming.close_books();
            if peer.is_some() {
                outgoing.close_books();
            }
        }
    }
}

/// A callback that gets a claim on a datagram: takes it, drops it, or keeps it for later.
pub(super) fn hear_datagram_claim(id: usize, claim: Claim<Value>, value: Value) {
    in_callback(|world| {
        let Kind::Receive { socket } = world.ops[id].kind else { unreachable!("a receive") };
        let drawn = if world.winding_down { 2 } else { world.below(3) };
        world.hears(id, Ok(value));
        let number = world.received.take().expect("just received");
        world.say(|| format!("  and does {drawn} with its claim on datagram {number}"));
        match drawn {
            0 => {
                drop(claim);
                world.give_back_datagram(socket, number);
            }
            1 => world.held_datagrams.push(HeldDatagram { claim, socket, number }),
            _ => _ = claim.take(),
        }
        world.reacts() || world.steps()
    });
}

pub(super) fn datagram(received: Datagram) -> Value {
    let Datagram { bytes, from, truncated, .. } = received;
    let from = from.as_inet().expect("a socket of UDP");
    Value::Datagram { bytes, from, truncated }
}
