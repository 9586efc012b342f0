//! What the kernel says about a process: its CPU time and the memory that is its own.
use std::fs;

fn schedstat(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.split(' ').next()?.parse().ok()
}

/// CPU time of this thread, nanoseconds.
pub fn own_cpu_ns() -> u64 {
    schedstat("/proc/thread-self/schedstat").unwrap_or(0)
}

/// CPU time of all threads of these processes, nanoseconds; `None` if one of them is not there.
pub fn cpu_ns(pids: &[u32]) -> Option<u64> {
    pids.iter().try_fold(0, |all, pid| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
        Some(all + tasks.filter_map(|task| schedstat(task.path().join("schedstat").to_str()?)).sum::<u64>())
    })
}

/// Memory that is theirs alone and in use: private pages that they have written to.
pub fn private_bytes(pids: &[u32]) -> Option<u64> {
    pids.iter().try_fold(0, |all, pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:"))?;
        Some(all + line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    })
}
