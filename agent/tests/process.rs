//! The program itself: what it prints, how it ends, and what survives when it is killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_breakwater-agent");

fn program(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("--data-dir").arg(data_dir).env_clear();
    command.output().expect("runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// A running agent, killed at the end of the test.
struct Agent {
    child: Child,
    address: String,
    stdout: BufReader<ChildStdout>,
}

impl Agent {
    fn start(data_dir: &Path) -> Self {
        Self::start_by(Command::new(PROGRAM), data_dir)
    }

    fn start_by(command: Command, data_dir: &Path) -> Self {
        let mut agent = Self::spawn(command, data_dir, "127.0.0.1:0");
        agent.is_ready();
        agent
    }

    /// Starts the program, and waits for nothing.
    fn spawn(mut command: Command, data_dir: &Path, listen: &str) -> Self {
        command.args(["run", "--json", "--listen", listen, "--data-dir"]).arg(data_dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("starts");
        let stdout = BufReader::new(child.stdout.take().expect("is piped"));
        Self { child, address: listen.to_owned(), stdout }
    }

    /// Waits until it says that it sells, and where.
    fn is_ready(&mut self) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("reads");
        let ready: Value = serde_json::from_str(&line).expect("the ready line is JSON");
        self.address = ready["http"].as_str().expect("an address").to_owned();
    }

    /// Waits until `/healthz` answers like this; returns the body.
    fn health(&self, status: u16) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answered = self.get("/healthz");
            if let Ok((found, body)) = &answered
                && *found == status
            {
                return body.clone();
            }
            assert!(Instant::now() < deadline, "not {status}: {answered:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Posts a sale over a connection of its own. Returns status and body.
    fn sell(&self, number: u64) -> std::io::Result<(u16, String)> {
        let body = format!(
            r#"{{"sale_id":"018f0000-0000-7000-8000-{number:012x}","till_id":"T1",
            "lines":[{{"sku":"tea","name":"{}","quantity":1,"unit_price_minor":1800}}],
            "tenders":[{{"kind":"cash","amount_minor":1800}}]}}"#,
            "x".repeat(100)
        );
        self.ask(&format!(
            "POST /v1/sales HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    }

    fn ask(&self, request: &str) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.get(9..12).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        status.zip(body).ok_or_else(|| std::io::Error::other("no whole answer"))
    }

    fn kill(mut self) {
        self.child.kill().expect("is killed");
        self.child.wait().expect("ends");
    }

    fn terminate(mut self) -> i32 {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("runs").success());
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                return status.code().expect("ends by itself");
            }
            assert!(Instant::now() < deadline, "does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn t01_t13_what_was_answered_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let mut answered = Vec::new();
    for round in 0..6 {
        let agent = Agent::start(&data_dir);
        let seller = std::thread::scope(|scope| {
            let selling = scope.spawn(|| {
                let mut sold = Vec::new();
                for number in round * 10_000.. {
                    match agent.sell(number) {
                        Ok((200, body)) => sold.push((number, body)),
                        Ok(other) => panic!("{other:?}"),
                        Err(_) => return sold,
                    }
                }
                sold
            });
            // Not for luck: each round is killed at another moment of the selling.
            std::thread::sleep(Duration::from_millis(60 + 37 * round));
            let pid = agent.child.id().to_string();
            assert!(Command::new("kill").args(["-KILL", &pid]).status().expect("runs").success());
            selling.join().expect("no panic")
        });
        assert!(!seller.is_empty(), "round {round} sold nothing");
        answered.extend(seller);
        agent.kill();
    }
    let agent = Agent::start(&data_dir);
    for (number, body) in &answered {
        assert_eq!(agent.sell(*number).expect("answers"), (200, body.clone()), "sale {number}");
    }
    let verified = program(&data_dir, &["verify", "--json"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout));
    assert_eq!(agent.terminate(), 0);
    let numbers: std::collections::BTreeSet<u64> = answered
        .iter()
        .map(|(_, body)| serde_json::from_str::<Value>(body).expect("JSON")["receipt_no"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers.len(), answered.len(), "no receipt number twice");
}

#[test]
fn commands_look_while_the_agent_sells() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let nothing = program(&data_dir, &["outbox", "list"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("no agent has run on this folder"));

    let agent = Agent::start(&data_dir);
    agent.sell(1).expect("sells");
    let listed = program(&data_dir, &["outbox", "list", "--json"]);
    let rows: Vec<Value> = text(&listed.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        rows.iter().map(|row| row["kind"].as_str()).collect::<Vec<_>>(),
        [Some("epoch_opened"), Some("sale_completed")]
    );
    let place = rows[1]["place"].as_str().expect("a place");
    let shown = program(&data_dir, &["outbox", "show", place, "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["event"]["body"]["totals"]["gross_minor"], 1800);
    let after = program(&data_dir, &["outbox", "list", "--after", place]);
    assert_eq!((after.status.code(), text(&after.stdout)), (Some(0), "there is nothing behind that place\n"));
    let listed = program(&data_dir, &["outbox", "list"]);
    let lines: Vec<&str> = text(&listed.stdout).lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("PLACE") && lines[2].contains("receipt 1"), "{lines:?}");

    let second = program(&data_dir, &["run", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(4));
    assert!(text(&second.stderr).contains(&agent.child.id().to_string()), "{}", text(&second.stderr));
    assert_eq!(agent.get("/healthz").expect("answers").0, 200);
    assert_eq!(agent.terminate(), 0);
    assert!(!data_dir.join("agent.addr").exists());
}

#[test]
fn a_flipped_byte_is_found_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let agent = Agent::start(&data_dir);
    for number in 1..=3 {
        agent.sell(number).expect("sells");
    }
    assert_eq!(agent.terminate(), 0);
    assert_eq!(program(&data_dir, &["verify"]).status.code(), Some(0));

    // The name of the second sale's line, somewhere in the file.
    let path = data_dir.join("store.db");
    let mut bytes = std::fs::read(&path).expect("reads");
    let name = [b'x'; 100];
    let found: Vec<usize> = (0..bytes.len() - 100).filter(|&at| bytes[at..at + 100] == name).collect();
    let [_, second, _] = found[..] else { panic!("{} names", found.len()) };
    bytes[second] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    let broken = program(&data_dir, &["verify"]);
    assert_eq!(broken.status.code(), Some(3));
    let line = text(&broken.stdout);
    // Events are laid from the end of a page towards its beginning.
    assert!(line.starts_with("broken: event ") && line.contains("/3: its hash"), "{line}");
}

#[test]
fn usage_and_configuration_have_their_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let output = program(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        let all = [output.stdout, output.stderr].concat();
        assert!(text(&all).contains(expected), "{arguments:?}: {}", text(&all));
    };
    check(&["check-config"], 0, "the configuration can be used");
    check(&["check-config", "--listen", "0.0.0.0:80"], 2, "http.tills");
    let odd = folder.path().join("odd.toml");
    let printer = "[[printer]]\nname = \"counter\"\naddress = \"tcp://192.0.2.7\"\nroles = [\"reciept\", \"bar\"]\n";
    std::fs::write(&odd, format!("{printer}[stroe]\nname = \"Quay\"\n")).expect("writes");
    let odd = odd.to_str().expect("text");
    for part in ["error: ", "stroe.name", "reciept", "is receipt meant?", "warning: printer counter: the role bar"] {
        check(&["check-config", "--config", odd], 2, part);
    }
    check(&["check-config", "--config", odd, "--allow-unknown"], 0, "the configuration can be used");
    check(&["check-config", "--config", "/nowhere.toml"], 2, "/nowhere.toml");
    check(&["no-such-command"], 2, "Usage");
    check(&["outbox", "show", "x"], 2, "is not a place");
    for command in
        [&["run", "--help"][..], &["verify", "--help"], &["outbox", "list", "--help"], &["check-config", "--help"]]
    {
        check(command, 0, "Example:");
    }
    check(&["--help"], 0, "Exit codes");
}

/// A file system of 3 MiB, taken down at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_and_resumes() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this user may not mount a file system of its own");
        return;
    };
    let data_dir = disk.0.path().join("data");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0u8; 1_500_000]).expect("fits");
    let agent = Agent::start(&data_dir);
    let mut number = 0;
    let body = loop {
        number += 1;
        assert!(number < 10_000, "the disk never fills");
        match agent.sell(number).expect("answers") {
            (200, _) => {}
            (503, body) => break body,
            other => panic!("{other:?}"),
        }
    };
    assert!(body.contains("store.disk_full"), "{body}");
    assert!(agent.health(503).contains("store.disk_full"));
    assert!(agent.get("/v1/sync").expect("answers").1.contains(r#""key":"disk_full""#), "people are told");
    let refused = agent.get(&format!("/v1/sales/018f0000-0000-7000-8000-{number:012x}")).expect("answers");
    assert_eq!(refused.0, 404, "nothing of it was recorded");
    std::fs::remove_file(&ballast).expect("removes");
    agent.health(200);
    assert!(!agent.get("/v1/sync").expect("answers").1.contains("disk_full"), "nobody has to sell for that");
    for number in 1..=number + 5 {
        let (status, body) = agent.sell(number).expect("answers");
        let receipt: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, receipt["receipt_no"].as_u64()), (200, Some(number)), "without a gap");
    }
    assert_eq!(program(&data_dir, &["verify"]).status.code(), Some(0));
    assert_eq!(agent.terminate(), 0);
}

