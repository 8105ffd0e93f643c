//! A client of RESP, the protocol of Redis, with the matcher of the example `redis`: commands in one
//! write, an answer a `read_with`. Beside it a client on tokio which reads by hand.
//!
//! All talk to the same server, a thread on the other core. A figure is the CPU time of the client's
//! thread for an answer. Each answer is compared with what it has to be, by all alike.

mod futures;
mod server;
#[cfg(feature = "peers")]
mod tokio;

mod callbacks;
#[expect(dead_code, reason = "the example prints answers, and has longer ones")]
#[path = "../../../../../examples/redis/resp.rs"]
mod resp;

use std::net::SocketAddr;

use facade_benches::process::{self, Sides};
use facade_benches::servers::Named;
use facade_engine::DriverChoice;

use super::contest::{Case, Column, Contest, Done, Rules, Sample, Value, chosen};
use super::datagrams::thread_time;
use super::options::Options;
use resp::{Answer, Pipeline};

type Client = fn(SocketAddr, &Talk) -> Done;

const CLIENTS: &[(Named, Client)] = &[
    #[cfg(feature = "peers")]
    (("tokio", "tokio, BufReader by hand"), tokio::talk),
    (("callbacks-mio", "callbacks, mio"), |server, talk| {
        callbacks::talk(DriverChoice::Mio, server, talk)
    }),
    (("callbacks-uring", "callbacks, io_uring"), |server, talk| {
        callbacks::talk(DriverChoice::IoUring, server, talk)
    }),
    (("futures-mio", "futures, mio"), |server, talk| {
        futures::talk(DriverChoice::Mio, server, talk)
    }),
    (("futures-uring", "futures, io_uring"), |server, talk| {
        futures::talk(DriverChoice::IoUring, server, talk)
    }),
];

pub(crate) fn names() -> Vec<&'static str> {
    CLIENTS.iter().map(|((name, _), _)| *name).collect()
}

/// What a client does: so many pipelines one after the other, each of so many commands.
struct Talk {
    pipelines: u32,
    commands: u32,
    bytes: Pipeline,
}

impl Talk {
    fn new(pipelines: u32, commands: u32) -> Self {
        let lines: Vec<_> = (0..commands).map(|place| command(place).0).collect();
        Self { pipelines, commands, bytes: Pipeline::of_lines(&lines.join("\n")) }
    }
}

pub(crate) fn measure(options: &Options) -> Done<Contest> {
    let sides = Sides::of(&process::cores()?);
    let server = server::start(sides.server)?;
    process::pin(sides.load)?;
    let talks = [(5_000, 1), (5_000, 16), (1_250, 256)]
        .map(|(pipelines, commands)| Talk::new(options.count(pipelines), commands));
    let rules = Rules {
        about: "CPU time of the client's thread for an answer, commands in pipelines.".into(),
        cases: CASES.into(),
        rounds: options.rounds(7),
        unit: Some("ns"),
    };
    Ok(Contest::measure(rules, &chosen(CLIENTS, options), |client, place| {
        let talk = &talks[place];
        client(server, &Talk::new(2, talk.commands))?;
        let before = thread_time();
        client(server, talk)?;
        let cost = (thread_time() - before).as_secs_f64() * 1e9;
        Ok(Sample { rate: None, cost: cost / f64::from(talk.pipelines * talk.commands) })
    }))
}

const CASES: [Case; 3] = [
    Case { name: "1", columns: &[ratio("1 at a time")] },
    Case { name: "16", columns: &[ratio("pipelines of 16")] },
    Case { name: "256", columns: &[ratio("pipelines of 256")] },
];

const fn ratio(title: &'static str) -> Column {
    Column { title, value: Value::Ratio, digits: 2, ends: true }
}

/// What the value of the one key is.
const GREETING: &str = "a greeting of thirty-two letters";

/// The command at a place in a pipeline, and what its answer is.
fn command(place: u32) -> (&'static str, Answer) {
    match place % 3 {
        0 => ("GET greeting", Answer::Text(GREETING.into())),
        1 => ("STRLEN greeting", Answer::Integer(GREETING.len() as i64)),
        _ => ("PING", Answer::Text("PONG".into())),
    }
}

/// Panics if it is another answer than the command at that place has.
#[track_caller]
fn check(place: u32, answer: &Answer) {
    assert_eq!(*answer, command(place).1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clients_get_the_answers() {
        let server = server::start(process::cores().unwrap()[0]).unwrap();
        for ((name, _), client) in CLIENTS {
            for commands in [1, 7, 1000] {
                client(server, &Talk::new(3, commands)).unwrap_or_else(|error| {
                    panic!("{name}, {commands}: {error}");
                });
            }
        }
    }

    #[test]
    #[should_panic(expected = "PONG")]
    fn another_answer_is_not_taken() {
        check(2, &Answer::Integer(32));
    }
}
