//! Where and with what the figures were made.

use std::process::Command;
use std::{env, fs};

#[derive(Debug)]
pub(crate) struct Machine {
    /// When the measurements began, in UTC.
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) rust: String,
    /// Of the crates that take part.
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) command: String,
    /// Runnable tasks on average in the minute before, and in the last minute.
    pub(crate) load: (String, String),
}

impl Machine {
    pub(crate) fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        // All that there are: this thread may be on one of them only.
        let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let processor =
            processor.map_or("unknown", |text| text.trim_start_matches([' ', '\t', ':']));
        Self {
            date: output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            processor: processor.to_owned(),
            cores,
            kernel: read("/proc/sys/kernel/osrelease"),
            rust: output("rustc", &["--version"]),
            versions: versions(),
            command: env::args().skip(1).collect::<Vec<_>>().join(" "),
            load: (load(), String::new()),
        }
    }

    pub(crate) fn look_again(&mut self) {
        self.load.1 = load();
    }
}

/// The versions of the crates that take part, from the lock file that this was built with.
fn versions() -> Vec<(String, String)> {
    let blocks = LOCK.split("[[package]]");
    let packages = blocks.filter_map(|block| {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_matches([' ', '=', '"']).to_owned())
        };
        Some((field("name")?, field("version")?))
    });
    packages.filter(|(name, _)| CRATES.contains(&&**name)).collect()
}

fn load() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

const LOCK: &str = include_str!("../../../../Cargo.lock");

const CRATES: [&str; 8] =
    ["facade-engine", "mio", "io-uring", "tokio", "tokio-util", "compio", "monoio", "smol"];
