//! Printing, against printers that work, and printers that do what printers do.

#[path = "api_support/mod.rs"]
mod api_support;
#[path = "printer_support/mod.rs"]
mod printer_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agent::clock::SystemClock;
use agent::db::{Durability, NewPrint};
use api_support::{PATIENCE, Store, problem};
use pos_model::Stamp;
use printer_support::{Does, Printer};
use printing::context::sample;
use printing::template::Kind;
use printing::{Mark, Profile, interpret, png};
use protocol::latest::local_api::SyncState;
use protocol::latest::print::{PrintJobView, PrintTemplateView, PrinterView};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// A printer's table in the configuration.
fn table(name: &str, address: impl std::fmt::Display, more: &str) -> String {
    format!("{{ name = \"{name}\", address = \"{address}\"{more} }}")
}

fn tcp(name: &str, address: std::net::SocketAddr, more: &str) -> String {
    table(name, format!("tcp://{address}"), more)
}

async fn open(printers: &[String]) -> Store {
    if printers.is_empty() {
        return Store::open().await;
    }
    open_on(tempfile::tempdir().expect("a folder"), printers).await
}

async fn open_on(folder: tempfile::TempDir, printers: &[String]) -> Store {
    let list = format!("[{}]", printers.join(", "));
    Store::open_with(folder, Arc::new(SystemClock), &[("printer", &list)]).await
}

fn ask() -> Value {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    json!({ "command_id": format!("018f0000-0000-7000-8000-{number:012x}"), "till_id": "T1", "operator_id": "lin" })
}

/// A receipt of so many lines.
fn receipt(lines: usize) -> Value {
    let mut data = sample(Kind::Receipt);
    let line = data["lines"][0].clone();
    data["lines"] = (0..lines)
        .map(|at| {
            let mut line = line.clone();
            line["name"] = json!(format!("Milk tea 奶茶 number {at}"));
            line
        })
        .collect();
    data
}

/// Puts a receipt in, as a sale does within its database transaction.
async fn put_in(store: &Store, data: Value) -> i64 {
    let writer = store.running.as_ref().expect("runs").writer.clone();
    let at: Stamp = writer.clock().now();
    let (role, till_id) = ("receipt".to_owned(), Some("T1".parse().expect("valid")));
    let new = NewPrint { kind: Kind::Receipt, role, till_id, subject: "sale-1".to_owned(), data };
    let id = writer.run(Durability::Promise, move |store| store.enqueue_print(new, at)).await.expect("keeps it");
    id.get()
}

async fn job(store: &Store, id: i64) -> PrintJobView {
    store.read(&format!("/v1/print-jobs/{id}")).await
}

