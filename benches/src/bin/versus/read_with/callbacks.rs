//! By callbacks: the reads of a pipeline are submitted at once.

use std::net::SocketAddr;
use std::sync::mpsc;

use facade_engine::{Bytes, Callback, DriverChoice, Engine, Error, Local, Stream};

use super::resp::{Answer, OneAnswer};
use super::{Done, Talk, check};

pub(super) fn talk(driver: DriverChoice, server: SocketAddr, talk: &Talk) -> Done {
    let engine = Engine::builder().driver(driver).build()?;
    let (fail, failures) = mpsc::channel();
    let Talk { pipelines, commands, bytes } = talk;
    let (left, commands, bytes) = (*pipelines, *commands, bytes.bytes.clone());
    engine.connect(
        server,
        Callback::from_fn(move |engine, connected| match connected {
            Ok(stream) => ask(engine, Client { stream, commands, bytes, left, fail }),
            Err(error) => drop(fail.send(error)),
        }),
    );
    engine.run()?;
    // The first one says what went wrong.
    failures.try_recv().map_or(Ok(()), |error| Err(error.into()))
}

struct Client {
    stream: Stream,
    commands: u32,
    bytes: Bytes,
    /// How many pipelines are left.
    left: u32,
    fail: mpsc::Sender<Error>,
}

/// One pipeline; its last answer begins the next.
fn ask(engine: &Local, mut client: Client) {
    let Some(left) = client.left.checked_sub(1) else { return };
    client.left = left;
    let stream = client.stream.clone();
    // Whatever goes wrong with the write, the reads hear of.
    engine.write(&stream, client.bytes.clone(), Callback::ignore());
    let last = client.commands - 1;
    for place in 0..last {
        // The last one fails, too.
        let answered = Callback::new(move |_, answer: Answer| check(place, &answer), |_, _| ());
        engine.read_with(&stream, OneAnswer::new(), answered);
    }
    let answered = Callback::with(
        client,
        move |engine, client, answer: Answer| {
            check(last, &answer);
            ask(engine, client);
        },
        |_, client: Client, error| drop(client.fail.send(error)),
    );
    engine.read_with(&stream, OneAnswer::new(), answered);
}
