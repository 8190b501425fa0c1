//! A process made slow: it and its children run for a part of the time only and stand still for the rest, without noticing.
//! Whatever they do takes so much longer, processor and disk alike, and their connections stay open.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};

/// For how long processes run before they stand still, in milliseconds.
const RUNS_MS: u64 = 5;

/// A process that is slow until this is dropped.
#[derive(Debug)]
pub struct Throttle {
    /// Dropped to end it.
    go_on: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Throttle {
    /// Makes a process and its children so many times slower, from 2 on. The process is one that the caller has started and
    /// waits for only after this was dropped.
    pub fn start(pid: u32, times: u64) -> anyhow::Result<Self> {
        ensure!(times > 1, "{times} times slower is not slower");
        let family = Family { parent: libc::pid_t::try_from(pid).context("a process id")? };
        let (go_on, ended) = sync_channel(1);
        let stands = Duration::from_millis(RUNS_MS * (times - 1));
        let thread = std::thread::Builder::new().name("throttle".to_owned()).spawn(move || {
            let is_over = |pause| !matches!(ended.recv_timeout(pause), Err(RecvTimeoutError::Timeout));
            loop {
                let stopped = family.stop();
                let over = is_over(stands);
                family.resume(&stopped);
                if over || is_over(Duration::from_millis(RUNS_MS)) {
                    return;
                }
            }
        });
        Ok(Self { go_on: Some(go_on), thread: Some(thread.context("start a thread")?) })
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.go_on = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

struct Family {
    parent: libc::pid_t,
}

impl Family {
    /// Stops the parent, then its children, and says which. A child that dies meanwhile keeps its id until its parent waits
    /// for it, which it does not while it stands.
    fn stop(&self) -> Vec<libc::pid_t> {
        signal(self.parent, libc::SIGSTOP);
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.parent)).unwrap_or_default();
        let children: Vec<_> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        for child in &children {
            signal(*child, libc::SIGSTOP);
        }
        children
    }

    fn resume(&self, children: &[libc::pid_t]) {
        for child in children {
            signal(*child, libc::SIGCONT);
        }
        signal(self.parent, libc::SIGCONT);
    }
}

/// Fails only if the process is gone, and then there is nobody to make slow.
fn signal(pid: libc::pid_t, signal: libc::c_int) {
    #[expect(unsafe_code, reason = "the standard library sends no other signal than SIGKILL")]
    // SAFETY: sends a signal and touches no memory. The ids belong to a process that the caller waits for later, and to
    // children that it has not waited for.
    let _ = unsafe { libc::kill(pid, signal) };
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::Throttle;
    use crate::load::cpu_ms;

    #[test]
    fn a_process_and_its_child_get_a_part_of_the_time_and_all_of_it_afterwards() {
        let mut busy = Command::new("sh");
        let mut busy = busy.args(["-c", "sh -c 'while :; do :; done' & while :; do :; done"]).spawn().expect("starts");
        let child = || {
            let path = format!("/proc/{0}/task/{0}/children", busy.id());
            let children = std::fs::read_to_string(path).expect("the process lives");
            children.split_whitespace().next().map(|pid| pid.parse::<u32>().expect("an id"))
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while child().is_none() {
            assert!(Instant::now() < deadline, "the child does not start");
            std::thread::yield_now();
        }
        let child = child().expect("was there");
        let used = |pid| cpu_ms(pid).expect("the process lives");
        let throttle = Throttle::start(busy.id(), 100).expect("starts");
        let before = [used(busy.id()), used(child)];
        std::thread::sleep(Duration::from_secs(2));
        let slow = [used(busy.id()) - before[0], used(child) - before[1]];
        drop(throttle);
        // A hundredth of two seconds is twenty.
        assert!(slow.iter().all(|ms| *ms <= 200), "{slow:?} ms");
        while used(busy.id()) + used(child) < before[0] + before[1] + 600 {
            assert!(Instant::now() < deadline, "they do not go on");
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = Command::new("sh").args(["-c", &format!("kill -9 {child}")]).status();
        busy.kill().expect("ends");
        busy.wait().expect("is waited for");
    }
}
