//! The load generator as a program: arguments in, report out, non-zero exit on the first wrong
//! byte.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use facade_benches::load::{self, Config, Hold, Length, LineEnd, Mode};
use facade_benches::process;
use pico_args::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    let mut out = std::io::stdout().lock();
    let done = if arguments.contains(["-h", "--help"]) {
        out.write_all(HELP.as_bytes()).map_err(Box::from)
    } else {
        run(arguments, &mut out)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("load: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Arguments, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let json = arguments.contains("--json");
    let config = config(&mut arguments)?;
    let unknown = arguments.finish();
    if !unknown.is_empty() {
        return Err(format!("unknown arguments: {unknown:?}").into());
    }
    process::raise_file_limit()?;
    let report = load::run(&config)?;
    if json {
        writeln!(out, "{}", report.to_json())?
    } else {
        writeln!(out, "{report}")?
    }
    Ok(())
}

fn config(arguments: &mut Arguments) -> Result<Config, pico_args::Error> {
    let mut config = Config::new(arguments.value_from_str("--connect")?);
    if let Some(mode) = arguments.opt_value_from_fn("--mode", mode)? {
        config.mode = mode;
    }
    if let Some(connections) = arguments.opt_value_from_str("--connections")? {
        config.connections = connections;
    }
    if let Some(size) = arguments.opt_value_from_str("--size")? {
        config.size = size;
    }
    if let Some(burst) = arguments.opt_value_from_str("--burst")? {
        config.burst = burst;
    }
    if let Some(end) = arguments.opt_value_from_fn("--reply-end", line_end)? {
        config.reply_end = end;
    }
    config.hold = Hold::StdinEnds;
    if let Some(time) = arguments.opt_value_from_fn("--seconds", seconds)? {
        config.length = Length::Time(time);
        config.hold = Hold::Time(time);
    }
    if let Some(rounds) = arguments.opt_value_from_str("--rounds")? {
        config.length = Length::Rounds(rounds);
    }
    if let Some(stall) = arguments.opt_value_from_fn("--stall", seconds)? {
        config.stall = stall;
    }
    config.server_pid = arguments.opt_value_from_str("--server-pid")?;
    Ok(config)
}

fn mode(name: &str) -> Result<Mode, &'static str> {
    use Mode::{Burst, Churn, Echo, Idle, Lines, Mix, Slow};
    [Echo, Lines, Burst, Churn, Idle, Mix, Slow]
        .into_iter()
        .find(|mode| mode.name() == name)
        .ok_or("not one of echo, lines, burst, churn, idle, mix, slow")
}

fn line_end(name: &str) -> Result<LineEnd, &'static str> {
    match name {
        "crlf" => Ok(LineEnd::Crlf),
        "lf" => Ok(LineEnd::Lf),
        _ => Err("neither crlf nor lf"),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

const HELP: &str = "\
Puts a checked load on an echo or line service.

usage: load --connect ADDR [options]

  --mode MODE        echo   SIZE bytes come back unchanged (default)
                     lines  a line of SIZE bytes with its LF comes back with the service's end
                     burst  the same, BURST lines in one send
                     churn  connect, one line, its answer, close
                     idle   connections are opened, held, and proved to live by a line each
                     mix    one connection sends bursts of lines without a pause, the others
                            a line now and then: tells how long these wait
                     slow   bytes are sent and no answer is read until no more are taken
  --connections N    connections at a time (1)
  --size BYTES       of a message, or of a line with its LF (64)
  --burst K          lines a send (16)
  --reply-end END    crlf for line services (default), lf for echo services
  --seconds S        length of the measured part (1); how long idle holds
                     (without it, until standard input ends)
  --rounds R         messages on each connection, instead of a time
  --stall S          give up after so long without any answer (10)
  --server-pid PID   also tell the CPU time, or with idle the memory, of the server
  --json             one JSON object instead of text
";
