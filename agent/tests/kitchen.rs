//! Stations, the call screen, and what is sold out, over HTTP.

#[path = "api_support/mod.rs"]
mod api_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agent::clock::Clock;
use agent::config::{Config, Sources};
use agent::price_book;
use agent::run::run_with_clock;
use api_support::{PATIENCE, Store, problem};
use pricing::book::PriceBook;
use protocol::latest::kitchen::{CallScreen, CupState, CupsView};
use protocol::latest::local_api::{Change, QuantityJson, SyncState};
use protocol::latest::sold_out::{SoldOutList, SoldOutState, SoldOutView};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// How fast a change has to show on every till.
const TIME_TO_EFFECT: Duration = Duration::from_secs(1);

fn book() -> Value {
    let item = |name: &str, station: &str, sku: &str| {
        json!({
            "name": name, "tax_group": "drinks", "station": station, "option_groups": ["topping"],
            "variants": [{ "sku": sku, "price_minor": 1800 }],
            "recipe": [{ "item": "milk", "quantity": "200" }],
        })
    };
    json!({
        "schema": 1, "engine_level": 1, "version": "v1", "currency": "CNY",
        "tax_groups": { "drinks": { "rate_ppm": 0 } },
        "ingredients": { "milk": { "name": "Fresh milk", "unit": "ml" } },
        "stations": { "bar": { "name": "Bar" }, "kitchen": { "name": "Kitchen" } },
        "option_groups": {
            "topping": { "name": "Topping", "max": 2, "options": [{ "code": "pearls", "name": "Pearls", "price_minor": 300 }] },
        },
        "items": { "tea": item("Milk tea", "bar", "tea"), "toast": item("Toast", "kitchen", "toast") },
    })
}

fn id() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    format!("018f0000-0000-7000-a000-{:012x}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn order(lines: Value) -> Value {
    json!({
        "sale_id": id(), "till_id": "T1", "order": { "lines": lines, "takeaway": true },
        "tenders": [{ "kind": "cash", "amount_minor": 100_000 }],
    })
}

fn with_id(mut command: Value) -> Value {
    command["command_id"] = json!(id());
    command["till_id"] = json!("T2");
    command
}

async fn open_with_book() -> Store {
    let store = Store::open().await;
    let book = PriceBook::from_json(book().to_string().as_bytes()).expect("a book");
    price_book::deliver(&book, &store.folder.path().join("data")).expect("delivers");
    let deadline = Instant::now() + PATIENCE;
    while store.read::<SyncState>("/v1/sync").await.price_book.is_none() {
        assert!(Instant::now() < deadline, "the book is not in force");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store
}

impl Store {
    /// Posts a command, which must work.
    async fn tell<T: serde::de::DeserializeOwned>(&self, path: &str, command: &Value) -> T {
        let response = self.post_to(path, command.to_string()).await;
        let status = response.status();
        let text = response.text().await.expect("text");
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("of this form")
    }

    async fn refuses(&self, path: &str, command: &Value, status: u16, key: &str) {
        problem(self.post_to(path, command.to_string()).await, status, key).await;
    }

    async fn events(&self) -> Events {
        Events { response: self.get("/v1/events").await, text: String::new() }
    }
}

/// Reads server-sent events.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn next(&mut self) -> Change {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                self.text = rest.to_owned();
                match data {
                    Some(data) => return serde_json::from_str(&data).expect("a change"),
                    None => continue,
                }
            }
            let chunk = self.response.chunk().await.expect("reads").expect("goes on");
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    async fn sold_out(&mut self) -> SoldOutView {
        loop {
            if let Change::SoldOut(view) = self.next().await {
                return view;
            }
        }
    }

    async fn cups(&mut self) -> CupsView {
        loop {
            if let Change::Cup(cups) = self.next().await {
                return cups;
            }
        }
    }
}

