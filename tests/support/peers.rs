//! What the other end does: looks at what has arrived, does not read, resets; and bytes that show
//! when one of them is missing or comes twice.

use std::{
    net::TcpStream,
    os::{fd::AsFd, unix::net::UnixStream},
    time::Duration,
};

use facade_engine::{Handle, Stream};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send, sockopt},
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

/// Everything that has arrived at a socket, without waiting.
pub fn arrived(peer: impl AsFd) -> Vec<u8> {
    let (mut all, mut block) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match recv(&peer, &mut *block, RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::AGAIN) => return all,
            Ok((count, _)) => all.extend_from_slice(&block[..count]),
            Err(error) => panic!("recv: {error}"),
        }
    }
}

/// A Unix socket pair whose way to the peer is full, and how many bytes fill it: the system takes
/// nothing until the peer has read them.
pub fn full_pair(engine: &Handle) -> (UnixStream, Stream, usize) {
    let (peer, ours) = UnixStream::pair().unwrap();
    let (mut stuffed, block) = (0, [0; 4096]);
    // To the last byte: a large block may not fit where a small one does.
    for len in [block.len(), 1] {
        while let Ok(count) = send(&ours, &block[..len], SendFlags::DONTWAIT) {
            stuffed += count;
        }
    }
    (peer, engine.attach(ours).unwrap(), stuffed)
}

/// Takes what stuffs a [`full_pair`], and whatever came behind it, which is returned.
pub fn unstuff(peer: &UnixStream, stuffed: usize) -> Vec<u8> {
    let mut all = arrived(peer);
    all.drain(..stuffed);
    all
}

/// Ends a connection by a reset instead of an end of stream.
pub fn reset(peer: TcpStream) {
    sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
}
