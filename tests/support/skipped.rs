//! What Windows has not, and which tests are left out there for it: said aloud by each run.
//!
//! The list is complete because a test of this file reads all the others. Whatever stands under a
//! `cfg` of Unix or Linux in them (a module, a test, a part of a test, a whole target) has to be in
//! the list, with as many tests as it has, and what is in the list has to stand there.

use std::io::{Write, stderr};

/// What is left out.
#[derive(Debug, Clone, Copy)]
struct Skipped {
    /// `target/module`, `target/module::test` or a whole `target`.
    what: &'static str,
    /// How many tests that are, on one driver. None is a part of one, or a driver's tests.
    tests: usize,
    why: &'static str,
}

const fn skipped(what: &'static str, tests: usize, why: &'static str) -> Skipped {
    Skipped { what, tests, why }
}

const SKIPPED: &[Skipped] = &[
    skipped("bounds/io_uring", 0, "iocp is the completion driver there"),
    skipped(
        "bounds/never_idle::KINDS",
        0,
        "nowhere does whoever connects wait for room in a backlog",
    ),
    skipped(
        "engine/addresses::a_port_is_shared_only_by_those_who_say_so",
        1,
        "the system does not share out the connections of an address",
    ),
    skipped(
        "engine/copied_files::a_terminal_has_no_end_that_could_be_handed_on",
        1,
        "there are no terminals with descriptors",
    ),
    skipped(
        "engine/each_datagram::promise_12_a_failure_comes_after_the_datagrams_before_it_and_the_socket_goes_on",
        1,
        "Wine does not tell of a port that nobody is at",
    ),
    skipped(
        "engine/descriptors",
        5,
        "handles are no small numbers with flags, and there is no SIGPIPE",
    ),
    skipped(
        "engine/children",
        11,
        "there are no zombies, no signals to processes, and no descriptors that are inherited",
    ),
    skipped("engine/devices", 17, "there are no terminals, FIFOs and devices with descriptors"),
    skipped(
        "engine/foreign_loops",
        5,
        "an engine has no descriptor that another loop could wait for",
    ),
    skipped("engine/forks", 7, "there is no fork(2)"),
    skipped(
        "engine/holders",
        4,
        "nobody else reads a pipe or a terminal by a copy of its descriptor",
    ),
    skipped("engine/io_uring", 0, "iocp is the completion driver there"),
    skipped(
        "engine/lifecycle::submit_everything",
        0,
        "nowhere does whoever connects wait for room in a backlog",
    ),
    skipped("engine/paths", 7, "there are no Unix sockets"),
    skipped("engine/procfs", 4, "there is no /proc"),
    skipped("engine/process_faults", 3, "there is no strace(1) that makes calls fail"),
    skipped("engine/ptys", 6, "no process is started in a pseudoconsole"),
    skipped("engine/setbacks", 4, "there is no strace(1) that makes calls fail"),
    skipped(
        "engine/shared_ports",
        4,
        "the system does not share out the connections of an address",
    ),
    skipped("engine/shortages", 5, "there is no setrlimit(2)"),
    skipped("engine/signals", 11, "there are no signals but what is typed at a console"),
    skipped("engine/terminals", 4, "there are no pseudo-terminals with flags that are shared"),
    skipped("engine/torture", 5, "there is no strace(1) that makes calls fail"),
    skipped("engine/udp_refusals", 3, "there is no strace(1) that makes calls fail"),
    skipped("engine/unix_datagrams", 12, "there are no Unix sockets"),
    skipped(
        "engine/unix_datagrams::abstract_names_are_addresses",
        1,
        "there are no Unix sockets, nor abstract names elsewhere than on Linux",
    ),
    skipped("engine/unix_sockets", 8, "there are no Unix sockets"),
    skipped("engine/urgent", 6, "bytes out of band and descriptors in messages are those of Unix"),
    skipped("engine/peer_gone", 9, "under Wine no poll tells of an end behind unread bytes"),
    skipped("engine/options::buffers_are_as_large_as_was_said", 1, "Wine has sizes of its own"),
    skipped(
        "engine/options::what_makes_no_sense_is_refused",
        1,
        "its last part sets what Windows takes and leaves aside",
    ),
    skipped("engine/datagrams::what_is_cut_off_is_told", 1, "Wine does not tell of it"),
    skipped(
        "engine/datagrams::that_nobody_is_there_is_told_once_and_the_socket_goes_on",
        1,
        "Wine does not tell of a port that nobody is at",
    ),
    skipped(
        "engine/watching",
        14,
        "they wait for pipes, files and descriptors; of sockets none was tried there",
    ),
    skipped("engine/watching::an_inotify_instance_is_read_by_hand", 1, "there is no inotify(7)"),
    skipped(
        "futures/datagrams::the_stream_of_datagrams_ends_with_the_socket_and_not_before",
        1,
        "Wine does not tell of a port that nobody is at",
    ),
    skipped("futures/in_tokio", 6, "tokio waits for no handle but sockets"),
    skipped("futures/io_uring", 0, "iocp is the completion driver there"),
    skipped("futures/processes", 4, "its programs are those of Unix, and so are terminals"),
    skipped("futures/shared_ports", 1, "there are no Unix sockets, and no ports are shared"),
    skipped(
        "futures/unix",
        6,
        "there is no fork(2), there are no Unix sockets, and no ports are shared",
    ),
    skipped("layers", 4, "it reads the source, which is the same everywhere"),
    skipped("loom", 14, "it runs models, which are the same everywhere"),
    skipped("sim/connecting::unix_sockets_are_paths_of_their_host", 1, "there are no Unix sockets"),
    skipped(
        "sim/connecting::what_is_detached_is_the_null_device_and_ends_for_its_peer",
        0,
        "what leads nowhere is a socket and takes no bytes",
    ),
    skipped("surface", 1, "it compares the surface that Linux has"),
    skipped("engine/unix_options", 7, "there are no Unix sockets, and IP_TOS is left aside"),
    skipped(
        "engine/unix_options::the_interface_is_the_one_that_was_said",
        1,
        "sockets know no interface by its name",
    ),
    skipped(
        "engine/unix_options::whoever_is_at_the_other_end_of_a_unix_socket_is_told",
        1,
        "there are no Unix sockets",
    ),
    skipped(
        "engine/unix_options::abstract_names_are_listened_at_and_connected_to",
        1,
        "there are no Unix sockets",
    ),
];