#[tokio::test]
async fn an_order_goes_from_the_till_over_two_stations_to_the_call_screen() {
    let store = open_with_book().await;
    let mut events = store.events().await;
    let sale = order(json!([
        { "sku": "tea", "quantity": 2, "options": ["pearls"] }, { "sku": "toast" }, { "sku": "tea", "quantity": 2 }
    ]));
    let receipt = store.sell(&sale).await;
    store.sell(&sale).await;
    let told = tokio::time::timeout(PATIENCE, events.cups()).await.expect("in time");
    let labels: Vec<String> =
        told.cups.iter().map(|cup| format!("{}/{} {}", cup.number, cup.of, cup.station)).collect();
    assert_eq!(labels, ["1/5 bar", "2/5 bar", "3/5 kitchen", "4/5 bar", "5/5 bar"]);
    let shown: CupsView = store.read("/v1/kitchen?station=kitchen").await;
    assert_eq!((shown.cups.len(), shown.cups[0].name.as_str(), shown.cups[0].takeaway), (1, "Toast", true));
    let all: CupsView = store.read("/v1/kitchen").await;
    assert_eq!((&all.cups, all.more), (&told.cups, false));
    assert_eq!(all.cups[0].options, ["Pearls"]);

    // A double tap: the same command twice at once.
    let bump = with_id(json!({ "code": shown.cups[0].code }));
    let (first, second): (CupsView, CupsView) =
        tokio::join!(store.tell("/v1/kitchen/bump", &bump), store.tell("/v1/kitchen/bump", &bump));
    assert_eq!((first.cups[0].state, &first), (CupState::Making, &second));
    store.refuses("/v1/kitchen/recall", &bump, 409, "command.conflict").await;

    let pickup_no = receipt.pickup_no;
    let screen: CallScreen = store.read("/v1/kitchen/call-screen").await;
    assert_eq!((screen.ready.len(), screen.making[0].pickup_no), (0, pickup_no));
    // All four teas, then the toast, which has been begun already, with them.
    for _ in 0..2 {
        store.tell::<CupsView>("/v1/kitchen/bump", &with_id(json!({ "pickup_no": pickup_no }))).await;
    }
    let screen: CallScreen = store.read("/v1/kitchen/call-screen").await;
    assert_eq!((screen.ready[0].pickup_no, screen.making.len()), (pickup_no, 0));
    let handed: CupsView = store.tell("/v1/kitchen/hand-over", &with_id(json!({ "pickup_no": pickup_no }))).await;
    assert!(handed.cups.len() == 5 && handed.cups.iter().all(|cup| cup.state == CupState::Handed));
    let again: CupsView = store.tell("/v1/kitchen/hand-over", &with_id(json!({ "pickup_no": pickup_no }))).await;
    assert_eq!(again, handed, "handed over is handed over");
    assert_eq!(store.read::<CupsView>("/v1/kitchen").await.cups, []);
    let recalled: CupsView =
        store.tell("/v1/kitchen/recall", &with_id(json!({ "cup_id": handed.cups[0].cup_id }))).await;
    assert_eq!(recalled.cups[0].state, CupState::Ready);
    let order: CupsView = store.read(&format!("/v1/kitchen/orders/{}", receipt.sale_id)).await;
    assert_eq!(order.cups.iter().filter(|cup| cup.state == CupState::Handed).count(), 4);

    // The next run of the agent knows it as well.
    let store = Store::open_on(store.close().await).await;
    assert_eq!(store.read::<CupsView>("/v1/kitchen").await.cups, recalled.cups);
}

