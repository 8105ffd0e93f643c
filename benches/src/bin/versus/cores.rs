//! What a second core brings: a server and its clients on one core, and on two.
//!
//! The clients have no machine of their own, so they are on the same cores, in all cases alike:
//! each core has one thread of a server and one generator with its connections. What server and
//! clients do together on two cores can be no more than two servers do that have nothing to do with
//! each other, which is measured as well: once with clients that are half on the other core, as
//! they are where the system spreads the connections of one address, and once with clients on their
//! server's core.
//!
//! Others may use the machine, too. So what counts is the work for the CPU time that server and
//! clients had. That would not show if they waited for each other; the time in which the cores were
//! idle does.

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::{env, process as own};

use facade_benches::load::{self, Config, Gate, Length};
use facade_benches::process::{self, Server};
use facade_benches::several::{SEVERAL, Several};
use serde_json::{Map, Value, json};

use super::figures::Spread;
use super::json;
use super::machine::Machine;
use super::options::Options;
use super::progress::Progress;

/// What is measured, and how often.
pub(crate) struct Plan {
    servers: Vec<&'static Several>,
    rounds: usize,
    length: Duration,
    cores: [usize; 2],
}

/// All who could take part.
pub(crate) fn names() -> Vec<&'static str> {
    SEVERAL.iter().map(|server| server.name).collect()
}

/// Connections of a core.
const CONNECTIONS: [usize; 2] = [64, 1000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setup {
    /// One core, one thread.
    One,
    /// Two cores, one server with two threads.
    Two,
    /// The same, and a connection that comes in on a core goes to the thread there.
    Steered,
    /// Two cores, two servers; of the clients of a server half are on the other core.
    Apart,
    /// Two cores, two servers; a server's clients are on its core.
    Islands,
}

const SETUPS: [Setup; 5] = [Setup::One, Setup::Two, Setup::Steered, Setup::Apart, Setup::Islands];

/// What came of one measurement.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Round trips a second, had server and clients all of the cores' time.
    rate: f64,
    /// CPU time of the server for a round trip, in microseconds.
    server: f64,
    /// What part of the server's CPU time its busiest thread used.
    busiest: f64,
    /// What part of the cores' time server and clients used.
    used: f64,
    /// What part of it nobody used.
    idle: f64,
}

impl Plan {
    pub(crate) fn new(options: &Options) -> Result<Self, Box<dyn Error>> {
        let servers = SEVERAL.iter().filter(|server| options.wants(server.name, true)).collect();
        let [first, second, ..] = process::cores()?[..] else {
            return Err("this takes two cores".into());
        };
        let (rounds, length) = (options.rounds(5), options.length(Duration::from_secs(1)));
        Ok(Self { servers, rounds, length, cores: [first, second] })
    }

    /// Measures and tells. Returns each single measurement.
    pub(crate) fn run(self, out: &mut impl Write) -> Result<Value, Box<dyn Error>> {
        let mut machine = Machine::look();
        let rows: Vec<_> = self
            .servers
            .iter()
            .flat_map(|&server| CONNECTIONS.map(|connections| (server, connections)))
            .collect();
        let mut samples: Vec<Samples> = rows.iter().map(|_| Default::default()).collect();
        let mut progress = Progress::new(self.rounds * rows.len() * SETUPS.len());
        for round in 0..self.rounds {
            for (&(server, connections), samples) in rows.iter().zip(&mut samples) {
                // Another begins each round: what follows a pause has no advantage.
                for place in (0..SETUPS.len()).map(|place| (place + round) % SETUPS.len()) {
                    let setup = SETUPS[place];
                    if setup == Setup::Steered && !server.steers {
                        continue;
                    }
                    progress.step(&format!("{}, {connections}, {setup:?}", server.title));
                    samples[place].push(self.measure(server, setup, connections)?);
                }
            }
        }
        progress.done();
        machine.look_again();
        self.tell(&machine, &rows, &samples, out)?;
        Ok(self.json(&machine, &rows, &samples))
    }