/// Says what is left out of a target. Of targets that are left out as a whole the engine's tells.
pub fn tell(target: &str) {
    let is_here = |skipped: &&Skipped| match skipped.what.split_once('/') {
        Some((of, _)) => of == target,
        None => target == "engine",
    };
    for Skipped { what, tests, why } in SKIPPED.iter().filter(is_here) {
        // Not by a macro, whose output the harness keeps to itself.
        let told = format!("SKIPPED on Windows: {what} ({tests} tests): {why}\n");
        stderr().write_all(told.as_bytes()).unwrap();
    }
}

/// Whether nobody hears of a reset, which a test needs, unless a receive was pending then: says so.
/// Wine tells of an end instead, except where time and peers are simulated.
pub fn misses_resets(test: &str, driver: &str) -> bool {
    let misses = is_wine() && driver != "sim";
    if misses {
        let told = format!("SKIPPED under Wine: {test}: a reset is heard of as an end there\n");
        stderr().write_all(told.as_bytes()).unwrap();
    }
    misses
}

/// Whether closing a socket waits for nobody, whatever SO_LINGER says, so that a test of that has
/// nothing to see: says so. It is so under Wine, which gives a close no time.
pub fn closes_at_once(test: &str) -> bool {
    if is_wine() {
        let told = format!("SKIPPED under Wine: {test}: no close waits for its peer there\n");
        stderr().write_all(told.as_bytes()).unwrap();
    }
    is_wine()
}

