//! What a proxy costs: much through one connection, and many requests by wrk.
//!
//! The proxy has one core, the other all that is at its two ends.
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::env;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use facade_benches::load::{self, Config, Length};
use facade_benches::process::{self, Server, Sides};
use facade_benches::{servers, wrk};

use super::contest::{Case, Column, Contest, Done, Rules, Sample, Value, chosen};
use super::options::Options;

pub(crate) fn names() -> Vec<&'static str> {
    servers::proxies().map(|(name, _)| name).collect()
}

pub(crate) fn measure(options: &Options) -> Done<Contest> {
    let all: Vec<_> = servers::proxies().map(|named| (named, named.0)).collect();
    let sides = Sides::of(&process::cores()?);
    process::pin(sides.load)?;
    let (missing, behind) = match service_behind() {
        Ok(service) => (None, Some(service)),
        Err(why) => (Some(format!("A proxy, wrk: {why}")), None),
    };
    let (sink, echo) = (sink()?, echo()?);
    let mib = options.count(1024);
    let seconds = options.full_seconds(Duration::from_secs(3));
    let mut about = format!("{mib} MiB through one connection");
    if behind.is_some() {
        about += &format!(", and wrk with {CONNECTIONS} connections for {seconds} s");
    }
    about += "; CPU time of the proxy's process, which has one core.";
    let mut cases = vec![BULK];
    cases.extend(behind.is_some().then_some(REQUESTS));
    let rules = Rules { about, cases, rounds: options.rounds(7), unit: None };
    let mut contest = Contest::measure(rules, &chosen(&all, options), |name, place| {
        let start = |target| start(name, target, sides);
        match (&behind, place) {
            (Some(service), 1) => requests(&start(service.address())?, seconds),
            _ => {
                check(&start(echo)?)?;
                bulk(&start(sink)?, mib)
            }
        }
    });
    if let Some(missing) = missing {
        eprintln!("SKIPPED: {missing}");
        contest.missing.push(missing);
    }
    Ok(contest)
}

const BULK: Case = Case {
    name: "bulk",
    columns: &[
        Column { title: "bulk, MiB/s", value: Value::Rate, digits: 0, ends: false },
        Column { title: "CPU, ms/GiB", value: Value::Cost, digits: 0, ends: false },
        Column { title: "to {first}", value: Value::Ratio, digits: 2, ends: true },
    ],
};

const REQUESTS: Case = Case {
    name: "wrk",
    columns: &[
        Column { title: "wrk, requests/s", value: Value::Rate, digits: 0, ends: false },
        Column { title: "CPU, µs/request", value: Value::Cost, digits: 1, ends: false },
        Column { title: "to {first}", value: Value::Ratio, digits: 2, ends: true },
    ],
};

const CONNECTIONS: usize = 64;

/// Bounds each single wait.
const BOUND: Duration = Duration::from_secs(10);

fn program() -> io::Result<String> {
    Ok(env::current_exe()?.to_string_lossy().into_owned())
}

fn start(name: &str, target: SocketAddr, sides: Sides) -> Done<Server> {
    let (program, target) = (program()?, target.to_string());
    let command =
        [&*program, "serve", "--server", name, "--target", &target, "--listen", "127.0.0.1:0"];
    Ok(sides.start(&command.map(str::to_owned), BOUND)?)
}

/// What wrk asks through the proxies, on this thread's core. Fails with why there is nothing to ask.
fn service_behind() -> Result<Server, String> {
    let (name, _) =
        servers::http().next().ok_or("not measured, built without the feature `peers`")?;
    if !wrk::is_there() {
        return Err(wrk::MISSING.into());
    }
    let program = program().map_err(|error| error.to_string())?;
    let command = [&*program, "serve", "--http", "--server", name, "--listen", "127.0.0.1:0"];
    Server::start(&command.map(str::to_owned), BOUND).map_err(|error| error.to_string())
}

/// Takes everything, and says when it has come to an end.
fn sink() -> io::Result<SocketAddr> {
    serve(|mut peer| {
        let mut block = vec![0; 1 << 18];
        while peer.read(&mut block)? > 0 {}
        peer.write_all(b"!")
    })
}

/// Sends back everything.
fn echo() -> io::Result<SocketAddr> {
    serve(|peer| io::copy(&mut &peer, &mut &peer).map(drop))
}

/// One connection after the other, for as long as this process lives.
fn serve(each: fn(TcpStream) -> io::Result<()>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for peer in listener.incoming().flatten() {
            // The other end has heard of it.
            let _ = each(peer);
        }
    });
    Ok(address)
}

/// That what comes back by a proxy to an echo is what was sent.
fn check(proxy: &Server) -> Done {
    let config = Config::new(proxy.address());
    load::run(&Config { size: 1 << 20, length: Length::Rounds(2), stall: BOUND, ..config })?;
    Ok(())
}

fn bulk(proxy: &Server, mib: u32) -> Done<Sample> {
    let mut source = TcpStream::connect(proxy.address())?;
    source.set_read_timeout(Some(BOUND))?;
    let block = vec![7; 1 << 20];
    source.write_all(&block)?;
    let (begun, before) = (Instant::now(), wrk::cpu_time(proxy.pid())?);
    for _ in 0..mib {
        source.write_all(&block)?;
    }
    source.shutdown(Shutdown::Write)?;
    source.read_exact(&mut [0; 1])?;
    let (took, cost) = (begun.elapsed(), wrk::cpu_time(proxy.pid())? - before);
    let mib = f64::from(mib);
    let rate = mib / took.as_secs_f64();
    Ok(Sample { rate: Some(rate), cost: cost.as_secs_f64() * 1e3 / (mib / 1024.0) })
}

fn requests(proxy: &Server, seconds: u32) -> Done<Sample> {
    wrk::check(proxy.address(), servers::HELLO, BOUND)?;
    let report = wrk::load(proxy.pid(), proxy.address(), CONNECTIONS, seconds)?;
    Ok(Sample { rate: Some(report.per_second), cost: report.cpu_microseconds })
}
