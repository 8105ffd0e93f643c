//! What may go to other threads, by type. Checked when the tests are compiled.

use facade_engine::{
    Bytes, Callback, Cancel, Claim, Engine, Error, Handle, KeepAlive, Listener as EngineListener,
    Local, Stream as EngineStream,
};
use facade_futures::{
    Background, Incoming, Io, Lines, Listener, ReadHalf, Runtime, Runtimes, Stream, Task,
    WriteHalf, op,
};

use super::driver::{self, pair};

const fn send_and_sync<T: Send + Sync>() {}
const fn send<T: Send>() {}
const fn unpin<T: Unpin>() {}

const _: () = {
    send_and_sync::<Handle>();
    send_and_sync::<Cancel>();
    send_and_sync::<EngineStream>();
    send_and_sync::<EngineListener>();
    send_and_sync::<Error>();
    send_and_sync::<KeepAlive>();
    send::<Callback<Bytes>>();
    send::<Claim<Bytes>>();
    send_and_sync::<Io>();
    send_and_sync::<Stream>();
    send_and_sync::<ReadHalf>();
    send_and_sync::<WriteHalf>();
    send_and_sync::<Listener>();
    send_and_sync::<Background>();
    send_and_sync::<Runtimes>();
    send::<Lines<'_>>();
    send::<Incoming<'_>>();
    send::<Task<Bytes>>();
    unpin::<Io>();
    unpin::<Stream>();
    unpin::<ReadHalf>();
    unpin::<WriteHalf>();
    unpin::<Listener>();
    unpin::<Lines<'_>>();
    unpin::<Incoming<'_>>();
};

/// Has one implementation for every type, and a second for those that are `Send`: a call that does
/// not say which one it means compiles only for the others.
trait AmbiguousIfSend<Which> {
    fn is_not() {}
}

struct IfSend;

impl<T: ?Sized> AmbiguousIfSend<()> for T {}
impl<T: ?Sized + Send> AmbiguousIfSend<IfSend> for T {}

#[test]
fn what_lives_on_the_engines_thread_stays_there() {
    <Engine as AmbiguousIfSend<_>>::is_not();
    <Local as AmbiguousIfSend<_>>::is_not();
    <Runtime as AmbiguousIfSend<_>>::is_not();
}

fn assert_send(future: impl Future + Send + Unpin) {
    drop(future);
}

#[test]
fn futures_go_wherever_their_parts_go() {
    let engine = driver::engine();
    let io = Io::new(engine.handle().clone());
    let (_peer, stream) = pair(&engine);
    let mut stream = Stream::from(stream);
    let mut listener = io.listen("127.0.0.1:0").unwrap();
    assert_send(stream.read_line());
    assert_send(stream.read_all());
    assert_send(stream.write("bytes").timeout(std::time::Duration::MAX));
    assert_send(stream.write_then_expect_line("bytes", "line"));
    assert_send(stream.close());
    assert_send(listener.accept());
    assert_send(listener.accept_then_write("bytes"));
    assert_send(io.connect("127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap()));
    assert_send(io.submit_work(|| 1));
    assert_send(futures::StreamExt::into_future(listener.incoming()));
    assert_send(futures::StreamExt::into_future(stream.lines()));
    let handle = io.handle();
    assert_send(op(|callback| handle.sleep(std::time::Duration::ZERO, callback)));
    // One with a part that must stay makes a future that must stay, and works all the same.
    let runtime = Runtime::from(engine);
    let shared = std::rc::Rc::new(());
    let nap = runtime.block_on(op(|callback| {
        drop(shared);
        handle.sleep(std::time::Duration::ZERO, callback)
    }));
    nap.unwrap();
}
