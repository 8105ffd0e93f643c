//! The chat by futures: a task for each connection, which reads and writes at once, and a room that
//! they share. Nothing here is `Send`, and nothing needs to be.

use std::{cell::RefCell, collections::HashMap, pin::pin, rc::Rc};

use ::futures::{
    StreamExt,
    channel::mpsc::{Sender, channel},
    future::{self, Either},
};
use facade_engine::Engine;
use facade_examples::report;
use facade_futures::{Bytes, Listener, Result, Runtime, Stream, engine};

use crate::{IDLE, here, left, said};

/// Whoever has said a name, and how to say something to them.
type Room = Rc<RefCell<HashMap<engine::Stream, Sender<Bytes>>>>;

/// How many lines may wait for somebody who does not read.
const LINES: usize = 1000;

pub(crate) fn serve(engine: Engine, listener: Listener, signals: Stream) -> Result<()> {
    let runtime = Runtime::from(engine);
    let (mut listener, mut signals) = (listener, signals);
    let room = Room::default();
    runtime.block_on(async {
        let welcoming = async {
            loop {
                let task = welcome(listener.accept().await?, Rc::clone(&room));
                runtime.spawn_local(task).detach();
            }
        };
        match future::select(pin!(welcoming), signals.read_chunk(1)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Ok(()),
        }
    })
}

/// Asks for a name, then passes on what is said under it.
async fn welcome(stream: Stream, room: Room) {
    let key = stream.engine_stream().clone();
    let mut name = None;
    let outcome = talk(stream, &room, &mut name).await;
    outcome.unwrap_or_else(|error| report(&error));
    room.borrow_mut().remove(&key);
    if let Some(name) = name {
        say(&room, &left(&name));
    }
}

async fn talk(stream: Stream, room: &Room, name: &mut Option<Bytes>) -> Result<()> {
    let key = stream.engine_stream().clone();
    let (mut reader, mut writer) = stream.into_split();
    writer.write_line("Your name?").await?;
    let name = name.insert(reader.read_line().timeout(IDLE).await?);
    let (to, mut texts) = channel(LINES);
    room.borrow_mut().insert(key, to);
    say(room, &here(name));
    let reading = async {
        loop {
            say(room, &said(name, &reader.read_line().timeout(IDLE).await?));
        }
    };
    let writing = async {
        while let Some(text) = texts.next().await {
            writer.write_line(text).await?;
        }
        Ok(())
    };
    // Whichever ends first ends the other.
    future::select(pin!(reading), pin!(writing)).await.factor_first().0
}

/// Says something to everybody. Whoever does not read what is said has no room for it one day, and
/// is shown out.
fn say(room: &Room, text: &Bytes) {
    for (stream, to) in room.borrow_mut().iter_mut() {
        if to.try_send(text.clone()).is_err() {
            stream.handle().abort(stream);
        }
    }
}
