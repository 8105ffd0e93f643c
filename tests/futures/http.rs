//! hyper over the adapter's streams, tasks and timers.

use std::{
    convert::Infallible,
    future::poll_fn,
    io::Read as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use facade_engine::{Bytes, Error};
use facade_futures::{
    Io, Listener, Runtime, Stream,
    hyper::{HyperExecutor, HyperIo, HyperTimer},
};
use facade_tests::{
    peers::{arrived, numbered},
    polls::in_time,
    turns::{SOON, turns},
};
use futures::{StreamExt as _, future::join_all, stream};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Frame, Incoming},
    client,
    rt::Write,
    server,
    service::service_fn,
};

use super::driver::{self, pair};

type Answer = Result<Response<Full<Bytes>>, Infallible>;

/// Sends back what came.
async fn echo(request: Request<Incoming>) -> Answer {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Ok(Response::new(Full::new(body)))
}

/// A runtime, and a connection that its two ends are: one by the traits of the `futures` crate, and one as
/// it is.
fn connection() -> (Runtime, HyperIo<Stream>, Stream) {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io().clone();
    let mut listener = io.listen("127.0.0.1:0").unwrap();
    let (one, other) = runtime.block_on(in_time(&io, ends(&io, &mut listener)));
    (runtime, HyperIo::new(one), other)
}

/// The two ends of a connection, the client's first.
async fn ends(io: &Io, listener: &mut Listener) -> (Stream, Stream) {
    let address = listener.local_addr().unwrap();
    let (one, other) = futures::join!(io.connect(address), listener.accept());
    (one.unwrap(), other.unwrap())
}

/// Connects a client more, and fails if it is not answered.
async fn is_served(io: &Io, listener: &mut Listener) {
    let (client, server) = ends(io, listener).await;
    let serving = server::conn::http1::Builder::new().serve_connection(server, service_fn(echo));
    let served = io.spawn(serving);
    let (mut sender, connection) = client::conn::http1::handshake(client).await.unwrap();
    let connected = io.spawn(connection);
    let request = Request::post("/").body(Full::new(Bytes::from("few words"))).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "few words");
    drop(sender);
    connected.await.unwrap();
    served.await.unwrap();
}

/// More of them than a connection holds whose client does not read.
const PIECES: usize = 400;
const PIECE: usize = 1 << 16;

/// Serves a connection all pieces, and counts those that it asked for.
async fn serve_pieces(stream: Stream, asked: Arc<AtomicUsize>) -> hyper::Result<()> {
    let service = service_fn(|_| {
        let (piece, asked) = (Bytes::from(numbered(PIECE)), Arc::clone(&asked));
        let pieces = stream::repeat(piece).take(PIECES).map(move |piece| {
            asked.fetch_add(1, Relaxed);
            Ok::<_, Infallible>(Frame::data(piece))
        });
        async { Ok::<_, Infallible>(Response::new(StreamBody::new(pieces))) }
    });
    server::conn::http1::Builder::new().serve_connection(stream, service).await
}

