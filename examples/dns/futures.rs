//! By futures.

use std::net::{IpAddr, SocketAddr};

use facade_examples::Result;
use facade_futures::{Error, Io};

use crate::{PATIENCE, TRIES, message::Question};

/// Asks a few times, and returns the addresses or what went wrong.
pub(crate) async fn resolve(
    io: &Io,
    server: SocketAddr,
    question: &Question,
) -> Result<Vec<IpAddr>> {
    let socket = io.connect_udp(server)?;
    for _ in 0..TRIES {
        socket.send(question.bytes()).await?;
        loop {
            match socket.recv().timeout(PATIENCE).await {
                Ok(datagram) => {
                    // Else, whoever sent it, it is no answer to this.
                    if let Some(answer) = question.answer(&datagram) {
                        return answer;
                    }
                }
                Err(Error::TimedOut) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Err(Error::TimedOut.into())
}