#[test]
fn a_start_on_a_full_disk_waits_and_says_so_and_then_sells() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this user may not mount a file system of its own");
        return;
    };
    let data_dir = disk.0.path().join("data");
    let agent = Agent::start(&data_dir);
    let sold = agent.sell(1).expect("answers");
    agent.kill();
    let ballast = disk.0.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).expect("makes");
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);

    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let waits = || Agent::spawn(Command::new(PROGRAM), &data_dir, &port.to_string());
    let agent = waits();
    assert!(agent.health(503).contains("store.disk_full"));
    assert_eq!(agent.terminate(), 0, "it can be told to end while it waits");

    let mut agent = waits();
    agent.health(503);
    let (status, body) = agent.sell(2).expect("answers");
    assert!(status == 503 && body.contains("store.disk_full"), "{status} {body}");
    std::fs::remove_file(&ballast).expect("removes");
    agent.is_ready();
    assert_eq!(agent.sell(1).expect("answers"), sold);
    assert_eq!(agent.sell(2).expect("answers").0, 200);
    agent.health(200);
    assert_eq!(agent.terminate(), 0);
}

/// A disk that refuses to write, by another error than "full": here the limit on the size of files.
#[test]
fn a_failing_disk_ends_the_selling_and_a_new_start_resumes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let mut limited = Command::new("sh");
    // In blocks of 512 bytes. A program that ignores the signal gets the error instead.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\"", PROGRAM]);
    let agent = Agent::start_by(limited, &data_dir);
    let mut number = 0;
    let body = loop {
        number += 1;
        assert!(number < 10_000, "the disk never fails");
        match agent.sell(number).expect("answers") {
            (200, _) => {}
            (503, body) => break body,
            other => panic!("{other:?}"),
        }
    };
    // It failed in the middle of a commit, so nobody can say what became of that sale; of the next one everybody can.
    assert!(body.contains("store.outcome_unknown"), "{body}");
    let (status, body) = agent.sell(number + 1).expect("answers");
    assert!(status == 503 && body.contains("store.disk_failed"), "{status} {body}");
    assert_eq!(agent.get("/healthz").expect("answers").0, 503);
    assert!(agent.get("/v1/sync").expect("answers").1.contains("The disk has failed"));
    assert_eq!(agent.sell(1).expect("answers").0, 200, "what was promised is still answered");
    agent.kill();

    let agent = Agent::start(&data_dir);
    for number in 1..=number {
        assert_eq!(agent.sell(number).expect("answers").0, 200);
    }
    assert_eq!(program(&data_dir, &["verify"]).status.code(), Some(0));
}
