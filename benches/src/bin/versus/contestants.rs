//! Who takes part: the servers of this crate, those in C and C++ if they can be compiled, and the
//! commands that the user names.

use std::env;
use std::error::Error;

use facade_benches::servers::{self, Services};

#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    /// What it is called in tables.
    pub(crate) title: String,
    pub(crate) services: Services,
    pub(crate) kind: Kind,
    pub(crate) command: Vec<String>,
}

/// Whose it is, for the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Yardstick,
    Ours,
    Peer,
}

/// Those who take part, and why others do not.
#[derive(Debug, Default)]
pub(crate) struct Field {
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) missing: Vec<String>,
    /// Versions that only a compiled server tells.
    pub(crate) versions: Vec<(String, String)>,
}

impl Field {
    /// Those that are wanted, and raw epoll.
    pub(crate) fn gather(wanted: impl Fn(&str) -> bool) -> Result<Self, Box<dyn Error>> {
        let mut field = Self::default();
        let program = env::current_exe()?.to_string_lossy().into_owned();
        for entry in servers::all() {
            if !(wanted(entry.name) || entry.name == "epoll") {
                continue;
            }
            let command = [&program, "serve", "--server", entry.name].map(str::to_owned).to_vec();
            field.contestants.push(Contestant {
                title: entry.title.to_owned(),
                services: entry.services,
                kind: kind(entry.name),
                command,
            });
        }
        field.add_natives(wanted);
        Ok(field)
    }

    #[cfg(feature = "peers")]
    fn add_natives(&mut self, wanted: impl Fn(&str) -> bool) {
        use facade_benches::peers::native::NATIVES;
        for native in NATIVES.iter().filter(|native| wanted(native.name)) {
            let built = native.build().and_then(|path| Ok((native.version(&path)?, path)));
            match built {
                Ok((version, path)) => {
                    self.versions.push((native.name.to_owned(), version));
                    self.contestants.push(Contestant {
                        title: native.name.to_owned(),
                        services: Services::Both,
                        kind: Kind::Peer,
                        command: vec![path.to_string_lossy().into_owned()],
                    });
                }
                Err(error) => self.missing.push(format!(
                    "{}: not measured, it could not be compiled (Debian package {}): {error}",
                    native.name, native.package
                )),
            }
        }
    }

    #[cfg(not(feature = "peers"))]
    fn add_natives(&mut self, _wanted: impl Fn(&str) -> bool) {
        self.missing.push("the peers: not measured, built without the feature `peers`".into());
    }
}

/// One that the user names, as `NAME=COMMAND`.
pub(crate) fn command(text: &str) -> Result<Contestant, &'static str> {
    let (name, command) = text.split_once('=').ok_or("not of the form NAME=COMMAND")?;
    let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if command.is_empty() {
        return Err("the command is empty");
    }
    Ok(Contestant { title: name.into(), services: Services::Both, kind: Kind::Ours, command })
}

fn kind(name: &str) -> Kind {
    match name {
        "epoll" | "mio" | "uring" => Kind::Yardstick,
        _ if OURS.iter().any(|style| name.starts_with(style)) => Kind::Ours,
        _ => Kind::Peer,
    }
}

/// What the names of ours begin with: their styles.
const OURS: [&str; 3] = ["callbacks", "repeating", "futures"];

/// All who could take part.
pub(crate) fn names() -> Vec<&'static str> {
    servers::all().map(|entry| entry.name).chain(native_names()).collect()
}

#[cfg(feature = "peers")]
fn native_names() -> Vec<&'static str> {
    facade_benches::peers::native::NATIVES.iter().map(|native| native.name).collect()
}

#[cfg(not(feature = "peers"))]
fn native_names() -> Vec<&'static str> {
    Vec::new()
}