/// Asks for the pieces, and reads what comes in front of them.
async fn ask_for_pieces(client: &mut Stream) {
    client.write("GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let head = client.read_until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with(b"HTTP/1.0 200 OK\r\n"), "{head:?}");
}

fn big() -> Bytes {
    numbered(1_000_000).into()
}

/// In pieces, whose number and length nobody knows before.
fn pieces(bytes: Bytes) -> impl Body<Data = Bytes, Error = Infallible> {
    let pieces: Vec<_> = bytes.chunks(10_000).map(Bytes::copy_from_slice).collect();
    StreamBody::new(stream::iter(pieces).map(|piece| Ok(Frame::data(piece))))
}

#[test]
fn requests_and_answers_of_http_1() {
    let (runtime, client, server) = connection();
    let io = runtime.io().clone();
    runtime.block_on(in_time(&io, async {
        let serving = server::conn::http1::Builder::new()
            .timer(HyperTimer::new(io.clone()))
            .serve_connection(server, service_fn(echo));
        let served = io.spawn(serving);
        let (mut sender, connection) = client::conn::http1::handshake(client).await.unwrap();
        let connected = io.spawn(connection);
        for _ in 0..10 {
            sender.ready().await.unwrap();
            let request = Request::post("/").body(Full::new(Bytes::from("few words"))).unwrap();
            let answer = sender.send_request(request.map(BodyExt::boxed_unsync)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "few words");
        }
        sender.ready().await.unwrap();
        let request = Request::post("/").body(pieces(big()).boxed_unsync()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert!(answer.into_body().collect().await.unwrap().to_bytes() == big());
        drop(sender);
        connected.await.unwrap();
        served.await.unwrap();
    }));
}

#[test]
fn many_requests_at_once_of_http_2() {
    let (runtime, client, server) = connection();
    let io = runtime.io().clone();
    let executor = HyperExecutor::new(io.clone());
    runtime.block_on(in_time(&io, async {
        let serving = server::conn::http2::Builder::new(executor.clone())
            .timer(HyperTimer::new(io.clone()))
            .serve_connection(server, service_fn(echo));
        let served = io.spawn(serving);
        let (sender, connection) = client::conn::http2::handshake(executor, client).await.unwrap();
        let connected = io.spawn(connection);
        let requests = (0..20_u8).map(|number| {
            let mut sender = sender.clone();
            async move {
                let body = vec![number; 50_000 * usize::from(number)];
                let request = Request::post("http://there/");
                let request = request.body(Full::<Bytes>::new(body.clone().into()));
                let answer = sender.send_request(request.unwrap()).await.unwrap();
                assert_eq!(answer.version(), Version::HTTP_2);
                assert!(answer.into_body().collect().await.unwrap().to_bytes() == body);
            }
        });
        join_all(requests).await;
        drop(sender);
        connected.await.unwrap();
        served.await.unwrap();
    }));
}

/// By the engine's clock: in the simulated network that takes no time.
#[test]
fn a_client_that_sends_no_headers_is_given_up_in_time() {
    let (runtime, client, server) = connection();
    let io = runtime.io().clone();
    runtime.block_on(in_time(&io, async {
        let start = io.handle().now();
        let outcome = server::conn::http1::Builder::new()
            .timer(HyperTimer::new(io.clone()))
            .header_read_timeout(SOON)
            .serve_connection(server, service_fn(echo))
            .await;
        assert!(outcome.unwrap_err().is_timeout());
        assert!(io.handle().now() - start >= SOON);
        drop(client);
    }));
}

#[test]
fn a_connection_that_ends_and_one_whose_client_leaves() {
    let runtime = Runtime::from(driver::engine());
    let io: Io = runtime.io().clone();
    runtime.block_on(in_time(&io, async {
        let (mut peer, ours) = pair(runtime.engine());
        let serving = server::conn::http1::Builder::new()
            .serve_connection(Stream::from(ours), service_fn(echo));
        let served = io.spawn(serving);
        std::io::Write::write_all(&mut peer, b"GET / HTTP/1.0\r\n\r\n").unwrap();
        served.await.unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");

        let (mut peer, ours) = pair(runtime.engine());
        let serving = server::conn::http1::Builder::new()
            .serve_connection(Stream::from(ours), service_fn(echo));
        let served = io.spawn(serving);
        std::io::Write::write_all(&mut peer, b"GET / HTTP/1.1\r\nhos").unwrap();
        drop(peer);
        assert!(served.await.unwrap_err().is_incomplete_message());
    }));
}

/// What hyper has not answered is there for whoever goes on with the stream.
#[test]
fn the_stream_comes_back_from_a_client_connection() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io().clone();
    runtime.block_on(in_time(&io, async {
        let (mut peer, ours) = pair(runtime.engine());
        let stream = HyperIo::new(Stream::from(ours));
        let (mut sender, connection) =
            client::conn::http1::handshake::<_, Empty<Bytes>>(stream).await.unwrap();
        let connected = io.spawn(async move { connection.without_shutdown().await.unwrap() });
        std::io::Write::write_all(
            &mut peer,
            b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
        )
        .unwrap();
        let request = Request::get("/").header("host", "there").body(Empty::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let parts = connected.await;
        let mut stream: Stream = parts.io.into_inner();
        assert!(parts.read_buf.is_empty());
        std::io::Write::write_all(&mut peer, b"something else\n").unwrap();
        let line = stream.read_line().timeout(Duration::from_secs(30)).await.unwrap();
        assert_eq!(line, "something else");
    }));
}

#[test]
fn a_slow_reader_is_given_no_more_than_it_reads_while_others_are_served() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io().clone();
    runtime.block_on(in_time(&io, async {
        let mut listener = io.listen("127.0.0.1:0").unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (mut client, server) = ends(&io, &mut listener).await;
        let served = io.spawn(serve_pieces(server, Arc::clone(&asked)));
        ask_for_pieces(&mut client).await;
        for _ in 0..20 {
            is_served(&io, &mut listener).await;
        }
        assert!(asked.load(Relaxed) < PIECES, "all that nobody reads");
        let mut length = 0;
        loop {
            match client.read_chunk(1 << 20).await {
                Ok(chunk) => length += chunk.len(),
                Err(Error::EndOfStream) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((length, asked.load(Relaxed)), (PIECES * PIECE, PIECES));
        served.await.unwrap();
    }));
}

#[test]
fn a_client_that_resets_ends_its_own_connection_and_no_other() {
    /// Sends back what came, if all of it did.
    async fn echo_all(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let body = request.into_body().collect().await?.to_bytes();
        Ok(Response::new(Full::new(body)))
    }
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io().clone();
    runtime.block_on(in_time(&io, async {
        let mut listener = io.listen("127.0.0.1:0").unwrap();
        let (mut slow, server) = ends(&io, &mut listener).await;
        let slowly_served = io.spawn(serve_pieces(server, Arc::default()));
        ask_for_pieces(&mut slow).await;

        // In the middle of an answer.
        let (mut client, server) = ends(&io, &mut listener).await;
        let served = io.spawn(serve_pieces(server, Arc::default()));
        ask_for_pieces(&mut client).await;
        client.abort();
        assert!(served.await.is_err());
        is_served(&io, &mut listener).await;

        // In the middle of a request, for whose body the server has asked.
        let (mut client, server) = ends(&io, &mut listener).await;
        let serving =
            server::conn::http1::Builder::new().serve_connection(server, service_fn(echo_all));
        let served = io.spawn(serving);
        let head = "POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n";
        client.write(head).await.unwrap();
        assert_eq!(client.read_line().await.unwrap(), "HTTP/1.1 100 Continue");
        client.write("not a thousand bytes").await.unwrap();
        client.abort();
        assert!(served.await.is_err());
        is_served(&io, &mut listener).await;

        while slow.read_chunk(1 << 20).await.is_ok() {}
        slowly_served.await.unwrap();
    }));
}

/// A server that waited until the system has the answer took the end of a client that left with it for
/// one in the middle of a message.
#[test]
fn what_hyper_writes_is_flushed_at_once_and_sent_in_that_turn() {
    let runtime = Runtime::from(driver::engine());
    let (peer, ours) = pair(runtime.engine());
    let mut stream = Stream::from(ours);
    let task = runtime.spawn(poll_fn(move |context| {
        let mut stream = Pin::new(&mut stream);
        assert!(Write::poll_write(stream.as_mut(), context, b"an answer").is_ready());
        assert!(matches!(Write::poll_flush(stream, context), Poll::Ready(Ok(()))));
        Poll::Ready(())
    }));
    runtime.block_on(task);
    turns(runtime.engine(), 3);
    assert_eq!(arrived(&peer), b"an answer");
}
