//! Payments at a terminal, asked over HTTP as a till does, with a terminal that outlives the agent.

#[path = "api_support/mod.rs"]
mod api_support;
#[path = "payment_support/mod.rs"]
mod payment_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use agent::clock::SystemClock;
use api_support::{PATIENCE, Store, problem};
use payment_support::{Service, TOKEN};
use pos_model::AttemptId;
use protocol::latest::local_api::{SaleView, SyncState};
use protocol::latest::payment::{PaymentState, PaymentView};
use reqwest::StatusCode;
use serde_json::{Value, json};

const SALE: &str = "018f0000-0000-7000-8000-0000000000aa";

fn attempt_id(number: u32) -> AttemptId {
    format!("018f0000-0000-7000-8000-{number:012x}").parse().expect("valid")
}

fn ask(number: u32) -> Value {
    json!({
        "attempt_id": attempt_id(number), "till_id": "T1", "sale_id": SALE, "kind": "card", "amount_minor": 1800,
    })
}

fn sale(number: u32) -> Value {
    json!({
        "sale_id": SALE, "till_id": "T1",
        "lines": [{ "sku": "tea", "quantity": 1, "unit_price_minor": 1800 }],
        "tenders": [{ "kind": "card", "amount_minor": 1800, "attempt_id": attempt_id(number) }],
    })
}

/// A store with this configuration file.
async fn store_with(file: &str, folder: tempfile::TempDir, clock: Arc<dyn agent::clock::Clock>) -> Store {
    let path = folder.path().join("agent.toml");
    std::fs::write(&path, file).expect("writes");
    Store::open_by(folder, clock, &[], Some(path)).await
}

/// A store whose one terminal is that service.
async fn store_at(service: &Service, folder: tempfile::TempDir) -> Store {
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, format!("{TOKEN}\n")).expect("writes");
    let file = format!(
        "[[terminal]]\nname = \"front\"\nkind = \"http\"\nurl = \"{}\"\ntoken_file = {token_file:?}\n\
         answer_timeout = \"2s\"\nreverse_not_before = \"0s\"\npoll_every = \"1s\"\n",
        service.url
    );
    store_with(&file, folder, Arc::new(SystemClock)).await
}

async fn open(script: &str) -> (Service, Store) {
    let service = Service::open(script).await;
    let store = store_at(&service, tempfile::tempdir().expect("a folder")).await;
    (service, store)
}

async fn pay(store: &Store, body: &Value) -> PaymentView {
    let response = store.post_to("/v1/payments", body.to_string()).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.expect("a payment")
}

async fn stands(store: &Store, number: u32) -> PaymentView {
    store.read(&format!("/v1/payments/{}", attempt_id(number))).await
}

/// Waits until an attempt stands like this.
#[track_caller]
fn until(store: &Store, number: u32, wanted: impl Fn(&PaymentView) -> bool) -> impl Future<Output = PaymentView> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let view = stands(store, number).await;
            if wanted(&view) {
                return view;
            }
            assert!(tokio::time::Instant::now() < deadline, "{caller}: {view:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn is(state: PaymentState) -> impl Fn(&PaymentView) -> bool {
    move |view| view.state == state
}

#[tokio::test]
async fn t33_a_lost_answer_and_a_restart_make_one_charge_which_pays_the_sale() {
    let (service, store) = open("lose_answer").await;
    service.go_dark_after_pay();
    assert_eq!(pay(&store, &ask(1)).await.state, PaymentState::Asked);
    let unknown = until(&store, 1, is(PaymentState::Unknown)).await;
    assert!(!unknown.usable);
    problem(store.post(sale(1).to_string()).await, 422, "payment.not_approved").await;
    problem(store.post_to("/v1/payments", ask(2).to_string()).await, 422, "payment.other_attempt_open").await;

    let folder = store.close().await;
    let store = store_at(&service, folder).await;
    assert_eq!(stands(&store, 1).await.state, PaymentState::Unknown, "the terminal is still dark");
    let same = pay(&store, &ask(1)).await;
    assert_eq!(same.state, PaymentState::Unknown, "the same attempt again asks nobody to pay");

    service.light_up();
    let approved = until(&store, 1, is(PaymentState::Approved)).await;
    assert_eq!((approved.usable, approved.reference.as_deref()), (true, Some("simulated")));
    store.sell(&sale(1)).await;
    let used = stands(&store, 1).await;
    assert_eq!((used.used, used.usable), (true, false));
    let view: SaleView = store.read(&format!("/v1/sales/{SALE}")).await;
    assert_eq!(view.tenders[0].attempt_id, Some(attempt_id(1)));

    assert_eq!((service.pays(), service.simulator.charges(attempt_id(1))), (1, 1));
    assert_eq!(service.simulator.holds(attempt_id(1)).minor(), 1800);
    store.close().await;
}