#[tokio::test]
async fn t32_a_basket_is_sent_in_parts_voided_and_paid_and_nothing_is_made_twice_or_lost() {
    let store = open_with_book().await;
    let basket = id();
    let (tea, toast, more) = (id(), id(), id());
    let add = |line: &str, sku: &str, quantity: i64| json!({ "change": "add_line", "line_id": line, "sku": sku, "quantity": quantity });
    let send = json!({ "change": "send" });
    let open = json!({ "basket_id": basket, "changes": [
        add(&tea, "tea", 2), { "change": "set_label", "label": "Table 7" }, send
    ] });
    store.tell::<Value>("/v1/baskets", &with_id(open)).await;
    let path = format!("/v1/baskets/{basket}/changes");
    let cups = async || -> Vec<String> {
        let order: CupsView = store.read(&format!("/v1/kitchen/orders/{basket}")).await;
        let cups = order.cups.iter();
        cups.map(|cup| format!("{}/{} {} {:?}", cup.number, cup.of, cup.sku, cup.state)).collect()
    };
    assert_eq!(cups().await, ["1/2 tea Queued", "2/2 tea Queued"]);
    // Toast is added at another till and sent; the teas are not made again.
    let change = |changes: Value| with_id(json!({ "changes": changes }));
    store.tell::<Value>(&path, &change(json!([add(&toast, "toast", 1), send]))).await;
    assert_eq!(cups().await, ["1/3 tea Queued", "2/3 tea Queued", "3/3 toast Queued"]);
    store.tell::<Value>(&path, &change(json!([{ "change": "void_line", "line_id": tea, "reason": "customer" }]))).await;
    assert_eq!(cups().await, ["1/3 tea Voided", "2/3 tea Voided", "3/3 toast Queued"]);
    // What is sold out is not sent, and the basket stays as it was.
    let milk = json!({ "what": "item", "code": "milk", "state": "countdown", "remaining": 300 });
    store.tell::<SoldOutView>("/v1/sold-out", &with_id(milk)).await;
    store.refuses(&path, &change(json!([add(&more, "tea", 2), send])), 422, "sold_out.item").await;
    // One more is paid without being sent first; of the toast nothing is taken a second time.
    store.tell::<Value>(&path, &change(json!([add(&more, "tea", 1)]))).await;
    let shown: Value = store.read(&format!("/v1/baskets/{basket}")).await;
    let sale = json!({
        "sale_id": id(), "till_id": "T2", "basket_id": basket, "basket_revision": shown["basket"]["revision"],
        "tenders": [{ "kind": "cash", "amount_minor": 10_000 }],
    });
    let receipt = store.sell(&sale).await;
    store.sell(&sale).await;
    assert_eq!(cups().await, ["1/4 tea Voided", "2/4 tea Voided", "3/4 toast Queued", "4/4 tea Queued"]);
    let list: SoldOutList = store.read("/v1/sold-out").await;
    assert_eq!(list.entries[0].remaining, Some(QuantityJson::Whole(100)));
    let screen: CallScreen = store.read("/v1/kitchen/call-screen").await;
    let called = &screen.making[0];
    assert_eq!((called.pickup_no, called.label.as_deref()), (receipt.pickup_no, Some("Table 7")));
}

#[tokio::test]
async fn what_comes_back_is_not_made_any_more() {
    let store = open_with_book().await;
    let sold = store.sell(&order(json!([{ "sku": "tea", "quantity": 3 }, { "sku": "toast" }]))).await;
    let states = async || -> Vec<String> {
        let order: CupsView = store.read(&format!("/v1/kitchen/orders/{}", sold.sale_id)).await;
        order.cups.iter().map(|cup| format!("{} {:?}", cup.sku, cup.state)).collect()
    };
    let first = store.read::<CupsView>("/v1/kitchen").await.cups[0].cup_id;
    store.tell::<CupsView>("/v1/kitchen/hand-over", &with_id(json!({ "cup_id": first }))).await;
    let refund = async |lines: Value| {
        let refund = json!({
            "refund_id": id(), "till_id": "T2", "sale_id": sold.sale_id, "lines": lines, "reason": "wrong_drink",
        });
        store.tell::<Value>("/v1/refunds", &refund).await;
    };
    // One tea comes back. It may be the one that the customer has: two are still waited for.
    refund(json!([{ "line": 0, "count": 1 }])).await;
    assert_eq!(states().await, ["tea Handed", "tea Queued", "tea Queued", "toast Queued"]);
    refund(json!([{ "line": 0, "count": 1 }])).await;
    assert_eq!(states().await, ["tea Handed", "tea Queued", "tea Voided", "toast Queued"]);
    refund(json!([{ "line": 0 }])).await;
    assert_eq!(states().await, ["tea Handed", "tea Voided", "tea Voided", "toast Queued"]);
}

