//! One dependency is enough: what the adapter's methods mention has a name in its crate.

// Nothing here may be said by the engine's own name.
use facade_futures::{
    AddrInfo, AnyMatch, Builder, Bytes, Callback, Cancel, ConnectOptions, Engine, Error, Family,
    Hints, IntoAddress, Io, IoOperation, Limits, LineEnd, LineGlob, LineMatch, LinePattern,
    ListenOptions, Local, Matcher, OpFuture, Pattern, Regex, RegexMatch, Result, Runtime, Service,
    SocketType, Stream, Submit, TaskPanic,
    engine::{self, chain::Mode},
    matcher::Scan,
    op,
};
use facade_tests::polls::in_time;

use super::driver;

/// Two bytes.
struct Two;

impl Matcher for Two {
    type Output = Bytes;

    fn scan(&mut self, unread: &[u8], _: bool) -> Scan {
        if unread.len() < 2 { Scan::NeedMore } else { Scan::Found { end: 2 } }
    }

    fn restart(&mut self) {}

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        if taken == "no" { Err(Error::other("no")) } else { Ok(taken) }
    }
}

/// An operation of the program's own, by callbacks, and as a future.
fn doubled(engine: &engine::Handle, number: u32, cb: Callback<u32>) -> Cancel {
    engine.complete(cb.and_then(|_: &Local, number: u32| Ok(2 * number)), Ok(number))
}

fn doubled_later(io: &Io, number: u32) -> OpFuture<u32, impl Submit<u32>> {
    op(move |callback| doubled(io.handle(), number, callback))
}

fn submit<M: Mode>(chain: engine::Chain<M>) -> Cancel {
    chain.submit()
}

async fn connect(io: &Io, addr: impl IntoAddress) -> Result<Stream> {
    io.connect_with(addr, ConnectOptions::new()).await
}

#[test]
fn a_program_needs_the_adapter_only() {
    let limits = Limits { line: 4096, ..Limits::default() };
    let builder: Builder = driver::builder().limits(limits).task_panic(TaskPanic::EndsTask);
    let engine: Engine = builder.build().unwrap();
    let runtime = Runtime::from(engine);
    let io = runtime.io().clone();
    runtime.block_on(in_time(&io, async {
        let hints =
            Hints { family: Family::V4, socket_type: SocketType::Stream, ..Hints::default() };
        let found: Vec<AddrInfo> =
            io.getaddrinfo("127.0.0.1", Service::from(0), hints).await.unwrap();
        let options = ListenOptions::new().backlog(4);
        let mut listener = io.listen_with(found[0].clone(), &options).unwrap();
        let mut client = connect(&io, listener.local_addr().unwrap()).await.unwrap();
        let mut server = listener.accept().await.unwrap();
        server.set_line_end(LineEnd::Lf);
        server.write_line("okline").await.unwrap();
        server.write("skip\nglob\nx=1;END").await.unwrap();
        assert_eq!(client.read_with(Two).await.unwrap(), "ok");
        assert_eq!(client.expect_line(LinePattern::from("line")).await.unwrap(), "line");
        let glob: LineMatch =
            client.read_until_lineglob(LineGlob::new("gl*").unwrap()).await.unwrap();
        assert_eq!(glob.line, "glob");
        let regex: RegexMatch =
            client.read_until_regex(Regex::new("x=(.);").unwrap()).await.unwrap();
        assert_eq!(regex.group(1).unwrap(), "1");
        let any: AnyMatch = client.read_until_any([Pattern::bytes("END")]).await.unwrap();
        assert_eq!(any.index, 0);
        assert_eq!(doubled_later(&io, 21).await.unwrap(), 42);
        submit(io.handle().chain().on(client.engine_stream()).write("x", Callback::ignore()));
        assert_eq!(server.read_exact(1).await.unwrap(), "x");
        let refused = io.connect("no address").await.unwrap_err();
        assert!(!matches!(refused, Error::Io { operation: IoOperation::Connect, .. }));
    }));
}
