//! Orders that the agent prices by the store's price book.

#[path = "api_support/mod.rs"]
mod api_support;

use std::path::PathBuf;
use std::time::Duration;

use agent::price_book;
use api_support::{PATIENCE, Store, problem};
use pos_model::Currency;
use pricing::book::PriceBook;
use protocol::latest::EventBody;
use protocol::latest::local_api::{SaleReceipt, SaleView, SyncState};
use serde_json::{Value, json};

/// Two drinks; of two cups of one kind the second costs half. Tax at 10 % is in the price.
fn book(version: &str, tea_minor: i64) -> Value {
    json!({
        "schema": 1, "engine_level": 1, "version": version, "currency": "CNY",
        "tax_groups": { "drinks": { "rate_ppm": 100_000, "mode": "inclusive" } },
        "ingredients": { "milk": { "name": "Milk", "unit": "ml" } },
        "option_groups": {
            "topping": { "name": "Topping", "max": 2, "options": [{ "code": "pearls", "name": "Pearls", "price_minor": 300 }] },
        },
        "items": {
            "tea": {
                "name": "Milk tea", "categories": ["milk-tea"], "tax_group": "drinks", "option_groups": ["topping"],
                "variants": [
                    { "sku": "tea-m", "size": "m", "name": "medium", "price_minor": tea_minor },
                    { "sku": "tea-l", "size": "l", "name": "large", "price_minor": tea_minor + 400 },
                ],
            },
        },
        "promotions": [{
            "id": "second-half", "name": "Second cup half price", "stage": "bundle",
            "benefit": { "kind": "nth_unit", "select": { "categories": ["milk-tea"] }, "every": 2, "off_ppm": 500_000 },
        }],
    })
}

fn order(number: u64, lines: Value) -> Value {
    json!({
        "sale_id": format!("018f0000-0000-7000-9000-{number:012x}"), "till_id": "T1",
        "order": { "lines": lines, "takeaway": true },
        "tenders": [{ "kind": "cash", "amount_minor": 100_000 }],
    })
}

impl Store {
    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Loads a book as the command does, and waits until the store sells by it.
    async fn load(&self, document: &Value) {
        let book = PriceBook::from_json(document.to_string().as_bytes()).expect("a book");
        let version = book.version.to_string();
        price_book::deliver(&book, &self.data_dir()).expect("delivers");
        self.until("the book is in force", |state| {
            state.price_book.as_ref().is_some_and(|book| book.version == version)
        })
        .await;
    }

