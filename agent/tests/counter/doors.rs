//! Who may speak for which till, and who may say what no till says.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use agent::clock::SystemClock;
use agent::owner;
use agent::owner_client::OwnerClient;
use agent::replay::{Outcome, ReplayArgs, Speed, replay};
use protocol::latest::local_api::Problem;
use protocol::latest::people::TillToken;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::api_support::{Store, problem};

/// Operations with a body in which no till is named: each has a reason of its own.
const NAME_NO_TILL: [&str; 3] = [
    // It makes the token.
    "POST /v1/pair",
    // It is the owner's.
    "POST /v1/pair-codes",
    // It records nothing.
    "POST /v1/price",
];

/// Operations that write and have no body.
const WITHOUT_BODY: [&str; 3] = [
    "DELETE /v1/notices/{key}",
    "DELETE /v1/tills/{till_id}",
    // It asks a terminal what became of a payment; nothing is asked for.
    "POST /v1/payments/{attempt_id}/retry-query",
];

async fn paired_store() -> Store {
    Store::open_with(tempfile::tempdir().expect("a folder"), Arc::new(SystemClock), &[("http.tills", "paired")]).await
}

async fn token_of(store: &Store, till_id: &str) -> String {
    let owner = OwnerClient::find(&store.folder.path().join("data")).expect("it runs");
    let code = owner.make_pair_code(1).await.expect("a code").code;
    let pair = json!({ "code": code, "till_id": till_id, "name": "counter" });
    let token: TillToken = store.post_to("/v1/pair", pair.to_string()).await.json().await.expect("a token");
    token.token
}

fn pointed<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        Some(path) => document.pointer(path).expect("a reference that leads somewhere"),
        None => schema,
    }
}

/// The least that is of a schema.
fn made_of(document: &Value, schema: &Value) -> Value {
    let schema = pointed(document, schema);
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    if let Some(first) = schema.pointer("/enum/0").cloned() {
        return first;
    }
    if let Some(first) = schema.pointer("/oneOf/0").or_else(|| schema.pointer("/allOf/0")) {
        return made_of(document, first);
    }
    let kind = schema["type"].as_str().or_else(|| schema.pointer("/type/0").and_then(Value::as_str));
    match (kind, schema["format"].as_str()) {
        (Some("string"), Some("uuid")) => json!("018f0000-0000-7000-8000-000000000001"),
        (Some("string"), Some("date")) => json!("2026-03-02"),
        (Some("string"), _) => json!("t1"),
        (Some("integer"), _) => json!(1),
        (Some("boolean"), _) => json!(false),
        (Some("array"), _) => json!([]),
        _ => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let fields = required.iter().filter_map(Value::as_str);
            fields.map(|field| (field.to_owned(), made_of(document, &schema["properties"][field]))).collect()
        }
    }
}

/// A path with something in place of its parameters.
fn filled(document: &Value, path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    parameters.iter().fold(path.to_owned(), |path, parameter| {
        let value = made_of(document, &parameter["schema"]);
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        path.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap_or_default()), &text)
    })
}

#[tokio::test]
async fn no_till_speaks_for_another_one_whatever_it_says() {
    let store = paired_store().await;
    let token = token_of(&store, "T1").await;
    let document: Value = store.read("/v1/openapi.json").await;
    let (mut asked, mut name_none, mut without_body) = (0, BTreeSet::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            if method == Method::GET {
                continue;
            }
            let name = format!("{method} {path}");
            let Some(content) = operation.pointer("/requestBody/content/application~1json") else {
                without_body.insert(name);
                continue;
            };
            let schema = pointed(&document, &content["schema"]);
            if schema.pointer("/properties/till_id").is_none() || path == "/v1/pair" {
                name_none.insert(name);
                continue;
            }
            let example = content.get("example").cloned();
            let mut body = example.unwrap_or_else(|| made_of(&document, &content["schema"]));
            body["till_id"] = json!("T2");
            let url = format!("{}{}", store.url, filled(&document, path, operation));
            let response = store.client.request(method, url).bearer_auth(&token).json(&body).send().await;
            let response = response.expect("answers");
            let status = response.status();
            let problem: Problem = response.json().await.unwrap_or_else(|_| panic!("{name} answers no problem"));
            assert_eq!((status, problem.message_key.as_str()), (StatusCode::FORBIDDEN, "till.other"), "{name} {body}");
            asked += 1;
        }
    }
    assert!(asked >= 28, "{asked} operations name a till");
    assert_eq!(name_none.iter().map(String::as_str).collect::<Vec<_>>(), NAME_NO_TILL);
    assert_eq!(without_body.iter().map(String::as_str).collect::<Vec<_>>(), WITHOUT_BODY);
    store.close().await;
}