    fn measure(
        &self,
        server: &Several,
        setup: Setup,
        connections: usize,
    ) -> Result<Sample, Box<dyn Error>> {
        let cores = if setup == Setup::One { &self.cores[..1] } else { &self.cores[..] };
        let servers = match setup {
            Setup::One | Setup::Two => vec![start(server, cores, false)?],
            Setup::Steered => vec![start(server, cores, true)?],
            Setup::Apart | Setup::Islands => {
                cores.iter().map(|&core| start(server, &[core], false)).collect::<Result<_, _>>()?
            }
        };
        let gate = Gate::new(cores.len() + 1);
        let generators = cores.iter().enumerate().map(|(place, &core)| {
            let own = if setup == Setup::Islands { place } else { 0 };
            let config = Config {
                second: (setup == Setup::Apart).then(|| servers[1].address()),
                connections,
                length: Length::Time(self.length),
                stall: BOUND,
                gate: Some(Arc::clone(&gate)),
                ..Config::new(servers[own].address())
            };
            thread::spawn(move || {
                let call = "sched_setaffinity";
                process::pin(core).map_err(|source| load::Error::System { call, source })?;
                load::run(&config)
            })
        });
        let generators: Vec<_> = generators.collect();
        // If a generator fails the gate stays shut, and it says why when it is joined.
        let mut readings = Vec::new();
        if gate.pass(BOUND) {
            readings.push(Reading::take(&servers, cores)?);
            if gate.pass(BOUND + self.length) {
                readings.push(Reading::take(&servers, cores)?);
                gate.pass(BOUND);
            }
        }
        let ends = generators.into_iter().map(|one| one.join().expect("no panic in a load"));
        let (reports, failures): (Vec<_>, Vec<_>) = ends.partition(Result::is_ok);
        // Not what the others say, who have waited for the one that failed.
        let mut failures: Vec<_> = failures.into_iter().filter_map(Result::err).collect();
        failures.sort_by_key(|error| matches!(error, load::Error::Deserted));
        if let Some(error) = failures.into_iter().next() {
            return Err(format!("{}, {setup:?}: {error}", server.title).into());
        }
        let reports: Vec<_> = reports.into_iter().flatten().collect();
        let [before, after] = &readings[..] else { return Err("no gate opened".into()) };
        let operations: u64 = reports.iter().map(|report| report.operations).sum();
        let elapsed = reports.iter().map(|report| report.elapsed).max().unwrap_or_default();
        Ok(Sample::of(before, after, operations, elapsed, cores.len()))
    }

    fn json(&self, machine: &Machine, rows: &[(&Several, usize)], all: &[Samples]) -> Value {
        let rows = rows.iter().zip(all).map(|((server, connections), samples)| {
            let setups = SETUPS.iter().zip(samples).map(|(setup, samples)| {
                (format!("{setup:?}"), samples.iter().map(Sample::json).collect())
            });
            json!({
                "server": server.title,
                "connections": connections,
                "setups": setups.collect::<Map<_, Value>>(),
            })
        });
        json!({
            "machine": json::machine(machine, &[]),
            "rounds": self.rounds,
            "seconds": self.length.as_secs_f64(),
            "servers": rows.collect::<Vec<_>>(),
        })
    }

    fn tell(
        &self,
        machine: &Machine,
        rows: &[(&Several, usize)],
        samples: &[Samples],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let Machine { date, processor, kernel, command, load, .. } = machine;
        writeln!(
            out,
            "{date}, {processor}, Linux {kernel}, `versus {command}`. {} rounds of {:?}.",
            self.rounds, self.length
        )?;
        writeln!(out, "Load average before: {}, at the end: {}.\n", load.0, load.1)?;
        let median = |samples: &[Sample], value: Figure| {
            Spread::of(samples.iter().map(value)).map_or(f64::NAN, |spread| spread.median)
        };
        // Of the other setups to one core, each in its round.
        let times = |[one, others @ ..]: &Samples, value: Figure| {
            let others = others.each_ref().map(|other| {
                let ratios = other.iter().zip(one).map(|(other, one)| value(other) / value(one));
                Spread::of(ratios).map_or_else(|| "–".into(), |spread| spread.text(2))
            });
            others.join(" | ")
        };
        let percent = |all: &Samples, value: Figure| {
            let all = all.iter().filter(|one| !one.is_empty());
            let all: Vec<_> = all.map(|one| format!("{:.0}", 100.0 * median(one, value))).collect();
            all.join(", ")
        };
        writeln!(out, "{RATES}")?;
        for ((server, connections), all) in rows.iter().zip(samples) {
            let one = median(&all[0], |sample| sample.rate) / 1000.0;
            let times = times(all, |sample| sample.rate);
            writeln!(out, "| {}, {connections} | {one:.0} | {times} |", server.title)?;
        }
        writeln!(out, "\n{COSTS}")?;
        for ((server, connections), all) in rows.iter().zip(samples) {
            let one = median(&all[0], |sample| sample.server);
            let times = times(all, |sample| sample.server);
            let busiest = 100.0 * median(&all[1], |sample| sample.busiest);
            let used = percent(all, |sample| sample.used);
            let idle = percent(all, |sample| sample.idle);
            writeln!(
                out,
                "| {}, {connections} | {one:.2} | {times} | {busiest:.0} | {used} | {idle} |",
                server.title
            )?;
        }
        Ok(())
    }
}

