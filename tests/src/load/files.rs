//! Room for connections: each is an open file.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files beside the connections: libraries, logs, pipes, the runtime's own.
const FILES_BESIDE: u64 = 200;

/// Raises the limit of open files of this process, and of those that it starts, as far as the system lets it. Says in
/// words what is missing for so many connections.
pub fn make_room(connections: u64) -> anyhow::Result<()> {
    let wanted = connections + FILES_BESIDE;
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    // A failure shows in what is asked below.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum.or(Some(u64::MAX)), ..limit });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    ensure!(
        current >= wanted,
        "{connections} connections need {wanted} open files, and this process may have {current}{}. Raise the limit with \
         `ulimit -Hn {wanted}` in a root shell, or LimitNOFILE= in a systemd unit, or take fewer stores",
        if current < allowed { format!(" (of {allowed} that the system allows)") } else { String::new() }
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        make_room(10).expect("a few hundred files");
        let error = make_room(u64::MAX - 10_000).expect_err("no system allows that").to_string();
        assert!(error.contains("open files") && error.contains("ulimit"), "{error}");
    }
}