fn imported(till_id: &str) -> Value {
    json!({ "sale_id": "018f0000-0000-7000-8000-000000000017", "till_id": till_id,
        "lines": [{ "sku": "tea", "quantity": 1, "unit_price_minor": 1800 }],
        "tenders": [{ "kind": "card", "amount_minor": 1800 }],
        "imported": { "source": "paper", "reference": "17", "sold_at_utc_ms": 1_772_445_600_000_i64, "sold_at_offset_s": 0 } })
}

#[tokio::test]
async fn only_the_owner_of_the_folder_imports_sales() {
    for tills in ["open", "paired"] {
        let settings = [("http.tills", tills)];
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open_with(folder, Arc::new(SystemClock), &settings).await;
        let url = format!("{}/v1/sales", store.url);
        let token = if tills == "open" { None } else { Some(token_of(&store, "T1").await) };
        let request = store.client.post(&url).json(&imported("T1"));
        let request = match &token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        problem(request.send().await.expect("answers"), 403, "request.owner_only").await;
        let owner = owner::found(&store.folder.path().join("data")).expect("left there");
        let request = store.client.post(&url).bearer_auth(owner.reveal()).json(&imported("T1"));
        assert_eq!(request.send().await.expect("answers").status(), StatusCode::OK, "{tills}");
        store.close().await;
    }
}

const MAPPING: &str = r#"
    source = "test"
    [order]
    key = ["order"]
    till = { column = "till" }
    [time]
    zone = "UTC"
    columns = ["at"]
    format = "%Y-%m-%d %H:%M"
    [item]
    sku = "item"
    unit_price = "price"
    [money]
    currency = "CNY"
"#;

#[tokio::test]
async fn a_file_is_sold_through_an_agent_whose_tills_are_paired() {
    let store = paired_store().await;
    let files = tempfile::tempdir().expect("a folder");
    let (mapping, file) = (files.path().join("mapping.toml"), files.path().join("receipts.csv"));
    std::fs::write(&mapping, MAPPING).expect("writes");
    std::fs::write(
        &file,
        "order,till,at,item,price\n1,T1,2026-03-02 10:00,tea,18.00\n2,T1,2026-03-02 10:05,tea,18.00\n",
    )
    .expect("writes");
    let args = ReplayArgs {
        file,
        mapping,
        catalogue: None,
        agent: Some(store.url.clone()),
        store: Some("HARBOUR".to_owned()),
        picked: Vec::new(),
        limit: None,
        speed: Speed::Max,
        gap_max: None,
        tills: NonZeroUsize::MIN,
        journal: None,
        give_up_after: Duration::from_secs(20),
        refused: None,
        dry_run: false,
        json: false,
        quiet: true,
        data_dir: Some(store.folder.path().join("data")),
    };
    let run = async |args: &ReplayArgs| {
        let (_, stop) = watch::channel(false);
        replay(args, stop).await
    };
    let (report, _) = run(&args).await.expect("starts");
    assert_eq!((report.outcome(), report.sales_new), (Outcome::Done, 2), "{report}");
    let nobody = run(&ReplayArgs { data_dir: None, ..args }).await.expect_err("is not let in");
    assert!(format!("{nobody:#}").contains("401"), "{nobody:#}");
    store.close().await;
}