#[tokio::test]
async fn t33_the_answer_of_another_order_never_approves() {
    let (service, store) = open("other_order").await;
    pay(&store, &ask(1)).await;
    let declined = until(&store, 1, is(PaymentState::Declined)).await;
    assert_eq!((declined.odd_answers, declined.usable), (1, false));
    problem(store.post(sale(1).to_string()).await, 422, "payment.not_approved").await;
    // The customer tries again, with an attempt of its own.
    pay(&store, &ask(2)).await;
    until(&store, 2, is(PaymentState::Approved)).await;
    store.sell(&sale(2)).await;
    assert_eq!(service.simulator.charges(attempt_id(1)) + service.simulator.charges(attempt_id(2)), 1);
    store.close().await;
}

#[tokio::test]
async fn another_amount_than_was_asked_for_goes_back() {
    let (service, store) = open("other_amount").await;
    pay(&store, &ask(1)).await;
    let reversed = until(&store, 1, is(PaymentState::Reversed)).await;
    assert_eq!(reversed.reversal.map(|reason| reason.to_string()).as_deref(), Some("other_amount"));
    assert_eq!(service.simulator.holds(attempt_id(1)).minor(), 0);
    store.close().await;
}

#[tokio::test]
async fn t33_a_double_tap_makes_one_attempt() {
    let (service, store) = open("approve@1s").await;
    let wanted = ask(1);
    let (first, second, third) = tokio::join!(pay(&store, &wanted), pay(&store, &wanted), pay(&store, &wanted));
    assert_eq!([first.state, second.state, third.state], [PaymentState::Asked; 3]);
    until(&store, 1, is(PaymentState::Approved)).await;
    assert_eq!(pay(&store, &wanted).await.state, PaymentState::Approved);
    assert_eq!((service.pays(), service.simulator.charges(attempt_id(1))), (1, 1));

    let mut other = wanted;
    other["amount_minor"] = json!(1900);
    problem(store.post_to("/v1/payments", other.to_string()).await, 409, "command.conflict").await;
    store.close().await;
}

