//! Proxies, which copy what comes both ways: ours on each driver, tokio's `copy_bidirectional`, and
//! splice(2) by hand.

use std::{
    error::Error,
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

use facade_engine::{Callback, DriverChoice, Engine, Handle, Listener, Stream};
use rustix::pipe::{SpliceFlags, pipe, splice};

type Done<T = ()> = Result<T, Box<dyn Error>>;

/// A proxy: it takes connections of the listener to the address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) serve: fn(TcpListener, SocketAddr) -> Done,
}

/// All of them.
pub(crate) const PROXIES: &[Proxy] = &[
    #[cfg(feature = "peers")]
    Proxy { name: "tokio", title: "tokio, `copy_bidirectional`", serve: by_tokio },
    Proxy {
        name: "callbacks-mio",
        title: "ours, mio",
        serve: |listener, target| ours(DriverChoice::Mio, listener, target),
    },
    Proxy {
        name: "callbacks-uring",
        title: "ours, io_uring",
        serve: |listener, target| ours(DriverChoice::IoUring, listener, target),
    },
    Proxy {
        name: "splice",
        title: "splice(2) by hand, two blocking threads a connection",
        serve: by_splice,
    },
];

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
