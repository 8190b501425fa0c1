//! Replays against a small agent made for the purpose: it can lose answers, refuse sales, die and come back.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent::replay::{Outcome, ReplayArgs, Report, Speed, replay};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use pos_model::{Money, SaleId};
use protocol::latest::local_api::{CompleteSale, LinkState, Problem, SaleReceipt, SyncState};
use tokio::sync::{oneshot, watch};

const MAPPING: &str = r#"
    source = "test"
    [order]
    key = ["order"]
    till = { column = "till" }
    [time]
    zone = "UTC"
    columns = ["at"]
    format = "%Y-%m-%d %H:%M"
    [item]
    sku = "item"
    unit_price = "price"
    [money]
    currency = "EUR"
"#;

/// How the agent behaves.
#[derive(Debug, Default, Clone, Copy)]
struct Manners {
    /// Makes the sale and answers 503 every so many requests.
    loses_every: Option<usize>,
    /// Refuses orders whose number ends so.
    refuses: Option<char>,
    /// Sells in this currency instead of euros.
    dollars: bool,
    /// Takes so long to answer a sale that it has made.
    think: Duration,
}

#[derive(Debug, Default)]
struct Books {
    manners: Manners,
    sales: HashMap<SaleId, (CompleteSale, SaleReceipt)>,
    /// In the order in which they were made.
    made: Vec<(CompleteSale, Instant)>,
    requests: usize,
}

type Shared = Arc<Mutex<Books>>;

async fn complete(State(books): State<Shared>, Json(sale): Json<CompleteSale>) -> Response {
    let (answer, think) = {
        let mut books = books.lock().expect("no test panics while it holds the books");
        (answer(&mut books, sale), books.manners.think)
    };
    tokio::time::sleep(think).await;
    answer
}

fn answer(books: &mut Books, sale: CompleteSale) -> Response {
    books.requests += 1;
    let problem = |status: StatusCode, detail: &str| {
        let (title, message_key) = ("refused".to_owned(), "test".to_owned());
        let kind = "about:blank".to_owned();
        let problem = Problem { kind, title, status: status.as_u16(), detail: detail.to_owned(), message_key };
        (status, Json(problem)).into_response()
    };
    let reference = sale.imported.as_ref().map(|from| from.reference.clone()).unwrap_or_default();
    if books.manners.refuses.is_some_and(|ending| reference.ends_with(ending)) {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "not today");
    }
    if let Some((known, receipt)) = books.sales.get(&sale.sale_id) {
        if *known != sale {
            return problem(StatusCode::CONFLICT, "same id, other content");
        }
        return Json(receipt.clone()).into_response();
    }
    let receipt = SaleReceipt {
        sale_id: sale.sale_id,
        till_id: sale.till_id.clone(),
        receipt_no: 1,
        pickup_no: 1,
        business_date: "2024-05-01".parse().expect("a date"),
        currency: if books.manners.dollars { "USD" } else { "EUR" }.parse().expect("a currency"),
        total_minor: sale.expected_total_minor.unwrap_or(Money::ZERO),
        tax_minor: Money::ZERO,
        change_minor: Money::ZERO,
        cash_rounding_minor: Money::ZERO,
        recorded_at_ms: jiff::Timestamp::now().as_millisecond(),
    };
    books.sales.insert(sale.sale_id, (sale.clone(), receipt.clone()));
    books.made.push((sale, Instant::now()));
    if books.manners.loses_every.is_some_and(|every| books.requests.is_multiple_of(every)) {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the answer is lost");
    }
    Json(receipt).into_response()
}

async fn sync_state() -> Json<SyncState> {
    Json(SyncState {
        store_id: "store-1".to_owned(),
        currency: "EUR".parse().expect("a currency"),
        link: LinkState::Offline,
        epoch: "0".repeat(16),
        head_seq: 0,
        outbox_events: 0,
        outbox_oldest_ms: None,
        last_contact_ms: None,
        price_book: None,
        notices: Vec::new(),
    })
}

