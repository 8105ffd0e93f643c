//! What the other end does: looks at what has arrived, does not read, resets; and bytes that show
//! when one of them is missing or comes twice.

#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::{
    io::{self, ErrorKind, Read},
    net::TcpStream,
    thread,
    time::Duration,
};

use facade_engine::sim;
use socket2::SockRef;

use crate::sockets::receive_at_once;

/// `len` bytes that count: cut, repeated or swapped ones are not equal to them.
pub fn numbered(len: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(len + 3);
    for number in 0u32.. {
        if all.len() >= len {
            break;
        }
        all.extend_from_slice(&number.to_be_bytes());
    }
    all.truncate(len);
    all
}

/// The other end of a connection, on whichever driver.
pub trait Peer {
    /// Everything that has arrived, without waiting.
    fn arrived(&self) -> Vec<u8>;

    /// Waits until so many bytes have arrived that are on their way, and takes everything.
    fn arrived_at_least(&self, len: usize) -> Vec<u8> {
        let mut all = self.arrived();
        while all.len() < len {
            thread::yield_now();
            all.extend(self.arrived());
        }
        all
    }

    /// Ends a connection by a reset instead of an end of stream.
    fn reset(self);
}

#[cfg(unix)]
impl Peer for UnixStream {
    fn arrived(&self) -> Vec<u8> {
        received_by(|block| receive_at_once(self, block))
    }

    fn reset(self) {}
}

impl Peer for TcpStream {
    fn arrived(&self) -> Vec<u8> {
        received_by(|block| receive_at_once(self, block))
    }

    fn reset(self) {
        SockRef::from(&self).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl Peer for sim::Peer {
    fn arrived(&self) -> Vec<u8> {
        let (mut peer, mut all) = (self, Vec::new());
        self.set_nonblocking(true).unwrap();
        let end = peer.read_to_end(&mut all);
        self.set_nonblocking(false).unwrap();
        if let Err(error) = end {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
        }
        all
    }

    fn reset(self) {
        Self::reset(self);
    }
}

fn received_by(mut receive: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Vec<u8> {
    let (mut all, mut block) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match receive(&mut block) {
            Ok(0) => return all,
            Ok(count) => all.extend_from_slice(&block[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return all,
            Err(error) => panic!("recv: {error}"),
        }
    }
}

/// Everything that has arrived at a peer, without waiting.
pub fn arrived(peer: &impl Peer) -> Vec<u8> {
    peer.arrived()
}

/// Takes what stuffs a full pair, and whatever came behind it, which is returned.
pub fn unstuff(peer: &impl Peer, stuffed: usize) -> Vec<u8> {
    let mut all = peer.arrived_at_least(stuffed);
    all.drain(..stuffed);
    all
}

/// Ends a connection by a reset instead of an end of stream.
pub fn reset(peer: impl Peer) {
    peer.reset();
}