    async fn until(&self, what: &str, holds: impl Fn(&SyncState) -> bool) -> SyncState {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let state: SyncState = self.read("/v1/sync").await;
            if holds(&state) {
                return state;
            }
            assert!(tokio::time::Instant::now() < deadline, "{what}: {state:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Shows the customer a price and sells at it; if a promotion has begun or ended meanwhile, shows the other price.
    async fn sell_as_shown(&self, sale: &mut Value) -> SaleReceipt {
        loop {
            let asked = json!({ "order": sale["order"] });
            let price: Value = self.post_to("/v1/price", asked.to_string()).await.json().await.expect("a price");
            sale["expected_total_minor"] = price["gross_minor"].clone();
            let answer = self.post(sale.to_string()).await;
            if answer.status() == 200 {
                let receipt: SaleReceipt = answer.json().await.expect("a receipt");
                assert_eq!(json!(receipt.tax_minor), price["tax_minor"]);
                return receipt;
            }
            problem(answer, 422, "sale.total_differs").await;
        }
    }

    async fn price(&self, lines: Value) -> Value {
        let response = self.post_to("/v1/price", json!({ "order": { "lines": lines } }).to_string()).await;
        assert_eq!(response.status(), 200);
        response.json().await.expect("a price")
    }
}

#[tokio::test]
async fn what_is_paid_in_cash_is_rounded_and_nothing_else() {
    let store = Store::open().await;
    let mut document = book("tea-1", 1_651);
    document["cash_rounding"] = json!({ "unit_minor": 5, "direction": "nearest" });
    store.load(&document).await;
    let check = async |number: u64, tenders: Value, rounding: i64, change: i64| {
        let mut sale = order(number, json!([{ "sku": "tea-m" }]));
        sale["tenders"] = tenders;
        sale["expected_total_minor"] = json!(1_651);
        let receipt = store.sell(&sale).await;
        assert_eq!((receipt.total_minor.minor(), receipt.change_minor.minor()), (1_651, change));
        let view: SaleView = store.read(&format!("/v1/sales/{}", receipt.sale_id)).await;
        assert_eq!(view.receipt.cash_rounding_minor.minor(), rounding, "{sale}");
    };
    check(1, json!([{ "kind": "cash", "amount_minor": 2_000 }]), -1, 350).await;
    check(2, json!([{ "kind": "card", "amount_minor": 1_651 }]), 0, 0).await;
    check(3, json!([{ "kind": "card", "amount_minor": 998 }, { "kind": "cash", "amount_minor": 655 }]), 2, 0).await;
    let mut too_little = order(4, json!([{ "sku": "tea-m" }]));
    too_little["tenders"] = json!([{ "kind": "cash", "amount_minor": 1_649 }]);
    problem(store.post(too_little.to_string()).await, 422, "sale.tender_too_small").await;
    store.close().await;
}

#[tokio::test]
async fn an_order_is_sold_by_the_book() {
    let store = Store::open().await;
    let lines = json!([{ "sku": "tea-m", "quantity": 1, "options": ["pearls"] }, { "sku": "tea-m", "quantity": 2 }]);
    problem(store.post(order(1, lines.clone()).to_string()).await, 422, "sale.no_price_book").await;
    problem(
        store.post_to("/v1/price", json!({ "order": { "lines": lines } }).to_string()).await,
        422,
        "sale.no_price_book",
    )
    .await;
    problem(store.get("/v1/price-book").await, 404, "sale.no_price_book").await;

    store.load(&book("v1", 1801)).await;
    let price = store.price(lines.clone()).await;
    // One of three cups is the second: 18.01 at half price, away from zero, is 9.01 off.
    assert_eq!((&price["gross_minor"], &price["tax_minor"]), (&json!(1801 * 3 + 300 - 901), &json!(437)));
    assert_eq!(price["applied"][0]["promotion_id"], "second-half");
    let receipt = store.sell(&order(1, lines.clone())).await;
    assert_eq!((receipt.total_minor.minor(), receipt.tax_minor.minor()), (4802, 437));

    let id = receipt.sale_id;
    let record = store.running.as_ref().expect("runs").readers.read(move |view| view.sale(id)).await;
    let sale = record.expect("reads").expect("is recorded").sale.expect("is held");
    let pricing = sale.pricing.expect("was priced by a book");
    assert_eq!(pricing.book_hash.to_string(), price["price_book_hash"]);
    assert_eq!((sale.price_book_version.as_deref(), pricing.takeaway), (Some("v1"), true));
    assert_eq!(sale.lines[1].adjustments[0].promotion_id.as_deref(), Some("second-half"));
    // The two cups of the second line were not sold alike, so that a refund of one has to know which.
    let units: Vec<i64> = sale.lines[1].unit_gross_minor.iter().map(|amount| amount.minor()).collect();
    assert_eq!(units, [900, 1801]);
    assert!(sale.lines[0].unit_gross_minor.is_empty());
}

#[tokio::test]
async fn what_the_book_does_not_sell_is_refused() {
    let store = Store::open().await;
    store.load(&book("v1", 1800)).await;
    let cup = || json!([{ "sku": "tea-m" }]);
    for (lines, key) in [
        (json!([]), "sale.line_count"),
        (json!([{ "sku": "coffee" }]), "sale.not_by_the_book"),
        (json!([{ "sku": "tea-m", "options": ["cream"] }]), "sale.not_by_the_book"),
        (json!([{ "sku": "tea-m", "quantity": 0 }]), "sale.quantity_not_positive"),
        (json!([{ "sku": "tea-m", "quantity": "1.0000001" }]), "sale.quantity_format"),
        (json!([{ "sku": "tea-m", "quantity": 9_000_000_000_000i64 }]), "sale.quantity_too_large"),
    ] {
        problem(store.post(order(1, lines).to_string()).await, 422, key).await;
    }
    let mut many = order(1, cup());
    many["order"]["coupons"] = json!(vec!["free"; 51]);
    problem(store.post(many.to_string()).await, 422, "sale.order_parts").await;
    let mut both = order(1, cup());
    both["lines"] = json!([{ "sku": "tea-m", "quantity": 1, "unit_price_minor": 1 }]);
    problem(store.post(both.to_string()).await, 422, "sale.lines_and_order").await;
    let mut shown = order(1, cup());
    shown["expected_total_minor"] = json!(1700);
    problem(store.post(shown.to_string()).await, 422, "sale.total_differs").await;
    // Of all these nothing is recorded, so that the id is free.
    assert_eq!(store.sell(&order(1, cup())).await.total_minor.minor(), 1800);
}

#[tokio::test]
async fn t30_a_sale_stays_what_it_was_when_the_book_changes() {
    let store = Store::open().await;
    store.load(&book("v1", 1800)).await;
    let mut first = order(1, json!([{ "sku": "tea-m", "quantity": 1 }]));
    first["expected_total_minor"] = json!(1800);
    let receipt = store.sell(&first).await;
    store.load(&book("v2", 2000)).await;
    // The till asks again, because it never heard the answer: by the book in force the total would differ.
    assert_eq!(store.sell(&first).await, receipt);
    let mut other = first.clone();
    other["tenders"][0]["amount_minor"] = json!(5_000);
    problem(store.post(other.to_string()).await, 409, "sale.conflict").await;
    assert_eq!(store.sell(&order(2, json!([{ "sku": "tea-m" }]))).await.total_minor.minor(), 2000);

    // The book outlives the agent.
    let store = Store::open_on(store.close().await).await;
    let state: SyncState = store.read("/v1/sync").await;
    assert_eq!(state.price_book.map(|book| book.version).as_deref(), Some("v2"));
    assert_eq!(store.sell(&order(3, json!([{ "sku": "tea-l" }]))).await.total_minor.minor(), 2400);
}

#[tokio::test]
async fn a_book_that_cannot_be_used_leaves_the_last_good_one_in_force() {
    let store = Store::open().await;
    store.load(&book("v1", 1800)).await;
    let deliver = |document: &str| {
        let beside = store.data_dir().join("beside");
        std::fs::write(&beside, document).expect("writes");
        std::fs::rename(&beside, store.data_dir().join(price_book::DELIVERED_FILE)).expect("renames");
    };
    let mut newer = book("v9", 1);
    newer["engine_level"] = json!(99);
    let mut dangling = book("v8", 1);
    dangling["items"]["tea"]["tax_group"] = json!("nowhere");
    let mut dollars = book("v7", 1);
    dollars["currency"] = json!("USD");
    for (document, why) in [
        (newer.to_string(), "engine level 99"),
        (dangling.to_string(), "nowhere"),
        (dollars.to_string(), "USD"),
        ("{".to_owned(), "the document"),
    ] {
        deliver(&document);
        let state = store
            .until(why, |state| state.notices.iter().any(|one| one.key == "price_book" && one.text.contains(why)))
            .await;
        assert!(
            state.notices.iter().any(|notice| notice.text.contains("goes on selling by v1")),
            "{:?}",
            state.notices
        );
        assert_eq!(state.price_book.map(|book| book.version).as_deref(), Some("v1"));
        assert!(store.data_dir().join(price_book::REFUSED_FILE).exists());
    }
    assert_eq!(store.sell(&order(1, json!([{ "sku": "tea-m" }]))).await.total_minor.minor(), 1800);
    // A good book settles it.
    store.load(&book("v2", 1900)).await;
    store.until("the notice is settled", |state| state.notices.is_empty()).await;
}

#[tokio::test]
async fn a_program_that_was_put_back_sells_by_the_newest_book_that_it_understands() {
    let store = Store::open().await;
    store.load(&book("v1", 1800)).await;
    store.load(&book("v2", 1900)).await;
    let books = agent::folder::books(&store.data_dir());
    let folder = store.close().await;
    let mut newer = book("v2", 1900);
    newer["engine_level"] = json!(99);
    let changed = rusqlite::Connection::open(books).and_then(|books| {
        books.execute("UPDATE price_book SET json = ?1 WHERE version = 'v2'", [newer.to_string().into_bytes()])
    });
    assert_eq!(changed.expect("writes"), 1);
    let store = Store::open_on(folder).await;
    let state: SyncState = store.read("/v1/sync").await;
    assert_eq!(state.price_book.map(|book| book.version).as_deref(), Some("v1"));
    assert!(state.notices.iter().any(|notice| notice.text.contains("goes on selling by v1")), "{:?}", state.notices);
    assert_eq!(store.sell(&order(1, json!([{ "sku": "tea-m" }]))).await.total_minor.minor(), 1800);
}

#[tokio::test]
async fn a_till_reads_the_menu_once_for_each_book() {
    let store = Store::open().await;
    store.load(&book("v1", 1800)).await;
    let first = store.get("/v1/price-book").await;
    let tag = first.headers()["etag"].to_str().expect("text").to_owned();
    let menu: Value = first.json().await.expect("a document");
    assert_eq!(menu["items"]["tea"]["variants"][1]["price_minor"], 2200);
    let again = store.client.get(format!("{}/v1/price-book", store.url)).header("if-none-match", &tag).send().await;
    assert_eq!(again.expect("answers").status(), 304);
    store.load(&book("v2", 1900)).await;
    let other = store.client.get(format!("{}/v1/price-book", store.url)).header("if-none-match", &tag).send().await;
    assert_eq!(other.expect("answers").status(), 200);
}

/// The sample chain's book: whatever is ordered, the sums of the sale are those of the price, and the event is whole.
#[tokio::test]
async fn what_is_sold_is_what_was_shown() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/price-books/tea.json");
    let book = price_book::read(path.as_ref(), Currency::CNY).expect("a good book");
    let store = Store::open().await;
    price_book::deliver(&book, &store.data_dir()).expect("delivers");
    store.until("the book is in force", |state| state.price_book.is_some()).await;
    let variants: Vec<_> =
        book.items.values().flat_map(|item| item.variants.iter().map(move |one| (item, one))).collect();
    for (number, pair) in variants.chunks(3).enumerate() {
        let lines: Vec<Value> = pair
            .iter()
            .map(|(item, variant)| {
                let groups = item.option_groups.iter().map(|group| &book.option_groups[group]);
                let options: Vec<_> = groups.flat_map(|group| &group.defaults).collect();
                json!({ "sku": variant.sku, "options": options, "quantity": 1 + number % 3 })
            })
            .collect();
        let number = u64::try_from(number).expect("small");
        let mut sale = order(number, Value::Array(lines.clone()));
        sale["order"]["member"] = json!({ "level": "gold" });
        let receipt = store.sell_as_shown(&mut sale).await;
        let id = receipt.sale_id;
        let record = store.running.as_ref().expect("runs").readers.read(move |view| view.sale(id)).await;
        let recorded = record.expect("reads").expect("is recorded").sale.expect("is held");
        for line in &recorded.lines {
            let units: i64 = line.unit_gross_minor.iter().map(|amount| amount.minor()).sum();
            assert!(line.unit_gross_minor.is_empty() || units == line.gross_minor.minor(), "{line:?}");
        }
        let event = protocol::latest::Event {
            id: pos_model::EventId::new(id.uuid()),
            at: recorded.sold_at,
            body: EventBody::SaleCompleted(Box::new(recorded)),
        };
        let bytes = protocol::latest::encode_event(&event).expect("encodes");
        assert_eq!(protocol::latest::decode_event(&bytes).expect("decodes"), event);
    }
}
