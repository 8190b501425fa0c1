//! The commands about people as an installer uses them, and where a PIN must not be found.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_breakwater-agent");

const PIN: &str = "27182818";
const WRONG_PIN: &str = "31415927";
const MALFORMED_PIN: &str = "16180339";

/// Runs a command with a line on its stdin.
fn program(data_dir: &Path, arguments: &[&str], line: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("--data-dir").arg(data_dir).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    // A command that reads nothing may be gone by then.
    let _ = child.stdin.take().expect("is piped").write_all(line.as_bytes());
    child.wait_with_output().expect("ends")
}

#[track_caller]
fn done(output: Output) -> String {
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[track_caller]
fn refused(output: Output, expected: &str) {
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success() && text.contains(expected), "{expected:?} in {text:?}");
}

/// Killed at the end of the test.
struct Agent(Child, String);

impl Agent {
    fn start(data_dir: &Path, log: &Path) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--json", "--listen", "127.0.0.1:0", "--log", "trace", "--data-dir"]).arg(data_dir);
        let log = File::create(log).expect("a log");
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("is piped")).read_line(&mut line).expect("reads");
        let ready: Value = serde_json::from_str(&line).expect("the ready line is JSON");
        Self(child, ready["http"].as_str().expect("an address").to_owned())
    }

    fn post(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.1).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("sets");
        let (length, json) = (body.len(), "Content-Type: application/json");
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{json}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        answer
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("reads").map(|entry| entry.expect("reads").path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![(path.display().to_string(), std::fs::read(&path).expect("reads"))],
        })
        .collect()
}

fn sign_on(pin: &str, command: u32) -> String {
    format!(r#"{{"command_id":"018f0000-0000-7000-8000-{command:012}","till_id":"T1","operator_id":"li","pin":{pin}}}"#)
}

#[test]
fn people_are_set_up_and_no_pin_is_found_anywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    refused(program(&data_dir, &["operator", "list"], ""), "find a running agent");
    let agent = Agent::start(&data_dir, &folder.path().join("log"));
    let run = |arguments: &[&str], line: &str| program(&data_dir, arguments, line);

    assert!(done(run(&["operator", "list"], "")).contains("no operators"));
    let add = ["operator", "add", "li", "--name", "Li", "--role", "cashier"];
    refused(run(&add, "12\n"), "a PIN is 4 to 12 digits");
    refused(run(&add, "123456\n"), "operator.pin_weak");
    assert_eq!(done(run(&add, &format!("{WRONG_PIN}\n"))), "operator li, cashier, is added\n");
    done(run(&["operator", "set-pin", "li"], &format!("{PIN}\n")));
    assert_eq!(done(run(&["operator", "set-role", "li", "shift-lead"], "")), "operator li, shift lead, is changed\n");
    refused(run(&["operator", "set-role", "ma", "manager"], ""), "find operator ma");

    let quoted = |pin: &str| format!("\"{pin}\"");
    assert!(agent.post("/v1/operators/sign-on", &sign_on(&quoted(PIN), 1)).starts_with("HTTP/1.1 200"));
    assert!(agent.post("/v1/operators/sign-on", &sign_on(&quoted(WRONG_PIN), 2)).starts_with("HTTP/1.1 403"));
    let malformed = agent.post("/v1/operators/sign-on", &sign_on(MALFORMED_PIN, 3));
    assert!(malformed.starts_with("HTTP/1.1 400") && !malformed.contains(MALFORMED_PIN), "{malformed}");
    let approval = sign_on(&quoted(PIN), 4)
        .replace('}', r#","action":"no_sale","approval_id":"018f0000-0000-7000-8000-0000000000aa"}"#);
    assert!(agent.post("/v1/approvals", &approval).starts_with("HTTP/1.1 200"));
    let listed = done(run(&["operator", "list", "--json"], ""));
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((listed["role"].as_str(), listed["till_ids"][0].as_str()), (Some("shift_lead"), Some("T1")));

    let code = done(run(&["till", "pair-code", "--json"], ""));
    let code: Value = serde_json::from_str(&code).expect("JSON");
    let pair = format!(r#"{{"code":{},"till_id":"T1","name":"left"}}"#, code["code"]);
    let paired = agent.post("/v1/pair", &pair);
    assert!(paired.starts_with("HTTP/1.1 200"), "{paired}");
    let token = paired.split_once("\"token\":\"").expect("a token").1.get(..64).expect("64 digits").to_owned();
    assert!(done(run(&["till", "list"], "")).contains("left"));
    assert!(done(run(&["till", "revoke", "T1"], "")).contains("opens nothing"));
    done(run(&["operator", "remove", "li"], ""));

    let audit = done(run(&["audit", "list"], ""));
    let actions: Vec<&str> = audit.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    let expected = [
        "operator_added",
        "operator_changed",
        "operator_changed",
        "signed_on",
        "pin_failed",
        "approval_given",
        "till_paired",
        "till_revoked",
        "signed_off",
        "operator_changed",
    ];
    assert_eq!(actions, expected, "{audit}");
    assert_eq!(done(run(&["audit", "list", "--json", "--limit", "3"], "")).lines().count(), 3);
    assert!(done(run(&["verify"], "")).starts_with("sound"));

    // Also what the write-ahead log and the log at its most talkative hold.
    let all = files(folder.path());
    assert!(all.iter().any(|(path, bytes)| path.ends_with("log") && !bytes.is_empty()));
    assert!(all.iter().any(|(path, _)| path.ends_with("store.db")));
    assert!(holds(&all, "argon2id").is_some(), "the search finds what is there");
    for secret in [PIN, WRONG_PIN, MALFORMED_PIN, token.as_str()] {
        assert_eq!(holds(&all, secret), None, "{secret}");
    }
}

/// The first file that holds a text.
fn holds<'f>(files: &'f [(String, Vec<u8>)], text: &str) -> Option<&'f str> {
    let found = files.iter().find(|(_, bytes)| bytes.windows(text.len()).any(|window| window == text.as_bytes()));
    found.map(|(path, _)| path.as_str())
}
