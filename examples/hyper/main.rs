//! An HTTP server by hyper, HTTP/1 and HTTP/2 at one port: what is posted comes back, and all else
//! is greeted.

use std::{convert::Infallible, net::SocketAddr, process::ExitCode, time::Duration};

use facade_engine::{Bytes, DriverChoice, Engine};
use facade_examples::{Result, driver, report, say, signals};
use facade_futures::{
    Io, Listener, Runtime, Stream,
    hyper::{HyperExecutor, HyperTimer},
};
use futures::future;
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};

const USAGE: &str = "\
usage: hyper [--driver auto|mio|io_uring|iocp] [--listen ADDR:PORT]

Answers HTTP/1 and HTTP/2 (with prior knowledge): POST sends back what was posted, all else says
hello. Ends on SIGINT and SIGTERM.";

fn main() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            let driver = arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default();
            let listen: Option<SocketAddr> = arguments.opt_value_from_str("--listen")?;
            Ok((driver, listen.unwrap_or_else(|| ([127, 0, 0, 1], 8080).into())))
        },
        serve,
    )
}

fn serve((driver, listen): (DriverChoice, SocketAddr)) -> Result<()> {
    let engine = Engine::builder().driver(driver).build()?;
    let mut signals = Stream::from(signals(&engine)?);
    let runtime = Runtime::from(engine);
    let io = runtime.io().clone();
    let listener = io.listen(listen)?;
    say(format_args!("listening on {}", listener.local_addr()?))?;
    runtime.block_on(future::select(Box::pin(accept(io, listener)), signals.read_chunk(1)));
    Ok(())
}

async fn accept(io: Io, mut listener: Listener) -> Result<Infallible> {
    loop {
        let stream = listener.accept().await?;
        io.spawn(talk(io.clone(), stream)).detach();
    }
}

/// One connection. What it begins with tells which HTTP it is; that is only looked at, and stays for
/// hyper to read.
async fn talk(io: Io, mut stream: Stream) {
    let (timer, executor) = (HyperTimer::new(io.clone()), HyperExecutor::new(io));
    let begin = match stream.peek(3).timeout(Duration::from_secs(30)).await {
        Ok(begin) => begin,
        Err(error) => return report(&error),
    };
    let outcome = match &begin[..] {
        b"PRI" => {
            let server = http2::Builder::new(executor);
            server.serve_connection(stream, service_fn(answer)).await
        }
        _ => {
            let mut server = http1::Builder::new();
            server.timer(timer).serve_connection(stream, service_fn(answer)).await
        }
    };
    if let Err(error) = outcome {
        eprintln!("{error}");
    }
}

type Body = Either<Incoming, Full<Bytes>>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(match *request.method() {
        Method::POST => Either::Left(request.into_body()),
        _ => Either::Right(Full::from("hello\n")),
    }))
}
