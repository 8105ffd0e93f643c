//! What a datagram costs: a million of them on loopback, beside tokio. Client and server are in one
//! thread, so the CPU time of that thread is what sending and receiving cost on both sides; all
//! contestants send the same datagrams through the same system calls' work.
//!
//! Tables of Markdown: CPU time for a datagram sent and received, and as a multiple of tokio's in the
//! same round, the median of the rounds with the least and the greatest.
//!
//!     cargo run --release -p facade-benches --features peers --bin datagrams -- [ROUNDS] [DATAGRAMS]

use std::{
    cell::Cell,
    env,
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Datagram, DriverChoice, Engine, Handle, Local, UdpSocket as EngineSocket,
};
use facade_futures::{Io, Runtime};
use rustix::time::{ClockId, clock_gettime};

const HERE: &str = "127.0.0.1:0";
const BODY: &[u8] = &[7; 64];

type Contest = fn(&Load) -> Result<(), Box<dyn Error>>;

/// How many clients ask one server, each how many questions at a time, and how often.
struct Load {
    name: &'static str,
    clients: usize,
    window: usize,
    rounds: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let rounds: usize = args.next().map_or(Ok(7), |text| text.parse())?;
    let datagrams: usize = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let contestants: &[(&str, Contest)] = &[
        #[cfg(feature = "peers")]
        ("tokio", on_tokio),
        ("callbacks, mio", |load| on_callbacks(DriverChoice::Mio, load)),
        ("callbacks, io_uring", |load| on_callbacks(DriverChoice::IoUring, load)),
        ("futures, mio", |load| on_futures(DriverChoice::Mio, load)),
        ("futures, io_uring", |load| on_futures(DriverChoice::IoUring, load)),
    ];
    // A question and its answer are two.
    let loads = [("1 at a time", 1, 1), ("32 clients", 32, 1), ("bursts of 32", 1, 32)].map(
        |(name, clients, window)| Load {
            name,
            clients,
            window,
            rounds: datagrams / (2 * clients * window),
        },
    );
    let mut out = io::stdout().lock();
    for load in &loads {
        let sent = 2 * load.clients * load.window * load.rounds;
        let mut times = vec![Vec::new(); contestants.len()];
        for _ in 0..rounds {
            for ((_, contest), times) in contestants.iter().zip(&mut times) {
                let before = thread_time();
                contest(load)?;
                let took = thread_time() - before;
                times.push(took.as_secs_f64() * 1e9 / f64::from(u32::try_from(sent)?));
            }
        }
        writeln!(
            out,
            "| {}, {sent} datagrams of {} bytes | ns | of tokio's |",
            load.name,
            BODY.len()
        )?;
        writeln!(out, "|---|--:|--:|")?;
        for ((name, _), own) in contestants.iter().zip(&times) {
            let ratios: Vec<_> =
                own.iter().zip(&times[0]).map(|(own, first)| own / first).collect();
            let (ns, _, _) = spread(own);
            let (median, least, most) = spread(&ratios);
            writeln!(out, "| {name} | {ns:.0} | {median:.2} ({least:.2} to {most:.2}) |")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The median, the least and the greatest.
fn spread(figures: &[f64]) -> (f64, f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1])
}

fn thread_time() -> Duration {
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
    static LEFT: Cell<usize> = const { Cell::new(0) };
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

fn ask(engine: &Handle, socket: EngineSocket, window: usize, left: usize) {
    for _ in 0..window {
        engine.send(&socket, Bytes::from_static(BODY), Callback::ignore());
    }
    hear(engine, socket, window, window, left);
}

fn hear(engine: &Handle, socket: EngineSocket, window: usize, missing: usize, left: usize) {
    let again = socket.clone();
    let next = move |engine: &Local, datagram: Datagram| {
        assert_eq!(datagram.bytes.len(), BODY.len());
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

async fn client(
    io: Io,
    server: SocketAddr,
    window: usize,
    rounds: usize,
) -> facade_engine::Result<()> {
    let socket = io.connect_udp(server)?;
    for _ in 0..rounds {
        for _ in 0..window {
            socket.send(Bytes::from_static(BODY)).await?;
        }
        for _ in 0..window {
            assert_eq!(socket.recv().await?.bytes.len(), BODY.len());
        }
    }
    Ok(())
}

// tokio

#[cfg(feature = "peers")]
fn on_tokio(load: &Load) -> Result<(), Box<dyn Error>> {
    use tokio::net::UdpSocket;

    async fn client(server: SocketAddr, window: usize, rounds: usize) -> io::Result<()> {
        let socket = UdpSocket::bind(HERE).await?;
        socket.connect(server).await?;
        let mut buffer = vec![0; 65_536];
        for _ in 0..rounds {
            for _ in 0..window {
                socket.send(BODY).await?;
            }
            for _ in 0..window {
                assert_eq!(socket.recv(&mut buffer).await?, BODY.len());
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
