//! By callbacks.

use std::net::IpAddr;

use facade_engine::{Callback, Datagram, Error, Handle, Local, UdpSocket};
use facade_examples::Result;

use crate::{PATIENCE, message::Question};

/// Asks so often, and tells the addresses or what went wrong.
pub(crate) fn resolve(
    engine: &Handle,
    socket: UdpSocket,
    question: Question,
    tries: u32,
    tell: impl FnOnce(Result<Vec<IpAddr>>) + Send + 'static,
) {
    engine.send(&socket, question.bytes(), Callback::ignore());
    listen(engine, socket, question, tries, tell);
}

fn listen(
    engine: &Handle,
    socket: UdpSocket,
    question: Question,
    tries: u32,
    tell: impl FnOnce(Result<Vec<IpAddr>>) + Send + 'static,
) {
    let again = socket.clone();
    let heard = move |engine: &Local, outcome: facade_engine::Result<Datagram>| match outcome {
        Ok(datagram) => match question.answer(&datagram) {
            Some(answer) => tell(answer),
            // Whoever sent it, it is no answer to this.
            None => listen(engine, again, question, tries, tell),
        },
        Err(Error::TimedOut) if tries > 1 => resolve(engine, again, question, tries - 1, tell),
        Err(error) => tell(Err(error.into())),
    };
    engine.recv(&socket, Callback::from_fn(heard).timeout(PATIENCE));
}