/// Waits until a job is in a state.
async fn becomes(store: &Store, id: i64, state: &str) -> PrintJobView {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let job = job(store, id).await;
        if job.state == state {
            return job;
        }
        assert!(Instant::now() < deadline, "not {state}: {job:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn said(store: &Store, path: &str, body: &Value) -> PrintJobView {
    let response = store.post_to(path, body.to_string()).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.expect("a job")
}

fn usual() -> Profile {
    Profile::USUAL
}

#[tokio::test]
async fn a_receipt_is_printed_and_its_preview_shows_the_very_bytes() {
    let printer = Printer::on().await;
    let store = open(&[tcp("counter", printer.address, ", roles = [\"receipt\"]")]).await;
    let id = put_in(&store, receipt(3)).await;
    let done = becomes(&store, id, "printed").await;
    assert_eq!((done.printer.as_str(), done.tries, done.copy, done.trouble.as_str()), ("counter", 1, 0, ""));
    let [bytes] = printer.jobs().try_into().expect("one job");
    let paper = interpret(&bytes, &usual());
    assert_eq!((paper.unknown, paper.marks.first()), (0, Some(&Mark::Drawer { pin: 0 })));

    let response = store.get(&format!("/v1/print-jobs/{id}/preview.png")).await;
    assert_eq!(response.headers()["content-type"], "image/png");
    assert!(response.bytes().await.expect("a picture") == png::preview(&paper));
    let of_sale: Vec<PrintJobView> = store.read("/v1/print-jobs?subject=sale-1").await;
    assert_eq!(of_sale, [done]);
    let printers: Vec<PrinterView> = store.read("/v1/printers").await;
    assert_eq!((printers[0].state.as_str(), printers[0].waiting), ("idle", 0));
    store.close().await;
}

#[tokio::test]
async fn t35_a_long_receipt_on_a_slow_printer_is_whole_and_printed_once() {
    let printer = Printer::on().await;
    printer.will(Does::PrintSlowly(Duration::from_millis(20)));
    let more = ", roles = [\"receipt\"], patience = \"1s\"";
    let store = open(&[tcp("counter", printer.address, more)]).await;
    let started = Instant::now();
    let long = put_in(&store, receipt(70)).await;
    becomes(&store, long, "printed").await;
    assert!(started.elapsed() > Duration::from_secs(1), "the printer was not slow enough to try the patience");
    // The next one begins on paper of its own: nothing of the first one was left over.
    printer.will(Does::Print);
    let short = put_in(&store, receipt(1)).await;
    becomes(&store, short, "printed").await;
    let papers = printer.papers(&usual());
    assert_eq!(papers.len(), 2);
    let expected = |lines: usize| {
        let document = printing::template::Template::built_in(Kind::Receipt).render(&receipt(lines)).expect("renders");
        interpret(&printing::encode(&document, &usual()), &usual())
    };
    assert!(papers[0] == expected(70) && papers[1] == expected(1));
    store.close().await;
}

#[tokio::test]
async fn t35_what_was_cut_off_is_maybe_printed_and_never_sent_again_by_itself() {
    for does in [Does::Stall(2_000), Does::BreakOff(2_000)] {
        let printer = Printer::on().await;
        let spare = Printer::on().await;
        printer.will(does);
        let store = open(&[
            tcp("counter", printer.address, ", roles = [\"receipt\"], patience = \"400ms\", fallback = \"spare\""),
            tcp("spare", spare.address, ""),
        ])
        .await;
        let first = put_in(&store, receipt(30)).await;
        let doubtful = becomes(&store, first, "maybe_printed").await;
        assert!(doubtful.trouble.contains(" bytes"), "{doubtful:?}");
        let printers: Vec<PrinterView> = store.read("/v1/printers").await;
        assert_eq!(printers[0].state, "doubtful");
        // What comes behind it is printed, once the printer works again.
        printer.will(Does::Print);
        let second = put_in(&store, receipt(1)).await;
        becomes(&store, second, "printed").await;
        assert_eq!((printer.jobs().len(), spare.jobs().len()), (2, 0), "{does:?}");

        // A person looks, and asks for a copy. It says so, and the drawer stays closed.
        let copy = said(&store, &format!("/v1/print-jobs/{first}/reprint"), &ask()).await;
        assert_eq!((copy.copy, copy.original), (1, Some(first)));
        becomes(&store, copy.job_id, "printed").await;
        assert_eq!(job(&store, first).await.state, "not_printed");
        let papers = printer.papers(&usual());
        let paper = papers.last().expect("is there");
        assert_eq!(paper.text.iter().filter(|line| *line == "COPY 1").count(), 2);
        assert!(!paper.marks.iter().any(|mark| matches!(mark, Mark::Drawer { .. })));
        store.close().await;
    }
}

#[tokio::test]
async fn a_printer_that_is_off_is_stood_in_for_and_nothing_waits_for_it() {
    let spare = Printer::on().await;
    let store = open(&[
        tcp("counter", Printer::off(), ", roles = [\"receipt\"], fallback = \"spare\""),
        tcp("spare", spare.address, ", profile = \"58mm\""),
    ])
    .await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(put_in(&store, receipt(1)).await);
    }
    for id in jobs {
        let done = becomes(&store, id, "printed").await;
        assert_eq!(done.printer, "spare");
    }
    let papers = spare.papers(&Profile::named("58mm").expect("known"));
    assert!(papers.len() == 5 && papers.iter().all(|paper| paper.unknown == 0));
    let printers: Vec<PrinterView> = store.read("/v1/printers").await;
    assert_eq!(printers[0].state, "unreachable");
    assert!(!printers[0].trouble.is_empty());
    store.close().await;
}

