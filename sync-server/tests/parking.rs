//! Parked events as an operator meets them: a service that runs, the commands beside it, and its API.

mod service_support;
mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use service_support::{Answer, Centre, Store, request};
use support::{History, SaleSpec};
use sync_server::claim;
use sync_server::config::ledger_path;
use sync_server::ingest::utc_ms;
use sync_server::ledger::{Claim, CodeHash, Registry, SqliteReader};

const PROGRAM: &str = env!("CARGO_BIN_EXE_breakwater-server");

/// A running program; killed when the test ends, however it does.
struct Program {
    child: Child,
    http: SocketAddr,
    mqtt: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(folder: &Path) -> Self {
        let mut program = Command::new(PROGRAM);
        program.args([
            "run",
            "--http",
            "127.0.0.1:0",
            "--mqtt",
            "127.0.0.1:0",
            "--json",
            "--log",
            "error",
            "--data-dir",
        ]);
        let mut child = program.arg(folder).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let addresses: Value = serde_json::from_str(&line).expect("JSON");
        let address = |name: &str| addresses[name].as_str().and_then(|text| text.parse().ok()).expect("an address");
        Self { child, http: address("http"), mqtt: address("mqtt") }
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        request(self.http, "POST", path, &[], &body.to_string()).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = request(self.http, "GET", path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    async fn store(&self, folder: &Path, store: &str) -> Store {
        let code = claim::new_code().expect("random");
        let registry = SqliteReader::open_registry(&ledger_path(folder)).expect("opens");
        let hash = CodeHash::of(claim::normalize(&code).as_bytes());
        let claim = Claim { code: hash, expires_at_ms: utc_ms() + 60_000 };
        registry.add_store(&support::store_id(store), None, claim, utc_ms()).expect("writable");
        let answer = self.post("/api/v1/enroll", &json!({ "store_id": store, "claim_code": code })).await;
        let secret = answer.json()["secret"].as_str().expect("a secret").to_owned();
        Store::connect(self.mqtt, store, &secret).await.expect("let in")
    }
}

/// Runs a command on a folder.
fn command(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).arg("--data-dir").arg(folder).output().expect("runs")
}

#[track_caller]
fn printed(folder: &Path, arguments: &[&str]) -> Value {
    let output = command(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What a command that fails says, with its exit code.
fn complaint(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(folder, arguments);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn unprintable(id: u128, gross: i64) -> SaleSpec {
    SaleSpec { id, gross, receipt_no: u64::MAX / 4, ..SaleSpec::default() }
}

const WHO: [&str; 4] = ["--by", "Li Na", "--why", "ticket 88"];

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_put_right_by_commands_and_by_the_api() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let program = Program::start(path);
    let mut store = program.store(path, "S1").await;
    let mut a = History::open("S1", 1, None);
    a.sell(&unprintable(1, 300));
    a.sell(&unprintable(2, 40));
    a.sell(&unprintable(3, 5));
    a.sell(&SaleSpec { id: 4, receipt_no: 1, gross: 1_000, ..SaleSpec::default() });
    assert_eq!(store.send(&a.batch_message(1, 5)).await.parked.len(), 3);

    // By commands, beside the service.
    let listed = printed(path, &["parked", "list", "--json", "--store", "S1", "--kind", "sale_completed"]);
    assert_eq!(listed["parked"].as_array().map(Vec::len), Some(3));
    let mut shown = printed(path, &["parked", "show", "1", "--json"]);
    assert_eq!(
        (&shown["reason"], &shown["state"], &shown["history"]),
        (&json!("malformed"), &json!("open"), &json!([]))
    );
    shown["event"]["receipt_no"] = json!(2);
    let file = path.join("1.json");
    std::fs::write(&file, shown.to_string()).expect("written");
    let content = file.to_str().expect("text");
    let fixing = [&["parked", "fix", "1", "--content", content, "--json"][..], &WHO].concat();
    assert_eq!(printed(path, &fixing), json!({ "parked_no": 1, "state": "fixed" }));
    let (code, said) = complaint(path, &fixing);
    assert!(code == Some(3) && said.contains("fixed already"), "{code:?} {said}");
    let verified = printed(path, &["verify", "--json"]);
    assert_eq!((&verified["balance"], &verified["sales"]), (&json!(true), &json!(2)));
    let replaying = [&["parked", "replay", "--reason", "malformed", "--json"][..], &WHO].concat();
    assert_eq!(printed(path, &replaying), json!({ "applied": 0, "still_parked": 2 }));
    let waiving = [&["parked", "waive", "3", "--json"][..], &WHO].concat();
    assert_eq!(printed(path, &waiving), json!({ "parked_no": 3, "state": "waived" }));
    assert_eq!(printed(path, &["parked", "list", "--json"])["parked"].as_array().map(Vec::len), Some(1));
    let waived = printed(path, &["parked", "list", "--json", "--state", "waived"]);
    assert_eq!(waived["parked"][0]["parked_no"], json!(3));
    let (code, said) = complaint(path, &["parked", "waive", "3", "--by", " ", "--why", "x"]);
    assert!(code == Some(1) && said.contains("no name is given"), "{code:?} {said}");

    // The same over HTTP.
    let note = json!({ "by": "Wei", "why": "paper receipt" });
    let mut shown = program.get("/api/v1/parked/2").await;
    shown["event"]["receipt_no"] = json!(3);
    let mut fix = note.clone();
    fix["content"] = shown;
    fix["content"]["store_id"] = json!("S2");
    let refused = program.post("/api/v1/parked/2/fix", &fix).await;
    assert_eq!((refused.status, &refused.json()["message_key"]), (422, &json!("parked.refused")), "{}", refused.body);
    fix["content"]["store_id"] = json!("S1");
    let fixed = program.post("/api/v1/parked/2/fix", &fix).await;
    assert_eq!((fixed.status, &fixed.json()["state"]), (200, &json!("fixed")), "{}", fixed.body);
    assert_eq!(fixed.json()["fixed_event"]["receipt_no"], json!(3));
    let again = program.post("/api/v1/parked/2/fix", &fix).await;
    assert_eq!((again.status, &again.json()["message_key"]), (409, &json!("parked.conflict")));
    let mut replay = note.clone();
    replay["numbers"] = json!([3]);
    let replayed = program.post("/api/v1/parked/replay", &replay).await;
    let expected = json!({ "looked_at": 1, "applied": 0, "still_parked": 1, "next_after": null });
    assert_eq!((replayed.status, replayed.json()), (200, expected));
    assert_eq!(program.post("/api/v1/parked/3/waive", &note).await.status, 200);
    assert_eq!(program.post("/api/v1/parked/3/waive", &note).await.status, 409);
    assert_eq!(program.post("/api/v1/parked/9/waive", &note).await.status, 404);
    assert_eq!(program.post("/api/v1/parked/3/waive", &json!({ "by": "Wei" })).await.status, 400);
    let history = program.get("/api/v1/parked/3").await["history"].clone();
    let done: Vec<_> = history.as_array().expect("a list").iter().map(|one| (&one["what"], &one["by"])).collect();
    let (li_na, wei) = (json!("Li Na"), json!("Wei"));
    let (tried, waived) = (json!("tried"), json!("waived"));
    assert_eq!(done, [(&tried, &li_na), (&waived, &li_na), (&tried, &wei), (&waived, &wei)]);
    let totals = program.get("/api/v1/totals").await;
    assert_eq!((&totals["rows"][0]["gross_minor"], &totals["rows"][0]["sales"]), (&json!(1_340), &json!(3)));
    assert_eq!(program.get("/api/v1/stores/S1/receipts/missing").await["missing"], json!([]));
    assert_eq!(printed(path, &["verify", "--json"])["balance"], json!(true));

    // Without the service the command takes the folder itself.
    drop((store, program));
    let opening = [&["parked", "replay", "3", "--json"][..], &WHO].concat();
    assert_eq!(printed(path, &opening), json!({ "applied": 0, "still_parked": 1 }));
    assert_eq!(printed(path, &waiving)["state"], json!("waived"));
    let nobody = [&["parked", "waive", "3", "--server", "http://127.0.0.1:1"][..], &WHO].concat();
    let (code, said) = complaint(path, &nobody);
    assert!(code == Some(1) && said.contains("does not answer"), "{code:?} {said}");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (code, said) = complaint(elsewhere.path(), &waiving);
    assert!(code == Some(1) && said.contains("there is no ledger"), "{code:?} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_parked_events_or_too_old_ones_are_an_alarm() {
    // So many events are parked; the alarm is due from `alarm_events` of them, or from an age.
    async fn check(parked: u128, alarm: &str, is_alarm: bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let centre = Centre::start_with(folder.path(), &format!("[parking]\n{alarm}")).await;
        let mut store = centre.store("S1").await;
        let mut a = History::open("S1", 1, None);
        (1..=parked).for_each(|id| a.sell(&unprintable(id, 1)));
        let end = a.events.len();
        store.send(&a.batch_message(1, end)).await;
        let alerts = service_support::eventually("the alert", || async {
            let alerts = centre.get("/api/v1/alerts").await["alerts"].as_array().cloned().expect("a list");
            let due = |alert: &Value| alert["severity"] == json!("alarm") && alert["kind"] == json!("parked");
            let of_all = alerts.iter().any(|alert| due(alert) && alert["store_id"].is_null());
            let of_store = alerts.iter().any(|alert| due(alert) && alert["store_id"] == json!("S1"));
            let counted = alerts.iter().any(|alert| alert["count"] == json!(parked));
            (counted && of_all == is_alarm && of_store == is_alarm).then_some(alerts)
        });
        let alerts = alerts.await;
        assert!(
            alerts.iter().all(|alert| alert["advice"].as_str().is_some_and(|advice| advice.contains("parked fix")))
        );
        let metrics = centre.try_get("/metrics", &[]).await.body;
        for line in
            [format!("breakwater_parked_events {parked}"), format!("breakwater_parked_alarm {}", u8::from(is_alarm))]
        {
            assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
        }
        assert_eq!(centre.try_get("/healthz", &[]).await.body, "ok\n", "the process is well all the same");
        centre.stop().await;
    }
    check(2, "alarm_events = 2", true).await;
    check(2, "alarm_events = 3", false).await;
    check(1, "alarm_age = \"1ms\"", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_token_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token-of-a-good-length-1\n").expect("written");
    let centre = Centre::start_with(folder.path(), &format!("[http]\napi_token_file = {token:?}")).await;
    let body = json!({ "by": "Wei", "why": "curious", "numbers": [] }).to_string();
    for path in ["/api/v1/parked/1/waive", "/api/v1/parked/1/fix", "/api/v1/parked/replay"] {
        let answer = request(centre.addresses.http, "POST", path, &[], &body).await;
        assert_eq!(answer.status, 401, "{path}");
    }
    let with_token = ["authorization: Bearer a-token-of-a-good-length-1"];
    let answer = request(centre.addresses.http, "POST", "/api/v1/parked/replay", &with_token, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    centre.stop().await;
}