#[tokio::test]
async fn a_sale_that_is_voided_leaves_the_stations() {
    let store = open_with_book().await;
    let basket = id();
    let open = json!({ "basket_id": basket, "changes": [
        { "change": "add_line", "line_id": id(), "sku": "toast", "quantity": 1 },
        { "change": "add_line", "line_id": id(), "sku": "tea", "quantity": 2 }, { "change": "send" }
    ] });
    store.tell::<Value>("/v1/baskets", &with_id(open)).await;
    let shown: Value = store.read(&format!("/v1/baskets/{basket}")).await;
    let sale = json!({
        "sale_id": id(), "till_id": "T2", "basket_id": basket, "basket_revision": shown["basket"]["revision"],
        "tenders": [{ "kind": "cash", "amount_minor": 10_000 }],
    });
    let sold = store.sell(&sale).await;
    let void =
        json!({ "refund_id": id(), "till_id": "T2", "sale_id": sold.sale_id, "void": true, "reason": "mistake" });
    store.tell::<Value>("/v1/refunds", &void).await;
    let order: CupsView = store.read(&format!("/v1/kitchen/orders/{basket}")).await;
    let states: Vec<String> = order.cups.iter().map(|cup| format!("{} {:?}", cup.sku, cup.state)).collect();
    assert_eq!(states, ["toast Voided", "tea Voided", "tea Voided"]);
    assert_eq!(store.read::<CallScreen>("/v1/kitchen/call-screen").await.making, []);
}

#[tokio::test]
async fn what_the_kitchen_refuses() {
    let store = open_with_book().await;
    for path in ["/v1/kitchen/bump", "/v1/kitchen/recall", "/v1/kitchen/hand-over"] {
        store.refuses(path, &with_id(json!({})), 422, "cup.which").await;
        store.refuses(path, &with_id(json!({ "pickup_no": 1 })), 404, "cup.unknown").await;
        store.refuses(path, &with_id(json!({ "code": "\u{0}" })), 422, "cup.code").await;
        store.refuses(path, &with_id(json!({ "pickup_no": -1 })), 400, "request.malformed").await;
        store.refuses(path, &json!({ "pickup_no": 1 }), 400, "request.malformed").await;
    }
    problem(store.get("/v1/kitchen?station=A%20B").await, 400, "request.malformed").await;
    problem(store.get("/v1/kitchen/orders/x").await, 400, "request.malformed").await;
    problem(store.get("/v1/kitchen/orders/018f0000-0000-7000-8000-00000000dead").await, 404, "cup.unknown").await;
    // A sale that names its own prices says nothing of stations, so nothing is made of it.
    let sale = json!({
        "sale_id": id(), "till_id": "T1", "lines": [{ "sku": "tea", "quantity": 1, "unit_price_minor": 1800 }],
        "tenders": [{ "kind": "cash", "amount_minor": 1800 }],
    });
    store.sell(&sale).await;
    assert_eq!(store.read::<CupsView>("/v1/kitchen").await.cups, []);
}

#[tokio::test]
async fn t31_sold_out_takes_effect_on_every_till_within_a_second() {
    let store = open_with_book().await;
    let (mut one, mut other) = (store.events().await, store.events().await);
    // A listener is there when it has been told the state.
    for events in [&mut one, &mut other] {
        assert!(matches!(tokio::time::timeout(PATIENCE, events.next()).await.expect("in time"), Change::Sync(_)));
    }
    let price =
        async |lines: Value| -> Value { store.tell("/v1/price", &json!({ "order": { "lines": lines } })).await };
    let pearls = json!([{ "sku": "toast" }, { "sku": "tea", "options": ["pearls"] }]);
    assert_eq!(price(pearls.clone()).await["sold_out"], json!([]));

    let command = with_id(json!({ "what": "option", "code": "pearls", "state": "sold_out" }));
    let began = Instant::now();
    let both = async { tokio::join!(one.sold_out(), other.sold_out()) };
    let (view, told) =
        tokio::join!(store.tell::<SoldOutView>("/v1/sold-out", &command), tokio::time::timeout(TIME_TO_EFFECT, both));
    let (first, second) = told.unwrap_or_else(|_| panic!("not told within a second, but {:?}", began.elapsed()));
    assert_eq!((&first, &second, view.state), (&view, &view, SoldOutState::SoldOut));

    // From the answer on it is refused, at whichever till.
    let missing = json!([{ "line": 1, "what": "option", "code": "pearls", "name": "Pearls", "left": 0 }]);
    assert_eq!(price(pearls.clone()).await["sold_out"], missing);
    let sale = order(pearls.clone());
    store.refuses("/v1/sales", &sale, 422, "sold_out.option").await;
    store.sell(&order(json!([{ "sku": "tea" }]))).await;
    let list: SoldOutList = store.read("/v1/sold-out").await;
    assert_eq!(list.entries, [view]);

    store
        .tell::<SoldOutView>(
            "/v1/sold-out",
            &with_id(json!({ "what": "option", "code": "pearls", "state": "on_sale" })),
        )
        .await;
    assert_eq!(price(pearls).await["sold_out"], json!([]));
    store.sell(&sale).await;
}