#[tokio::test]
async fn what_waits_is_printed_in_order_after_a_restart() {
    let address = Printer::off();
    let printers = [tcp("counter", address, ", roles = [\"receipt\"]")];
    let store = open(&printers).await;
    let mut jobs = Vec::new();
    for lines in 1..=3 {
        jobs.push(put_in(&store, receipt(lines)).await);
    }
    let waiting: Vec<PrintJobView> = store.read("/v1/print-jobs?state=queued").await;
    assert_eq!(waiting.len(), 3);
    let gone = said(&store, &format!("/v1/print-jobs/{}/cancel", jobs[1]), &ask()).await;
    assert_eq!(gone.state, "cancelled");
    let folder = store.close().await;

    let printer = Printer::on_at(address).await;
    let store = open_on(folder, &printers).await;
    for id in [jobs[0], jobs[2]] {
        becomes(&store, id, "printed").await;
    }
    let lines: Vec<usize> = printer.jobs().iter().map(|bytes| interpret(bytes, &usual()).bitmap.height()).collect();
    assert!(lines.len() == 2 && lines[0] < lines[1], "{lines:?}");
    store.close().await;
}

#[tokio::test]
async fn what_was_being_sent_when_the_agent_ended_is_maybe_printed() {
    let printer = Printer::on().await;
    printer.will(Does::Stall(1_000));
    let printers = [tcp("counter", printer.address, ", roles = [\"receipt\"], patience = \"10m\"")];
    let store = open(&printers).await;
    let id = put_in(&store, receipt(30)).await;
    becomes(&store, id, "sending").await;
    problem(store.post_to(&format!("/v1/print-jobs/{id}/cancel"), ask().to_string()).await, 409, "print.state").await;
    let started = Instant::now();
    let folder = store.close().await;
    assert!(started.elapsed() < PATIENCE, "the agent waited for the printer");
    printer.will(Does::Print);
    let store = open_on(folder, &printers).await;
    let doubtful = becomes(&store, id, "maybe_printed").await;
    assert!(doubtful.trouble.contains("the agent ended"), "{doubtful:?}");
    let mut looked = ask();
    looked["is_on_paper"] = json!(true);
    let resolved = said(&store, &format!("/v1/print-jobs/{id}/resolve"), &looked).await;
    assert_eq!(resolved.state, "printed");
    assert_eq!(said(&store, &format!("/v1/print-jobs/{id}/resolve"), &looked).await, resolved, "the same again");
    assert_eq!(printer.jobs().len(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_printer_that_answers_is_believed() {
    let ready = [0x12, 0x12];
    let printer = Printer::on().await;
    printer.will(Does::Answer { ready: [0x16, 0x12], done: Some(0) });
    let more = ", roles = [\"receipt\"], answers = true, patience = \"500ms\"";
    let store = open(&[tcp("counter", printer.address, more)]).await;
    // Its cover is open: nothing is sent, and the job waits.
    let id = put_in(&store, receipt(1)).await;
    let deadline = Instant::now() + PATIENCE;
    while job(&store, id).await.trouble != "its cover is open" {
        assert!(Instant::now() < deadline, "{:?}", job(&store, id).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(printer.papers(&usual()).len(), 0);
    // Somebody closes it.
    printer.will(Does::Answer { ready, done: Some(0) });
    becomes(&store, id, "printed").await;
    assert_eq!(printer.papers(&usual()).len(), 1);
    // The paper ends in the middle, or the answer does not come.
    for done in [Some(0x0C), None] {
        printer.will(Does::Answer { ready, done });
        let id = put_in(&store, receipt(1)).await;
        becomes(&store, id, "maybe_printed").await;
    }
    store.close().await;
}

#[tokio::test]
async fn a_stalled_printer_holds_up_neither_sales_nor_other_printers() {
    let (stuck, bar) = (Printer::on().await, Printer::on().await);
    stuck.will(Does::Stall(0));
    let store = open(&[
        tcp("counter", stuck.address, ", roles = [\"receipt\"], patience = \"10m\""),
        tcp("bar", bar.address, ", roles = [\"label\"]"),
    ])
    .await;
    let id = put_in(&store, receipt(70)).await;
    becomes(&store, id, "sending").await;
    let page = said(&store, "/v1/printers/bar/test-page", &ask()).await;
    becomes(&store, page.job_id, "printed").await;
    let sale = json!({
        "sale_id": "018f0000-0000-7000-8000-00000000abcd", "till_id": "T1",
        "lines": [{ "sku": "tea", "name": "Tea", "quantity": 1, "unit_price_minor": 1800, "tax_rate_ppm": 0 }],
        "tenders": [{ "kind": "cash", "amount_minor": 1800 }],
    });
    store.sell(&sale).await;
    assert_eq!(job(&store, id).await.state, "sending");
    store.close().await;
}

#[tokio::test]
async fn a_drawer_opens_once_and_the_audit_knows() {
    let printer = Printer::on().await;
    let store = open(&[tcp("counter", printer.address, "")]).await;
    let mut open_it = ask();
    open_it["reason"] = json!("change");
    let opened = said(&store, "/v1/printers/counter/open-drawer", &open_it).await;
    assert_eq!(said(&store, "/v1/printers/counter/open-drawer", &open_it).await, opened, "the same again");
    becomes(&store, opened.job_id, "printed").await;
    let [bytes] = printer.jobs().try_into().expect("one pulse");
    let paper = interpret(&bytes, &usual());
    assert_eq!((paper.marks.as_slice(), paper.bitmap.height()), ([Mark::Drawer { pin: 0 }].as_slice(), 0));
    let readers = &store.running.as_ref().expect("runs").readers;
    let events = readers.read(|view| view.events(None, false, 10)).await.expect("reads");
    assert_eq!(events.iter().filter(|row| row.kind == "audit_marked").count(), 1);
    problem(
        store.post_to(&format!("/v1/print-jobs/{}/reprint", opened.job_id), ask().to_string()).await,
        422,
        "print.no_paper",
    )
    .await;
    store.close().await;
}

#[tokio::test]
async fn a_device_file_is_printed_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = folder.path().join("lp0");
    let printers = [table("usb", format!("file:{}", device.display()), ", roles = [\"receipt\"], profile = \"58mm\"")];
    let store = open(&printers).await;
    // It is not plugged in: the job waits, and no file is made.
    let id = put_in(&store, receipt(1)).await;
    let deadline = Instant::now() + PATIENCE;
    while job(&store, id).await.tries == 0 {
        assert!(Instant::now() < deadline, "was never tried");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!device.exists());
    std::fs::write(&device, "").expect("plugs it in");
    becomes(&store, id, "printed").await;
    let paper = interpret(&std::fs::read(&device).expect("reads"), &Profile::named("58mm").expect("known"));
    assert!(paper.unknown == 0 && paper.text.iter().any(|line| line.starts_with("TOTAL")));
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_printed_says_why() {
    let store = open(&[]).await;
    let id = put_in(&store, receipt(1)).await;
    let failed = becomes(&store, id, "failed").await;
    assert_eq!(failed.trouble, "the store has no printer");
    let folder = store.close().await;
    // With a printer it can be asked for again, and is no copy. Data that fit no template fail.
    let printer = Printer::on().await;
    let store = open_on(folder, &[tcp("counter", printer.address, ", roles = [\"receipt\"]")]).await;
    assert_eq!(said(&store, &format!("/v1/print-jobs/{id}/retry"), &ask()).await.copy, 0);
    becomes(&store, id, "printed").await;
    let broken = put_in(&store, json!({ "store": null })).await;
    let failed = becomes(&store, broken, "failed").await;
    assert!(failed.trouble.contains("template receipt, line"), "{failed:?}");
    let path = format!("/v1/print-jobs/{broken}/preview.png");
    problem(store.get(&path).await, 422, "print.unprintable").await;

    problem(store.get("/v1/print-jobs/999").await, 404, "print.unknown_job").await;
    problem(store.get("/v1/print-jobs/x").await, 400, "request.malformed").await;
    problem(store.get("/v1/print-jobs?limit=0").await, 400, "request.malformed").await;
    problem(store.get("/v1/print-jobs?state=lost").await, 400, "request.malformed").await;
    problem(store.get("/v1/print-templates/cheque/preview.png").await, 404, "print.unknown_kind").await;
    let path = "/v1/print-templates/receipt/preview.png?profile=x";
    problem(store.get(path).await, 400, "request.malformed").await;
    let path = "/v1/printers/nobody/test-page";
    problem(store.post_to(path, ask().to_string()).await, 404, "print.unknown_printer").await;
    store.close().await;
}

#[tokio::test]
async fn a_template_can_be_edited_while_the_agent_runs() {
    let store = open(&[]).await;
    let own = store.folder.path().join("data").join("templates");
    std::fs::create_dir(&own).expect("makes it");
    let receipt = async || {
        let all: Vec<PrintTemplateView> = store.read("/v1/print-templates").await;
        all.into_iter().find(|template| template.kind == "receipt").expect("is listed")
    };
    let until = async |fits: &dyn Fn(&PrintTemplateView) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !fits(&receipt().await) {
            assert!(Instant::now() < deadline, "{:?}", receipt().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let notices = async || {
        let sync: SyncState = store.read("/v1/sync").await;
        sync.notices.into_iter().map(|notice| notice.key).collect::<Vec<_>>()
    };
    std::fs::write(own.join("receipt.txt"), "[bald]x\n").expect("writes");
    until(&|template| !template.own && template.trouble.contains("line 1")).await;
    let deadline = Instant::now() + PATIENCE;
    while notices().await != ["print_template.receipt"] {
        assert!(Instant::now() < deadline, "{:?}", notices().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::write(own.join("receipt.txt"), "[bold]{{ store.name }}\n").expect("writes");
    until(&|template| template.own && template.trouble.is_empty()).await;
    let picture = store.get("/v1/print-templates/receipt/preview.png").await.bytes().await.expect("a picture");
    let built_in = store.get("/v1/print-templates/refund/preview.png").await.bytes().await.expect("a picture");
    assert!(picture.starts_with(b"\x89PNG") && picture.len() < built_in.len());
    store.close().await;
}

/// A sale for cash, by its number.
fn sale_at(till: &str, number: u32) -> Value {
    json!({
        "sale_id": format!("018f0000-0000-7000-8000-0000000f{number:04x}"), "till_id": till,
        "lines": [{ "sku": "tea", "name": "Tea", "quantity": 1, "unit_price_minor": 1800, "tax_rate_ppm": 0 }],
        "tenders": [{ "kind": "cash", "amount_minor": 1800 }],
    })
}

/// The receipt of a sale once it is printed: by which printer, and whether it opened the drawer there.
async fn receipt_of(store: &Store, sale: &Value, printers: &[(&str, &Printer)]) -> (String, bool) {
    let sold = store.sell(sale).await;
    let jobs: Vec<PrintJobView> = store.read(&format!("/v1/print-jobs?subject={}", sold.sale_id)).await;
    let done = becomes(store, jobs[0].job_id, "printed").await;
    let printer = printers.iter().find(|(name, _)| *name == done.printer).expect("is one of them").1;
    let bytes = printer.jobs().pop().expect("came");
    (done.printer, interpret(&bytes, &usual()).marks.iter().any(|mark| matches!(mark, Mark::Drawer { .. })))
}

#[tokio::test]
async fn each_till_prints_at_its_own_counter_and_opens_no_other_drawer() {
    let (left, right) = (Printer::on().await, Printer::on().await);
    let away = Printer::off();
    let store = open(&[
        tcp("left", left.address, ", roles = [\"receipt\"], tills = [\"T1\"]"),
        tcp("right", right.address, ", roles = [\"receipt\"], tills = [\"T2\"]"),
        tcp("third", away, ", roles = [\"receipt\"], tills = [\"T3\"], fallback = \"left\""),
    ])
    .await;
    let printers = [("left", &left), ("right", &right)];
    assert_eq!(receipt_of(&store, &sale_at("T1", 1), &printers).await, ("left".to_owned(), true));
    assert_eq!(receipt_of(&store, &sale_at("T2", 2), &printers).await, ("right".to_owned(), true));
    // The printer of the third till is off: another one stands in for the paper, and its drawer stays closed.
    assert_eq!(receipt_of(&store, &sale_at("T3", 3), &printers).await, ("left".to_owned(), false));
    let views: Vec<PrinterView> = store.read("/v1/printers").await;
    assert_eq!(views[1].tills.iter().map(ToString::to_string).collect::<Vec<_>>(), ["T2"]);
    // Nobody opens another counter's drawer by name either.
    let mut open_it = ask();
    open_it["reason"] = json!("change");
    let path = "/v1/printers/right/open-drawer";
    problem(store.post_to(path, open_it.to_string()).await, 422, "print.other_till").await;
    // A till without a printer of its own puts nothing in.
    let sold = store.sell(&sale_at("T4", 4)).await;
    let jobs: Vec<PrintJobView> = store.read(&format!("/v1/print-jobs?subject={}", sold.sale_id)).await;
    assert_eq!(jobs, []);
    store.close().await;
}

#[tokio::test]
async fn a_drawer_that_is_opened_without_a_sale_stands_in_the_shift_whichever_way_it_was_asked_for() {
    let printer = Printer::on().await;
    let store = open(&[tcp("counter", printer.address, ", roles = [\"receipt\"]")]).await;
    let shift = "018f0000-0000-7000-8000-00000000f001";
    let mut begin = ask();
    (begin["shift_id"], begin["float_minor"]) = (json!(shift), json!(1000));
    assert_eq!(store.post_to("/v1/shifts", begin.to_string()).await.status(), StatusCode::OK);
    let mut open_it = ask();
    open_it["reason"] = json!("change");
    let opened = said(&store, "/v1/printers/counter/open-drawer", &open_it).await;
    becomes(&store, opened.job_id, "printed").await;
    for (kind, amount) in [("no_sale", 0), ("drop", 500)] {
        let mut moved = ask();
        (moved["kind"], moved["amount_minor"], moved["reason"]) = (json!(kind), json!(amount), json!("change"));
        let path = format!("/v1/shifts/{shift}/cash");
        assert_eq!(store.post_to(&path, moved.to_string()).await.status(), StatusCode::OK);
        let jobs: Vec<PrintJobView> = store.read("/v1/print-jobs?limit=1").await;
        assert_eq!((jobs[0].kind.as_str(), jobs[0].till_id.as_ref().map(|till| till.as_str())), ("drawer", Some("T1")));
        becomes(&store, jobs[0].job_id, "printed").await;
    }
    assert_eq!(printer.jobs().len(), 3, "one pulse each");
    let report: Value = store.read(&format!("/v1/shifts/{shift}/x-report")).await;
    assert_eq!(report["report"]["drawer"]["opened_without_sale"], 2);
    let readers = &store.running.as_ref().expect("runs").readers;
    let marks = readers.read(|view| view.audit_marks(10)).await.expect("reads");
    assert_eq!(marks.iter().filter(|row| row.mark.action.as_str() == "drawer_opened").count(), 2);
    store.close().await;
}

#[tokio::test]
async fn previews_are_drawn_two_at_once() {
    let store = open(&[]).await;
    let ask = |_| {
        let request = store.client.get(format!("{}/v1/print-templates/receipt/preview.png", store.url));
        tokio::spawn(request.send())
    };
    let mut busy = 0;
    for asked in (0..40).map(ask).collect::<Vec<_>>() {
        let response = asked.await.expect("no panic").expect("answers");
        match response.status().as_u16() {
            200 => {}
            503 => {
                assert_eq!(response.headers()["retry-after"], "1");
                problem(response, 503, "print.previews_busy").await;
                busy += 1;
            }
            status => panic!("{status}"),
        }
    }
    assert!(busy > 0, "forty were drawn at once");
    assert_eq!(store.get("/v1/print-templates/receipt/preview.png").await.status(), StatusCode::OK);
    store.close().await;
}

#[tokio::test]
async fn what_waits_for_a_printer_that_is_off_costs_one_try_and_all_of_it_comes_out_when_it_is_on() {
    const WAITING: usize = 40;
    let address = Printer::off();
    let printers = [tcp("counter", address, ", roles = [\"receipt\"]")];
    let store = open(&printers).await;
    let mut ids = Vec::new();
    for _ in 0..WAITING {
        ids.push(put_in(&store, receipt(1)).await);
    }
    let store = open_on(store.close().await, &printers).await;
    let tries = async || -> u32 {
        let jobs: Vec<PrintJobView> = store.read("/v1/print-jobs?state=queued&limit=500").await;
        assert_eq!(jobs.len(), WAITING);
        jobs.iter().map(|job| job.tries).sum()
    };
    let before = tries().await;
    let deadline = Instant::now() + PATIENCE;
    let grown = loop {
        let grown = tries().await - before;
        if grown >= 2 {
            break grown;
        }
        assert!(Instant::now() < deadline, "it is not tried again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(grown < 5, "one job tries for all, and pauses: {grown} tries");
    let printer = Printer::on_at(address).await;
    for id in ids {
        becomes(&store, id, "printed").await;
    }
    assert_eq!(printer.jobs().len(), WAITING);
    store.close().await;
}
