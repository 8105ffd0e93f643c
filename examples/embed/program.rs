//! What the loops and both styles share: arguments, and the program that has a timer of the loop and
//! streams of the engine.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    process::ExitCode,
    rc::Rc,
    str::FromStr,
    time::Duration,
};

use facade_engine::{Callback, DriverChoice, Engine, Local, Stream};
use facade_examples::{Result, Style, driver, say, signals};
use facade_futures::Runtime;

use crate::{callbacks, futures, in_calloop, in_mio};

const USAGE: &str = "\
usage: embed --loop calloop|mio [--style callbacks|futures] [--driver auto|mio|io_uring|iocp]
             [--tick SECONDS] [--patience SECONDS] --listen ADDR:PORT

The loop's timer ticks each SECONDS, else each one, and every client is told. The engine sends back
their lines, and shows out who says nothing for SECONDS, else 30. Ends on SIGINT and SIGTERM.";

#[derive(Debug, Clone, Copy)]
enum Loop {
    Calloop,
    Mio,
}

impl FromStr for Loop {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "calloop" => Ok(Self::Calloop),
            "mio" => Ok(Self::Mio),
            _ => Err(format!("{name:?} is no loop: calloop or mio")),
        }
    }
}

/// The state of the program, which all of it shares on one thread.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) tick: Duration,
    pub(crate) patience: Duration,
    ticks: Cell<u64>,
    clients: RefCell<Vec<Stream>>,
    over: Cell<bool>,
}

impl Program {
    /// What the loop's timer does: it uses the engine as any callback would.
    pub(crate) fn tick(&self, engine: &Local) {
        self.ticks.set(self.ticks.get() + 1);
        for client in &*self.clients.borrow() {
            let tick = format!("tick {}", self.ticks.get());
            engine.write_line(client, tick, Callback::ignore());
        }
    }

    pub(crate) fn enter(&self, client: &Stream) {
        self.clients.borrow_mut().push(client.clone());
    }

    pub(crate) fn leave(&self, client: &Stream) {
        self.clients.borrow_mut().retain(|other| other != client);
    }

    pub(crate) fn end(&self) {
        self.over.set(true);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }
}

struct Options {
    inside: Loop,
    style: Style,
    driver: DriverChoice,
    tick: Duration,
    patience: Duration,
    listen: SocketAddr,
}

pub(crate) fn run() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            let mut seconds = |name, default| {
                let seconds = arguments.opt_value_from_str(name)?;
                Result::<_, pico_args::Error>::Ok(Duration::from_secs_f32(
                    seconds.unwrap_or(default),
                ))
            };
            Ok(Options {
                tick: seconds("--tick", 1.0)?,
                patience: seconds("--patience", 30.0)?,
                inside: arguments.value_from_str("--loop")?,
                style: arguments.opt_value_from_str("--style")?.unwrap_or(Style::Callbacks),
                driver: arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default(),
                listen: arguments.value_from_str("--listen")?,
            })
        },
        work,
    )
}

fn work(Options { inside, style, driver, tick, patience, listen }: Options) -> Result<()> {
    let engine = Engine::builder().driver(driver).build()?;
    let signals = signals(&engine)?;
    let listener = engine.listen(listen)?;
    say(format_args!("listening on {}", listener.local_addr()?))?;
    let program = Program {
        tick,
        patience,
        ticks: Cell::default(),
        clients: RefCell::default(),
        over: Cell::default(),
    };
    let program = Rc::new(program);
    // The runtime is of use to futures only; its engine is the one that there is.
    let runtime = Runtime::from(engine);
    match style {
        Style::Callbacks => callbacks::serve(runtime.engine(), &listener, &signals, &program),
        Style::Futures => futures::serve(&runtime, listener, signals, &program),
    }
    match inside {
        Loop::Calloop => in_calloop::run(runtime.engine(), &program),
        Loop::Mio => in_mio::run(runtime.engine(), &program),
    }
}
