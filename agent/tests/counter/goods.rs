//! Deliveries and transfers in a store with a price book.

use agent::identity::Identity;
use serde_json::{Value, json};

use crate::api_support::Store;
use crate::kit::id;

fn movement(kind: &str, item: &str) -> Value {
    let other = kind.starts_with("transferred").then_some("SH-2");
    json!({"command_id": id(), "till_id": "T1", "movement_id": id(), "kind": kind, "other_store": other,
        "items": [{"item_id": item, "quantity": 5}]})
}

#[tokio::test]
async fn an_item_that_nobody_knows_is_refused_unless_it_is_meant() {
    let store = Store::open_with_book().await;
    let path = "/v1/stock/movements";
    store.act(path, &movement("received", "milk")).await;
    let misspelt = movement("received", "mlik");
    store.refused(path, &misspelt, 422, "stock.item_unknown").await;
    let mut meant = misspelt.clone();
    meant["new"] = json!(true);
    let moved = store.act(path, &meant).await;
    assert_eq!(store.act(path, &meant).await, moved, "the same command");
    store.act(path, &movement("received", "mlik")).await;
}

#[tokio::test]
async fn nothing_is_transferred_from_a_store_to_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    agent::folder::prepare(&data_dir).expect("makes it");
    let identity = Identity {
        store_id: "SH-1".parse().expect("valid"),
        secret: "secret".to_owned(),
        centre_url: "http://127.0.0.1:9".to_owned(),
        mqtt_url: "mqtt://127.0.0.1:9".to_owned(),
        proofs: false,
    };
    identity.save(&data_dir).expect("saves");
    let store = Store::open_on(folder).await;
    let mut own = movement("transferred_out", "milk");
    own["other_store"] = json!("SH-1");
    store.refused("/v1/stock/movements", &own, 422, "stock.other_store_own").await;
    store.act("/v1/stock/movements", &movement("transferred_out", "milk")).await;
}
