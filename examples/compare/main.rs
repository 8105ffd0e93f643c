//! The same service and the same client over the same engine, by callbacks and by futures: that
//! they behave alike, what they look like, and what they cost.

mod bare;
mod callbacks;
mod futures;
mod measure;
mod service;
mod transcript;

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::ExitCode,
};

use facade_engine::Engine;
use facade_examples::{Result, say};

use crate::{
    measure::{Figures, Serve, Server},
    transcript::Transcript,
};

const USAGE: &str = "\
usage: compare

Runs a line service and a client of it in both styles, checks that all transcripts are identical,
shows what the styles look like, and prints what they cost. Takes about ten seconds.";

/// The services, by the names that are printed.
const SERVERS: [(&str, Serve); 3] = [
    ("callbacks", |listener, stop| Ok(callbacks::serve(listener, stop)?)),
    ("futures", |listener, stop| Ok(futures::serve(listener, stop)?)),
    ("bare mio", |listener, stop| Ok(bare::serve(listener, stop)?)),
];

type Visit = fn(SocketAddr) -> facade_engine::Result<Transcript>;
const CLIENTS: [(&str, Visit); 2] = [("callbacks", callbacks::visit), ("futures", futures::visit)];

const SOURCES: [(&str, &str); 3] = [
    ("callbacks", include_str!("callbacks.rs")),
    ("futures", include_str!("futures.rs")),
    ("bare mio", include_str!("bare.rs")),
];

/// Parts the service from the client in a source.
const CLIENT: &str = "// ---- The client.";

/// The steps of the client's session that are shown, by the names of their functions.
const STEPS: [(&str, &str); 4] = [
    ("chain", "Chain: connect and expect a line are one operation, with a callback a stage"),
    ("timeout", "Timeout: a read with a deadline; the half line that came stays unread"),
    ("cancel", "Cancel: ends a read that waits"),
    ("let_go", "Nothing lost: the read has taken its line, but nobody takes it from the read"),
];

fn main() -> ExitCode {
    facade_examples::run(USAGE, |_| Ok(()), |()| compare())
}

fn compare() -> Result<()> {
    say(format_args!("one engine, driver {}\n", Engine::new()?.driver()))?;
    show_styles()?;
    check_transcripts()?;
    show_figures()?;
    say("transcripts identical: yes")?;
    Ok(())
}

/// Prints how each style writes the steps that differ most.
fn show_styles() -> Result<()> {
    for (name, title) in STEPS {
        say(format_args!("{title}\n"))?;
        for (style, source) in &SOURCES[..2] {
            say(format_args!("    // {style}"))?;
            for line in function(source, name)?.lines() {
                say(format_args!("    {line}"))?;
            }
            say("")?;
        }
    }
    Ok(())
}

/// Runs each client against each service, and fails if any two transcripts differ.
fn check_transcripts() -> Result<()> {
    let mut visits = Vec::new();
    let mut sessions = Vec::new();
    for (server_name, serve) in SERVERS {
        let server = Server::start(serve)?;
        for (client_name, visit) in CLIENTS {
            let name = format!("{client_name} client, {server_name} service");
            visits.push((name, visit(server.address)?.text().into_bytes()));
        }
        sessions.push((format!("{server_name} service"), raw_session(server.address)?));
        server.stop()?;
    }
    say("The session as every client has seen it (> sent, < received, ! happened)\n")?;
    for line in String::from_utf8_lossy(&visits[0].1).lines() {
        let (begin, more) =
            line.split_at_checked(72).map_or((line, ""), |(begin, _)| (begin, "..."));
        say(format_args!("    {begin}{more}"))?;
    }
    say("")?;
    same("transcript", &visits)?;
    same("what goes over the wire", &sessions)?;
    say("")?;
    Ok(())
}

/// Every byte that a service sends to someone who says it all at once, as it comes.
fn raw_session(address: SocketAddr) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for words in transcript::parting() {
        let mut client = TcpStream::connect(address)?;
        client.set_read_timeout(Some(transcript::PATIENCE))?;
        client.write_all(words.as_bytes())?;
        client.shutdown(Shutdown::Write)?;
        client.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn same(what: &str, records: &[(String, Vec<u8>)]) -> Result<()> {
    let (first_name, first) = &records[0];
    for (name, record) in records {
        if record == first {
            say(format_args!("{what}, {} bytes: {name}", record.len()))?;
            continue;
        }
        say(format_args!("{what} of {first_name}:\n{}", String::from_utf8_lossy(first)))?;
        say(format_args!("{what} of {name}:\n{}", String::from_utf8_lossy(record)))?;
        say("transcripts identical: no")?;
        return Err(format!("{what}: {name} differs from {first_name}").into());
    }
    Ok(())
}

fn show_figures() -> Result<()> {
    let mut figures = measure::servers(SERVERS.map(|(_, serve)| serve))?;
    figures[0].engine = Some(measure::engine_by_callbacks()?);
    figures[1].engine = Some(measure::engine_by_futures()?);
    let row = |name: &str, cell: &dyn Fn(usize) -> String| {
        say(format_args!("{name:<44}{:>12}{:>12}{:>12}", cell(0), cell(1), cell(2)))
    };
    let figure = |of: &dyn Fn(&Figures) -> String| figures.each_ref().map(of);

    row("", &|style| SERVERS[style].0.to_owned())?;
    let cells = figure(&|figures| thousands(figures.round_trips));
    row("round trips/s, 16 connections", &|style| cells[style].clone())?;
    let cells = figure(&|figures| thousands(figures.lines));
    row("lines/s, 4 connections, bursts of 16", &|style| cells[style].clone())?;
    let cells = figure(&|figures| {
        figures.engine.map_or_else(|| "-".to_owned(), |engine| engine.as_nanos().to_string())
    });
    row("ns of engine per operation (1)", &|style| cells[style].clone())?;
    let cells = figure(&|figures| format!("{:.2}", figures.allocations));
    row("allocations per operation (2)", &|style| cells[style].clone())?;
    row("lines of code, service (3)", &|style| lines_of_code(style, 0))?;
    row("lines of code, client (3)", &|style| lines_of_code(style, 1))?;
    say("
Server and client are a thread each; medians of interleaved rounds; lines of 64 bytes.
(1) a read_line of a line that has been received: submit, match, call back or poll; no system call
(2) by the server's thread, whatever it did; an operation is a line read or a reply written
(3) without comments, blank lines and what all share
")?;
    Ok(())
}

/// Counts the lines of code in a part of a source: 0 is the service, 1 the client.
fn lines_of_code(style: usize, part: usize) -> String {
    let Some(part) = SOURCES[style].1.split(CLIENT).nth(part) else { return "-".to_owned() };
    let code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    part.lines().filter(code).count().to_string()
}

/// The source of a function of this name, without its documentation.
fn function<'source>(source: &'source str, name: &str) -> Result<&'source str> {
    let begin =
        ["\nfn ", "\nasync fn "].iter().find_map(|kind| source.find(&format!("{kind}{name}(")));
    let begin = begin.ok_or_else(|| format!("no function {name}"))? + 1;
    let end = source[begin..].find("\n}\n").ok_or_else(|| format!("{name} has no end"))?;
    Ok(&source[begin..begin + end + 2])
}

fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
