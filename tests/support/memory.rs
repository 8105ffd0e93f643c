//! How much memory this process has.

/// What is resident, in bytes, see proc_pid_statm(5).
#[cfg(unix)]
pub fn resident() -> usize {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = told.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

#[cfg(windows)]
pub use crate::windows::resident;
