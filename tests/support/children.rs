//! The processes that a test has started, as the system tells of them.

use std::fs;

/// The children of this process, by their numbers and states, see proc_pid_task(5).
pub fn children() -> Vec<(u32, String)> {
    let mut all = Vec::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let list = fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        all.extend(list.split_whitespace().map(|id| id.parse::<u32>().unwrap()));
    }
    all.into_iter().filter_map(|id| Some((id, state(id)?))).collect()
}

/// What state a process is in, by its letter; none if there is no such process.
pub fn state(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.trim()[..1].to_owned())
}
