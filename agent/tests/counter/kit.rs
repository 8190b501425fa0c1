//! Commands of a till in short.

use std::sync::atomic::{AtomicU64, Ordering};

use agent::db::Reader;
use agent::folder;
use pos_model::Currency;
use pricing::book::PriceBook;
use protocol::latest::local_api::{SaleReceipt, SyncState};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::api_support::{PATIENCE, Store};

/// Of everybody.
const PIN: &str = "27182818";

static NEXT: AtomicU64 = AtomicU64::new(1);

/// An id that no other command has.
pub(crate) fn id() -> String {
    format!("018f0000-0000-7000-8000-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A sale of one line at 1,800 minor units each, with 6 % tax in it.
pub(crate) fn sale_of(till: &str, quantity: i64, tenders: Value) -> Value {
    json!({
        "sale_id": id(), "till_id": till,
        "lines": [{"sku": "milk-tea-l", "name": "Milk tea", "quantity": quantity, "unit_price_minor": 1800,
            "tax_rate_ppm": 60_000, "consumption": [{"item_id": "milk", "quantity": 100 * quantity}]}],
        "tenders": tenders,
    })
}

pub(crate) fn cash(amount: i64) -> Value {
    json!([{"kind": "cash", "amount_minor": amount}])
}

/// Tea in two sizes with a choice of sugar, and pearls; made at the bar.
pub(crate) fn book() -> Value {
    json!({
        "schema": 1, "engine_level": 1, "version": "counter-1", "currency": "CNY",
        "tax_groups": { "drinks": { "rate_ppm": 60_000, "takeaway_rate_ppm": 130_000 } },
        "stations": { "bar": { "name": "Bar" } },
        "ingredients": { "milk": { "name": "Milk", "unit": "ml" } },
        "option_groups": {
            "sugar": { "name": "Sugar", "min": 1, "max": 1, "defaults": ["sugar-full"], "options": [
                { "code": "sugar-full", "name": "Full sugar" }, { "code": "sugar-none", "name": "No sugar" }] },
            "topping": { "name": "Topping", "max": 2, "options": [
                { "code": "pearls", "name": "Pearls", "price_minor": 300, "excludes": ["pudding"] },
                { "code": "pudding", "name": "Pudding", "price_minor": 400 }] },
        },
        "items": {
            "tea": {
                "name": "Milk tea", "categories": ["milk-tea"], "tax_group": "drinks", "station": "bar",
                "option_groups": ["sugar", "topping"], "recipe": [{ "item": "milk", "quantity": "100" }],
                "variants": [
                    { "sku": "tea-m", "size": "m", "name": "medium", "price_minor": 1500 },
                    { "sku": "tea-l", "size": "l", "name": "large", "price_minor": 1800 },
                ],
            },
        },
    })
}

impl Store {
    /// A store that sells by [`book`].
    pub(crate) async fn open_with_book() -> Self {
        let store = Self::open().await;
        store.load_book().await;
        store
    }

    /// The bodies of the events that are held.
    pub(crate) fn outbox(&self) -> Vec<Value> {
        let reader = Reader::open(&folder::books(&self.folder.path().join("data"))).expect("opens");
        let rows = reader.view().events(None, false, 1000).expect("reads");
        rows.iter().map(|row| serde_json::to_value(row.event().expect("decodes").body).expect("encodes")).collect()
    }

    /// Loads [`book`], and waits until the store sells by it.
    pub(crate) async fn load_book(&self) {
        self.sell_by(&PriceBook::from_json(book().to_string().as_bytes()).expect("a book")).await;
    }

    /// Loads a price book into a store that has none, and waits until it sells by it.
    pub(crate) async fn sell_by(&self, book: &PriceBook) {
        assert_eq!(book.currency, Currency::CNY);
        agent::price_book::deliver(book, &self.folder.path().join("data")).expect("delivers");
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let state: SyncState = self.read("/v1/sync").await;
            if state.price_book.is_some() {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{state:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Does a till's command, which must succeed.
    pub(crate) async fn act(&self, path: &str, body: &Value) -> Value {
        let response = self.post_to(path, body.to_string()).await;
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Does a till's command, which must be refused with this status and key.
    pub(crate) async fn refused(&self, path: &str, body: &Value, status: u16, message_key: &str) {
        let response = self.post_to(path, body.to_string()).await;
        crate::api_support::problem(response, status, message_key).await;
    }

    /// Opens a shift on a till, and returns its id.
    pub(crate) async fn open_shift(&self, till: &str, float: i64) -> String {
        let shift_id = id();
        let command = json!({"command_id": id(), "till_id": till, "shift_id": shift_id, "float_minor": float});
        self.act("/v1/shifts", &command).await;
        shift_id
    }

    /// Adds a cashier, li, signed on at T1, and a shift lead, wu, signed on at T2.
    pub(crate) async fn staff(&self) {
        let owner = agent::owner::found(&self.folder.path().join("data")).expect("left there");
        for (operator, role, till) in [("li", "cashier", "T1"), ("wu", "shift_lead", "T2")] {
            let put = self.client.put(format!("{}/v1/operators/{operator}", self.url)).bearer_auth(owner.reveal());
            let added = put.json(&json!({"name": operator, "role": role, "pin": PIN})).send().await.expect("answers");
            assert_eq!(added.status(), StatusCode::OK);
            let sign_on = json!({"command_id": id(), "till_id": till, "operator_id": operator, "pin": PIN});
            self.act("/v1/operators/sign-on", &sign_on).await;
        }
    }

    /// Has wu allow something, and returns the approval's id.
    pub(crate) async fn approve(&self, till: &str, action: &str, subject: &str) -> String {
        let approval = id();
        let give = json!({"command_id": id(), "till_id": till, "approval_id": approval, "operator_id": "wu", "pin": PIN,
            "action": action, "subject": subject});
        self.act("/v1/approvals", &give).await;
        approval
    }

    /// Opens a shift of an operator on a till, and returns its id.
    pub(crate) async fn open_shift_of(&self, till: &str, operator: &str, float: i64) -> String {
        let shift_id = id();
        let command = json!({"command_id": id(), "till_id": till, "operator_id": operator, "shift_id": shift_id,
            "float_minor": float});
        self.act("/v1/shifts", &command).await;
        shift_id
    }

    /// What is in a basket, to be paid as it is at this moment.
    pub(crate) async fn to_pay(&self, basket_id: &str, till: &str, amount: i64) -> Value {
        let view: Value = self.read(&format!("/v1/baskets/{basket_id}")).await;
        json!({"sale_id": id(), "till_id": till, "basket_id": basket_id, "tenders": cash(amount),
            "basket_revision": view["basket"]["revision"]})
    }

    /// Closes a shift with a count, and returns its Z report.
    pub(crate) async fn close_shift(&self, till: &str, shift_id: &str, counted: i64) -> Value {
        let command = json!({"command_id": id(), "till_id": till, "counted_minor": counted});
        self.act(&format!("/v1/shifts/{shift_id}/close"), &command).await["report"].take()
    }

    /// Makes a sale that was made elsewhere, as the owner of the folder.
    pub(crate) async fn import(&self, sale: &Value) -> SaleReceipt {
        let owner = agent::owner::found(&self.folder.path().join("data")).expect("left there");
        let request = self.client.post(format!("{}/v1/sales", self.url)).bearer_auth(owner.reveal()).json(sale);
        let response = request.send().await.expect("answers");
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.expect("a receipt")
    }

    pub(crate) async fn buy(&self, till: &str, quantity: i64) -> SaleReceipt {
        self.sell(&sale_of(till, quantity, cash(1800 * quantity))).await
    }
}
