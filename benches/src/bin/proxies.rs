//! What a proxy costs: ours on each driver, tokio's `copy_bidirectional`, and splice(2) by hand.
//!
//! Rounds go through all of them in turn. A figure is the CPU time of the proxy's process, divided
//! by that of the first one in the same round.

#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::{
    error::Error,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use facade_benches::{
    process::{ANNOUNCEMENT, Server},
    wrk::{self, Figure, cpu_time, table},
};
use facade_engine::{Callback, DriverChoice, Engine, Handle, Listener, Stream};
use pico_args::Arguments;
use rustix::pipe::{SpliceFlags, pipe, splice};

const HELP: &str = "\
usage: proxies [--rounds N] [--mib N] [--seconds N] [--with NAME]...
       proxies --serve NAME --target ADDR

Sends MIB (1024) through each proxy to a sink, then loads each with wrk for SECONDS (3), if wrk and
the example http are there. ROUNDS is 7.
";

const NAMES: &[&str] = &[
    #[cfg(feature = "peers")]
    "tokio",
    "mio",
    "io_uring",
    "splice",
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    if arguments.contains(["-h", "--help"]) {
        eprint!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let done = match arguments.opt_value_from_str::<_, String>("--serve") {
        Ok(Some(name)) => serve(&name, &mut arguments),
        Ok(None) => compare(&mut arguments),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxies: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done<T = ()> = Result<T, Box<dyn Error>>;

// The proxies

fn serve(name: &str, arguments: &mut Arguments) -> Done {
    let target: SocketAddr = arguments.value_from_str("--target")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut out = io::stdout();
    writeln!(out, "{ANNOUNCEMENT}{}", listener.local_addr()?)?;
    out.flush()?;
    match name {
        "mio" => ours(DriverChoice::Mio, listener, target),
        "io_uring" => ours(DriverChoice::IoUring, listener, target),
        "splice" => by_splice(listener, target),
        #[cfg(feature = "peers")]
        "tokio" => by_tokio(listener, target),
        name => Err(format!("no proxy is called {name}").into()),
    }
}

fn ours(driver: DriverChoice, listener: TcpListener, target: SocketAddr) -> Done {
    let engine = Engine::builder().driver(driver).build()?;
    let listener = engine.attach_listener_exclusive(listener)?;
    accept(&engine, &listener, target);
    Ok(engine.run()?)
}

fn accept(engine: &Handle, listener: &Listener, target: SocketAddr) {
    let again = listener.clone();
    engine.accept(
        listener,
        Callback::new(
            move |engine, client: Stream| {
                engine.connect(
                    target,
                    Callback::new(
                        move |engine, server: Stream| {
                            engine.copy_both_ways(&client, &server, Callback::ignore());
                        },
                        |_, error| eprintln!("{error}"),
                    ),
                );
                accept(engine, &again, target);
            },
            |_, error| eprintln!("{error}"),
        ),
    );
}

#[cfg(feature = "peers")]
fn by_tokio(listener: TcpListener, target: SocketAddr) -> Done {
    use tokio::net::{TcpListener, TcpStream};
    listener.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (mut client, _) = listener.accept().await?;
            client.set_nodelay(true)?;
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await?;
                server.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    })
}

/// Two threads for each connection, which block: nothing but the system calls.
fn by_splice(listener: TcpListener, target: SocketAddr) -> Done {
    for client in listener.incoming() {
        let client = client?;
        let server = TcpStream::connect(target)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            thread::spawn(move || splice_all(&from, &to));
        }
    }
    Ok(())
}

fn splice_all(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    const MOST: usize = 1 << 20;
    let (reader, writer) = pipe()?;
    rustix::pipe::fcntl_setpipe_size(&writer, MOST)?;
    loop {
        let mut left = splice(from, None, &writer, None, MOST, SpliceFlags::MOVE)?;
        if left == 0 {
            return to.shutdown(Shutdown::Write);
        }
        while left > 0 {
            left -= splice(&reader, None, to, None, left, SpliceFlags::MOVE)?;
        }
    }
}

// The comparison

fn compare(arguments: &mut Arguments) -> Done {
    let rounds: usize = arguments.opt_value_from_str("--rounds")?.unwrap_or(7);
    let mib: usize = arguments.opt_value_from_str("--mib")?.unwrap_or(1024);
    let seconds: u32 = arguments.opt_value_from_str("--seconds")?.unwrap_or(3);
    let with: Vec<String> = arguments.values_from_str("--with")?;
    let names: Vec<&str> = NAMES
        .iter()
        .copied()
        .filter(|name| with.is_empty() || with.iter().any(|w| w == name))
        .collect();
    let mut bulk = vec![Vec::new(); names.len()];
    let mut requests = vec![Vec::new(); names.len()];
    let http = http();
    if http.is_none() {
        eprintln!("SKIPPED: wrk: it or the example http is missing");
    }
    let sink = sink()?;
    for _ in 0..rounds {
        for (index, name) in names.iter().enumerate() {
            bulk[index].push(measure_bulk(name, sink, mib)?);
        }
        for (index, name) in names.iter().enumerate() {
            if let Some(http) = &http {
                requests[index].push(measure_wrk(name, http.address(), seconds)?);
            }
        }
    }
    let mut out = io::stdout().lock();
    table(&mut out, "bulk, 1 connection, MiB/s", "ms/GiB", &names, &bulk)?;
    if http.is_some() {
        table(&mut out, "wrk, 64 connections, requests/s", "us/request", &names, &requests)?;
    }
    Ok(())
}

fn start(name: &str, target: SocketAddr) -> Done<Server> {
    let program = std::env::current_exe()?.display().to_string();
    let arguments = ["--serve", name, "--target", &target.to_string()].map(str::to_owned);
    let command: Vec<String> = [program].into_iter().chain(arguments).collect();
    Ok(Server::start(&command, Duration::from_secs(10))?)
}

/// Takes everything, and says when it has come to an end.
fn sink() -> Done<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer?;
            let mut block = vec![0; 1 << 18];
            while peer.read(&mut block)? > 0 {}
            peer.write_all(b"!")?;
        }
        io::Result::Ok(())
    });
    Ok(address)
}

fn measure_bulk(name: &str, sink: SocketAddr, mib: usize) -> Done<Figure> {
    let proxy = start(name, sink)?;
    let mut source = TcpStream::connect(proxy.address())?;
    let block = vec![7; 1 << 20];
    source.write_all(&block)?;
    let (begun, before) = (Instant::now(), cpu_time(proxy.pid())?);
    for _ in 1..mib {
        source.write_all(&block)?;
    }
    source.shutdown(Shutdown::Write)?;
    source.read_exact(&mut [0; 1])?;
    let (took, cost) = (begun.elapsed(), cpu_time(proxy.pid())? - before);
    let gib = mib as f64 / 1024.0;
    Ok((mib as f64 / took.as_secs_f64(), cost.as_secs_f64() * 1e3 / gib))
}

/// The example of that name, beside this program, if wrk is there to load it.
fn http() -> Option<Server> {
    let true = wrk::is_there() else { return None };
    let program = std::env::current_exe().ok()?.with_file_name("examples").join("http");
    let command = [program.to_str()?, "--listen", "127.0.0.1:0"].map(str::to_owned);
    Server::start(&command, Duration::from_secs(10)).ok()
}

fn measure_wrk(name: &str, target: SocketAddr, seconds: u32) -> Done<Figure> {
    let proxy = start(name, target)?;
    wrk::load(proxy.pid(), proxy.address(), 64, seconds)
}
