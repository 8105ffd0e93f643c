//! What options make of sockets that only Unix has, or has so that it can be seen; and who is at the
//! other end of a Unix socket.

use std::{os::unix::net::UnixStream, time::Duration};

use facade_engine::{
    Address, ConnectOptions, Error, IoOperation, Keepalive, ListenOptions, Stream,
    os::unix::StreamExt,
};
use facade_tests::{told::Basket, turns::turn_until};
use socket2::SockRef;

use super::{driver, options::pair_with};

#[test]
fn keepalive_is_asked_as_often_as_was_said() {
    let engine = driver::engine();
    let keepalive =
        Keepalive::new(Duration::from_secs(60)).interval(Duration::from_millis(9500)).count(3);
    let options = ListenOptions::new().keepalive(keepalive.clone());
    let connecting = ConnectOptions::new().keepalive(keepalive);
    let (accepted, connected) = pair_with(&engine, &options, connecting);
    for stream in [accepted, connected] {
        let socket = SockRef::from(&stream);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    }
}

#[test]
fn packets_are_marked_as_was_said() {
    let engine = driver::engine();
    let (listening, connecting) = (ListenOptions::new().tos(0x20), ConnectOptions::new().tos(0x10));
    let (accepted, connected) = pair_with(&engine, &listening, connecting);
    assert_eq!(SockRef::from(&accepted).tos_v4().unwrap(), 0x20);
    assert_eq!(SockRef::from(&connected).tos_v4().unwrap(), 0x10);
    connected.set_tos(0x28).unwrap();
    assert_eq!(SockRef::from(&connected).tos_v4().unwrap(), 0x28);
    let options = ListenOptions::new().tos(0x20);
    let Ok(listener) = engine.listen_with("[::1]:0", &options) else { return };
    let streams = Basket::<Stream>::new();
    let marked = ConnectOptions::new().tos(0x10);
    engine.connect_with(listener.local_addr().unwrap(), marked, streams.callback());
    engine.run().unwrap();
    assert_eq!(SockRef::from(&streams.only()).tclass_v6().unwrap(), 0x10);
}

#[test]
fn what_is_no_tcp_has_no_options_of_it() {
    let engine = driver::engine();
    let (_peer, ours) = UnixStream::pair().unwrap();
    let stream = engine.attach(ours).unwrap();
    for refused in [stream.set_nodelay(true), stream.set_keepalive(None), stream.set_tos(0)] {
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
    }
    let error = stream.set_nodelay(true).unwrap_err();
    assert_eq!(error.to_string(), "unsupported: TCP_NODELAY of a Unix socket");
    stream.set_send_buffer_size(30_000).unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    let pipe = engine.attach(reader).unwrap();
    let error = pipe.set_send_buffer_size(1000).unwrap_err();
    assert_eq!(error.to_string(), "unsupported: SO_SNDBUF of a pipe");
    assert!(matches!(pipe.peer_cred(), Err(Error::Unsupported { .. })));
}

#[test]
fn a_unix_socket_has_the_buffers_that_were_said() {
    let engine = driver::engine();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let options = ListenOptions::new().nodelay(true).tos(0x10).interface("lo");
    let listener = engine.listen_with(&path, &options).unwrap();
    let streams = Basket::<Stream>::new();
    let connecting = ConnectOptions::new().send_buffer_size(50_000);
    engine.connect_with(path, connecting, streams.callback());
    engine.run().unwrap();
    let factor = if cfg!(target_os = "linux") { 2 } else { 1 };
    let size = SockRef::from(&streams.only()).send_buffer_size().unwrap();
    assert_eq!(size, factor * 50_000);
    drop(listener);
}

#[test]
#[cfg(target_os = "linux")]
fn the_interface_is_the_one_that_was_said() {
    let engine = driver::engine();
    let (listening, connecting) =
        (ListenOptions::new().interface("lo"), ConnectOptions::new().interface("lo"));
    let (accepted, connected) = pair_with(&engine, &listening, connecting);
    let device = |stream: &Stream| SockRef::from(stream).device().unwrap();
    assert_eq!(device(&accepted).as_deref(), Some(&b"lo"[..]));
    assert_eq!(device(&connected).as_deref(), Some(&b"lo"[..]));
    let nowhere = ListenOptions::new().interface("nowhere0");
    match engine.listen_with("127.0.0.1:0", &nowhere) {
        Err(Error::Io { operation: IoOperation::SetSockOpt, cause }) => {
            assert_eq!(cause.on(), Some("SO_BINDTODEVICE of 127.0.0.1:0"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[cfg(target_os = "linux")]
fn whoever_is_at_the_other_end_of_a_unix_socket_is_told() {
    let engine = driver::engine();
    let (_peer, ours) = UnixStream::pair().unwrap();
    let stream = engine.attach(ours).unwrap();
    let here = stream.peer_cred().unwrap();
    assert_eq!(here.pid, i32::try_from(std::process::id()).ok());
    assert_eq!(here.uid, rustix::process::geteuid().as_raw());
    assert_eq!(here.gid, rustix::process::getegid().as_raw());
    let (accepted, _) = pair_with(&engine, &ListenOptions::new(), ConnectOptions::new());
    assert!(matches!(accepted.peer_cred(), Err(Error::Unsupported { .. })));

    // Another process: it says its number, and is asked of the system.
    let name = format!("facade-tests-cred-{}-{}", driver::name(), std::process::id());
    let listener = engine.listen(Address::UnixAbstract(name.clone().into())).unwrap();
    let script = "import os,socket,sys\ns=socket.socket(socket.AF_UNIX)\n\
                  s.connect(b'\\0'+sys.argv[1].encode())\ns.sendall(b'%d\\n'%os.getpid())\n\
                  s.recv(1)";
    let child = std::process::Command::new("python3").args(["-c", script, &name]).spawn();
    let Ok(mut child) = child else { return };
    let (streams, lines) = (Basket::<Stream>::new(), Basket::new());
    engine.accept(&listener, streams.callback());
    turn_until(&engine, || streams.len() == 1);
    let stream = streams.only();
    engine.read_line(&stream, lines.callback());
    engine.run().unwrap();
    let said: facade_engine::Bytes = lines.only();
    let there = stream.peer_cred().unwrap();
    assert_eq!(said, there.pid.unwrap().to_string());
    engine.abort(&stream);
    engine.run().unwrap();
    child.wait().unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn abstract_names_are_listened_at_and_connected_to() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    let engine = driver::engine();
    let name = format!("facade-tests-{}-{}", driver::name(), std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = engine.listen(address.clone()).unwrap();
    assert_eq!(listener.local_name().unwrap().to_string(), format!("@{name}"));
    let (accepted, connected) = (Basket::<Stream>::new(), Basket::<Stream>::new());
    // From here and from elsewhere, which is std.
    engine.accept(&listener, accepted.callback());
    engine.accept(&listener, accepted.callback());
    engine.connect(address.clone(), connected.callback());
    let _std = UnixStream::connect_addr(&address).unwrap();
    engine.run().unwrap();
    assert_eq!(accepted.take().len(), 2);
    assert_eq!(connected.only().peer_name().unwrap(), Address::from(address.clone()));
    let error = engine.listen(address).unwrap_err();
    assert!(error.to_string().starts_with(&format!("listen on @{name}: ")), "{error}");
    let long = Address::UnixAbstract(vec![b'x'; 200]);
    assert!(matches!(engine.listen(long), Err(Error::InvalidInput { .. })));
    assert!(matches!(engine.listen(Address::UnixUnnamed), Err(Error::InvalidInput { .. })));
}