#[tokio::test]
async fn an_approval_before_the_sale_is_found_again_after_a_restart() {
    let (service, store) = open("").await;
    pay(&store, &ask(1)).await;
    until(&store, 1, is(PaymentState::Approved)).await;
    let store = store_at(&service, store.close().await).await;

    let found: Vec<PaymentView> = store.read(&format!("/v1/payments?sale_id={SALE}")).await;
    assert_eq!(found.iter().map(|view| (view.attempt_id, view.usable)).collect::<Vec<_>>(), [(attempt_id(1), true)]);
    let open: Vec<PaymentView> = store.read("/v1/payments").await;
    assert_eq!(open, found, "money that nobody has used is listed");

    let mut other_sale = sale(1);
    other_sale["sale_id"] = json!("018f0000-0000-7000-8000-0000000000ab");
    problem(store.post(other_sale.to_string()).await, 422, "payment.other_sale").await;
    let receipt = store.sell(&sale(1)).await;
    assert_eq!(store.sell(&sale(1)).await, receipt, "the same sale again is the same");
    assert_eq!(store.read::<Vec<PaymentView>>("/v1/payments").await, []);
    problem(store.post_to("/v1/payments", ask(2).to_string()).await, 422, "payment.sale_recorded").await;
    assert_eq!(service.pays(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_sale_that_is_given_up_gives_the_money_back() {
    let (service, store) = open("").await;
    pay(&store, &ask(1)).await;
    until(&store, 1, is(PaymentState::Approved)).await;
    let head = |sync: SyncState| sync.head_seq;
    let before = head(store.read("/v1/sync").await);
    let give_up = json!({
        "command_id": "018f0000-0000-7000-8000-0000000000cc", "till_id": "T1", "reason": "sale_given_up",
    });
    let path = format!("/v1/payments/{}/reverse", attempt_id(1));
    for _ in 0..2 {
        let response = store.post_to(&path, give_up.to_string()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let view: PaymentView = response.json().await.expect("a payment");
        assert!(!view.usable, "from the answer on no sale is paid with it");
    }
    until(&store, 1, is(PaymentState::Reversed)).await;
    assert_eq!(service.simulator.holds(attempt_id(1)).minor(), 0);
    assert_eq!(head(store.read("/v1/sync").await), before + 1, "who gave it back stands in the history, once");
    let refused = problem(store.post(sale(1).to_string()).await, 422, "payment.not_approved").await;
    assert!(refused.detail.contains("is reversed"), "{}", refused.detail);

    // The command speaks of this attempt and of no other.
    pay(&store, &ask(2)).await;
    let other = format!("/v1/payments/{}/reverse", attempt_id(2));
    problem(store.post_to(&other, give_up.to_string()).await, 409, "command.conflict").await;
    until(&store, 2, is(PaymentState::Approved)).await;
    store.sell(&sale(2)).await;
    let another = json!({ "command_id": "018f0000-0000-7000-8000-0000000000cd", "till_id": "T1" });
    problem(store.post_to(&other, another.to_string()).await, 422, "payment.used").await;
    problem(store.post_to(&format!("/v1/payments/{}/retry-query", attempt_id(2)), "").await, 422, "payment.used").await;
    store.close().await;
}

#[tokio::test]
async fn a_reversal_survives_a_restart() {
    let (service, store) = open("approve").await;
    service.go_dark_after_pay();
    pay(&store, &ask(1)).await;
    until(&store, 1, is(PaymentState::Approved)).await;
    let give_up = json!({ "command_id": "018f0000-0000-7000-8000-0000000000cc", "till_id": "T1" });
    let path = format!("/v1/payments/{}/reverse", attempt_id(1));
    assert_eq!(store.post_to(&path, give_up.to_string()).await.status(), StatusCode::OK);
    let store = store_at(&service, store.close().await).await;
    assert!(!stands(&store, 1).await.usable);
    service.light_up();
    until(&store, 1, is(PaymentState::Reversed)).await;
    assert_eq!(service.simulator.holds(attempt_id(1)).minor(), 0);
    store.close().await;
}

#[tokio::test]
async fn what_a_terminal_took_and_forgot_stays_with_people_until_they_settle_it() {
    let (_service, store) = open("approve").await;
    pay(&store, &ask(1)).await;
    until(&store, 1, is(PaymentState::Approved)).await;
    // The terminal is exchanged while the store is closed: this one knows nothing.
    let other = Service::open("").await;
    let store = store_at(&other, store.close().await).await;
    let path = format!("/v1/payments/{}", attempt_id(1));
    let give_up = json!({ "command_id": "018f0000-0000-7000-8000-0000000000cc", "till_id": "T1" });
    assert_eq!(store.post_to(&format!("{path}/reverse"), give_up.to_string()).await.status(), StatusCode::OK);
    let forgotten = until(&store, 1, |view| view.odd_answers > 0).await;
    assert_eq!((forgotten.state, forgotten.usable), (PaymentState::Unknown, false));
    let notices = store.read::<SyncState>("/v1/sync").await.notices;
    assert!(notices.iter().any(|notice| notice.text.contains("knows nothing of it")), "{notices:?}");
    let settle = json!({
        "command_id": "018f0000-0000-7000-8000-0000000000cd", "till_id": "T1", "outcome": "given_back",
    });
    for _ in 0..2 {
        let settled = store.post_to(&format!("{path}/settle"), settle.to_string()).await;
        assert_eq!(settled.status(), StatusCode::OK);
        assert_eq!(settled.json::<PaymentView>().await.expect("a payment").state, PaymentState::Reversed);
    }
    assert!(store.read::<SyncState>("/v1/sync").await.notices.is_empty());
    store.close().await;
}

#[tokio::test]
async fn a_sale_paid_in_cash_gives_back_what_the_terminal_took_for_it() {
    let (service, store) = open("approve").await;
    pay(&store, &ask(1)).await;
    until(&store, 1, is(PaymentState::Approved)).await;
    let mut cash = sale(1);
    cash["tenders"] = json!([{ "kind": "cash", "amount_minor": 1800 }]);
    store.sell(&cash).await;
    let stands = stands(&store, 1).await;
    assert_eq!(
        (stands.usable, stands.reversal.as_ref().map(|reason| reason.as_str())),
        (false, Some("paid_otherwise"))
    );
    let notices = store.read::<SyncState>("/v1/sync").await.notices;
    assert!(notices.iter().any(|notice| notice.text.contains("goes back to the customer")), "{notices:?}");
    until(&store, 1, is(PaymentState::Reversed)).await;
    assert_eq!(service.simulator.holds(attempt_id(1)).minor(), 0);
    assert!(store.read::<SyncState>("/v1/sync").await.notices.is_empty());
    store.close().await;
}

#[tokio::test]
async fn an_attempt_that_never_arrived_is_closed_and_another_one_pays() {
    let (service, store) = open("lose_question").await;
    pay(&store, &ask(1)).await;
    until(&store, 1, is(PaymentState::Unknown)).await;
    // The cashier does not wait for the next question.
    let path = format!("/v1/payments/{}/retry-query", attempt_id(1));
    assert_eq!(store.post_to(&path, "").await.status(), StatusCode::OK);
    let declined = until(&store, 1, is(PaymentState::Declined)).await;
    assert_eq!(declined.reversal.map(|reason| reason.to_string()).as_deref(), Some("never_arrived"));
    pay(&store, &ask(2)).await;
    until(&store, 2, is(PaymentState::Approved)).await;
    assert_eq!((service.simulator.charges(attempt_id(1)), service.simulator.charges(attempt_id(2))), (0, 1));
    store.close().await;
}

/// A clock that a test moves.
struct Clock(AtomicI64);

impl agent::clock::Clock for Clock {
    fn utc_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn money_that_no_sale_has_used_is_told_until_one_does() {
    let clock = Arc::new(Clock(AtomicI64::new(1_772_445_600_000)));
    let file = "[[terminal]]\nname = \"front\"\nkind = \"simulator\"\n";
    let store = store_with(file, tempfile::tempdir().expect("a folder"), clock.clone()).await;
    pay(&store, &ask(1)).await;
    until(&store, 1, is(PaymentState::Approved)).await;
    clock.0.fetch_add(10 * 60 * 1000, Ordering::SeqCst);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let notices = loop {
        let notices = store.read::<SyncState>("/v1/sync").await.notices;
        if !notices.is_empty() {
            break notices;
        }
        assert!(tokio::time::Instant::now() < deadline, "nobody is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(notices[0].key, format!("payment.{}", attempt_id(1)));
    assert!(notices[0].text.contains("18.00 CNY"), "{}", notices[0].text);
    assert_eq!(notices[0].since_ms, Some(1_772_445_600_000), "for so long it has been open");
    store.sell(&sale(1)).await;
    assert_eq!(store.read::<SyncState>("/v1/sync").await.notices, []);
    store.close().await;
}

#[tokio::test]
async fn a_wallet_at_the_simulator_is_polled_until_it_is_paid_and_everybody_hears_of_it() {
    let file = "[[terminal]]\nname = \"front\"\nkind = \"simulator\"\nscript = \"still_paying:1\"\npoll_every = \"1s\"\n\
                [[terminal]]\nname = \"bar\"\nkind = \"simulator\"\n[payment]\nrequire_attempts = \"wallet\"\n";
    let store = store_with(file, tempfile::tempdir().expect("a folder"), Arc::new(SystemClock)).await;
    let mut events = store.get("/v1/events").await;
    let mut wanted = ask(1);
    problem(store.post_to("/v1/payments", wanted.to_string()).await, 422, "payment.terminal_needed").await;
    wanted["terminal"] = json!("front");
    wanted["kind"] = json!("wallet");
    wanted["code"] = json!("134567890123456789");
    pay(&store, &wanted).await;
    until(&store, 1, is(PaymentState::Approved)).await;

    let mut heard = String::new();
    while !(heard.contains("event: payment") && heard.contains(r#""state":"approved""#)) {
        let chunk = tokio::time::timeout(PATIENCE, events.chunk()).await.expect("in time").expect("a stream");
        heard.push_str(&String::from_utf8_lossy(&chunk.expect("goes on")));
    }
    assert!(!heard.contains("134567890123456789"), "the customer's code is told to nobody else");

    let mut by_eye = sale(1);
    by_eye["tenders"] = json!([{ "kind": "wallet", "amount_minor": 1800 }]);
    problem(store.post(by_eye.to_string()).await, 422, "payment.attempt_needed").await;
    by_eye["tenders"] = json!([{ "kind": "card", "amount_minor": 1800, "attempt_id": attempt_id(1) }]);
    problem(store.post(by_eye.to_string()).await, 422, "payment.other_kind").await;
    by_eye["tenders"] = json!([{ "kind": "wallet", "amount_minor": 1800, "attempt_id": attempt_id(1) }]);
    store.sell(&by_eye).await;
    // What the store does not ask for stays possible.
    let mut at_a_terminal_beside = sale(1);
    at_a_terminal_beside["sale_id"] = json!("018f0000-0000-7000-8000-0000000000ab");
    at_a_terminal_beside["tenders"] = json!([{ "kind": "card", "amount_minor": 1800 }]);
    store.sell(&at_a_terminal_beside).await;
    store.close().await;
}

#[tokio::test]
async fn what_is_not_asked_says_why() {
    let (service, store) = open("").await;
    let check = async |change: Value, status, key| {
        let mut wanted = ask(1);
        for (name, value) in change.as_object().expect("fields") {
            wanted[name] = value.clone();
        }
        problem(store.post_to("/v1/payments", wanted.to_string()).await, status, key).await;
    };
    let without_terminal = Store::open().await;
    let answer = without_terminal.post_to("/v1/payments", ask(1).to_string()).await;
    problem(answer, 422, "payment.terminal_needed").await;
    without_terminal.close().await;
    check(json!({ "kind": "cash" }), 422, "payment.cash").await;
    check(json!({ "amount_minor": 0 }), 422, "payment.amount").await;
    check(json!({ "terminal": "nowhere" }), 422, "payment.unknown_terminal").await;
    check(json!({ "code": "1".repeat(257) }), 422, "payment.code_too_long").await;
    check(json!({ "attempt_id": "1" }), 400, "request.malformed").await;
    check(json!({ "tip": 1 }), 400, "request.malformed").await;
    problem(store.get("/v1/payments/1").await, 400, "request.malformed").await;
    problem(store.get("/v1/payments?sale_id=1").await, 400, "request.malformed").await;
    let path = format!("/v1/payments/{}", attempt_id(1));
    problem(store.get(&path).await, 404, "payment.unknown_attempt").await;
    problem(store.post_to(&format!("{path}/retry-query"), "").await, 404, "payment.unknown_attempt").await;
    let reverse = json!({ "command_id": "018f0000-0000-7000-8000-0000000000cc", "till_id": "T1" });
    problem(store.post_to(&format!("{path}/reverse"), reverse.to_string()).await, 404, "payment.unknown_attempt").await;
    assert_eq!(service.pays(), 0);
    store.close().await;
}
