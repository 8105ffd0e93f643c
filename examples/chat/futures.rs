//! The chat by futures: a task for each connection, and a room that they share. Nothing here is `Send`,
//! and nothing needs to be.

use std::{cell::RefCell, collections::HashSet, pin::pin, rc::Rc};

use ::futures::future::{self, Either};
use facade_engine::Engine;
use facade_examples::report;
use facade_futures::{Bytes, Callback, Listener, Result, Runtime, Stream, engine};

use crate::{IDLE, here, left, said};

/// Whoever has said a name.
type Room = Rc<RefCell<HashSet<engine::Stream>>>;

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
async fn welcome(mut stream: Stream, room: Room) {
    let mut name = None;
    let outcome = talk(&mut stream, &room, &mut name).await;
    outcome.unwrap_or_else(|error| report(&error));
    room.borrow_mut().remove(stream.engine_stream());
    if let Some(name) = name {
        say(&room, None, &left(&name));
    }
}

async fn talk(stream: &mut Stream, room: &Room, name: &mut Option<Bytes>) -> Result<()> {
    stream.write_line("Your name?").await?;
    let name = name.insert(stream.read_line().timeout(IDLE).await?);
    room.borrow_mut().insert(stream.engine_stream().clone());
    say(room, None, &here(name));
    loop {
        let text = said(name, &stream.read_line().timeout(IDLE).await?);
        say(room, Some(stream.engine_stream()), &text);
        // Who says more than they read has to wait.
        stream.write_line(text).await?;
    }
}

/// Says something to everybody but one, by a callback each, so that nobody waits for anybody. Whoever
/// does not read what is said has too much unsent one day, and is shown out.
fn say(room: &Room, but: Option<&engine::Stream>, text: &Bytes) {
    for stream in room.borrow().iter().filter(|&stream| Some(stream) != but) {
        let slow = stream.clone();
        let cb = Callback::new(|_, _| (), move |engine, _| engine.abort(&slow));
        stream.handle().write_line(stream, text.clone(), cb);
    }
}
