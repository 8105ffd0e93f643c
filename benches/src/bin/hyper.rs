//! What hyper costs over an engine's streams, on each driver, beside hyper on tokio.
//!
//! The same service, which says hello, for wrk or for whoever asks by HTTP/2. Rounds go through all servers
//! in turn, the server on one core and wrk on another. A figure is the CPU time of the server's process
//! for a request, and its ratio to that of tokio's in the same round.

use std::{
    convert::Infallible,
    error::Error,
    io::{self, Write},
    net::TcpListener,
    process::ExitCode,
    time::Duration,
};

use facade_benches::{
    process::{self, ANNOUNCEMENT, Server},
    wrk::{self, Figure},
};
use facade_engine::{Bytes, DriverChoice, Engine};
use facade_futures::{Runtime, hyper::HyperExecutor};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    rt::{Read, Write as HyperWrite, bounds::Http2ServerConnExec},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pico_args::Arguments;

const HELP: &str = "\
usage: hyper [--rounds N] [--seconds N] [--connections N] [--with NAME]...
       hyper --serve NAME [--http2]

Loads each server with wrk, CONNECTIONS (50) for SECONDS (3). ROUNDS is 7.
Names: tokio, mio, io_uring.
";

const NAMES: &[&str] = &["tokio", "mio", "io_uring"];

type Done<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    if arguments.contains(["-h", "--help"]) {
        eprint!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let done = match arguments.opt_value_from_str::<_, String>("--serve") {
        Ok(Some(name)) => serve(&name, arguments.contains("--http2")),
        Ok(None) => compare(&mut arguments),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hyper: {error}");
            ExitCode::FAILURE
        }
    }
}

// The servers

fn serve(name: &str, http2: bool) -> Done {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut out = io::stdout();
    writeln!(out, "{ANNOUNCEMENT}{}", listener.local_addr()?)?;
    out.flush()?;
    match name {
        "tokio" => by_tokio(listener, http2),
        "mio" => ours(DriverChoice::Mio, listener, http2),
        "io_uring" => ours(DriverChoice::IoUring, listener, http2),
        name => Err(format!("no server is called {name}").into()),
    }
}

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
    S: Read + HyperWrite + Unpin + 'static,
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
    Ok(Response::new(Full::from("hello\n")))
}

// The comparison

fn compare(arguments: &mut Arguments) -> Done {
    let rounds: usize = arguments.opt_value_from_str("--rounds")?.unwrap_or(7);
    let seconds: u32 = arguments.opt_value_from_str("--seconds")?.unwrap_or(3);
    let connections: usize = arguments.opt_value_from_str("--connections")?.unwrap_or(50);
    let with: Vec<String> = arguments.values_from_str("--with")?;
    if let Some(name) = with.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(format!("no server is called {name}").into());
    }
    let wanted = |name: &&&str| with.is_empty() || with.iter().any(|w| w == **name);
    let names: Vec<&str> = NAMES.iter().filter(wanted).copied().collect();
    let cores = process::cores()?;
    let (first, last) = (cores[0], cores[cores.len() - 1]);
    let mut figures: Vec<Vec<Figure>> = vec![Vec::new(); names.len()];
    let program = std::env::current_exe()?.display().to_string();
    for _ in 0..rounds {
        for (name, figures) in names.iter().zip(&mut figures) {
            process::pin(first)?;
            let command = [&program, "--serve", name].map(str::to_owned);
            let server = Server::start(&command, Duration::from_secs(10))?;
            process::pin(last)?;
            figures.push(wrk::load(server.pid(), server.address(), connections, seconds)?);
        }
    }
    let title = format!("wrk, {connections} connections, requests/s");
    Ok(wrk::table(&mut io::stdout().lock(), &title, "us/request", &names, &figures)?)
}
