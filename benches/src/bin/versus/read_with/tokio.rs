//! On tokio, by hand: a line by a `BufReader`, and what it announces.

use std::io;
use std::net::SocketAddr;

use facade_engine::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::resp::Answer;
use super::{Done, Talk, check};

pub(super) fn talk(server: SocketAddr, talk: &Talk) -> Done {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        for _ in 0..talk.pipelines {
            stream.write_all(&talk.bytes.bytes).await?;
            for place in 0..talk.commands {
                check(place, &answer(&mut stream, &mut line).await?);
            }
        }
        Ok(())
    })
}

/// The three kinds of answers that there are here.
async fn answer(stream: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> io::Result<Answer> {
    let nonsense = || io::Error::from(io::ErrorKind::InvalidData);
    line.clear();
    stream.read_until(b'\n', line).await?;
    let line = line.strip_suffix(b"\r\n").ok_or_else(nonsense)?;
    let (kind, text) = line.split_first().ok_or_else(nonsense)?;
    let number = || std::str::from_utf8(text).ok()?.parse::<i64>().ok();
    match kind {
        b'+' => Ok(Answer::Text(Bytes::copy_from_slice(text))),
        b':' => Ok(Answer::Integer(number().ok_or_else(nonsense)?)),
        b'$' => {
            let len = number().and_then(|number| usize::try_from(number).ok());
            let len = len.filter(|&len| len <= 1 << 20).ok_or_else(nonsense)?;
            let mut text = vec![0; len + 2];
            stream.read_exact(&mut text).await?;
            text.truncate(len);
            Ok(Answer::Text(text.into()))
        }
        _ => Err(nonsense()),
    }
}
