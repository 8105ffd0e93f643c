//! Says which files appear in a folder: something that the engine has no operation for, read by hand
//! when it says that there is something. So it is with every library that has a descriptor and does
//! its own I/O.

#[cfg(target_os = "linux")]
mod watching;

use std::process::ExitCode;

const USAGE: &str = "\
usage: inotify [--style callbacks|futures] [--driver auto|mio|io_uring] FOLDER

Prints the name of each file that appears in the folder, until SIGINT or SIGTERM. Linux only.";

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use facade_examples::{Style, driver};
    facade_examples::run(
        USAGE,
        |arguments| {
            Ok((
                arguments.opt_value_from_str("--style")?.unwrap_or(Style::Callbacks),
                arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default(),
                arguments.free_from_str::<String>()?,
            ))
        },
        |(style, driver, folder)| watching::run(style, driver, &folder),
    )
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("inotify(7) is Linux's\n{USAGE}");
    ExitCode::from(2)
}
