//! What a datagram costs on loopback, beside tokio. Client and server are in one thread, so the CPU time
//! of that thread is what sending and receiving cost on both sides; all contestants send the same
//! datagrams through the same system calls' work.

use std::{cell::Cell, error::Error, net::SocketAddr, time::Duration};

use facade_benches::process::{self, Sides};
use facade_benches::servers::Named;
use facade_engine::{
    Bytes, Callback, Datagram, DriverChoice, Engine, Handle, Local, UdpSocket as EngineSocket,
};
use facade_futures::{Io, Runtime};
use rustix::time::{ClockId, clock_gettime};

use super::contest::{Case, Column, Contest, Done, Rules, Sample, Value, chosen};
use super::options::Options;

const HERE: &str = "127.0.0.1:0";
const BODY: &[u8] = b"a datagram of sixty-four bytes, which comes back as it was sent.";

type Contestant = fn(&Load) -> Result<(), Box<dyn Error>>;

const CONTESTANTS: &[(Named, Contestant)] = &[
    #[cfg(feature = "peers")]
    (("tokio", "tokio"), on_tokio),
    (("callbacks-mio", "callbacks, mio"), |load| on_callbacks(DriverChoice::Mio, load)),
    (("callbacks-uring", "callbacks, io_uring"), |load| on_callbacks(DriverChoice::IoUring, load)),
    (("futures-mio", "futures, mio"), |load| on_futures(DriverChoice::Mio, load)),
    (("futures-uring", "futures, io_uring"), |load| on_futures(DriverChoice::IoUring, load)),
];

pub(crate) fn names() -> Vec<&'static str> {
    CONTESTANTS.iter().map(|((name, _), _)| *name).collect()
}

/// How many clients ask one server, each how many questions at a time, and how often.
struct Load {
    clients: u32,
    window: u32,
    rounds: u32,
}

pub(crate) fn measure(options: &Options) -> Done<Contest> {
    process::pin(Sides::of(&process::cores()?).load)?;
    let datagrams = options.count(200_000);
    let rules = Rules {
        about: format!(
            "{datagrams} datagrams of {} bytes, questions and answers, client and server in one \
             thread: its CPU time for one that was sent and received.",
            BODY.len()
        ),
        cases: CASES.into(),
        rounds: options.rounds(7),
        unit: Some("ns"),
    };
    Ok(Contest::measure(rules, &chosen(CONTESTANTS, options), |contestant, place| {
        let (clients, window) = LOADS[place];
        // What it does wrong it does wrong at once.
        contestant(&Load { clients, window, rounds: 3 })?;
        let at_a_time = clients * window;
        let load = Load { clients, window, rounds: datagrams / (2 * at_a_time) };
        let before = thread_time();
        contestant(&load)?;
        let cost = (thread_time() - before).as_secs_f64() * 1e9;
        // A question and its answer are two.
        Ok(Sample { rate: None, cost: cost / f64::from(2 * at_a_time * load.rounds) })
    }))
}

/// Clients, and how many questions each asks at a time.
const LOADS: [(u32, u32); 3] = [(1, 1), (32, 1), (1, 32)];

const CASES: [Case; 3] = [
    Case { name: "1", columns: &[ratio("1 at a time")] },
    Case { name: "32 clients", columns: &[ratio("32 clients")] },
    Case { name: "bursts of 32", columns: &[ratio("bursts of 32")] },
];

const fn ratio(title: &'static str) -> Column {
    Column { title, value: Value::Ratio, digits: 2, ends: true }
}

/// The CPU time of this thread.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("time passes")
}

// Callbacks

fn on_callbacks(driver: DriverChoice, load: &Load) -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder().driver(driver).build()?;
    let server = engine.bind_udp(HERE)?;
    serve(&engine, server.clone());
    LEFT.set(load.clients);
    for _ in 0..load.clients {
        let client = engine.connect_udp(server.local_addr()?)?;
        ask(&engine, client, load.window, load.rounds);
    }
    engine.run()?;
    Ok(())
}

