//! The same two services on other people's libraries, each as its documentation advises, and where
//! there is a better way, that too.
//!
//! One thread, `TCP_NODELAY` from the listener, and the same sizes: what a receive takes at most
//! is `BUFFER`. *Plain* means the program that reads as one would say it: read some, write it; read
//! a line, write a line. The variants that do more for speed say so in their names.

mod compio;
mod monoio;
pub mod native;
mod smol;
mod tokio;

use std::io;

use crate::servers::{Entry, Services};

pub(crate) use tokio::plain_on as tokio_on;

/// What serves on each of them.
pub(crate) const SERVERS: [Entry; 8] = [
    Entry::new("tokio", "tokio", Services::Both, tokio::plain),
    Entry::new("tokio-try-read", "tokio, readable + try_read", Services::Echo, tokio::try_read),
    Entry::new("tokio-bufwriter", "tokio, BufWriter by hand", Services::Lines, tokio::bufwriter),
    Entry::new("tokio-codec", "tokio, LinesCodec", Services::Lines, tokio::codec),
    Entry::new("compio", "compio", Services::Both, compio::plain),
    Entry::new("compio-multishot", "compio, multishot", Services::Both, compio::multishot),
    Entry::new("monoio", "monoio", Services::Both, monoio::plain),
    Entry::new("smol", "smol", Services::Both, smol::plain),
];

/// Tells of an error that ended one connection, unless it is how connections end.
fn report(result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != io::ErrorKind::ConnectionReset
    {
        eprintln!("{error}");
    }
}

/// Makes a line as it came into one as it is answered.
fn end_with_crlf(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    line.extend_from_slice(b"\r\n");
}

/// What one receive takes at most: the largest message of the cases. An idle connection pays for
/// the pages of it that were ever used, so none is zeroed.
const BUFFER: usize = 16 * 1024;
