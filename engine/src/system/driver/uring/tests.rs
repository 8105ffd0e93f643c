//! The driver by itself, with queues and buffers so few that backlog, overflow and starvation are
//! what happens all the time and not once a year.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Read, Seek, SeekFrom, Write, stderr},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    thread,
};

use super::*;
use crate::{
    pure::{
        buffer::outgoing::{Outgoing, Spare},
        table::Table,
    },
    system::driver::uring::buffers::LEN,
};

/// As small as a ring can be: two entries to submit, four reports kept.
const TINY: Size = Size { submissions: 2, completions: 4 };
/// More streams than the ring has room for by far.
const STREAMS: usize = 32;
/// More turns than any of these tests needs.
const HOPELESS: usize = 100_000;
/// Longer than anything takes that comes at all.
const AGES: Duration = Duration::from_secs(10);

/// A driver, and everything that it has brought.
struct Rig {
    driver: Uring,
    ids: Table<()>,
    brought: Vec<Completion>,
}

impl Rig {
    fn new(size: Size, buffers: u16) -> Self {
        let driver = Uring::with(size, Buffers::with_count(buffers, 2).unwrap()).unwrap();
        Self { driver, ids: Table::new(), brought: Vec::new() }
    }

    fn attach(&mut self, fd: impl Into<OwnedFd>, fd_kind: FdKind) -> Id {
        let id = self.ids.insert(());
        self.driver.attach(id, Descriptor::new(fd.into()), fd_kind);
        id
    }

    /// A Unix socket pair: the peer's end, and the driver's.
    fn pair(&mut self) -> (UnixStream, Id) {
        let (peer, ours) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        ours.set_nonblocking(true).unwrap();
        (peer, self.attach(ours, FdKind::Socket { tcp: false }))
    }

    fn receive(&mut self, id: Id) {
        self.driver.submit(id, Operation::Receive { once: false });
    }

    fn send(&mut self, id: Id, bytes: &[u8]) {
        let (mut outgoing, mut spare) = (Outgoing::default(), Spare::default());
        outgoing.append(bytes.to_vec().into(), &mut spare);
        let gather = outgoing.take(usize::MAX, &mut spare);
        self.driver.submit(id, Operation::Send(gather));
    }

    /// A turn that does not wait.
    fn turn(&mut self) -> Vec<Completion> {
        self.driver.wait(Some(Duration::ZERO), &mut self.brought).unwrap();
        std::mem::take(&mut self.brought)
    }

    /// Turns until this many completions have come that `wanted` is true of; all that came.
    fn turns_until(&mut self, count: usize, wanted: impl Fn(&Event) -> bool) -> Vec<Completion> {
        let mut all = Vec::new();
        for _ in 0..HOPELESS {
            all.extend(self.turn());
            if all.iter().filter(|completion| wanted(&completion.event)).count() >= count {
                return all;
            }
        }
        panic!("waited in vain: {} came", all.len());
    }

    /// Waits for the end of a stream; all that came before it.
    fn everything(&mut self, id: Id) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            self.driver.wait(Some(AGES), &mut self.brought).unwrap();
            assert!(!self.brought.is_empty() || self.driver.has_work(), "waited in vain");
            for Completion { resource, event } in self.brought.drain(..) {
                assert_eq!(resource, id);
                match event {
                    Event::Received(bytes) => all.extend_from_slice(&bytes),
                    Event::ReceiveEnded(Ended::EndOfStream) => return all,
                    event => panic!("{event:?}"),
                }
            }
        }
    }
}

