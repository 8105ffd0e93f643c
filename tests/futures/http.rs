//! hyper over the adapter's streams, tasks and timers.

use std::{convert::Infallible, io::Read as _, time::Duration};

use facade_engine::Bytes;
use facade_futures::{
    Io, Runtime, Stream,
    hyper::{HyperExecutor, HyperIo, HyperTimer},
};
use facade_tests::{peers::numbered, polls::in_time, turns::SOON};
use futures::{StreamExt as _, future::join_all, stream};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Frame, Incoming},
    client, server,
    service::service_fn,
};

use super::driver::{self, pair};

type Answer = Result<Response<Full<Bytes>>, Infallible>;

/// Sends back what came.
async fn echo(request: Request<Incoming>) -> Answer {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Ok(Response::new(Full::new(body)))
}

/// A runtime, and a connection that its two ends are.
fn connection() -> (Runtime, HyperIo<Stream>, impl Future<Output = HyperIo<Stream>>) {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io().clone();
    let mut listener = io.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (one, other) = runtime.block_on(in_time(&io, async {
        let (one, other) = futures::join!(io.connect(address), listener.accept());
        (one.unwrap(), other.unwrap())
    }));
    (runtime, HyperIo::new(one), async move { HyperIo::new(other) })
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
            .serve_connection(server.await, service_fn(echo));
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
            .serve_connection(server.await, service_fn(echo));
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
            .serve_connection(server.await, service_fn(echo))
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
            .serve_connection(HyperIo::new(Stream::from(ours)), service_fn(echo));
        let served = io.spawn(serving);
        std::io::Write::write_all(&mut peer, b"GET / HTTP/1.0\r\n\r\n").unwrap();
        served.await.unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");

        let (mut peer, ours) = pair(runtime.engine());
        let serving = server::conn::http1::Builder::new()
            .serve_connection(HyperIo::new(Stream::from(ours)), service_fn(echo));
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
