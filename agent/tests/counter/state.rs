//! What a screen sees that begins, was away, or trains.

use std::sync::Arc;

use agent::clock::SystemClock;
use protocol::latest::local_api::Change;
use protocol::latest::state::StateView;
use serde_json::{Value, json};

use crate::api_support::{PATIENCE, Store};
use crate::kit::{cash, id};

fn basket(till: &str) -> Value {
    json!({"command_id": id(), "till_id": till, "basket_id": id(),
        "changes": [{"change": "add_line", "line_id": id(), "sku": "tea-l"}, {"change": "send"}]})
}

#[tokio::test]
async fn the_state_and_what_changes_behind_it_leave_nothing_out() {
    let store = Store::open_with_book().await;
    store.open_shift("T1", 0).await;
    store.act("/v1/baskets", &basket("T1")).await;
    let state: StateView = store.read("/v1/state").await;
    assert_eq!((state.baskets.len(), state.shifts.len(), state.cups.cups.len()), (1, 1, 1));
    assert!(!state.training);
    // A till that was away names the version that it saw.
    store.act("/v1/baskets", &basket("T2")).await;
    let mut response = store.get(&format!("/v1/events?since={}", state.version)).await;
    let mut text = String::new();
    let told = async {
        while !text.contains("event: sync") {
            text.push_str(
                std::str::from_utf8(&response.chunk().await.expect("reads").expect("goes on")).expect("text"),
            );
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("in time");
    let changes: Vec<Change> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("a change"))
        .collect();
    assert!(changes.iter().any(|change| matches!(change, Change::Basket(basket) if basket.till_id.as_str() == "T2")));
    assert!(changes.iter().any(|change| matches!(change, Change::Cup(_))));
    assert!(!changes.iter().any(|change| matches!(change, Change::Shift(_))), "it had seen that");
}

#[tokio::test]
async fn a_till_that_was_away_for_too_long_is_told_to_begin_anew() {
    let store = Store::open_with_book().await;
    let mut response = store.get("/v1/events?since=0000000000000001.5").await;
    let first =
        tokio::time::timeout(PATIENCE, response.chunk()).await.expect("in time").expect("reads").expect("goes on");
    assert!(std::str::from_utf8(&first).expect("text").contains("event: reset"));
    let malformed = store.get("/v1/events?since=yesterday").await;
    assert_eq!(malformed.status(), 400);
}

#[tokio::test]
async fn training_has_numbers_of_its_own_and_leaves_nothing_in_the_books() {
    let store = Store::open_with_book().await;
    store.buy("T1", 1).await;
    let sync: Value = store.read("/v1/sync").await;
    let order = |number: &str| json!({"sale_id": number, "till_id": "T1", "tenders": cash(1800), "order": {"lines": [{"sku": "tea-l"}]}});
    let ids = [id(), id()];
    for (place, sale_id) in ids.iter().enumerate() {
        let receipt = store.act("/training/v1/sales", &order(sale_id)).await;
        assert_eq!(receipt["receipt_no"], json!(place + 1), "a row of numbers of its own");
    }
    let state: StateView = store.read("/training/v1/state").await;
    assert!(state.training && state.cups.cups.len() == 2);
    let after: Value = store.read("/v1/sync").await;
    assert_eq!((&after["head_seq"], &after["outbox_events"]), (&sync["head_seq"], &sync["outbox_events"]));
    let totals: Vec<Value> = store.read("/v1/totals").await;
    assert_eq!(totals[0]["sales"], 1);
    assert_eq!(store.get(&format!("/v1/sales/{}", ids[0])).await.status(), 404);
    // The next run of the agent begins to train anew.
    let store = Store::open_on(store.close().await).await;
    assert_eq!(store.get(&format!("/training/v1/sales/{}", ids[0])).await.status(), 404);
}

#[tokio::test]
async fn training_pays_at_simulated_terminals_and_no_money_moves() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("agent.toml");
    // In earnest this terminal declines.
    let text = "[[terminal]]\nname = \"front\"\nkind = \"simulator\"\nscript = \"decline, decline\"\n";
    std::fs::write(&file, text).expect("writes");
    let store = Store::open_by(folder, Arc::new(SystemClock), &[], Some(file)).await;
    assert!(!store.folder.path().join("data/training").exists(), "nothing of it is opened before somebody trains");
    let state_of = async |base: &str| {
        let attempt = id();
        let ask =
            json!({"attempt_id": attempt, "till_id": "T1", "sale_id": id(), "kind": "card", "amount_minor": 1800});
        store.act(&format!("{base}/v1/payments"), &ask).await;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let view: Value = store.read(&format!("{base}/v1/payments/{attempt}")).await;
            if view["state"] != "asked" {
                return view["state"].clone();
            }
            assert!(tokio::time::Instant::now() < deadline, "{view}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert_eq!(state_of("").await, "declined");
    assert_eq!(state_of("/training").await, "approved");
    store.close().await;
}

#[tokio::test]
async fn a_store_whose_training_cannot_be_opened_sells() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("data")).expect("makes it");
    // A file is where the folder should be.
    let in_the_way = folder.path().join("data/training");
    std::fs::write(&in_the_way, b"").expect("writes");
    let store = Store::open_on(folder).await;
    store.buy("T1", 1).await;
    crate::api_support::problem(store.get("/training/v1/state").await, 503, "training.not_available").await;
    let notices = async || {
        let sync: Value = store.read("/v1/sync").await;
        sync["notices"].as_array().expect("a list").iter().map(|notice| notice["key"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(notices().await, ["training"]);
    store.buy("T1", 1).await;
    // Somebody clears the way.
    std::fs::remove_file(&in_the_way).expect("removes");
    let state: StateView = store.read("/training/v1/state").await;
    assert!(state.training);
    assert!(notices().await.is_empty());
    store.close().await;
}
