//! The examples in the description of the API: one day of one store, posted to a fresh one in order.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::clock::Clock;
use agent::owner_client::OwnerClient;
use agent::price_book;
use pos_model::Currency;
use protocol::latest::people::{Pin, RoleName, SetOperator};
use protocol::latest::print::PrintJobView;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::api_support::{PATIENCE, Store};
use crate::kit::id;

/// Noon of 2026-03-02 in Shanghai, the day of which the examples tell.
struct Noon;

impl Clock for Noon {
    fn utc_ms(&self) -> i64 {
        1_772_424_000_000
    }
}

/// The examples in the order of the day, with the status that each has when all before it were posted. What is not 200 cannot
/// be: the count is over, the job is printed, the code is nobody's.
const DAY: [(&str, &str, u16); 35] = [
    ("POST", "/v1/price", 200),
    ("POST", "/v1/shifts", 200),
    ("POST", "/v1/shifts/{shift_id}/cash", 200),
    ("POST", "/v1/stock/movements", 200),
    ("POST", "/v1/stock/counts", 200),
    ("POST", "/v1/stock/counts/{count_id}/finish", 200),
    ("POST", "/v1/stock/counts/{count_id}/abandon", 409),
    ("POST", "/v1/baskets", 200),
    ("POST", "/v1/baskets/{basket_id}/changes", 200),
    ("POST", "/v1/kitchen/bump", 200),
    ("POST", "/v1/kitchen/hand-over", 200),
    ("POST", "/v1/kitchen/recall", 200),
    ("POST", "/v1/payments", 200),
    ("POST", "/v1/payments/{attempt_id}/reverse", 200),
    ("POST", "/v1/sales", 200),
    ("POST", "/v1/refunds", 200),
    ("POST", "/v1/print-jobs/{job_id}/reprint", 200),
    ("POST", "/v1/print-jobs/{job_id}/retry", 409),
    ("POST", "/v1/print-jobs/{job_id}/cancel", 409),
    ("POST", "/v1/print-jobs/{job_id}/resolve", 409),
    ("POST", "/v1/printers/{name}/test-page", 200),
    ("POST", "/v1/printers/{name}/open-drawer", 200),
    ("POST", "/v1/sold-out", 200),
    ("POST", "/v1/shifts/{shift_id}/close", 200),
    ("POST", "/v1/shifts/{shift_id}/amend", 200),
    ("POST", "/v1/days/close", 200),
    ("POST", "/v1/payments/{attempt_id}/settle", 200),
    ("POST", "/v1/pair-codes", 403),
    ("POST", "/v1/pair", 403),
    // From here on the store has operators.
    ("PUT", "/v1/operators/{operator_id}", 200),
    ("POST", "/v1/operators/sign-on", 200),
    ("POST", "/v1/approvals", 200),
    ("POST", "/v1/operators/sign-off", 200),
    // Reading what the day has left.
    ("GET", "/v1/sales/{sale_id}", 200),
    ("GET", "/v1/refunds/{refund_id}", 200),
];

/// A schema, behind its reference.
fn followed<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("leads somewhere"),
        None => schema,
    }
}

/// The example of what a request's body or a part of its path is: its own, or that of its type.
fn example<'a>(document: &'a Value, described: &'a Value, what: &str) -> &'a Value {
    let schema = followed(document, &described["schema"]);
    let found = [&described["example"], &schema["example"], &schema["examples"][0]];
    let found = found.into_iter().find(|example| !example.is_null());
    assert!(found.is_some(), "{what} has no example");
    found.unwrap_or(&Value::Null)
}

fn json_body(operation: &Value) -> Option<&Value> {
    operation["requestBody"]["content"].get("application/json")
}

/// The path of an operation with the examples of its parts.
fn path_of(document: &Value, path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parts = parameters.filter(|parameter| parameter["in"] == "path");
    parts.fold(path.to_owned(), |path, part| {
        let name = part["name"].as_str().expect("a name");
        let example = example(document, part, &format!("{name} in {path}"));
        let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        path.replace(&format!("{{{name}}}"), &text)
    })
}

