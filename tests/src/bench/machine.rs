//! On what the figures were measured.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// The machine, as far as it matters for a figure.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mb: u64,
    /// The kernel.
    pub kernel: String,
    /// The file system of the folder that was measured.
    pub filesystem: String,
    /// Whether the program was built with optimisation.
    pub optimised: bool,
}

impl Machine {
    /// Looks at this machine, and at the file system of a folder.
    pub fn here(folder: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or_else(String::new, |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
        let memory_kb = read("/proc/meminfo")
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        Self {
            cpu,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mb: memory_kb.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: filesystem_of(folder, &read("/proc/mounts")),
            optimised: !cfg!(debug_assertions),
        }
    }
}

/// The type of the mount with the longest matching path.
fn filesystem_of(folder: &Path, mounts: &str) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(mount, _)| folder.starts_with(mount))
        .max_by_key(|(mount, _)| mount.len())
        .map_or_else(String::new, |(_, kind)| kind.to_owned())
}

/// Resident memory of a process at its peak so far, in KiB.
pub fn peak_rss_kb(pid: u32) -> Option<u64> {
    status_kb(pid, "VmHWM:")
}

/// Resident memory of a process at present, in KiB.
pub fn rss_kb(pid: u32) -> Option<u64> {
    status_kb(pid, "VmRSS:")
}

fn status_kb(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_counts() {
        let mounts = "rootfs / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\nx /tmpfoo xfs rw 0 0\n";
        assert_eq!(filesystem_of(Path::new("/tmp/none/here"), mounts), "tmpfs");
        assert_eq!(filesystem_of(Path::new("/work/none"), mounts), "ext4");
    }

    #[test]
    fn own_memory_is_known() {
        assert!(peak_rss_kb(std::process::id()) >= rss_kb(std::process::id()).map(|rss| rss / 2));
        assert!(rss_kb(std::process::id()).is_some_and(|rss| rss > 100));
    }
}
