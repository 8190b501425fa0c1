//! Operators, approvals and paired tills, over HTTP.

#[path = "api_support/mod.rs"]
mod api_support;

use agent::clock::SystemClock;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agent::db::audit::word;
use agent::owner_client::OwnerClient;
use api_support::{PATIENCE, Store, problem};
use protocol::latest::people::{
    ApprovalGiven, OperatorView, Pin, RoleName, SetOperator, SignedOn, TillToken, TillView,
};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

const PIN: &str = "27182818";
const MANAGERS_PIN: &str = "31415926";

fn id() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    format!("018f0000-0000-7000-8000-{:012x}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn owner(store: &Store) -> OwnerClient {
    OwnerClient::find(&store.folder.path().join("data")).expect("it runs")
}

async fn add(store: &Store, id: &str, role: RoleName, pin: &str) {
    let pin = Some(Pin::new(pin).expect("a PIN"));
    let set = SetOperator { name: id.to_owned(), role, active: true, pin, till_id: None, by: None, approval_id: None };
    owner(store).set_operator(&id.parse().expect("valid"), &set).await.expect("adds");
}

/// A store with a cashier and a manager.
async fn staffed() -> Store {
    let store = Store::open().await;
    add(&store, "li", RoleName::Cashier, PIN).await;
    add(&store, "chen", RoleName::Manager, MANAGERS_PIN).await;
    store
}

fn sign_on(till_id: &str, operator_id: &str, pin: &str) -> Value {
    json!({ "command_id": id(), "till_id": till_id, "operator_id": operator_id, "pin": pin })
}

async fn signed_on(store: &Store, command: &Value) -> SignedOn {
    let response = store.post_to("/v1/operators/sign-on", command.to_string()).await;
    assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.unwrap_or_default());
    response.json().await.expect("who signed on")
}

async fn marks(store: &Store) -> Vec<String> {
    let readers = store.running.as_ref().expect("runs").readers.clone();
    let marks = readers.read(|view| view.audit_marks(1000)).await.expect("reads");
    marks.into_iter().map(|row| row.mark.action.to_string()).collect()
}

