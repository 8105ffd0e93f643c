//! What the other end does: looks at what has arrived, does not read, resets; and bytes that show
//! when one of them is missing or comes twice.

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    os::{fd::AsFd, unix::net::UnixStream},
    time::Duration,
};

use facade_engine::sim;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv, sockopt},
};

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

    /// Ends a connection by a reset instead of an end of stream.
    fn reset(self);
}

impl Peer for UnixStream {
    fn arrived(&self) -> Vec<u8> {
        received_by(self)
    }

    fn reset(self) {}
}

impl Peer for TcpStream {
    fn arrived(&self) -> Vec<u8> {
        received_by(self)
    }

    fn reset(self) {
        sockopt::set_socket_linger(&self, Some(Duration::ZERO)).unwrap();
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

fn received_by(peer: impl AsFd) -> Vec<u8> {
    let (mut all, mut block) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match recv(&peer, &mut *block, RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::AGAIN) => return all,
            Ok((count, _)) => all.extend_from_slice(&block[..count]),
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
    let mut all = arrived(peer);
    all.drain(..stuffed);
    all
}

/// Ends a connection by a reset instead of an end of stream.
pub fn reset(peer: impl Peer) {
    peer.reset();
}