/// One measurement's figure.
type Figure = fn(&Sample) -> f64;

/// Those of one row, by setup.
type Samples = [Vec<Sample>; SETUPS.len()];

const RATES: &str = "\
| round trips, by server and connections a core | one core, thousands/s | two engines | \
two, steered | two servers | two islands |
|---|--:|--:|--:|--:|--:|";

const COSTS: &str = "\
| server CPU a round trip | one core, µs | two engines | two, steered | two servers | \
two islands | busiest of two engines, % | cores used, % | cores idle, % |
|---|--:|--:|--:|--:|--:|--:|--:|--:|";

/// Starts a server with a thread for each core, and keeps each on its core.
fn start(server: &Several, cores: &[usize], steer: bool) -> io::Result<Server> {
    let program = env::current_exe()?.to_string_lossy().into_owned();
    let threads = cores.len().to_string();
    let command = [&*program, "serve", "--server", server.name, "--listen", "127.0.0.1:0"];
    let command = command.into_iter().chain(["--engines", &threads]).map(str::to_owned);
    let flag = steer.then(|| "--steer".to_owned());
    let started = Server::start(&command.chain(flag).collect::<Vec<_>>(), BOUND)?;
    if steer {
        // Its threads have settled themselves.
        return Ok(started);
    }
    // The first thread only waits, or accepts.
    for (place, &thread) in process::threads(started.pid())?.keys().skip(1).enumerate() {
        process::pin_thread(thread, cores[place % cores.len()])?;
    }
    process::pin_thread(started.pid(), cores[0])?;
    Ok(started)
}

/// What everybody had used at one moment.
struct Reading {
    /// Of each thread of the servers.
    servers: Vec<Duration>,
    load: Duration,
    /// Of the cores, by nobody.
    idle: Duration,
}

impl Reading {
    fn take(servers: &[Server], cores: &[usize]) -> io::Result<Self> {
        let mut times = Vec::new();
        for server in servers {
            times.extend(process::threads(server.pid())?.values().map(|thread| thread.ran));
        }
        let load = process::scheduled(own::id())?.ran;
        Ok(Self { servers: times, load, idle: process::idle(cores)? })
    }
}

impl Sample {
    fn json(&self) -> Value {
        json!({
            "rate": self.rate,
            "server_cpu_us_per_operation": self.server,
            "busiest": self.busiest,
            "used": self.used,
            "idle": self.idle,
        })
    }

    fn of(
        before: &Reading,
        after: &Reading,
        operations: u64,
        elapsed: Duration,
        cores: usize,
    ) -> Self {
        let threads = before.servers.iter().zip(&after.servers);
        let server = threads.map(|(before, after)| after.saturating_sub(*before).as_secs_f64());
        let busiest = server.clone().fold(0.0, f64::max);
        let server = server.sum::<f64>();
        let load = after.load.saturating_sub(before.load).as_secs_f64();
        let idle = after.idle.saturating_sub(before.idle).as_secs_f64();
        let (operations, cores) = (operations as f64, cores as f64);
        let time = elapsed.as_secs_f64() * cores;
        Self {
            rate: operations * cores / (server + load),
            server: server * 1e6 / operations,
            busiest: busiest / server,
            used: (server + load) / time,
            idle: idle / time,
        }
    }
}

/// Bounds each single wait.
const BOUND: Duration = Duration::from_secs(30);