#[tokio::test]
async fn an_operator_signs_on_once_and_off() {
    let store = staffed().await;
    let command = sign_on("T1", "li", PIN);
    let first = signed_on(&store, &command).await;
    assert_eq!((first.till_id.as_str(), first.operator_id.as_str(), first.role), ("T1", "li", RoleName::Cashier));
    assert_eq!(signed_on(&store, &command).await, first, "the same again gets the same answer");
    let mut other = command.clone();
    other["till_id"] = json!("T2");
    problem(store.post_to("/v1/operators/sign-on", other.to_string()).await, 409, "command.conflict").await;

    let operators: Vec<OperatorView> = store.read("/v1/operators").await;
    let li = operators.iter().find(|operator| operator.operator_id.as_str() == "li").expect("is there");
    assert_eq!(li.till_ids, ["T1".parse().expect("valid")]);
    let mut sold = sale("T1");
    problem(store.post(sold.to_string()).await, 403, "operator.needed").await;
    sold["operator_id"] = json!("li");
    assert_eq!(store.sell(&sold).await.till_id.as_str(), "T1", "on loopback no till is asked for a token");
    let off = json!({ "command_id": id(), "till_id": "T1", "operator_id": "li" });
    for _ in 0..2 {
        let response = store.post_to("/v1/operators/sign-off", off.to_string()).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(marks(&store).await[2..], [word::SIGNED_ON, word::SIGNED_OFF]);
    // The command may come once more, late. It does not say that somebody is there who has gone, and it knows its PIN.
    let path = "/v1/operators/sign-on";
    problem(store.post_to(path, command.to_string()).await, 409, "operator.signed_off_since").await;
    let mut guess = command.clone();
    guess["pin"] = json!("31415926");
    problem(store.post_to(path, guess.to_string()).await, 403, "operator.pin_wrong").await;
    problem(
        store.post_to("/v1/operators/sign-on", sign_on("T1", "ma", PIN).to_string()).await,
        404,
        "operator.unknown",
    )
    .await;
    store.close().await;
}

#[tokio::test]
async fn guesses_are_counted_one_by_one_also_when_they_come_at_once() {
    let store = staffed().await;
    let guesses: [_; 12] = std::array::from_fn(|number| {
        let command = sign_on("T1", "li", &format!("1010{number:04}"));
        let request = store.client.post(format!("{}/v1/operators/sign-on", store.url));
        tokio::spawn(request.json(&command).send())
    });
    let (mut wrong, mut locked) = (0, 0);
    for guess in guesses {
        let response = guess.await.expect("no panic").expect("answers");
        match response.status().as_u16() {
            403 => wrong += 1,
            429 => {
                let wait: u32 = response.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
                assert!((1..=31).contains(&wait), "{wait}");
                locked += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((wrong, locked), (4, 8), "the fifth one locks, and no further one is looked at");
    let right = store.post_to("/v1/operators/sign-on", sign_on("T1", "li", PIN).to_string()).await;
    problem(right, 429, "operator.locked").await;
    let count = marks(&store).await.iter().filter(|mark| *mark == word::PIN_FAILED).count();
    assert_eq!(count, 5);

    // A new PIN from the owner of the folder ends it.
    add(&store, "li", RoleName::Cashier, "16180339").await;
    signed_on(&store, &sign_on("T1", "li", "16180339")).await;
    store.close().await;
}

#[tokio::test]
async fn an_approval_is_given_by_whose_role_suffices() {
    let store = staffed().await;
    let approve = |operator_id: &str, pin: &str, action: &str| {
        json!({ "command_id": id(), "till_id": "T1", "approval_id": id(), "operator_id": operator_id, "pin": pin,
            "action": action, "subject": "sale-1" })
    };
    let post = async |command: Value| store.post_to("/v1/approvals", command.to_string()).await;
    problem(post(approve("li", PIN, "refund")).await, 403, "approval.role_too_low").await;
    problem(post(approve("chen", PIN, "refund")).await, 403, "operator.pin_wrong").await;
    problem(post(approve("chen", MANAGERS_PIN, "fly")).await, 422, "approval.action_unknown").await;
    let command = approve("chen", MANAGERS_PIN, "refund");
    let mut given = Vec::new();
    for _ in 0..2 {
        given.push(post(command.clone()).await.json::<ApprovalGiven>().await.expect("an approval"));
    }
    assert_eq!(given[0], given[1]);
    assert_eq!(command["approval_id"], given[0].approval_id.to_string());
    store.close().await;
}

#[tokio::test]
async fn t33_asking_for_money_again_needs_somebody_who_may_say_that_none_was_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("agent.toml");
    let text = "[[terminal]]\nname = \"front\"\nkind = \"simulator\"\nscript = \"lose_answer@60s, approve\"\n";
    std::fs::write(&file, text).expect("writes");
    let store = Store::open_by(folder, Arc::new(SystemClock), &[], Some(file)).await;
    add(&store, "li", RoleName::Cashier, PIN).await;
    add(&store, "chen", RoleName::Manager, MANAGERS_PIN).await;
    signed_on(&store, &sign_on("T1", "li", PIN)).await;
    let sale = id();
    let ask = || json!({ "attempt_id": id(), "till_id": "T1", "operator_id": "li", "sale_id": sale, "kind": "card", "amount_minor": 1800 });
    let post = async |path: &str, command: &Value| store.post_to(path, command.to_string()).await;
    assert_eq!(post("/v1/payments", &ask()).await.status(), StatusCode::OK);
    problem(post("/v1/payments", &ask()).await, 422, "payment.other_attempt_open").await;
    let mut again = ask();
    again["nothing_taken"] = json!(true);
    problem(post("/v1/payments", &again).await, 403, "approval.needed").await;
    let approval = json!({ "command_id": id(), "till_id": "T1", "approval_id": id(), "operator_id": "chen",
        "pin": MANAGERS_PIN, "action": "settle_payment", "subject": sale });
    assert_eq!(post("/v1/approvals", &approval).await.status(), StatusCode::OK);
    // What was refused is answered the same again, so this is another attempt.
    again["attempt_id"] = json!(id());
    again["approval_id"] = approval["approval_id"].clone();
    assert_eq!(post("/v1/payments", &again).await.status(), StatusCode::OK);
    assert!(marks(&store).await.iter().any(|mark| mark == "payment_asked_again"));

    // From another till the money is given back by somebody who may.
    signed_on(&store, &sign_on("T2", "li", PIN)).await;
    let attempt = again["attempt_id"].as_str().expect("text").to_owned();
    let path = format!("/v1/payments/{attempt}/reverse");
    let mut reverse = json!({ "command_id": id(), "till_id": "T2", "operator_id": "li" });
    problem(post(&path, &reverse).await, 403, "approval.needed").await;
    let approval = json!({ "command_id": id(), "till_id": "T2", "approval_id": id(), "operator_id": "chen",
        "pin": MANAGERS_PIN, "action": "reverse_others_payment", "subject": attempt });
    assert_eq!(post("/v1/approvals", &approval).await.status(), StatusCode::OK);
    reverse["approval_id"] = approval["approval_id"].clone();
    assert_eq!(post(&path, &reverse).await.status(), StatusCode::OK);
    store.close().await;
}

#[tokio::test]
async fn operators_are_managed_by_the_owner_and_by_managers() {
    let store = Store::open().await;
    let put = async |operator_id: &str, body: Value| {
        store.client.put(format!("{}/v1/operators/{operator_id}", store.url)).json(&body).send().await.expect("answers")
    };
    let ma = json!({ "name": "Ma", "role": "cashier", "pin": "16180339", "till_id": "T1", "by": "chen" });
    problem(put("ma", ma.clone()).await, 403, "operator.first_by_owner").await;
    add(&store, "chen", RoleName::Manager, MANAGERS_PIN).await;
    add(&store, "li", RoleName::Cashier, PIN).await;
    problem(put("ma", ma.clone()).await, 403, "operator.not_signed_on").await;
    signed_on(&store, &sign_on("T1", "chen", MANAGERS_PIN)).await;
    assert_eq!(put("ma", ma.clone()).await.status(), StatusCode::OK);
    let with = |key: &str, value: Value| {
        let mut body = ma.clone();
        body[key] = value;
        body
    };
    problem(put("ma", with("till_id", Value::Null)).await, 403, "request.owner_only").await;
    problem(put("ma", with("pin", json!("1234"))).await, 422, "operator.pin_weak").await;
    problem(put("ma", with("name", json!(""))).await, 422, "request.text").await;
    problem(put("a%20b", ma.clone()).await, 400, "request.malformed").await;
    let malformed = problem(put("ma", with("pin", json!(16180339))).await, 400, "request.malformed").await;
    assert!(!malformed.detail.contains("16180339"), "{}", malformed.detail);
    signed_on(&store, &sign_on("T1", "li", PIN)).await;
    problem(put("ma", with("by", json!("li"))).await, 403, "approval.needed").await;

    // The last manager stays, but for the owner; and a store that everybody has left is not open to everybody.
    signed_on(&store, &sign_on("T1", "chen", MANAGERS_PIN)).await;
    for change in [json!({ "role": "cashier" }), json!({ "role": "manager", "active": false })] {
        let mut last = json!({ "name": "Chen", "till_id": "T1", "by": "chen" });
        last.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        problem(put("chen", last).await, 422, "operator.last_manager").await;
    }
    for operator in ["chen", "li", "ma"] {
        let gone = SetOperator {
            name: operator.to_owned(),
            role: RoleName::Cashier,
            active: false,
            pin: None,
            till_id: None,
            by: None,
            approval_id: None,
        };
        owner(&store).set_operator(&operator.parse().expect("valid"), &gone).await.expect("leaves");
    }
    problem(store.post(sale("T1").to_string()).await, 403, "operator.needed").await;
    store.close().await;
}

// ---- paired tills ----

async fn paired_store() -> Store {
    Store::open_with(tempfile::tempdir().expect("a folder"), Arc::new(SystemClock), &[("http.tills", "paired")]).await
}

async fn pair(store: &Store, code: &str, till_id: &str) -> Response {
    let body = json!({ "code": code, "till_id": till_id, "name": "counter" });
    store.post_to("/v1/pair", body.to_string()).await
}

fn sale(till_id: &str) -> Value {
    json!({ "sale_id": id(), "till_id": till_id, "lines": [{ "sku": "tea", "quantity": 1, "unit_price_minor": 1800 }],
        "tenders": [{ "kind": "cash", "amount_minor": 1800 }] })
}

async fn sell(store: &Store, token: &str, till_id: &str) -> Response {
    let request = store.client.post(format!("{}/v1/sales", store.url)).bearer_auth(token).json(&sale(till_id));
    request.send().await.expect("answers")
}

#[tokio::test]
async fn t15_tills_that_pair_at_the_same_instant_have_ids_of_their_own() {
    let store = paired_store().await;
    let code = owner(&store).make_pair_code(8).await.expect("a code").code;
    // Each id is asked for by two tills, all at the same instant.
    let asked: [_; 16] = std::array::from_fn(|number| {
        let body = json!({ "code": code, "till_id": format!("T{}", number / 2), "name": "counter" });
        tokio::spawn(store.client.post(format!("{}/v1/pair", store.url)).json(&body).send())
    });
    let mut tokens: Vec<TillToken> = Vec::new();
    for asked in asked {
        let response = asked.await.expect("no panic").expect("answers");
        match response.status().as_u16() {
            200 => tokens.push(response.json().await.expect("a token")),
            // Its id is taken, or the code was for the eight others.
            409 => drop(problem(response, 409, "till.taken").await),
            _ => drop(problem(response, 403, "pair.code_wrong").await),
        }
    }
    let ids: BTreeSet<&str> = tokens.iter().map(|token| token.till_id.as_str()).collect();
    let secrets: BTreeSet<&str> = tokens.iter().map(|token| token.token.as_str()).collect();
    assert_eq!((ids.len(), secrets.len()), (tokens.len(), tokens.len()), "no id and no token twice");
    let listed = owner(&store).tills().await.expect("lists");
    assert_eq!(listed.len(), tokens.len());
    for token in &tokens {
        assert_eq!(sell(&store, &token.token, token.till_id.as_str()).await.status(), StatusCode::OK);
    }
    store.close().await;
}

#[tokio::test]
async fn eight_tills_pair_with_one_code_and_a_ninth_does_not() {
    let store = paired_store().await;
    let code = owner(&store).make_pair_code(8).await.expect("a code").code;
    let asked: [_; 8] = std::array::from_fn(|number| {
        let body = json!({ "code": code, "till_id": format!("T{number}"), "name": "counter" });
        tokio::spawn(store.client.post(format!("{}/v1/pair", store.url)).json(&body).send())
    });
    let mut ids = BTreeSet::new();
    for asked in asked {
        let response = asked.await.expect("no panic").expect("answers");
        assert_eq!(response.status(), StatusCode::OK);
        ids.insert(response.json::<TillToken>().await.expect("a token").till_id);
    }
    assert_eq!(ids.len(), 8);
    problem(pair(&store, &code, "T9").await, 403, "pair.code_wrong").await;
    // An id that is taken costs the next code no place.
    let code = owner(&store).make_pair_code(1).await.expect("a code").code;
    problem(pair(&store, &code, "T1").await, 409, "till.taken").await;
    assert_eq!(pair(&store, &code, "T9").await.status(), StatusCode::OK);
    store.close().await;
}

#[tokio::test]
async fn a_till_that_lost_its_token_on_the_way_gets_another_one_and_nobody_else_does() {
    let store = paired_store().await;
    let code = owner(&store).make_pair_code(1).await.expect("a code").code;
    let pair_id = id();
    let body =
        |pair_id: &str| json!({ "code": code, "till_id": "T1", "name": "counter", "pair_id": pair_id }).to_string();
    let first: TillToken = store.post_to("/v1/pair", body(&pair_id)).await.json().await.expect("a token");
    let second: TillToken = store.post_to("/v1/pair", body(&pair_id)).await.json().await.expect("a token");
    problem(sell(&store, &first.token, "T1").await, 401, "till.token_unknown").await;
    assert_eq!(sell(&store, &second.token, "T1").await.status(), StatusCode::OK);
    // Whoever has only seen the code.
    problem(store.post_to("/v1/pair", body(&id())).await, 403, "pair.code_wrong").await;
    problem(pair(&store, &code, "T1").await, 403, "pair.code_wrong").await;
    assert_eq!(sell(&store, &second.token, "T1").await.status(), StatusCode::OK);
    store.close().await;
}

#[tokio::test]
async fn a_token_speaks_for_its_till_until_it_is_taken_back() {
    let store = paired_store().await;
    for path in ["/v1/sync", "/v1/operators", "/v1/events", "/v1/nothing"] {
        let response = store.get(path).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        problem(response, 401, "till.token_needed").await;
    }
    problem(store.post(sale("T1").to_string()).await, 401, "till.token_needed").await;
    for path in ["/healthz", "/v1/openapi.json"] {
        assert_eq!(store.get(path).await.status(), StatusCode::OK, "{path}");
    }
    problem(pair(&store, "0000-0000", "T1").await, 403, "pair.code_wrong").await;

    let code = owner(&store).make_pair_code(1).await.expect("a code").code;
    let token: TillToken = pair(&store, &code, "T1").await.json().await.expect("a token");
    assert_eq!(sell(&store, &token.token, "T1").await.status(), StatusCode::OK);
    problem(sell(&store, &token.token, "T2").await, 403, "till.other").await;
    problem(sell(&store, "0000", "T1").await, 401, "till.token_unknown").await;
    let with_token = |path: &str| store.client.get(format!("{}{path}", store.url)).bearer_auth(&token.token);
    let other = sign_on("T2", "li", PIN);
    let request = store.client.post(format!("{}/v1/operators/sign-on", store.url)).bearer_auth(&token.token);
    problem(request.json(&other).send().await.expect("answers"), 403, "till.other").await;
    let request = store.client.post(format!("{}/v1/pair-codes", store.url)).bearer_auth(&token.token);
    problem(request.json(&json!({})).send().await.expect("answers"), 403, "request.owner_only").await;
    let tills: Vec<TillView> = with_token("/v1/tills").send().await.expect("answers").json().await.expect("the tills");
    assert_eq!((tills.len(), tills[0].revoked_at_ms), (1, None));

    // The token holds over a restart of the agent; what it has open ends when it is taken back.
    let store = Store::open_with(store.close().await, Arc::new(SystemClock), &[("http.tills", "paired")]).await;
    assert_eq!(sell(&store, &token.token, "T1").await.status(), StatusCode::OK);
    let request = store.client.get(format!("{}/v1/events", store.url)).bearer_auth(&token.token);
    let mut stream = request.send().await.expect("answers");
    assert_eq!(stream.status(), StatusCode::OK);
    owner(&store).revoke_till(&token.till_id).await.expect("revokes");
    problem(sell(&store, &token.token, "T1").await, 401, "till.token_unknown").await;
    let ends = async { while stream.chunk().await.expect("reads").is_some() {} };
    tokio::time::timeout(PATIENCE, ends).await.expect("the stream ends");
    assert!(marks(&store).await.contains(&word::TILL_REVOKED.to_owned()));
    store.close().await;
}

#[tokio::test]
async fn what_a_manager_allowed_of_the_stock_and_the_drawer_says_so() {
    let store = staffed().await;
    signed_on(&store, &sign_on("T1", "li", PIN)).await;
    let approved = async |action: &str, subject: &str| {
        let approval = json!({ "command_id": id(), "till_id": "T1", "approval_id": id(), "operator_id": "chen",
            "pin": MANAGERS_PIN, "action": action, "subject": subject });
        assert_eq!(store.post_to("/v1/approvals", approval.to_string()).await.status(), StatusCode::OK);
        approval["approval_id"].clone()
    };
    let newest = async || {
        let readers = store.running.as_ref().expect("runs").readers.clone();
        let mark = readers.read(|view| view.audit_marks(1)).await.expect("reads").pop().expect("is there").mark;
        let name = |operator: Option<pos_model::OperatorId>| operator.map(|id| id.to_string()).unwrap_or_default();
        (mark.action.to_string(), name(mark.operator_id), name(mark.approver_id))
    };
    let movement = id();
    let mut waste = json!({ "command_id": id(), "till_id": "T1", "operator_id": "li", "movement_id": movement,
        "kind": "wasted", "reason": "spilled", "items": [{ "item_id": "milk", "quantity": 100 }] });
    problem(store.post_to("/v1/stock/movements", waste.to_string()).await, 403, "approval.needed").await;
    waste["approval_id"] = approved("stock_movement", &movement).await;
    assert_eq!(store.post_to("/v1/stock/movements", waste.to_string()).await.status(), StatusCode::OK);
    assert_eq!(newest().await, ("stock_movement".to_owned(), "li".to_owned(), "chen".to_owned()));

    let count = id();
    let mut begin =
        json!({ "command_id": id(), "till_id": "T1", "operator_id": "li", "count_id": count, "items": ["milk"] });
    begin["approval_id"] = approved("stock_count", &count).await;
    assert_eq!(store.post_to("/v1/stock/counts", begin.to_string()).await.status(), StatusCode::OK);
    // Nobody throws another one's count away without the right to count.
    let path = format!("/v1/stock/counts/{count}/abandon");
    let mut abandon = json!({ "command_id": id(), "till_id": "T1", "operator_id": "li" });
    problem(store.post_to(&path, abandon.to_string()).await, 403, "approval.needed").await;
    abandon["approval_id"] = approved("stock_count", &count).await;
    assert_eq!(store.post_to(&path, abandon.to_string()).await.status(), StatusCode::OK);
    assert_eq!(newest().await, ("stock_count".to_owned(), "li".to_owned(), "chen".to_owned()));

    // A drawer's job that failed opens it again only for whoever may open drawers.
    let drawer = {
        let writer = store.running.as_ref().expect("runs").writer.clone();
        let at = writer.clock().now();
        let (kind, role) = (printing::template::Kind::Drawer, "@counter".to_owned());
        let till_id = Some("T1".parse().expect("valid"));
        let new = agent::db::NewPrint { kind, role, till_id, subject: String::new(), data: json!({}) };
        writer
            .run(agent::db::Durability::Promise, move |store| {
                let id = store.enqueue_print(new, at)?;
                store.fail_print(id, "no printer", at.utc_ms).or_else(|error| match error {
                    // The store has no printer, and its own task was faster.
                    agent::db::Error::Refused(_) => Ok(()),
                    error => Err(error),
                })?;
                Ok(id.get())
            })
            .await
            .expect("keeps it")
    };
    let path = format!("/v1/print-jobs/{drawer}/retry");
    let mut again = json!({ "command_id": id(), "till_id": "T1", "operator_id": "li" });
    problem(store.post_to(&path, again.to_string()).await, 403, "approval.needed").await;
    again["approval_id"] = approved("no_sale", &drawer.to_string()).await;
    assert_eq!(store.post_to(&path, again.to_string()).await.status(), StatusCode::OK);
    assert_eq!(newest().await, ("print_retried".to_owned(), "li".to_owned(), "chen".to_owned()));
    store.close().await;
}

#[tokio::test]
async fn whoever_guesses_codes_shuts_out_themselves_and_not_the_installer() {
    let store = paired_store().await;
    let code = owner(&store).make_pair_code(1).await.expect("a code").code;
    for number in 0..10 {
        problem(pair(&store, &format!("9999-{number:04}"), "T1").await, 403, "pair.code_wrong").await;
    }
    let shut_out = pair(&store, &code, "T1").await;
    let wait: u32 = shut_out.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=601).contains(&wait), "{wait}");
    problem(shut_out, 429, "pair.too_many_wrong").await;
    // Another machine in the store.
    let other =
        reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 2])).build().expect("a client");
    let body = json!({ "code": code, "till_id": "T1", "name": "counter" });
    let paired = other.post(format!("{}/v1/pair", store.url)).json(&body).send().await.expect("answers");
    assert_eq!(paired.status(), StatusCode::OK);
    store.close().await;
}
