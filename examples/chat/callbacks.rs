//! The chat by callbacks: one operation for all connections, one for all lines of each, and a room
//! that they share. Nothing here is `Send`, and nothing needs to be.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use facade_engine::{Bytes, Callback, Engine, Listener, Local, Result, Stream};
use facade_examples::report;

use crate::{IDLE, here, left, said};

/// Whoever has said a name.
type Room = Rc<RefCell<HashMap<Stream, Bytes>>>;

pub(crate) fn serve(engine: &Engine, listener: &Listener, signals: &Stream) -> Result<()> {
    let room = Room::default();
    engine.read_chunk(signals, 1, Callback::from_fn(|engine, _| engine.stop()));
    engine.each_connection(
        listener,
        move |engine, stream| welcome(engine, stream, Rc::clone(&room)),
        Callback::from_fn(|engine, _| engine.stop()),
    );
    engine.run()
}

/// Asks for a name, then passes on what is said under it.
fn welcome(engine: &Local, stream: Stream, room: Room) {
    engine.write_line(&stream, "Your name?", Callback::ignore());
    let (speaker, all) = (stream.clone(), Rc::clone(&room));
    engine.each_line(
        &stream.clone(),
        move |engine, line: Bytes| {
            let name = room.borrow().get(&stream).cloned();
            let text = match name {
                Some(name) => said(&name, &line),
                None => here(room.borrow_mut().entry(stream.clone()).or_insert(line)),
            };
            say(engine, &room, &text);
        },
        Callback::local_from_fn(engine, move |engine, outcome| {
            outcome.unwrap_or_else(|error| report(&error));
            let name = all.borrow_mut().remove(&speaker);
            if let Some(name) = name {
                say(engine, &all, &left(&name));
            }
        })
        .timeout(IDLE),
    );
}

/// Says something to everybody. Whoever does not read what is said has too much unsent one day, and
/// is shown out.
fn say(engine: &Local, room: &Room, text: &Bytes) {
    for stream in room.borrow().keys() {
        let slow = stream.clone();
        let cb = Callback::new(|_, _| (), move |engine, _| engine.abort(&slow));
        engine.write_line(stream, text.clone(), cb);
    }
}