/// A running agent with its books, which outlive it.
struct Agent {
    books: Shared,
    address: SocketAddr,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Agent {
    fn start(manners: Manners) -> Self {
        let books: Shared = Arc::new(Mutex::new(Books { manners, ..Books::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = Some(serve(listener, Arc::clone(&books)));
        Self { books, address, server }
    }

    /// Ends the server and every connection to it, in the middle of whatever it does.
    fn kill(&mut self) {
        let (stop, server) = self.server.take().expect("runs");
        let _ = stop.send(());
        server.join().expect("ends");
    }

    fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).expect("the port is free again");
        self.server = Some(serve(listener, Arc::clone(&self.books)));
    }

    fn made(&self) -> Vec<CompleteSale> {
        self.books.lock().expect("whole").made.iter().map(|(sale, _)| sale.clone()).collect()
    }

    fn requests(&self) -> usize {
        self.books.lock().expect("whole").requests
    }
}

/// A thread with a runtime of its own: when it goes, every connection goes with it, as when a process is killed.
fn serve(listener: TcpListener, books: Shared) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let router = Router::new().route("/v1/sales", post(complete)).route("/v1/sync", get(sync_state)).with_state(books);
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            listener.set_nonblocking(true).expect("a socket");
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                _ = stopped => {}
            }
        });
    });
    (stop, thread)
}

/// A folder with a mapping and a file of receipts.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// So many orders of two rows each, a minute apart, on three tills. Line 1 is the header; order n has lines 2n, 2n+1.
    fn with_orders(count: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        let mut text = String::from("order,till,at,item,price\n");
        for order in 1..=count {
            let (till, day, hour, minute) = (order % 3, 1 + order / 1_440, order / 60 % 24, order % 60);
            for item in ["Tea", "Cake"] {
                text += &format!("{order},T{till},2024-05-{day:02} {hour:02}:{minute:02},{item},2.50\n");
            }
        }
        std::fs::write(folder.path().join("receipts.csv"), text).expect("written");
        std::fs::write(folder.path().join("mapping.toml"), MAPPING).expect("written");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn args(&self, agent: &Agent) -> ReplayArgs {
        ReplayArgs {
            file: self.path("receipts.csv"),
            mapping: self.path("mapping.toml"),
            catalogue: None,
            agent: Some(format!("http://{}", agent.address)),
            store: None,
            picked: Vec::new(),
            limit: None,
            speed: Speed::Max,
            gap_max: None,
            tills: NonZeroUsize::new(3).expect("three"),
            journal: None,
            give_up_after: Duration::from_secs(60),
            refused: None,
            dry_run: false,
            json: false,
            quiet: true,
            data_dir: None,
        }
    }
}

