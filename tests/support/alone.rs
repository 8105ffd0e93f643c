//! Tests that need a process of their own: to count descriptors, or to run out of them.

use std::{env, process::Command};

use crate::starting;

/// Set in the process that a test runs in alone.
const ALONE: &str = "FACADE_TEST_ALONE";

/// Runs `test` in a process of its own: the caller's test binary again, told to run only the
/// calling test. `module` is the caller's `module_path!()`, `name` its function's name.
pub fn alone(module: &str, name: &str, test: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return test();
    }
    let (_, module) = module.split_once("::").expect("a module of a test binary");
    let filter = format!("{module}::{name}");
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([&filter, "--exact", "--nocapture", "--test-threads=1"]).env(ALONE, "1");
    let output = starting::output(&mut command);
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{filter}, alone: {}\n{told}\n{complaint}", output.status);
    assert!(told.contains("1 passed"), "{filter} names no test:\n{told}");
}

/// How many descriptors this process has open.
#[cfg(unix)]
pub fn descriptors() -> usize {
    // Of which one is the directory's own.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

#[cfg(windows)]
pub use crate::windows::handles as descriptors;