thread_local! {
    /// How many clients are not done.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

fn serve(engine: &Handle, socket: EngineSocket) {
    let again = socket.clone();
    let next = move |engine: &Local, Datagram { bytes, from, .. }: Datagram| {
        engine.send_to(&again, bytes, from, Callback::ignore());
        serve(engine, again);
    };
    // It ends with the engine.
    engine.recv_from(&socket, Callback::new(next, |_, _| ()));
}

fn ask(engine: &Handle, socket: EngineSocket, window: u32, left: u32) {
    for _ in 0..window {
        engine.send(&socket, Bytes::from_static(BODY), Callback::ignore());
    }
    hear(engine, socket, window, window, left);
}

fn hear(engine: &Handle, socket: EngineSocket, window: u32, missing: u32, left: u32) {
    let again = socket.clone();
    let next = move |engine: &Local, datagram: Datagram| {
        assert_eq!(datagram.bytes, BODY);
        match (missing, left) {
            (2.., _) => hear(engine, again, window, missing - 1, left),
            (_, 2..) => ask(engine, again, window, left - 1),
            _ if LEFT.replace(LEFT.get() - 1) == 1 => engine.stop(),
            _ => {}
        }
    };
    engine.recv(&socket, Callback::new(next, |_, error| panic!("{error}")));
}

// Futures

fn on_futures(driver: DriverChoice, load: &Load) -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::from(Engine::builder().driver(driver).build()?);
    let io = runtime.io().clone();
    let server = io.bind_udp(HERE)?;
    let address = server.local_addr()?;
    let _serving = runtime.spawn(async move {
        loop {
            let datagram = server.recv_from().await.expect("it goes on");
            server.send_to(datagram.bytes, datagram.from).await.expect("there is room");
        }
    });
    runtime.block_on(async {
        let (window, rounds) = (load.window, load.rounds);
        let clients: Vec<_> = (0..load.clients)
            .map(|_| io.spawn(client(io.clone(), address, window, rounds)))
            .collect();
        for client in clients {
            client.await?;
        }
        facade_engine::Result::Ok(())
    })?;
    Ok(())
}

async fn client(io: Io, server: SocketAddr, window: u32, rounds: u32) -> facade_engine::Result<()> {
    let socket = io.connect_udp(server)?;
    for _ in 0..rounds {
        for _ in 0..window {
            socket.send(Bytes::from_static(BODY)).await?;
        }
        for _ in 0..window {
            assert_eq!(socket.recv().await?.bytes, BODY);
        }
    }
    Ok(())
}

// tokio

#[cfg(feature = "peers")]
fn on_tokio(load: &Load) -> Result<(), Box<dyn Error>> {
    use std::io;
    use tokio::net::UdpSocket;

    async fn client(server: SocketAddr, window: u32, rounds: u32) -> io::Result<()> {
        let socket = UdpSocket::bind(HERE).await?;
        socket.connect(server).await?;
        let mut buffer = vec![0; 65_536];
        for _ in 0..rounds {
            for _ in 0..window {
                socket.send(BODY).await?;
            }
            for _ in 0..window {
                let len = socket.recv(&mut buffer).await?;
                assert_eq!(&buffer[..len], BODY);
            }
        }
        Ok(())
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let server = UdpSocket::bind(HERE).await?;
        let address = server.local_addr()?;
        let serving = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let (len, from) = server.recv_from(&mut buffer).await.expect("it goes on");
                server.send_to(&buffer[..len], from).await.expect("there is room");
            }
        });
        let clients: Vec<_> = (0..load.clients)
            .map(|_| tokio::spawn(client(address, load.window, load.rounds)))
            .collect();
        for client in clients {
            client.await??;
        }
        serving.abort();
        Result::<(), Box<dyn Error>>::Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_answers_every_load() {
        for ((name, _), contestant) in CONTESTANTS {
            for (clients, window) in LOADS {
                let answered = contestant(&Load { clients, window, rounds: 5 });
                answered.unwrap_or_else(|error| panic!("{name}, {clients}, {window}: {error}"));
            }
        }
    }
}