/// A store as the examples have it: the sample price book, a terminal, and a printer that takes all that comes.
async fn store() -> Store {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let printer = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("agent.toml");
    let config = format!(
        "[[terminal]]\nname = \"counter\"\nkind = \"simulator\"\n\
         [[printer]]\nname = \"counter\"\naddress = \"tcp://{printer}\"\nroles = [\"receipt\", \"label\"]\n"
    );
    std::fs::write(&file, config).expect("writes");
    let store = Store::open_by(folder, Arc::new(Noon), &[], Some(file)).await;
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/price-books/tea.json");
    store.sell_by(&price_book::read(&book, Currency::CNY).expect("a sound book")).await;
    store
}

/// Waits until the first job is on paper.
async fn printed(store: &Store) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let job: PrintJobView = store.read("/v1/print-jobs/1").await;
        if job.state == "printed" {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{job:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The manager who hires whom the examples hire.
async fn hire_chen(store: &Store) {
    let pin = Some(Pin::new("314159").expect("a PIN"));
    let name = "Chen".to_owned();
    let set =
        SetOperator { name, role: RoleName::Manager, active: true, pin, till_id: None, by: None, approval_id: None };
    let owner = OwnerClient::find(&store.folder.path().join("data")).expect("it runs");
    owner.set_operator(&"chen".parse().expect("valid"), &set).await.expect("adds");
    let sign_on = json!({"command_id": id(), "till_id": "T1", "operator_id": "chen", "pin": "314159"});
    store.act("/v1/operators/sign-on", &sign_on).await;
}

#[tokio::test]
async fn the_examples_work_one_after_the_other_in_a_fresh_store() {
    let store = store().await;
    let document: Value = store.read("/v1/openapi.json").await;
    for (method, path, status) in DAY {
        if path == "/v1/operators/{operator_id}" {
            hire_chen(&store).await;
        }
        if path == "/v1/print-jobs/{job_id}/reprint" {
            printed(&store).await;
        }
        let operation = &document["paths"][path][method.to_lowercase()];
        let url = format!("{}{}", store.url, path_of(&document, path, operation));
        let mut request = store.client.request(Method::from_bytes(method.as_bytes()).expect("a method"), &url);
        if let Some(body) = json_body(operation) {
            request = request.json(example(&document, body, &format!("{method} {path}")));
        }
        let response = request.send().await.expect("answers");
        let answered = response.status().as_u16();
        let text = response.text().await.expect("text");
        assert_eq!(answered, status, "{method} {path}: {text}");
    }
    store.close().await;
}

#[tokio::test]
async fn every_body_has_an_example_that_is_tried() {
    let store = Store::open().await;
    let document: Value = store.read("/v1/openapi.json").await;
    let tried: BTreeSet<String> = DAY.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(tried.len(), DAY.len(), "each is tried once");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if json_body(operation).is_some() {
                let name = format!("{} {path}", method.to_uppercase());
                assert!(tried.contains(&name), "{name} takes a body whose example nobody tries");
            }
        }
    }
    store.close().await;
}

#[tokio::test]
async fn a_command_that_is_sent_to_another_path_is_another_command() {
    let store = store().await;
    let command = json!({"command_id": id(), "till_id": "T1", "operator_id": "li"});
    let answer = store.act("/v1/operators/sign-off", &command).await;
    assert_eq!(store.act("/v1/operators/sign-off", &command).await, answer, "the same again");
    for path in ["/v1/printers/counter/test-page", "/v1/print-jobs/1/retry", "/v1/print-jobs/2/cancel"] {
        store.refused(path, &command, 409, "command.conflict").await;
    }
    store.close().await;
}

#[tokio::test]
async fn a_sale_of_a_basket_that_does_not_exist_is_unknown_as_described() {
    let store = Store::open().await;
    let sale = json!({"sale_id": id(), "till_id": "T1", "basket_id": id(), "tenders": []});
    store.refused("/v1/sales", &sale, 404, "basket.unknown").await;
    let document: Value = store.read("/v1/openapi.json").await;
    assert!(document["paths"]["/v1/sales"]["post"]["responses"]["404"].is_object());
    store.close().await;
}
