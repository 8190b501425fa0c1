//! The service as stores, operators and integrators meet it: over MQTT and HTTP, on free ports.

mod service_support;
mod support;

use std::time::Duration;

use pos_model::Seq;
use protocol::envelope::seal_uplink;
use protocol::latest::{Digests, Downlink, Heartbeat, Recalled, StoreHealth, Uplink};
use protocol::topic::UplinkKind;
use rumqttc::v5::ConnectionError;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason};
use serde_json::{Value, json};
use service_support::{Centre, Store, eventually, request_on};
use support::counter::{RefundSpec, SALES_ONLY, as_known_by_older, one_of_each, refund, shift_closed, shift_opened};
use support::{History, SaleSpec, receipt_head};
use sync_server::ingest::utc_ms;
use sync_server::ledger::{Ledger, Registry, SqliteLedger, SqliteSettings};
use tokio::io::AsyncReadExt;
use uuid::Uuid;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temp folder")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_enrols_sells_and_is_seen() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let mut store = centre.store("S1").await;
    let mut a = History::open("S1", 1, None);
    for number in 1..=3 {
        a.sell(&SaleSpec { id: u128::from(number), receipt_no: number, gross: 250, lines: 2, ..SaleSpec::default() });
    }
    let welcome = store.ask(&a.hello_message(vec![a.report(1)], 4)).await;
    assert_eq!((welcome.session, welcome.cursors[0].applied, welcome.credit.events), (5, Seq::ZERO, 500));
    let ack = store.send(&a.batch_message(1, 4)).await;
    assert_eq!((ack.through, ack.cursor, ack.server_epoch), (a.mark(), a.mark(), welcome.server_epoch));
    assert_eq!(store.send(&a.batch_message(1, 4)).await.cursor, a.mark(), "a replay is answered alike");

    let stores = centre.get("/api/v1/stores").await;
    let seen = &stores["stores"][0];
    let shown =
        ["store_id", "status", "connected", "applied_sales", "applied_events", "backlog", "head", "agent_version"];
    let expected = [json!("S1"), json!("active"), json!(true), json!(3), json!(4), json!(0), json!(4), json!("0.1.0")];
    assert_eq!(shown.map(|field| seen[field].clone()), expected);
    assert_eq!((&seen["epoch"], &seen["oldest_unsynced_ms"]), (&json!("0000000000000001"), &Value::Null));
    assert_eq!(seen["protocol_version"], json!(1));

    let sale = centre.get(&format!("/api/v1/sales/{}", Uuid::from_u128(2))).await;
    assert_eq!((&sale["store_id"], &sale["receipt_no"], &sale["gross_minor"]), (&json!("S1"), &json!(2), &json!(250)));
    assert_eq!(
        (&sale["lines"][1]["quantity"], &sale["lines"][1]["consumption"][0]["quantity"]),
        (&json!(2), &json!("0.25"))
    );
    let totals = centre.get("/api/v1/totals?store=S1&from=2026-03-01&to=2026-03-01").await;
    let row = json!({ "store_id": "S1", "business_date": "2026-03-01", "currency": "CNY", "sales": 3, "lines": 6,
        "units": 12, "gross_minor": 750, "tax_minor": 9, "net_minor": 741, "refunds": 0, "refund_gross_minor": 0,
        "refund_tax_minor": 0, "turnover_minor": 750 });
    assert_eq!(totals["rows"], json!([row]));
    assert_eq!((&totals["sums"][0]["sales"], &totals["sums"][0]["gross_minor"]), (&json!(3), &json!(750)));

    let detail = centre.get("/api/v1/stores/S1").await;
    assert_eq!((&detail["epochs"][0]["applied"], &detail["epochs"][0]["current"]), (&json!(4), &json!(true)));
    centre.stop().await;

    // Another run of the service on the same folder.
    let centre = Centre::start(folder.path()).await;
    assert_eq!(centre.get("/api/v1/totals").await["rows"], json!([row]));
    let mut store = centre.store("S1").await;
    let again = store.ask(&a.hello_message(vec![a.report(1)], 0)).await;
    assert_eq!((again.cursors[0].applied, again.cursors[0].common), (Seq::new(4), a.mark()));
    assert_ne!(again.server_epoch, welcome.server_epoch);
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roll_ups_follow_the_sales() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let mut store = centre.store("S1").await;
    let mut a = History::open("S1", 1, None);
    a.sell(&SaleSpec { id: 1, gross: 250, lines: 2, ..SaleSpec::default() });
    store.send(&a.batch_message(1, 2)).await;
    let path = "/api/v1/rollups/hours?store=S1&from=2026-03-01&to=2026-03-01";
    let row = json!({ "store_id": "S1", "business_date": "2026-03-01", "hour": 4, "currency": "CNY", "sales": 1,
        "lines": 2, "units": 4, "gross_minor": 250, "tax_minor": 3, "net_minor": 247, "refunds": 0,
        "refund_gross_minor": 0, "refund_tax_minor": 0, "turnover_minor": 250 });
    let rows = eventually("the sale is in the roll-ups", || async {
        let rows = centre.get(path).await["rows"].clone();
        (rows != json!([])).then_some(rows)
    });
    assert_eq!(rows.await, json!([row]));
    let state = centre.get("/api/v1/rollups").await;
    assert_eq!(state, json!({ "lag_ms": 0, "days_waiting": 0, "facts_from": null }));
    let table = centre.try_get("/api/v1/rollups/items?by=all", &["accept: text/csv"]).await;
    assert!(table.head.contains("text/csv"), "{}", table.head);
    let lines: Vec<&str> = table.body.split("\r\n").collect();
    assert!(lines[0].starts_with("store_id,business_date,hour,sku,currency,lines,units,gross_minor"), "{lines:?}");
    assert_eq!(
        lines[1..3],
        [",2026-03-01,4,tea-0,CNY,1,2,125,-50,3,0,0,0,0", ",2026-03-01,4,tea-1,CNY,1,2,125,-50,3,0,0,0,0"]
    );
    assert_eq!(centre.get("/api/v1/rollups/promotions").await, json!({ "rows": [] }));
    for (path, status) in
        [("hours?by=hour", 400), ("items?format=xml", 400), ("hours?stores=a", 400), ("hours?store=no", 404)]
    {
        assert_eq!(centre.try_get(&format!("/api/v1/rollups/{path}"), &[]).await.status, status, "{path}");
    }
    let metrics = centre.try_get("/metrics", &[]).await.body;
    assert!(metrics.contains("breakwater_rolled_up_events_total 2"), "{metrics}");
    assert!(metrics.contains("breakwater_rollup_lag_seconds 0"), "{metrics}");
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_at_the_counter_is_told() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let mut store = centre.store("S1").await;
    let mut a = History::open("S1", 1, None);
    a.sell(&SaleSpec { id: 1, gross: 500, lines: 2, ..SaleSpec::default() });
    one_of_each().into_iter().for_each(|body| a.record(body));
    a.record(refund(&RefundSpec { id: 2, receipt_no: 3, gross: 460, ..RefundSpec::default() }));
    a.record(shift_opened(7));
    a.record(shift_closed(5, 4));
    let ack = store.send(&a.batch_message(1, a.events.len())).await;
    assert_eq!((ack.cursor, ack.parked.len()), (a.mark(), 0));

    let refunds = centre.get("/api/v1/stores/S1/refunds?limit=1").await;
    let newest = &refunds["refunds"][0];
    let expected = json!([460, "refund", "wrong_drink", true, "ann", "bo", 3, "CNY"]);
    let shown =
        ["gross_minor", "kind", "reason", "sale_is_known", "operator_id", "approver_id", "receipt_no", "currency"];
    assert_eq!(json!(shown.map(|field| newest[field].clone())), expected);
    assert_eq!((&newest["lines"][0]["quantity"], &newest["lines"][0]["goods"]), (&json!(1), &json!("restocked")));
    assert_eq!(newest["tenders"], json!([{ "kind": "cash", "amount_minor": 460 }]));
    let next = centre.get(&format!("/api/v1/stores/S1/refunds?before={}", refunds["next_before"])).await;
    assert_eq!((&next["refunds"][0]["gross_minor"], &next["next_before"]), (&json!(50), &Value::Null));

    let shifts = centre.get("/api/v1/stores/S1/shifts").await;
    let numbers: Vec<_> =
        shifts["shifts"].as_array().expect("a list").iter().map(|one| &one["report"]["z_no"]).collect();
    assert_eq!(numbers, [&Value::Null, &json!(4), &json!(1)]);
    let report = &shifts["shifts"][2]["report"];
    let shown = ["sales", "turnover_minor", "expected_minor", "difference_minor", "amendments"];
    assert_eq!(json!(shown.map(|field| report[field].clone())), json!([3, 1_450, 19_450, -50, 1]));
    assert_eq!(report["tenders"][0], json!({ "kind": "cash", "count": 3, "amount_minor": 950 }));
    let missing = centre.get("/api/v1/stores/S1/z-reports/missing").await;
    assert_eq!(missing["missing"], json!([{ "till_id": "t1", "first_no": 2, "last_no": 3 }]));

    let detail = centre.get("/api/v1/stores/S1").await;
    assert_eq!(detail["over_refunds"][0]["refunded_minor"], json!(510));
    let alerts: Vec<_> =
        detail["alerts"].as_array().expect("a list").iter().map(|one| (&one["kind"], &one["severity"])).collect();
    assert_eq!(alerts, [(&json!("over_refunds"), &json!("alarm")), (&json!("z_gaps"), &json!("warning"))]);
    let totals = centre.get("/api/v1/totals?store=S1").await;
    let sum = &totals["sums"][0];
    assert_eq!(
        (&sum["refunds"], &sum["refund_gross_minor"], &sum["turnover_minor"]),
        (&json!(2), &json!(510), &json!(-10))
    );
    let metrics = centre.try_get("/metrics", &[]).await.body;
    assert!(metrics.contains("kind=\"over_refunds\"} 1"), "{metrics}");

    for (path, status) in [
        ("/api/v1/stores/S9/refunds", 404),
        ("/api/v1/stores/S9/shifts", 404),
        ("/api/v1/stores/S9/z-reports/missing", 404),
        ("/api/v1/stores/no%20such/refunds", 400),
        ("/api/v1/stores/S1/refunds?limit=many", 400),
        ("/api/v1/stores/S1/shifts?before=x", 400),
    ] {
        assert_eq!(centre.try_get(path, &[]).await.status, status, "{path}");
    }
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_program_applies_at_its_start_what_an_older_one_had_parked() {
    let folder = folder();
    let mut a = History::open("S1", 1, None);
    one_of_each().into_iter().for_each(|body| a.record(body));
    let job = as_known_by_older(a.all(), SALES_ONLY);
    let path = sync_server::config::ledger_path(folder.path());
    SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens").apply(&[job], utc_ms()).expect("applies");
    let centre = Centre::start(folder.path()).await;
    let store = &centre.get("/api/v1/stores").await["stores"][0];
    assert_eq!((&store["parked"], &store["applied_events"]), (&json!(0), &json!(12)));
    assert_eq!(centre.get("/api/v1/stores/S1/refunds").await["refunds"][0]["gross_minor"], json!(50));
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_code_holds_once_and_for_a_while() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let code = centre.add_store("S1");
    let refused =
        |answer: (u16, Value)| assert_eq!((answer.0, &answer.1["message_key"]), (403, &json!("claim.refused")));
    refused(centre.try_enroll("S2", &code).await);
    let typed = code.to_lowercase().replace('-', " ");
    let (status, answer) = centre.try_enroll("S1", &typed).await;
    assert_eq!(status, 200, "as somebody types it: {answer}");
    assert_eq!(answer["mqtt_url"], json!(format!("mqtt://localhost:{}", centre.mqtt().port())));
    refused(centre.try_enroll("S1", &code).await);
    let old = centre.add_store_until("S1", utc_ms());
    refused(centre.try_enroll("S1", &old).await);
    let replaced = centre.add_store("S1");
    let code = centre.add_store("S1");
    refused(centre.try_enroll("S1", &replaced).await);
    assert_eq!(centre.try_enroll("S1", &code).await.0, 200);
    assert_eq!(centre.try_enroll("no such id", &code).await.0, 400);
    for _ in 0..10 {
        centre.try_enroll("S1", "0000-0000-0000-0000").await;
    }
    let code = centre.add_store("S3");
    let (status, answer) = centre.try_enroll("S3", &code).await;
    assert_eq!((status, &answer["message_key"]), (429, &json!("claim.throttled")));
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_in_follows_the_registry() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let mqtt = centre.mqtt();
    let old_secret = centre.enroll("S1").await;
    let store = Store::connect(mqtt, "S1", &old_secret).await.expect("let in");
    let new_secret = centre.enroll("S1").await;
    store.until_cut().await;
    let refused = |error: Option<ConnectionError>, code: ConnectReturnCode| {
        assert!(matches!(&error, Some(ConnectionError::ConnectionRefused(found)) if *found == code), "{error:?}");
    };
    refused(Store::connect(mqtt, "S1", &old_secret).await.err(), ConnectReturnCode::BadUserNamePassword);
    refused(Store::connect(mqtt, "S9", &old_secret).await.err(), ConnectReturnCode::BadUserNamePassword);
    let store = Store::connect(mqtt, "S1", &new_secret).await.expect("let in");
    // By another process, which cannot tell the service.
    centre.registry().revoke_store(&service_support::store_id("S1")).expect("writable");
    store.until_cut().await;
    refused(Store::connect(mqtt, "S1", &new_secret).await.err(), ConnectReturnCode::NotAuthorized);
    assert_eq!(centre.get("/api/v1/stores").await["stores"][0]["status"], json!("revoked"));
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_and_stops_nobody() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let mut store = centre.store("S1").await;
    let mut other = centre.store("S2").await;
    let (a, b) = (History::open("S1", 1, None), History::open("S2", 2, None));
    let batch = seal_uplink(&a.store, &a.batch_message(1, 1)).expect("seals");
    let of_other = seal_uplink(&b.store, &b.batch_message(1, 1)).expect("seals");
    let mut truncated = batch.clone();
    truncated.truncate(batch.len() / 2);
    let mut version = batch.clone();
    version[0] = 0xB2;
    let mut beyond = a.batch_message(1, 1);
    if let Uplink::Batch(batch) = &mut beyond {
        batch.first_seq = Seq::ZERO;
    }
    let beyond = seal_uplink(&a.store, &beyond).expect("seals");
    for (what, kind, bytes, code) in [
        ("nothing", UplinkKind::Batch, vec![], PubAckReason::PayloadFormatInvalid),
        ("garbage", UplinkKind::Batch, b"\xff\xfe\xfd garbage".to_vec(), PubAckReason::PayloadFormatInvalid),
        ("half a message", UplinkKind::Batch, truncated, PubAckReason::PayloadFormatInvalid),
        ("another version", UplinkKind::Batch, version, PubAckReason::PayloadFormatInvalid),
        ("a batch on the topic of hellos", UplinkKind::Hello, batch.clone(), PubAckReason::PayloadFormatInvalid),
        ("event number 0", UplinkKind::Batch, beyond, PubAckReason::PayloadFormatInvalid),
        ("another store's message", UplinkKind::Batch, of_other, PubAckReason::NotAuthorized),
        ("a sound one", UplinkKind::Batch, batch, PubAckReason::Success),
    ] {
        assert_eq!(store.publish(kind, bytes).await.puback, code, "{what}");
    }
    assert_eq!(other.send(&b.batch_message(1, 1)).await.cursor, b.mark());
    let metrics = centre.try_get("/metrics", &[]).await.body;
    for line in [
        "breakwater_ingest_refused_messages_total{reason=\"unreadable\"} 6",
        "breakwater_ingest_refused_messages_total{reason=\"wrong_store\"} 1",
        "breakwater_ingest_applied_events_total 2",
        "breakwater_mqtt_logins_total 2",
        "breakwater_stores{state=\"connected\"} 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    centre.stop().await;
}

/// Who compares nothing, as stores before it, and who says things about it that nobody asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_knows_nothing_of_comparing_is_not_disturbed() {
    let folder = folder();
    let centre = Centre::start_with(folder.path(), "[reconcile]\nevery = \"1s\"").await;
    let mut store = centre.store("S1").await;
    let mut a = History::open("S1", 1, None);
    a.sell_many(1, 3);
    store.ask(&a.hello_message(vec![a.report(1)], 4)).await;
    assert_eq!(store.send(&a.batch_message(1, 2)).await.cursor.seq, Seq::new(2), "it does not answer the question");
    let unasked = Uplink::Recalled(Recalled { request: 1, batch: None });
    let unasked = seal_uplink(&a.store, &unasked).expect("seals");
    assert_eq!(store.publish_unanswered(UplinkKind::Recalled, unasked.clone()).await, PubAckReason::Success);
    let digests = seal_uplink(&a.store, &Uplink::Digests(Digests { dates: vec![] })).expect("seals");
    assert_eq!(store.publish_unanswered(UplinkKind::Digests, digests).await, PubAckReason::Success);
    let refused = store.publish_unanswered(UplinkKind::Digests, unasked).await;
    assert_ne!(refused, PubAckReason::Success, "another message than its topic says");
    let refused = store.publish_unanswered(UplinkKind::Digests, vec![1, 2, 3]).await;
    assert_ne!(refused, PubAckReason::Success);
    assert_eq!(store.send(&a.batch_message(3, 4)).await.cursor, a.mark());
    assert_eq!(centre.get("/api/v1/reconciliation").await, json!({ "differences": [], "next_before": null }));
    assert_eq!(centre.try_get("/api/v1/reconciliation?date=yesterday", &[]).await.status, 400);
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_shown_page_by_page() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let mut store = centre.store("S1").await;
    let mut a = History::open("S1", 1, None);
    for number in 0..5u8 {
        a.push_bytes(vec![number]);
    }
    let ack = store.send(&a.batch_message(1, 6)).await;
    assert_eq!((ack.parked.len(), ack.cursor), (5, a.mark()));
    let first = centre.get("/api/v1/parked?limit=3").await;
    let numbers = |page: &Value| -> Vec<u64> {
        page["parked"].as_array().expect("a list").iter().map(|one| one["seq"].as_u64().expect("a number")).collect()
    };
    assert_eq!(numbers(&first), [2, 3, 4]);
    let second = centre.get(&format!("/api/v1/parked?limit=3&store=S1&after={}", first["next_after"])).await;
    assert_eq!((numbers(&second), &second["next_after"]), (vec![5, 6], &Value::Null));
    centre.add_store("S2");
    assert_eq!(numbers(&centre.get("/api/v1/parked?store=S2").await), [0; 0]);
    let one = centre.get("/api/v1/parked/3").await;
    assert_eq!(
        (&one["reason"], &one["bytes_hex"], &one["store_id"]),
        (&json!("malformed"), &json!("02"), &json!("S1"))
    );
    let store = &centre.get("/api/v1/stores").await["stores"][0];
    assert_eq!((&store["parked"], &store["alerts"][0]["kind"]), (&json!(5), &json!("parked")));
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t02_a_restored_store_is_seen_with_its_missing_receipts() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let mut store = centre.store("S1").await;
    let mut a = History::open("S1", 1, None);
    a.sell_many(1, 2);
    let copy = a.clone();
    a.sell_many(3, 2);
    store.send(&a.batch_message(1, 5)).await;
    let mut heartbeat = a.health(3);
    heartbeat.receipts = vec![receipt_head("t1", 7)];
    let heartbeat = Uplink::Heartbeat(Heartbeat { health: heartbeat });
    assert!(matches!(store.say(&heartbeat).await.message, Some(Downlink::Pulse(_))));
    assert_eq!(centre.get("/api/v1/stores").await["stores"][0]["backlog"], json!(3));
    let mut b = History::open("S1", 2, Some(&copy));
    b.clock_ms = utc_ms();
    let welcome = store.ask(&b.hello_message(vec![copy.report(1), b.report(1)], 0)).await;
    assert_eq!(welcome.receipts, [receipt_head("t1", 7)]);
    b.sell_many(8, 1);
    store.send(&b.batch_message(1, 2)).await;
    let missing = centre.get("/api/v1/stores/S1/receipts/missing").await;
    assert_eq!(missing["missing"], json!([{ "till_id": "t1", "first_no": 5, "last_no": 7 }]));
    let detail = centre.get("/api/v1/stores/S1").await;
    let kinds: Vec<_> = detail["alerts"].as_array().expect("a list").iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds, ["went_back", "receipt_gaps"]);
    assert_eq!(detail["epochs"][0]["previous"], json!({ "epoch": "0000000000000001", "seq": 3 }));
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_view_says_what_is_wrong() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let mut well = centre.store("S1").await;
    let mut forked = centre.store("S2").await;
    centre.add_store("S3");
    let (mut a, mut b) = (History::open("S1", 1, None), History::open("S2", 2, None));
    a.sell_many(1, 2);
    a.clock_ms = utc_ms();
    let mut twin = b.clone();
    b.sell_many(1, 1);
    twin.sell_many(2, 1);
    well.ask(&a.hello_message(vec![a.report(1)], 0)).await;
    well.send(&a.batch_message(1, 3)).await;
    forked.send(&b.batch_message(1, 2)).await;
    assert!(forked.send(&twin.batch_message(2, 2)).await.forked);
    let mut stream = tokio::net::TcpStream::connect(centre.addresses.http).await.expect("connects");
    let ask = b"GET /api/v1/live HTTP/1.1\r\nhost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, ask).await.expect("written");
    let mut text = String::new();
    let live: Value = loop {
        let mut bytes = [0; 65_536];
        let read = tokio::time::timeout(service_support::DEADLINE, stream.read(&mut bytes)).await;
        let count = read.expect("in time").expect("readable");
        assert!(count > 0, "the stream ended: {text}");
        text.push_str(std::str::from_utf8(&bytes[..count]).expect("text"));
        let data = text.rsplit_once("data: ").and_then(|(_, rest)| rest.split_once("\n\n"));
        let Some(live) = data.and_then(|(data, _)| serde_json::from_str::<Value>(data).ok()) else { continue };
        if live["totals"]["applied_sales"] == json!(3) && live["totals"]["parked"] == json!(1) {
            break live;
        }
    };
    assert!(text.contains("event: fleet"));
    let order: Vec<_> = live["stores"].as_array().expect("a list").iter().map(|one| one["store_id"].clone()).collect();
    assert_eq!(order, ["S2", "S1", "S3"]);
    let attention = ["S2", "S1", "S3"].iter().enumerate().map(|(at, _)| live["stores"][at]["attention"].clone());
    assert_eq!(attention.collect::<Vec<_>>(), ["alarm", "ok", "idle"]);
    assert!(live["stores"][0]["words"][0].as_str().expect("text").contains("two agents sold as this store"), "{live}");
    let totals = &live["totals"];
    assert_eq!((&totals["stores"], &totals["connected"], &totals["alarms"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(totals["latest_day"][0]["business_date"], json!("2026-03-01"));
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_store_says_takes_no_view_down() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    for (number, id) in [(1, "S1"), (2, "S2")] {
        let mut store = centre.store(id).await;
        let mut history = History::open(id, number, None);
        let gross = i64::MAX - 10;
        history.sell(&SaleSpec { id: u128::from(number), gross, ..SaleSpec::default() });
        assert_eq!(store.send(&history.batch_message(1, 2)).await.cursor, history.mark());
        let health = StoreHealth { outbox_events: u64::MAX, ..history.health(1) };
        store.say(&Uplink::Heartbeat(Heartbeat { health })).await;
    }
    let stores = centre.get("/api/v1/stores").await;
    assert_eq!(stores["stores"].as_array().map(Vec::len), Some(2));
    assert_eq!(centre.get("/readyz").await["ready"], json!(true));
    let metrics = centre.try_get("/metrics", &[]).await.body;
    assert!(metrics.contains(&format!("breakwater_backlog_events {}", i64::MAX)), "{metrics}");
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_guards_the_api() {
    let folder = folder();
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token-of-a-good-length\n").expect("written");
    let file = format!("[http]\napi_token_file = {:?}", token.display().to_string());
    let centre = Centre::start_with(&folder.path().join("data"), &file).await;
    let code = centre.add_store("S1");
    for path in
        ["/api/v1/stores", "/api/v1/totals", "/api/v1/parked", "/api/v1/live", "/metrics", "/api/v1/openapi.json"]
    {
        let refused = centre.try_get(path, &[]).await;
        assert_eq!((refused.status, &refused.json()["message_key"]), (401, &json!("token.wrong")), "{path}");
        assert_eq!(centre.try_get(path, &["authorization: Bearer wrong"]).await.status, 401, "{path}");
    }
    let headers = ["authorization: Bearer a-token-of-a-good-length"];
    assert_eq!(centre.try_get("/api/v1/stores", &headers).await.status, 200);
    for path in ["/", "/healthz", "/readyz"] {
        assert_eq!(centre.try_get(path, &[]).await.status, 200, "{path}");
    }
    assert_eq!(centre.try_enroll("S1", &code).await.0, 200);
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_bounded() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    centre.add_store("S1");
    centre.add_store("S2");
    // A day for each date since 1970, and one that a wrong clock put into the future.
    let fill = "INSERT INTO day_totals (store_no, business_date, currency, sales, lines, quantity_micro, gross_minor,
            tax_minor, net_minor)
        WITH RECURSIVE days (day) AS (SELECT 0 UNION ALL SELECT day + 1 FROM days WHERE day < 20000)
        SELECT store_no, day, currency, 1, 1, 0, 100, 6, 94 FROM stores, days,
            (SELECT 'CNY' AS currency UNION ALL SELECT 'EUR') UNION ALL SELECT 1, 40000, 'CNY', 1, 1, 0, 100, 6, 94";
    centre.sqlite().execute_batch(fill).expect("writable");
    let check = async |query: &str, rows: usize, from: Option<&str>| {
        let totals = centre.get(&format!("/api/v1/totals{query}")).await;
        assert_eq!((totals["rows"].as_array().map(Vec::len), &totals["from"]), (Some(rows), &json!(from)), "{query}");
    };
    check("", 31 * 2 * 2 + 1, Some("2024-09-04")).await;
    check("?from=2024-10-01", 4 * 4 + 1, Some("2024-10-01")).await;
    check("?store=S2", 20_001 * 2, None).await;
    check("?to=1970-01-01", 4, None).await;
    let refused = centre.try_get("/api/v1/totals?from=1980-01-01", &[]).await;
    let problem = refused.json();
    assert_eq!((refused.status, &problem["message_key"]), (422, &json!("request.too_much")));
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("name a store")), "{problem}");
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_problems() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    for (path, status, key) in [
        ("/nowhere", 404, "not_found"),
        ("/api/v1/stores/S1", 404, "not_found"),
        ("/api/v1/stores/S1/receipts/missing", 404, "not_found"),
        ("/api/v1/stores/a%20b", 400, "request.malformed"),
        ("/api/v1/sales/5", 400, "request.malformed"),
        ("/api/v1/sales/00000000-0000-0000-0000-000000000001", 404, "not_found"),
        ("/api/v1/totals?from=yesterday", 400, "request.malformed"),
        ("/api/v1/totals?store=%23", 400, "request.malformed"),
        ("/api/v1/totals?to=2026-03-01&to=2026-03-02", 400, "request.malformed"),
        ("/api/v1/parked?limit=x", 400, "request.malformed"),
        ("/api/v1/parked?state=gone", 400, "request.malformed"),
        ("/api/v1/parked/x", 400, "request.malformed"),
        ("/api/v1/parked/7", 404, "not_found"),
        ("/api/v1/parked?store=S1", 404, "not_found"),
        ("/api/v1/totals?store=S1", 404, "not_found"),
        ("/api/v1/enroll", 405, "method.wrong"),
    ] {
        let answer = centre.try_get(path, &[]).await;
        assert_eq!((answer.status, &answer.json()["message_key"]), (status, &json!(key)), "{path}: {}", answer.body);
        assert!(answer.head.contains("content-type: application/problem+json"), "{path}: {}", answer.head);
    }
    for body in ["", "{}", "not JSON", "[1]"] {
        let answer = service_support::request(centre.addresses.http, "POST", "/api/v1/enroll", &[], body).await;
        assert_eq!(answer.status, 400, "{body:?}");
    }
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_describes_itself() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let description = centre.get("/api/v1/openapi.json").await;
    let mut paths: Vec<_> = description["paths"].as_object().expect("paths").keys().cloned().collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/api/v1/alerts",
            "/api/v1/credit",
            "/api/v1/credit/limit",
            "/api/v1/enroll",
            "/api/v1/instances",
            "/api/v1/live",
            "/api/v1/openapi.json",
            "/api/v1/parked",
            "/api/v1/parked/replay",
            "/api/v1/parked/{parked_no}",
            "/api/v1/parked/{parked_no}/fix",
            "/api/v1/parked/{parked_no}/waive",
            "/api/v1/reconciliation",
            "/api/v1/rollups",
            "/api/v1/rollups/hours",
            "/api/v1/rollups/items",
            "/api/v1/rollups/promotions",
            "/api/v1/sales/{sale_id}",
            "/api/v1/stores",
            "/api/v1/stores/{store_id}",
            "/api/v1/stores/{store_id}/receipts/missing",
            "/api/v1/stores/{store_id}/refunds",
            "/api/v1/stores/{store_id}/shifts",
            "/api/v1/stores/{store_id}/z-reports/missing",
            "/api/v1/totals",
            "/healthz",
            "/metrics",
            "/readyz"
        ]
    );
    assert_eq!(centre.get("/readyz").await, json!({ "ready": true, "broker": null, "ledger": true, "listener": true }));
    let said = centre.get("/api/v1/instances").await;
    assert_eq!((&said["lease_ms"], &said["free"], &said["unheld"]), (&json!(null), &json!([]), &json!([])), "{said}");
    assert_eq!((&said["instances"][0]["alive"], &said["instances"][1]), (&json!(true), &json!(null)), "{said}");
    let page = centre.try_get("/", &[]).await;
    assert!(page.head.contains("content-security-policy: default-src 'none'"), "{}", page.head);
    let body = page.body.replace("http://www.w3.org/2000/svg", "the name of SVG, which nobody fetches");
    assert!(!body.contains("http://") && !body.contains("https://"), "the page loads nothing from elsewhere");
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn https_with_the_same_certificate() {
    let folder = folder();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&chain, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let file = format!("[http]\ntls_certificate = {chain:?}\ntls_key = {key:?}");
    let centre = Centre::start_with(&folder.path().join("data"), &file).await;
    // One that says nothing holds nobody up.
    let _silent = tokio::net::TcpStream::connect(centre.addresses.http).await.expect("connects");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let client = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client));
    let stream = tokio::net::TcpStream::connect(centre.addresses.http).await.expect("connects");
    let stream = connector.connect("localhost".try_into().expect("a name"), stream).await.expect("a handshake");
    let answer = request_on(stream, "GET", "/healthz", &[], "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_over_is_committed_at_the_end() {
    let folder = folder();
    let centre = Centre::start(folder.path()).await;
    let mut stores = Vec::new();
    for number in 0..8u64 {
        let id = format!("S{number}");
        let mut history = History::open(&id, 100 + number, None);
        history.sell_many(1, 50);
        stores.push((centre.store(&id).await, history));
    }
    let mut acked = 0;
    for (mut store, history) in stores {
        let ack = store.send(&history.batch_message(1, 51)).await;
        acked += u64::from(ack.cursor == history.mark());
    }
    assert_eq!(acked, 8);
    centre.stop().await;
    let centre = Centre::start(folder.path()).await;
    let applied = eventually("all stores are listed", || async {
        let stores = centre.get("/api/v1/stores").await;
        let stores = stores["stores"].as_array().expect("a list").clone();
        Some(stores.iter().map(|store| store["applied_sales"].as_i64().expect("a number")).sum::<i64>())
    });
    assert_eq!(applied.await, 400);
    tokio::time::timeout(Duration::from_secs(20), centre.stop()).await.expect("ends");
}