async fn run(args: &ReplayArgs) -> Report {
    // Dropped, the sender leaves the replay alone.
    let (_, stop) = watch::channel(false);
    replay(args, stop).await.expect("starts").0
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Each order once, and the sales of one till in order of time.
#[track_caller]
fn assert_once_and_in_order(made: &[CompleteSale], count: usize) {
    let mut last = HashMap::new();
    let mut references = Vec::new();
    for sale in made {
        let imported = sale.imported.as_ref().expect("marked as imported");
        let before = last.insert(sale.till_id.clone(), imported.sold_at_utc_ms);
        assert!(before.is_none_or(|before| before < imported.sold_at_utc_ms), "{} out of order", imported.reference);
        references.push(imported.reference.clone());
    }
    references.sort();
    references.dedup();
    assert_eq!((references.len(), made.len()), (count, count));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_sold_once_however_often_it_is_replayed() {
    let agent = Agent::start(Manners::default());
    let files = Files::with_orders(200);
    let report = run(&files.args(&agent)).await;
    assert_eq!(report.outcome(), Outcome::Done, "{report}");
    assert_eq!((report.sales_new, report.sales_already_there, report.retries), (200, 0, 0), "{report}");
    assert_eq!((report.rows_read, report.rows_sold, report.lines), (400, 400, 400));
    assert_eq!((report.units.to_string().as_str(), report.amount_minor.minor()), ("400", 100_000));
    assert_eq!(report.store, "store-1");
    assert!(report.p50_us > 0 && report.p50_us <= report.p99_us && report.p99_us <= report.max_us, "{report}");
    assert_once_and_in_order(&agent.made(), 200);
    let total: i64 = agent.made().iter().filter_map(|sale| sale.expected_total_minor).map(Money::minor).sum();
    assert_eq!(total, 100_000);

    // A sale counts as there already if it was recorded before the run, to the millisecond.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let report = run(&files.args(&agent)).await;
    assert_eq!((report.sales_new, report.sales_already_there), (0, 200), "{report}");
    assert_eq!(report.outcome(), Outcome::Done);
    assert_eq!(agent.made().len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t07_lost_answers_double_nothing() {
    let agent = Agent::start(Manners { loses_every: Some(3), ..Manners::default() });
    let report = run(&Files::with_orders(60).args(&agent)).await;
    assert_eq!((report.outcome(), report.sales_new), (Outcome::Done, 60), "{report}");
    // Of every third request, unless it is one that comes again.
    assert!(report.retries >= 10, "{report}");
    assert_once_and_in_order(&agent.made(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_dies_and_returns_loses_nothing() {
    let mut agent = Agent::start(Manners::default());
    let files = Files::with_orders(3_000);
    let args = files.args(&agent);
    let replay = tokio::spawn(async move { run(&args).await });
    for reached in [200, 900, 1_600] {
        until("sales are made", || agent.made().len() >= reached).await;
        agent.kill();
        agent.come_back();
    }
    let report = replay.await.expect("ends");
    assert_eq!((report.outcome(), report.sales_new), (Outcome::Done, 3_000), "{report}");
    assert!(report.retries > 0, "{report}");
    assert_once_and_in_order(&agent.made(), 3_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_stays_away_is_given_up() {
    let mut agent = Agent::start(Manners::default());
    let files = Files::with_orders(3_000);
    let args = ReplayArgs { give_up_after: Duration::from_millis(300), ..files.args(&agent) };
    let again = args.clone();
    let replay = tokio::spawn(async move { run(&args).await });
    until("sales are made", || agent.made().len() >= 100).await;
    agent.kill();
    let report = replay.await.expect("ends");
    assert_eq!(report.outcome(), Outcome::NotFinished);
    assert!(report.failure.as_deref().is_some_and(|why| why.contains("has not answered")), "{report}");
    assert_eq!(report.sales_open + report.sales_new, 3_000, "{report}");

    // Nobody there at all: that is no report but an error.
    let (_, stop) = watch::channel(false);
    let error = agent::replay::replay(&again, stop).await.expect_err("nobody answers");
    assert!(error.to_string().contains("does not answer"), "{error:#}");

    agent.come_back();
    let report = run(&again).await;
    assert_eq!(report.outcome(), Outcome::Done, "{report}");
    assert_once_and_in_order(&agent.made(), 3_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_orders_are_named_by_their_rows() {
    let agent = Agent::start(Manners { refuses: Some('7'), ..Manners::default() });
    let report = run(&Files::with_orders(20).args(&agent)).await;
    assert_eq!(report.outcome(), Outcome::RowsRefused);
    assert_eq!((report.sales_new, report.sales_refused, report.rows_sold, report.rows_refused), (18, 2, 36, 4));
    let lines: Vec<u64> = report.refused.iter().map(|note| note.line).collect();
    assert_eq!(lines, [14, 15, 34, 35]);
    assert_eq!(report.refused[0].reason, "the agent refused the order (422): refused: not today");
    let mut csv = Vec::new();
    report.write_refused(&mut csv).expect("memory");
    let csv = String::from_utf8(csv).expect("text");
    assert!(csv.starts_with("line,kind,reason\n14,refused,the agent refused"), "{csv}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_does_not_change_what_was_sold() {
    let agent = Agent::start(Manners::default());
    let files = Files::with_orders(5);
    run(&files.args(&agent)).await;
    let path = files.path("receipts.csv");
    let text = std::fs::read_to_string(&path).expect("there").replacen("Tea,2.50", "Tea,9.00", 1);
    std::fs::write(&path, text).expect("written");
    let report = run(&files.args(&agent)).await;
    assert_eq!((report.sales_already_there + report.sales_new, report.sales_refused), (4, 1), "{report}");
    assert!(report.refused[0].reason.contains("(409)"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_saves_the_asking() {
    let agent = Agent::start(Manners::default());
    let files = Files::with_orders(50);
    let args = ReplayArgs { journal: Some(files.path("journal")), limit: Some(20), ..files.args(&agent) };
    let report = run(&args).await;
    assert_eq!((report.sales_new, report.rows_not_picked, agent.requests()), (20, 60, 20), "{report}");
    let report = run(&ReplayArgs { limit: None, ..args }).await;
    assert_eq!((report.sales_new, report.sales_already_there, agent.requests()), (30, 20, 50), "{report}");
    assert_eq!((report.rows_sold, report.amount_minor.minor()), (100, 25_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_currency_stops_the_replay() {
    let agent = Agent::start(Manners { dollars: true, ..Manners::default() });
    let report = run(&Files::with_orders(500).args(&agent)).await;
    assert_eq!(report.outcome(), Outcome::NotFinished);
    assert_eq!(report.failure.as_deref(), Some("the agent sells in USD and the mapping says EUR"));
    assert!(agent.made().len() < 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_agent_ends_the_replay_at_once() {
    let agent = Agent::start(Manners::default());
    let files = Files::with_orders(5);
    let args = ReplayArgs { agent: Some(format!("http://{}/elsewhere", agent.address)), ..files.args(&agent) };
    for store in [None, Some("s".to_owned())] {
        let (_, stop) = watch::channel(false);
        let error = replay(&ReplayArgs { store, ..args.clone() }, stop).await.expect_err("not found");
        assert!(error.to_string().contains("404"), "{error:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_currency_is_noticed_before_the_first_sale() {
    let agent = Agent::start(Manners::default());
    let files = Files::with_orders(5);
    let path = files.path("mapping.toml");
    let text = std::fs::read_to_string(&path).expect("there").replacen("\"EUR\"", "\"USD\"", 1);
    std::fs::write(&path, text).expect("written");
    let (_, stop) = watch::channel(false);
    let error = replay(&files.args(&agent), stop).await.expect_err("the agent sells in euros");
    assert!(error.to_string().contains("sells in EUR"), "{error:#}");
    assert_eq!(agent.made().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sales_come_at_the_recorded_pace() {
    let agent = Agent::start(Manners::default());
    let files = Files::with_orders(5);
    // A minute apart, 600 times faster.
    let args = ReplayArgs { speed: "600".parse().expect("a speed"), ..files.args(&agent) };
    let report = run(&args).await;
    assert_eq!(report.sales_new, 5, "{report}");
    let books = agent.books.lock().expect("whole");
    let (first, last) = (books.made[0].1, books.made[4].1);
    assert!(last - first >= Duration::from_millis(380), "{:?}", last - first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_stops_when_asked() {
    let agent = Agent::start(Manners::default());
    let files = Files::with_orders(10);
    let args = ReplayArgs { speed: "1".parse().expect("a speed"), ..files.args(&agent) };
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { replay(&args, stopped).await });
    until("the first sale is made", || !agent.made().is_empty()).await;
    stop.send(true).expect("the replay listens");
    let (report, _) = running.await.expect("ends").expect("starts");
    assert_eq!(report.failure.as_deref(), Some("interrupted"));
    assert_eq!((report.outcome(), report.sales_open), (Outcome::NotFinished, 9), "{report}");
    assert_eq!((report.rows_read, report.rows_sold, report.rows_open), (20, 2, 18), "{report}");
    assert!(report.resumes && report.to_string().contains("goes on from here"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_stops_counts_what_is_answered_meanwhile() {
    let agent = Agent::start(Manners { think: Duration::from_millis(300), ..Manners::default() });
    let files = Files::with_orders(40);
    let args = files.args(&agent);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { replay(&args, stopped).await });
    until("requests are under way", || agent.requests() >= 2).await;
    stop.send(true).expect("the replay listens");
    let (report, _) = running.await.expect("ends").expect("starts");
    let made = u64::try_from(agent.made().len()).expect("few");
    assert_eq!((report.sales_new, report.sales_open), (made, 40 - made), "{report}");
    assert!((1..40).contains(&made), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_is_an_error_with_its_line() {
    #[track_caller]
    fn check(answer: anyhow::Result<(Report, Vec<agent::replay::PlannedSale>)>, expected: &str) {
        let text = format!("{:#}", answer.expect_err("unreadable"));
        assert!(text.contains(expected), "{text}");
    }
    let agent = Agent::start(Manners::default());
    let files = Files::with_orders(1);
    let args = files.args(&agent);
    let replay_of = async |content: &[u8]| {
        std::fs::write(files.path("receipts.csv"), content).expect("written");
        let (_, stop) = watch::channel(false);
        replay(&args, stop).await
    };
    check(replay_of(b"").await, "receipts.csv: has no row");
    check(replay_of(b"order,till,at,item,price\n1,T1,\xff\n").await, "line 2: is not UTF-8");
    check(replay_of(b"order,till,at,price\n").await, "has no column \"item\"");
    check(replay_of(b"order,till,at,item,price\n1,\"T1,x,y,z\n").await, "line 2: a quote opens a cell");
    let missing = ReplayArgs { mapping: Path::new("/nowhere/mapping.toml").to_owned(), ..args.clone() };
    let (_, stop) = watch::channel(false);
    check(replay(&missing, stop).await, "read /nowhere/mapping.toml");
    std::fs::write(files.path("receipts.csv"), "order,till,at,item,price\n1,T1,x,y,1.00\n").expect("written");
    let other = ReplayArgs { picked: vec![("till".to_owned(), "T2".to_owned())], ..args.clone() };
    let (_, stop) = watch::channel(false);
    check(replay(&other, stop).await, "none of its 1 fits --where till=T2");
    assert_eq!(agent.requests(), 0);
}
