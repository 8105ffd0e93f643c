//! Servers in C and C++, compiled when they are wanted, if their libraries are there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// A library with a server in `benches/peers`.
#[derive(Clone, Copy, Debug)]
pub struct Native {
    /// What it is called on the command line and in tables.
    pub name: &'static str,
    /// The Debian package that it comes with.
    pub package: &'static str,
    compiler: &'static str,
    source: &'static str,
    file: &'static str,
    flags: &'static [&'static str],
}

/// All of them.
pub const NATIVES: [Native; 2] = [
    Native {
        name: "libuv",
        package: "libuv1-dev",
        compiler: "cc",
        source: include_str!("../../peers/libuv.c"),
        file: "libuv.c",
        flags: &["-O2", "-luv"],
    },
    Native {
        name: "Asio",
        package: "libasio-dev",
        compiler: "c++",
        source: include_str!("../../peers/asio.cpp"),
        file: "asio.cpp",
        flags: &["-O2", "-std=c++17", "-DASIO_STANDALONE", "-DNDEBUG", "-pthread"],
    },
];

impl Native {
    /// Compiles the server next to this process's program and returns where it is. One that was
    /// compiled from the same source is taken as it is.
    ///
    /// # Errors
    ///
    /// Fails with the compiler's first complaint: most likely the package is not installed.
    pub fn build(&self) -> io::Result<PathBuf> {
        let folder = folder()?;
        fs::create_dir_all(&folder)?;
        let (source, program) = (folder.join(self.file), folder.join(self.name));
        let same = fs::read_to_string(&source).is_ok_and(|text| text == self.source);
        if !(same && program.exists()) {
            // Another process may be at it: each compiles into a file of its own.
            let own = folder.join(format!("{}.{}", self.name, std::process::id()));
            fs::write(&source, self.source)?;
            self.compile(&source, &own)?;
            fs::rename(&own, &program)?;
        }
        Ok(program)
    }

    /// The library's version, told by the compiled server.
    ///
    /// # Errors
    ///
    /// Fails if the program does not run.
    pub fn version(&self, program: &Path) -> io::Result<String> {
        let output = Command::new(program).arg("--version").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn compile(&self, source: &Path, program: &Path) -> io::Result<()> {
        let mut command = Command::new(self.compiler);
        command.arg("-o").arg(program).arg(source).args(self.flags);
        let output = command
            .output()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.compiler)))?;
        if output.status.success() {
            return Ok(());
        }
        let complaints = String::from_utf8_lossy(&output.stderr);
        let first = complaints.lines().find(|line| line.contains("error"));
        Err(io::Error::other(first.unwrap_or("the compiler failed").to_owned()))
    }
}

/// In the target directory: `target/release/peers` beside `target/release/versus`.
fn folder() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let mut folder = program.parent().unwrap_or_else(|| Path::new(".")).to_owned();
    if folder.ends_with("deps") {
        folder.pop(); // a test's program
    }
    Ok(folder.join("peers"))
}
