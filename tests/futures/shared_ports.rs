//! Paths and ports that are listened at as Unix can.

use facade_engine::ListenOptions;
use facade_futures::Runtime;
use facade_tests::polls::in_time;
use futures::join;

use super::driver;

/// Runs a test's future on a new runtime.
fn run<T>(test: impl AsyncFnOnce(&Runtime) -> T) -> T {
    let runtime = Runtime::from(driver::engine());
    runtime.block_on(in_time(runtime.io(), test(&runtime)))
}

#[test]
fn a_path_and_a_shared_port_are_listened_at() {
    run(async |runtime| {
        let io = runtime.io();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut listener = io.listen_unix(&path).unwrap();
        let (client, server) = join!(io.connect(path.as_path()), listener.accept());
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(listener.local_name().unwrap(), client.peer_name().unwrap());
        assert_eq!(server.local_name().unwrap(), client.peer_name().unwrap());
        client.write_line("by path").await.unwrap();
        assert_eq!(server.read_line().await.unwrap(), "by path");

        let options = ListenOptions::new().reuse_port(true);
        let shared = io.listen_with("127.0.0.1:0", &options).unwrap();
        io.listen_with(shared.local_addr().unwrap(), &options).unwrap();
    });
}
