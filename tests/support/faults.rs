//! Tests that need the system to fail at a call: run again under strace(1), which injects the
//! failure.

use std::{
    env, fs,
    io::{Write, stderr},
    process::{Command, Stdio},
};

/// Set in the process whose calls fail.
const FAULTS: &str = "FACADE_TEST_FAULTS";
/// How many seconds such a process may take: far longer than any does.
const PATIENCE: &str = "60";

/// Runs `test` in a process of its own once for each of `faults`, which are what strace's `inject=`
/// understands, such as `accept4:error=EMFILE:when=2`. In `openat@/dev/ptmx:error=ENOSPC` it is only
/// calls with this file that fail, and `one:error=EIO, other:error=EIO` is two at a time. Each thread
/// and process counts its own calls, those that the test starts among them. `module` is the caller's
/// `module_path!()`, `name` its function's name. Says so and does nothing if there is no strace.
pub fn with_faults<'a>(
    module: &str,
    name: &str,
    faults: impl IntoIterator<Item = &'a str>,
    test: impl FnOnce(&str),
) {
    with_faults_met(module, name, faults, 0, test);
}

/// The same. At least `met` of the faults have to be met with: a call that is not made any more
/// tells nothing.
pub fn with_faults_met<'a>(
    module: &str,
    name: &str,
    faults: impl IntoIterator<Item = &'a str>,
    met: usize,
    test: impl FnOnce(&str),
) {
    if let Ok(fault) = env::var(FAULTS) {
        return test(&fault);
    }
    if !can_inject() {
        // Not by a macro, whose output the harness keeps to itself.
        let told = format!("SKIPPED: {name}: there is no strace, or it may not trace\n");
        return stderr().write_all(told.as_bytes()).unwrap();
    }
    let (_, module) = module.split_once("::").expect("a module of a test binary");
    let filter = format!("{module}::{name}");
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut were_met = 0;
    for fault in faults {
        let output = Command::new("timeout")
            .args(["-k", "1", PATIENCE, "strace", "-f", "-qq", "-o"])
            .arg(log.path())
            .args(arguments(fault))
            .arg(env::current_exe().unwrap())
            .args([&filter, "--exact", "--nocapture", "--test-threads=1"])
            .env(FAULTS, fault)
            .env_remove("FACADE_DRIVER")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        let status = output.status;
        assert!(status.success(), "{filter} with {fault}: {status}\n{told}\n{complaint}");
        assert!(told.contains("1 passed"), "{filter} names no test:\n{told}");
        were_met += usize::from(fs::read_to_string(log.path()).unwrap().contains("(INJECTED)"));
    }
    assert!(were_met >= met, "{filter} met with {were_met} faults only");
}

/// What strace(1) is told of a fault.
fn arguments(fault: &str) -> Vec<String> {
    let (mut calls, mut arguments) = (Vec::new(), Vec::new());
    for one in fault.split(", ") {
        let (call, failure) = one.split_once(':').expect("a call and its failure");
        let (call, file) = call.split_once('@').map_or((call, None), |(c, file)| (c, Some(file)));
        calls.push(call);
        arguments.extend(["-e".to_owned(), format!("inject={call}:{failure}")]);
        arguments.extend(file.map(|file| format!("-P{file}")));
    }
    arguments.extend(["-e".to_owned(), format!("trace={}", calls.join(","))]);
    arguments
}

/// Whether there is a strace that may trace.
fn can_inject() -> bool {
    Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
