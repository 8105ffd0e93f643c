//! A server of RESP with one key, a thread for each connection: it answers all commands that came
//! together in one send.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use facade_benches::process;

use super::GREETING;

/// Serves on a core for as long as this process lives.
pub(super) fn start(core: usize) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        // Threads that it starts stay there with it.
        process::pin(core)?;
        for stream in listener.incoming() {
            let stream = stream?;
            thread::spawn(move || serve(stream));
        }
        io::Result::Ok(())
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut commands = BufReader::with_capacity(64 << 10, stream.try_clone()?);
    let (mut line, mut words, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        if commands.buffer().is_empty() {
            stream.write_all(&answers)?;
            answers.clear();
        }
        words.clear();
        for _ in 0..number(&mut commands, b'*', &mut line)? {
            let len = number(&mut commands, b'$', &mut line)?;
            let begin = words.len();
            words.resize(begin + len + 2, 0);
            commands.read_exact(&mut words[begin..])?;
        }
        match &words[..] {
            b"GET\r\ngreeting\r\n" => {
                write!(answers, "${}\r\n{GREETING}\r\n", GREETING.len())?;
            }
            b"STRLEN\r\ngreeting\r\n" => write!(answers, ":{}\r\n", GREETING.len())?,
            b"PING\r\n" => answers.extend_from_slice(b"+PONG\r\n"),
            _ => answers.extend_from_slice(b"-ERR unknown command\r\n"),
        }
    }
}

/// The number in a line of this kind.
fn number(commands: &mut impl BufRead, kind: u8, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    commands.read_until(b'\n', line)?;
    let text = line.strip_suffix(b"\r\n").and_then(|line| line.strip_prefix(&[kind]));
    let number = text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    number.filter(|&number| number <= 1 << 20).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
