//! What is printed of what happens at the counter. The printers here are files, which print whatever they get.

use std::sync::Arc;

use agent::clock::SystemClock;
use serde_json::{Value, json};

use crate::api_support::{PATIENCE, Store};
use crate::kit::{cash, id, sale_of};

/// A store with a printer for everything.
async fn store_with_printer() -> Store {
    let folder = tempfile::tempdir().expect("a folder");
    let device = folder.path().join("printer");
    std::fs::write(&device, b"").expect("writes");
    let printers = format!(
        "[{{ name = \"all\", address = \"file:{}\", profile = \"80mm\", roles = [\"receipt\", \"report\", \"label\", \"kitchen\"] }}]",
        device.display()
    );
    let settings = [
        ("printer", printers.as_str()),
        ("store.name", "Harbour Tea"),
        ("store.receipt_header", "12 Quay Street"),
        ("store.receipt_footer", "Thank you"),
    ];
    let store = Store::open_with(folder, Arc::new(SystemClock), &settings).await;
    store.load_book().await;
    store
}

async fn jobs(store: &Store) -> Vec<Value> {
    store.read("/v1/print-jobs").await
}

/// The kinds of paper in the queue, the oldest first.
async fn kinds(store: &Store) -> Vec<String> {
    let mut jobs = jobs(store).await;
    jobs.sort_by_key(|job| job["job_id"].as_i64());
    jobs.iter().map(|job| job["kind"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn a_sale_a_refund_and_a_report_put_their_paper_into_the_queue() {
    let store = store_with_printer().await;
    let shift = store.open_shift("T1", 0).await;
    let order = json!({"sale_id": id(), "till_id": "T1", "tenders": cash(4000),
        "order": {"lines": [{"sku": "tea-l", "quantity": 2, "options": ["pearls"], "note": "extra hot"}], "takeaway": true}});
    // 2 x (1800 + 300) = 4200.
    let mut order = order;
    order["tenders"] = cash(5000);
    let sold = store.sell(&order).await;
    assert_eq!(kinds(&store).await, ["cup_label", "cup_label", "kitchen_ticket", "receipt"]);
    let back = json!({"refund_id": id(), "till_id": "T1", "sale_id": sold.sale_id.to_string(),
        "lines": [{"line": 0, "count": 1}], "reason": "wrong_drink"});
    store.act("/v1/refunds", &back).await;
    store.close_shift("T1", &shift, 2100).await;
    assert_eq!(kinds(&store).await[4..], ["refund", "kitchen_ticket", "report"], "one cup need not be made");
    for job in jobs(&store).await {
        let preview = store.get(&format!("/v1/print-jobs/{}/preview.png", job["job_id"])).await;
        assert_eq!(preview.status(), 200, "{job}");
        let png = preview.bytes().await.expect("a picture");
        assert!(png.starts_with(b"\x89PNG"), "{job}");
        if let Ok(folder) = std::env::var("BREAKWATER_PREVIEWS") {
            let name = format!("{folder}/{}-{}.png", job["job_id"], job["kind"].as_str().expect("text"));
            std::fs::write(name, &png).expect("writes");
        }
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    // The label of the cup that came back is printed or dropped, whichever comes first.
    let is_over = |job: &Value| job["state"] == "printed" || job["kind"] == "cup_label" && job["state"] == "cancelled";
    while !jobs(&store).await.iter().all(is_over) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", jobs(&store).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Others: a paid order stayed editable, and what was printed again looked like the first.
#[tokio::test]
async fn t17_a_receipt_that_is_printed_again_says_so_and_is_marked() {
    let store = store_with_printer().await;
    store.sell(&sale_of("T1", 1, cash(1800))).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let job = loop {
        let job = jobs(&store).await.swap_remove(0);
        if job["state"] == "printed" {
            break job;
        }
        assert!(tokio::time::Instant::now() < deadline, "{job}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let again = json!({"command_id": id(), "till_id": "T1"});
    let copy = store.act(&format!("/v1/print-jobs/{}/reprint", job["job_id"]), &again).await;
    assert_eq!((&copy["copy"], &copy["original"]), (&json!(1), &job["job_id"]));
}

/// Others: the receipt was printed, and the order never existed. Here the paper is put in with the sale.
#[tokio::test]
async fn t01_paper_outlives_a_restart_with_its_sale() {
    let folder = tempfile::tempdir().expect("a folder");
    // Nothing listens there: the job waits.
    let printers = "[{ name = \"away\", address = \"tcp://127.0.0.1:9\", roles = [\"receipt\"] }]";
    let store = Store::open_with(folder, Arc::new(SystemClock), &[("printer", printers)]).await;
    let sold = store.buy("T1", 1).await;
    let folder = store.close().await;
    let store = Store::open_with(folder, Arc::new(SystemClock), &[("printer", printers)]).await;
    let waiting = jobs(&store).await;
    assert_eq!(waiting[0]["subject"], json!(sold.sale_id.to_string()));
    let sale: Value = store.read(&format!("/v1/sales/{}", sold.sale_id)).await;
    assert_eq!(sale["receipt_no"], json!(sold.receipt_no));
}

#[tokio::test]
async fn a_station_that_works_from_paper_is_told_what_was_taken_back() {
    let store = store_with_printer().await;
    let (basket, line) = (id(), id());
    let open = json!({"command_id": id(), "till_id": "T1", "operator_id": "li", "basket_id": basket, "changes": [
        {"change": "add_line", "line_id": line, "sku": "tea-l", "quantity": 2, "options": ["pearls"]},
        {"change": "send"}]});
    store.act("/v1/baskets", &open).await;
    let void = json!({"command_id": id(), "till_id": "T1", "operator_id": "li",
        "changes": [{"change": "void_line", "line_id": line, "reason": "wrong_drink"}]});
    store.act(&format!("/v1/baskets/{basket}/changes"), &void).await;
    assert_eq!(kinds(&store).await, ["cup_label", "cup_label", "kitchen_ticket", "kitchen_ticket"]);
    let readers = &store.running.as_ref().expect("runs").readers;
    let tickets = readers.read(|view| {
        let mut jobs = view.newest_prints(10)?;
        jobs.retain(|job| job.kind == printing::template::Kind::KitchenTicket);
        jobs.iter()
            .rev()
            .map(|job| Ok(view.print_data(job.id)?.expect("is there")))
            .collect::<Result<Vec<_>, agent::db::Error>>()
    });
    let tickets = tickets.await.expect("reads");
    let said = |ticket: &Value| {
        let line = &ticket["lines"][0];
        (
            line["voided"].clone(),
            line["quantity_micro"].clone(),
            ticket["operator"].clone(),
            ticket["pickup_number"].clone(),
        )
    };
    assert_eq!(said(&tickets[0]), (json!(false), json!(2_000_000), json!("li"), json!("1")));
    assert_eq!(said(&tickets[1]), (json!(true), json!(2_000_000), json!("li"), json!("1")));
    // What was paid and given back before it was made is told as well.
    let order = json!({"sale_id": id(), "till_id": "T1", "tenders": cash(1500),
        "order": {"lines": [{"sku": "tea-m", "quantity": 1}], "takeaway": true}});
    let sold = store.sell(&order).await;
    let back = json!({"refund_id": id(), "till_id": "T1", "sale_id": sold.sale_id.to_string(),
        "lines": [{"line": 0}], "reason": "wrong_drink"});
    store.act("/v1/refunds", &back).await;
    assert_eq!(kinds(&store).await[4..], ["cup_label", "kitchen_ticket", "receipt", "refund", "kitchen_ticket"]);
}

#[tokio::test]
async fn a_sale_is_found_by_what_stands_on_its_receipt() {
    let store = store_with_printer().await;
    let sold = store.buy("T1", 1).await;
    let found: Value = store.read(&format!("/v1/sales?till_id=T1&receipt_no={}", sold.receipt_no)).await;
    assert_eq!(found["sale_id"], json!(sold.sale_id.to_string()));
    let readers = &store.running.as_ref().expect("runs").readers;
    let data = readers.read(|view| view.print_data(view.newest_prints(1)?[0].id)).await.expect("reads");
    let scanned = data.expect("is there")["qr"].as_str().expect("text").to_owned();
    assert!(scanned.len() == 32 && scanned.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase()), "{scanned}");
    let by_code: Value = store.read(&format!("/v1/sales/{scanned}")).await;
    assert_eq!(by_code, found);
    let back = json!({"refund_id": id(), "till_id": "T1", "sale_id": sold.sale_id.to_string(),
        "reason": "spilled", "lines": [{"line": 0, "count": 1}]});
    store.act("/v1/refunds", &back).await;
    for (query, status, key) in [
        ("till_id=T1&receipt_no=2", 404, "sale.is_refund"),
        ("till=T1&receipt_no=1", 400, "request.malformed"),
        ("till_id=T1&receipt_no=99", 404, "sale.unknown"),
        ("till_id=T2&receipt_no=1", 404, "sale.unknown"),
        ("till_id=T1&receipt_no=18446744073709551615", 404, "sale.unknown"),
        ("till_id=T1", 400, "request.malformed"),
        ("till_id=no+till&receipt_no=1", 400, "request.malformed"),
    ] {
        crate::api_support::problem(store.get(&format!("/v1/sales?{query}")).await, status, key).await;
    }
}

/// A store whose only printer is off, and which sells by the book.
async fn store_without_paper() -> Store {
    let off = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let printers = format!("[{{ name = \"labels\", address = \"tcp://{off}\", roles = [\"label\"] }}]");
    let store =
        Store::open_with(tempfile::tempdir().expect("a folder"), Arc::new(SystemClock), &[("printer", &printers)])
            .await;
    store.load_book().await;
    store
}

#[tokio::test]
async fn labels_of_cups_that_were_taken_back_are_not_printed_when_the_printer_is_back() {
    let store = store_without_paper().await;
    let order = json!({"sale_id": id(), "till_id": "T1", "tenders": cash(5400),
        "order": {"lines": [{"sku": "tea-l", "quantity": 3}]}});
    let sold = store.sell(&order).await;
    let states = async || -> Vec<(String, String)> {
        let mut jobs = jobs(&store).await;
        jobs.sort_by_key(|job| job["job_id"].as_i64());
        let text = |job: &Value, field: &str| job[field].as_str().expect("text").to_owned();
        jobs.iter().map(|job| (text(job, "state"), text(job, "trouble"))).collect()
    };
    let waiting = |states: &[(String, String)]| states.iter().filter(|(state, _)| state == "queued").count();
    assert_eq!(waiting(&states().await), 3);
    let refund = |count: u32| {
        json!({"refund_id": id(), "till_id": "T1", "sale_id": sold.sale_id.to_string(),
            "lines": [{"line": 0, "count": count}], "reason": "wrong_drink"})
    };
    store.act("/v1/refunds", &refund(1)).await;
    let after = states().await;
    assert_eq!(waiting(&after), 2);
    // The last cup is the one on which least was done.
    assert_eq!(after[2].0, "cancelled");
    assert!(after[2].1.contains("taken back"), "the reason is kept: {after:?}");
    store.act("/v1/refunds", &refund(2)).await;
    assert_eq!(waiting(&states().await), 0);

    let order =
        json!({"sale_id": id(), "till_id": "T1", "tenders": cash(1800), "order": {"lines": [{"sku": "tea-l"}]}});
    let sold = store.sell(&order).await;
    assert_eq!(waiting(&states().await), 1);
    let void = json!({"refund_id": id(), "till_id": "T1", "sale_id": sold.sale_id.to_string(), "void": true,
        "reason": "mistake"});
    store.act("/v1/refunds", &void).await;
    assert_eq!(waiting(&states().await), 0);
}