#[tokio::test]
async fn an_ingredient_is_counted_down_over_all_that_needs_it() {
    let store = open_with_book().await;
    let mut countdown = with_id(json!({ "what": "item", "code": "milk", "state": "countdown", "remaining": 500 }));
    let set: SoldOutView = store.tell("/v1/sold-out", &countdown).await;
    let again: SoldOutView = store.tell("/v1/sold-out", &countdown).await;
    assert_eq!(set, again);
    countdown["remaining"] = json!(600);
    store.refuses("/v1/sold-out", &countdown, 409, "command.conflict").await;
    store.sell(&order(json!([{ "sku": "tea" }, { "sku": "toast" }]))).await;
    store.refuses("/v1/sales", &order(json!([{ "sku": "toast" }])), 422, "sold_out.item").await;
    let price: Value = store.tell("/v1/price", &json!({ "order": { "lines": [{ "sku": "tea" }] } })).await;
    assert_eq!(
        price["sold_out"],
        json!([{ "line": 0, "what": "item", "code": "milk", "name": "Fresh milk", "left": 100 }])
    );
    let unknown = with_id(json!({ "what": "sku", "code": "coffee", "state": "sold_out" }));
    store.refuses("/v1/sold-out", &unknown, 404, "sold_out.unknown").await;
    let nothing = with_id(json!({ "what": "sku", "code": "coffee", "state": "on_sale" }));
    assert_eq!(store.tell::<SoldOutView>("/v1/sold-out", &nothing).await.state, SoldOutState::OnSale);
    let stale = with_id(json!({ "what": "item", "code": "milk", "state": "on_sale", "version": set.version + 1 }));
    store.refuses("/v1/sold-out", &stale, 409, "sold_out.overtaken").await;
    // The next run of the agent knows it as well.
    let store = Store::open_on(store.close().await).await;
    let list: SoldOutList = store.read("/v1/sold-out").await;
    assert_eq!((list.entries.len(), &list.entries[0].remaining), (1, &Some(QuantityJson::Whole(100))));
}

/// A clock that a test sets.
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn utc_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_day_that_begins_is_told_to_the_screens() {
    let folder = tempfile::tempdir().expect("a folder");
    let sources = Sources {
        flags: vec![
            ("data_dir", folder.path().join("data").display().to_string()),
            ("http.listen", "127.0.0.1:0".to_owned()),
            ("store.time_zone", "UTC".to_owned()),
        ],
        ..Sources::none()
    };
    // 2026-03-02T23:00:00Z; the day turns at four.
    let hour_ms = 3_600_000;
    let clock = Arc::new(SetClock(AtomicI64::new(1_772_492_400_000)));
    let config = Config::load(&sources).expect("sound").config;
    let (_stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    let running = run_with_clock(config, Arc::clone(&clock) as Arc<dyn Clock>, shutdown).await.expect("starts");
    let url = format!("http://{}", running.address);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");

    let set = with_id(json!({ "what": "sku", "code": "tea", "state": "sold_out" }));
    let answer = client
        .post(format!("{url}/v1/sold-out"))
        .header("content-type", "application/json")
        .body(set.to_string())
        .send()
        .await
        .expect("answers");
    assert_eq!(answer.status(), 200);
    let list = async || -> usize {
        let answer = client.get(format!("{url}/v1/sold-out")).send().await.expect("answers");
        answer.json::<SoldOutList>().await.expect("a list").entries.len()
    };
    let response = client.get(format!("{url}/v1/events")).send().await.expect("answers");
    let mut events = Events { response, text: String::new() };
    clock.0.fetch_add(4 * hour_ms, Ordering::Relaxed);
    assert_eq!(list().await, 1, "at three in the night it is still the day before");
    clock.0.fetch_add(2 * hour_ms, Ordering::Relaxed);
    assert_eq!(list().await, 0);
    let told = tokio::time::timeout(PATIENCE, events.sold_out()).await.expect("in time");
    assert_eq!((told.state, told.code.as_str(), told.till_id), (SoldOutState::OnSale, "tea", None));
}