/// Bytes that count, from where `sent` stands.
fn numbered(sent: usize, len: usize) -> Vec<u8> {
    (sent..sent + len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

const fn is_end(event: &Event) -> bool {
    matches!(event, Event::ReceiveEnded(_))
}

#[test]
fn backlog_overflow_and_starvation_lose_no_byte() {
    const EACH: usize = 40_000;
    let mut rig = Rig::new(TINY, 2);
    let pairs: Vec<_> = (0..STREAMS).map(|_| rig.pair()).collect();
    let mut sent = [0; STREAMS];
    let mut received = vec![Vec::new(); STREAMS];
    // Half of what is received is kept, so that buffers stay lent.
    let mut kept = Vec::new();
    pairs.iter().for_each(|&(_, id)| rig.receive(id));
    for turn in 0..HOPELESS {
        for ((peer, _), sent) in pairs.iter().zip(&mut sent) {
            let piece = numbered(*sent, (EACH - *sent).min(5_000));
            match (&*peer).write(&piece) {
                Ok(count) => *sent += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        // Each is stopped now and then, and started again as soon as that is told.
        rig.driver.cancel(pairs[turn % STREAMS].1, Role::Receive);
        for Completion { resource, event } in rig.turn() {
            let at = pairs.iter().position(|&(_, id)| id == resource).unwrap();
            match event {
                Event::Received(bytes) => {
                    received[at].extend_from_slice(&bytes);
                    kept.push(bytes);
                }
                Event::ReceiveEnded(Ended::Stopped) => rig.receive(resource),
                event => panic!("{event:?}"),
            }
        }
        if kept.len() > 64 {
            kept.clear();
        }
        if received.iter().all(|received| received.len() == EACH) {
            break;
        }
    }
    let expected = numbered(0, EACH);
    assert!(received.iter().all(|received| *received == expected));
}

#[test]
fn sends_and_receptions_share_a_ring_that_holds_two() {
    const EACH: usize = 3_000;
    let mut rig = Rig::new(TINY, 4);
    let pairs: Vec<_> = (0..STREAMS).map(|_| rig.pair()).collect();
    for (number, &(_, id)) in pairs.iter().enumerate() {
        rig.receive(id);
        rig.send(id, &numbered(number, EACH));
    }
    let all = rig.turns_until(STREAMS, |event| matches!(event, Event::Sent { .. }));
    for (number, (peer, id)) in pairs.iter().enumerate() {
        let is_sent = |completion: &Completion| {
            completion.resource == *id
                && matches!(&completion.event, Event::Sent { result: Ok(EACH), .. })
        };
        assert_eq!(all.iter().filter(|completion| is_sent(completion)).count(), 1);
        let mut arrived = vec![0; EACH];
        (&*peer).read_exact(&mut arrived).unwrap();
        assert_eq!(arrived, numbered(number, EACH));
    }
}

#[test]
fn a_cancel_that_finds_no_room_stays_behind_its_target_and_reaches_it() {
    let mut rig = Rig::new(TINY, 2);
    let pairs: Vec<_> = (0..STREAMS).map(|_| rig.pair()).collect();
    for &(_, id) in &pairs {
        rig.receive(id);
        rig.driver.cancel(id, Role::Receive);
        // Asking twice is asking once.
        rig.driver.cancel(id, Role::Receive);
    }
    let all = rig.turns_until(STREAMS, is_end);
    assert_eq!(all.len(), STREAMS, "each ends once: {all:?}");
    let stopped = |event: &Event| matches!(event, Event::ReceiveEnded(Ended::Stopped));
    assert!(all.iter().all(|completion| stopped(&completion.event)));
    // What is written now stays in the system for the next reception.
    for ((peer, id), number) in pairs.iter().zip(0..) {
        (&*peer).write_all(&[number]).unwrap();
        assert!(rig.turn().is_empty());
        rig.receive(*id);
        let all = rig.turns_until(1, |event| matches!(event, Event::Received(_)));
        let [Completion { event: Event::Received(bytes), .. }] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!(**bytes, [number]);
    }
}

#[test]
fn what_users_keep_starves_nobody() {
    let mut rig = Rig::new(TINY, 4);
    let (mut kept, mut peers) = (Vec::new(), Vec::new());
    // Each of these pins a buffer, as far as that is allowed.
    for round in 0..20 {
        let (mut peer, id) = rig.pair();
        peer.write_all(&numbered(round, LEN)).unwrap();
        peers.push(peer);
        rig.receive(id);
        let all = rig.turns_until(1, |event| matches!(event, Event::Received(_)));
        for Completion { event, .. } in all {
            let Event::Received(bytes) = event else { panic!("{event:?}") };
            assert_eq!(*bytes, numbered(round, LEN));
            kept.push(bytes);
        }
    }
    for (round, bytes) in kept.iter().enumerate() {
        assert_eq!(*bytes, numbered(round, LEN), "what is lent is written to by nobody");
    }
}

#[test]
fn an_end_comes_behind_the_bytes_before_it_and_once() {
    let mut rig = Rig::new(TINY, 2);
    let pairs: Vec<_> = (0..STREAMS).map(|_| rig.pair()).collect();
    let ids: Vec<_> = pairs.iter().map(|&(_, id)| id).collect();
    for (mut peer, id) in pairs {
        rig.receive(id);
        peer.write_all(&numbered(0, 9_000)).unwrap();
    }
    let all = rig.turns_until(STREAMS, is_end);
    for id in ids {
        let mut received = Vec::new();
        let mut ends = 0;
        for Completion { event, .. } in all.iter().filter(|completion| completion.resource == id) {
            match event {
                Event::Received(bytes) if ends == 0 => received.extend_from_slice(bytes),
                Event::ReceiveEnded(Ended::EndOfStream) => ends += 1,
                event => panic!("{event:?}"),
            }
        }
        assert_eq!((received, ends), (numbered(0, 9_000), 1));
    }
}

#[test]
fn closing_waits_for_the_kernel_and_comes_once() {
    let mut rig = Rig::new(TINY, 2);
    let pairs: Vec<_> = (0..STREAMS).map(|_| rig.pair()).collect();
    for &(_, id) in &pairs {
        rig.receive(id);
    }
    for &(_, id) in &pairs {
        rig.driver.submit(id, Operation::Close(Release::Close));
    }
    let all = rig.turns_until(STREAMS, |event| matches!(event, Event::Closed));
    for (mut peer, id) in pairs {
        let mine = all.iter().filter(|completion| completion.resource == id);
        let mine: Vec<_> = mine.map(|completion| &completion.event).collect();
        let [Event::ReceiveEnded(Ended::Stopped), Event::Closed] = mine[..] else {
            panic!("{mine:?}")
        };
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the peer sees the end");
    }
    assert_eq!(rig.driver.in_flight.len(), 1, "nothing is left but the wait for other threads");
}

#[test]
fn an_accepting_that_is_stopped_brings_what_was_accepted_meanwhile() {
    let mut rig = Rig::new(TINY, 2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let id = rig.attach(listener, FdKind::Listener);
    let mut accepted = 0;
    let mut peers = Vec::new();
    for _ in 0..200 {
        rig.driver.submit(id, Operation::Accept { most: 8 });
        rig.driver.flush();
        peers.push(TcpStream::connect(address).unwrap());
        rig.driver.cancel(id, Role::Accept);
        let all = rig.turns_until(1, |event| matches!(event, Event::AcceptEnded(_)));
        for Completion { event, .. } in all {
            match event {
                Event::Accepted(_) => accepted += 1,
                Event::AcceptEnded(None) => {}
                event => panic!("{event:?}"),
            }
        }
    }
    // Those whose accepting was over before they came wait in the backlog.
    rig.driver.submit(id, Operation::Accept { most: 1000 });
    for Completion { event, .. } in
        rig.turns_until(200 - accepted, |event| matches!(event, Event::Accepted(_)))
    {
        accepted += usize::from(matches!(event, Event::Accepted(_)));
    }
    assert_eq!(accepted, 200);
}

/// Another engine may want those that wait behind it.
#[test]
fn an_accepting_of_one_connection_takes_one() {
    let mut rig = Rig::new(TINY, 2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let others = listener.try_clone().unwrap();
    let id = rig.attach(listener, FdKind::Listener);
    let peers: Vec<_> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
    rig.driver.submit(id, Operation::Accept { most: 1 });
    let all = rig.turns_until(1, |event| matches!(event, Event::AcceptEnded(None)));
    let accepted = all.iter().filter(|one| matches!(one.event, Event::Accepted(_))).count();
    assert_eq!((accepted, all.len()), (1, 2));
    assert!(rig.turn().is_empty());
    for _ in 1..peers.len() {
        others.accept().unwrap();
    }
    others.accept().unwrap_err();
}

/// A device may have nothing to read for ever.
#[test]
fn the_read_of_a_device_is_stopped() {
    let Ok(mut device) = OpenOptions::new().read(true).open("/dev/kmsg") else {
        // Not by a macro, whose output the harness keeps to itself.
        return stderr().write_all(b"SKIPPED: only the superuser reads /dev/kmsg\n").unwrap();
    };
    device.seek(SeekFrom::End(0)).unwrap();
    let mut rig = Rig::new(TINY, 2);
    let id = rig.attach(device, FdKind::Device { shared: true });
    rig.receive(id);
    rig.turn();
    rig.driver.cancel(id, Role::Receive);
    rig.turns_until(1, is_end);
    assert!(!rig.driver.is_at_work());
}

/// With everything pending at once: the kernel lets go, and nothing is left to leak.
#[test]
fn dropping_the_driver_ends_everything_in_flight() {
    for _ in 0..50 {
        let mut rig = Rig::new(TINY, 2);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = rig.attach(listener, FdKind::Listener);
        rig.driver.submit(listener, Operation::Accept { most: 64 });
        let pairs: Vec<_> = (0..STREAMS).map(|_| rig.pair()).collect();
        for (mut peer, id) in pairs.iter().map(|(peer, id)| (peer, *id)) {
            rig.receive(id);
            rig.send(id, &[7; 1 << 20]);
            peer.write_all(&[1; 100]).unwrap();
        }
        let peers: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
        rig.driver.flush();
        pairs.iter().for_each(|(peer, _)| assert_ne!((&*peer).read(&mut [0; 100]).unwrap(), 0));
        // As its drop does, but nothing is left in the end.
        rig.driver.in_flight.cancel_all(&mut rig.driver.ring);
        // It is not patient for long, and others use the machine, too.
        let drained = (0..100).any(|_| {
            rig.driver.drain().unwrap();
            rig.driver.in_flight.len() == 0
        });
        assert!(drained);
        drop(rig);
        for mut peer in peers {
            // Accepted and closed, or never accepted: reset or ended, but nobody waits.
            assert!(matches!(peer.read(&mut [0]), Ok(0) | Err(_)));
        }
    }
}

/// Data and its end that come together are several wake-ups, which the kernel may take for one.
#[test]
fn an_end_that_comes_with_data_is_seen() {
    for buffers in [0, 1, 32, 33, 34, 50, 64, 100] {
        for armed_first in [true, false] {
            let mut rig = Rig::new(Size::default(), 512);
            let (mut peer, id) = rig.pair();
            rustix::net::sockopt::set_socket_send_buffer_size(&peer, 8 << 20).unwrap();
            if armed_first {
                rig.receive(id);
                assert!(rig.turn().is_empty(), "the reception waits");
            }
            let data = numbered(0, buffers * LEN);
            peer.write_all(&data).unwrap();
            drop(peer);
            if !armed_first {
                rig.receive(id);
            }
            assert_eq!(rig.everything(id), data);
        }
    }
}

/// The same with a writer that is not done when the engine begins to look.
#[test]
fn an_end_that_comes_while_data_is_received_is_seen() {
    let data = numbered(0, 50 * LEN);
    for _ in 0..500 {
        let mut rig = Rig::new(Size::default(), 512);
        let (mut peer, id) = rig.pair();
        peer.set_nonblocking(false).unwrap();
        let all = data.clone();
        let writer = thread::spawn(move || peer.write_all(&all).unwrap());
        rig.receive(id);
        assert_eq!(rig.everything(id), data);
        writer.join().unwrap();
    }
}

/// The same over TCP, where the peer may also reset the connection.
#[test]
fn an_end_or_reset_that_comes_with_data_is_seen_over_tcp() {
    for reset in [false, true] {
        let mut rig = Rig::new(Size::default(), 512);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        let id = rig.attach(ours, FdKind::Socket { tcp: true });
        rig.receive(id);
        assert!(rig.turn().is_empty(), "the reception waits");
        peer.write_all(b"data").unwrap();
        if reset {
            rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
        }
        drop(peer);
        let all = rig.turns_until(1, is_end);
        match all.last().map(|completion| &completion.event) {
            Some(Event::ReceiveEnded(Ended::EndOfStream)) if !reset => {}
            Some(Event::ReceiveEnded(Ended::Failed(_))) if reset => {}
            _ => panic!("{all:?}"),
        }
    }
}
