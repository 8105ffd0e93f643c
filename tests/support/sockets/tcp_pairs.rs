//! Pairs of TCP, for systems that have no others.

use std::net::TcpStream;

use facade_engine::{Handle, Listener, Stream};
use socket2::{Domain, SockAddr, Socket, Type};

use super::stuff_tcp;

/// The other end of a pair.
pub type Peer = TcpStream;

/// Whether a pair is a connection of TCP, of which the system may lose bytes when it is reset.
pub const PAIRS_ARE_TCP: bool = true;

/// How much each end of a pair takes in each direction: as much as a Unix socket does. Said before
/// there is a connection, because the system lets a buffer grow of whose size nothing was said.
const BUFFER: usize = 208 << 10;
/// And one that takes much.
const WIDE: usize = 2 << 20;

/// Two ends, both blocking, which wait for nothing before they send.
pub fn socket_pair() -> (Peer, Peer) {
    pair_of(BUFFER)
}

fn pair_of(buffer: usize) -> (Peer, Peer) {
    let socket = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_send_buffer_size(buffer).unwrap();
        socket.set_recv_buffer_size(buffer).unwrap();
        socket
    };
    let (listener, peer) = (socket(), socket());
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&SockAddr::from(any)).unwrap();
    listener.listen(1).unwrap();
    peer.connect(&listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    for end in [&peer, &ours] {
        end.set_tcp_nodelay(true).unwrap();
    }
    (peer.into(), ours.into())
}

/// A pair that takes much at once, in both directions.
pub fn wide_pair(engine: &Handle) -> (Peer, Stream) {
    let (peer, ours) = pair_of(WIDE);
    (peer, engine.attach_exclusive(ours).unwrap())
}

/// A pair whose way to the peer is full, and how many bytes fill it: the system takes nothing until
/// the peer has read them.
pub fn full_pair(engine: &Handle) -> (Peer, Stream, usize) {
    let (peer, ours) = socket_pair();
    let stuffed = stuff_tcp(&peer, &ours);
    (peer, engine.attach_exclusive(ours).unwrap(), stuffed)
}

/// Listens where any number of connections can be made, one after the other: the listener, and how
/// to connect.
pub fn listen_for_many(engine: &Handle) -> (Listener, impl Fn() -> Peer + Send + 'static) {
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, move || TcpStream::connect(address).unwrap())
}
