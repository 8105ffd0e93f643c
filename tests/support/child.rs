//! What tests start as a child. `cat` copies its input to its output, `echo` says its argument,
//! `exit` ends with it as its code when its input has, `wait` reads nothing until it is killed.

use std::{
    env,
    io::{self, Write, stdin, stdout},
    process, thread,
};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    match arguments.next().as_deref() {
        Some("cat") => io::copy(&mut stdin().lock(), &mut stdout().lock()).map(drop),
        Some("echo") => {
            let words = arguments.next().unwrap_or_default();
            stdout().write_all(format!("{words}\n").as_bytes())
        }
        Some("exit") => {
            io::copy(&mut stdin().lock(), &mut io::sink())?;
            let code = arguments.next().and_then(|code| code.parse().ok());
            process::exit(code.unwrap_or_default());
        }
        Some("wait") => loop {
            thread::park();
        },
        other => Err(io::Error::other(format!("{other:?} is nothing that this does"))),
    }
}
