//! Pairs of Unix sockets.

use std::os::unix::net::UnixStream;

use facade_engine::{Handle, Listener, Stream};
use socket2::SockRef;

use super::{pair, stuff};

/// The other end of a pair.
pub type Peer = UnixStream;

/// Whether a pair is a connection of TCP, of which the system may lose bytes when it is reset.
pub const PAIRS_ARE_TCP: bool = false;

/// Two ends, both blocking.
pub fn socket_pair() -> (Peer, Peer) {
    UnixStream::pair().unwrap()
}

/// A pair that takes much at once, in both directions.
pub fn wide_pair(engine: &Handle) -> (Peer, Stream) {
    let (peer, stream) = pair(engine);
    SockRef::from(&stream).set_send_buffer_size(4 << 20).unwrap();
    stream.set_exclusive(true);
    SockRef::from(&peer).set_send_buffer_size(4 << 20).unwrap();
    (peer, stream)
}

/// A pair whose way to the peer is full, and how many bytes fill it: the system takes nothing until
/// the peer has read them.
pub fn full_pair(engine: &Handle) -> (Peer, Stream, usize) {
    let (peer, ours) = socket_pair();
    let stuffed = stuff(&SockRef::from(&ours));
    (peer, engine.attach_exclusive(ours).unwrap(), stuffed)
}

/// Listens where any number of connections can be made, one after the other: the listener, and how
/// to connect.
pub fn listen_for_many(engine: &Handle) -> (Listener, impl Fn() -> Peer + Send + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = engine.listen_unix(&path).unwrap();
    let connect = move || {
        let _lives = &folder;
        UnixStream::connect(&path).unwrap()
    };
    (listener, connect)
}
