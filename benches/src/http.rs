//! A service of HTTP by hyper, which says hello: over an engine's streams, and over tokio's.

use std::{convert::Infallible, error::Error, net::TcpListener};

use facade_engine::{Bytes, DriverChoice, Engine};
use facade_futures::{Runtime, hyper::HyperExecutor};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    rt::{Read, Write, bounds::Http2ServerConnExec},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::servers::HELLO;

type Done<T = ()> = Result<T, Box<dyn Error>>;

/// A server of HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) serve: fn(TcpListener, bool) -> Done,
}

/// The servers; by HTTP/2, if they are told so.
pub(crate) const SERVERS: [Http; 3] = [
    Http { name: "tokio", title: "hyper on tokio", serve: by_tokio },
    Http {
        name: "futures-mio",
        title: "on our streams, mio",
        serve: |listener, http2| ours(DriverChoice::Mio, listener, http2),
    },
    Http {
        name: "futures-uring",
        title: "on our streams, io_uring",
        serve: |listener, http2| ours(DriverChoice::IoUring, listener, http2),
    },
];

fn by_tokio(listener: TcpListener, http2: bool) -> Done {
    listener.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(talk(TokioIo::new(stream), TokioExecutor::new(), http2, hello));
        }
    })
}

fn ours(driver: DriverChoice, listener: TcpListener, http2: bool) -> Done {
    let runtime = Runtime::from(Engine::builder().driver(driver).build()?);
    let io = runtime.io().clone();
    let mut listener = io.attach_listener_exclusive(listener)?;
    runtime.block_on(async {
        loop {
            let stream = listener.accept().await?;
            let executor = HyperExecutor::new(io.clone());
            io.spawn(talk(stream, executor, http2, hello)).detach();
        }
    })
}

async fn talk<S, E, A, F>(stream: S, executor: E, http2: bool, answer: A)
where
    S: Read + Write + Unpin + 'static,
    E: Http2ServerConnExec<F, Full<Bytes>>,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer> + 'static,
{
    let service = service_fn(answer);
    let outcome = match http2 {
        true => http2::Builder::new(executor).serve_connection(stream, service).await,
        false => http1::Builder::new().serve_connection(stream, service).await,
    };
    if let Err(error) = outcome {
        eprintln!("{error}");
    }
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

async fn hello(_: Request<Incoming>) -> Answer {
    Ok(Response::new(Full::from(HELLO)))
}