#[cfg(unix)]
const fn is_wine() -> bool {
    false
}

#[cfg(windows)]
use crate::windows::is_wine;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        collections::BTreeMap,
        fs,
        path::{Path, PathBuf},
    };

    use super::SKIPPED;

    #[test]
    fn what_stands_under_a_cfg_of_unix_is_listed_with_its_tests() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(root).unwrap() {
            let folder = entry.unwrap().path();
            if !folder.join("main.rs").exists() {
                continue;
            }
            let target = folder.file_name().unwrap().to_str().unwrap();
            files(&folder).iter().for_each(|file| look_into(file, target, &mut found));
        }
        let listed: BTreeMap<_, _> =
            SKIPPED.iter().map(|skipped| (skipped.what.to_owned(), skipped.tests)).collect();
        assert_eq!(found, listed, "left: what stands there, right: what is listed");
        assert_eq!(listed.len(), SKIPPED.len(), "each is listed once");
    }

    /// All files of a target.
    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => all.extend(files(&path)),
                false if path.extension().is_some_and(|ext| ext == "rs") => all.push(path),
                false => {}
            }
        }
        all
    }

    /// Finds what stands under a `cfg` of Unix in a file.
    fn look_into(file: &Path, target: &str, found: &mut BTreeMap<String, usize>) {
        let text = fs::read_to_string(file).unwrap();
        let module = file.file_stem().unwrap().to_str().unwrap();
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let line = line.trim_start();
            if !is_of_unix(line) {
                continue;
            }
            if line.starts_with("#!") {
                let tests = files(file.parent().unwrap()).iter().map(|file| tests_of(file)).sum();
                found.insert(target.to_owned(), tests);
                continue;
            }
            let is_before = |line: &&&str| line.trim_start().starts_with(['#', '/']);
            let attributes = lines[number..].iter().take_while(is_before).count();
            let item = lines[number + attributes].trim_start();
            match item.strip_prefix("pub ").unwrap_or(item).split([' ', '(', ';']).next() {
                Some("mod") => {
                    let name = item.split([' ', ';']).nth(1).unwrap();
                    let tests = tests_of(&file.with_file_name(format!("{name}.rs")));
                    found.insert(format!("{target}/{name}"), tests);
                }
                Some("fn") => {
                    let is_test = |line: &&str| line.trim() == "#[test]";
                    let around = &lines[number.saturating_sub(3)..number + attributes];
                    if around.iter().any(is_test) {
                        let name = item[3..].split(['(', '<']).next().unwrap();
                        found.insert(format!("{target}/{module}::{name}"), 1);
                    }
                }
                // A test that needs one of these stands under a `cfg` itself, or does not compile.
                Some("use" | "const" | "static" | "struct" | "impl" | "type") => {}
                _ => {
                    let name = lines[..number].iter().rev().find_map(|line| item_name(line));
                    found.insert(format!("{target}/{module}::{}", name.unwrap()), 0);
                }
            }
        }
    }

    /// Whether a line is an attribute that leaves out what follows where the system is Windows.
    fn is_of_unix(line: &str) -> bool {
        let of_unix = ["unix", "\"linux\"", "not(windows)"];
        let is_cfg = line.starts_with("#[cfg(") || line.starts_with("#![cfg(");
        let is_other = line.contains("any(") || line.contains("not(any");
        is_cfg && !is_other && of_unix.iter().any(|system| line.contains(system))
    }

    /// What a line at the left edge defines.
    fn item_name(line: &str) -> Option<&str> {
        let rest = line.strip_prefix("fn ").or_else(|| line.strip_prefix("const "))?;
        rest.split(['(', '<', ':']).next()
    }

    /// How many tests a file has; none if there is no such file.
    fn tests_of(file: &Path) -> usize {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().filter(|line| line.trim() == "#[test]").count()
    }
}
