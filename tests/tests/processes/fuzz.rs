//! The agent's API, exercised by schemathesis from its own description: no answer that is not described, none of 500 and
//! above; and afterwards the store still has its day.
//!
//! `.ci/ensure-schemathesis` finds the pinned version or fetches it, and says what it lacks. `tests/scripts/fuzz_hooks.py` puts
//! words of the store into the requests and counts the answers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use protocol::latest::people::{Pin, RoleName, SetOperator};
use serde_json::{Value, json};
use tests::process::Agent;
use tests::workload::tea_book_path;

use super::day::{check, printer};
use super::site::{PATIENCE, STORE_CONFIG, StoreApi, get, http_client, on_processes, said, seed, until};

/// What every answer is compared with.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance";

/// How long one run may take. It takes a third of that on two cores.
const RUN_PATIENCE: Duration = Duration::from_secs(180);

/// What has to have worked at least once: with fewer, the fuzzer only knocked at the door.
const REACHED: [&str; 14] = [
    "POST /v1/baskets",
    "POST /v1/baskets/{basket_id}/changes",
    "POST /v1/kitchen/bump",
    "POST /v1/payments",
    "POST /v1/price",
    "POST /v1/print-jobs/{job_id}/reprint",
    "POST /v1/refunds",
    "POST /v1/sales",
    "POST /v1/shifts",
    "POST /v1/shifts/{shift_id}/cash",
    "POST /v1/shifts/{shift_id}/close",
    "POST /v1/sold-out",
    "POST /v1/stock/counts",
    "POST /v1/stock/movements",
];

/// Answers by operation and status.
type Seen = BTreeMap<String, BTreeMap<String, u64>>;

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The Python that has schemathesis.
fn schemathesis() -> anyhow::Result<PathBuf> {
    let output =
        Command::new(in_repository(".ci/ensure-schemathesis")).output().context("run .ci/ensure-schemathesis")?;
    ensure!(output.status.success(), "no schemathesis: {}", said(&output));
    Ok(String::from_utf8(output.stdout).context("a path")?.trim().into())
}

/// Every example in the description fits its schema.
async fn examples_fit(folder: &Path, store: &StoreApi) -> anyhow::Result<()> {
    let document: Value = get(&store.http, &format!("{}/v1/openapi.json", store.url)).await?;
    let file = folder.join("openapi.json");
    fs::write(&file, document.to_string()).context("keep the description")?;
    let mut command = Command::new(schemathesis()?);
    command.arg(in_repository("tests/scripts/examples_fit.py")).stdin(File::open(&file)?);
    let output = command.output().context("run the script")?;
    ensure!(output.status.success(), "an example does not fit: {}", said(&output));
    Ok(())
}

/// One run of the fuzzer. With a till's token there are operators as well.
struct Fuzzer<'a> {
    folder: &'a Path,
    url: String,
    examples: u32,
    token: Option<&'a str>,
}

impl Fuzzer<'_> {
    /// Runs it to its end; fails if it finds anything.
    async fn run(&self) -> anyhow::Result<Seen> {
        let (log, seen) = (self.folder.join("schemathesis.log"), self.folder.join("seen.json"));
        let file = File::create(&log).context("make the log")?;
        let seed = seed().to_string();
        let mut command = Command::new(schemathesis()?);
        command.args(["-m", "schemathesis.cli", "run", &format!("{}/v1/openapi.json", self.url), "--checks", CHECKS]);
        // The stream of changes has no end; what it says is looked at afterwards.
        command.args(["--exclude-path", "/v1/events", "--seed", &seed, "--max-examples", &self.examples.to_string()]);
        command.args(["--request-timeout", "20", "--generation-database", "none", "--warnings", "off", "--no-color"]);
        command.env("SCHEMATHESIS_HOOKS", in_repository("tests/scripts/fuzz_hooks.py"));
        command.env("BREAKWATER_SEED", &seed).env("BREAKWATER_FUZZ_BOOK", tea_book_path());
        command.env("BREAKWATER_FUZZ_SEEN", &seen).current_dir(self.folder);
        if let Some(token) = self.token {
            command.args(["--header", &format!("Authorization: Bearer {token}")]).env("BREAKWATER_FUZZ_OPERATORS", "1");
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn().context("start it")?;
        let deadline = Instant::now() + RUN_PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().context("wait for schemathesis")? {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().context("end schemathesis")?;
                child.wait().context("end schemathesis")?;
                bail!("schemathesis did not end within {RUN_PATIENCE:?}: {}", fs::read_to_string(&log)?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        ensure!(status.success(), "schemathesis: {status}\n{}", fs::read_to_string(&log)?);
        serde_json::from_slice(&fs::read(&seen).context("read the counts")?).context("understand the counts")
    }
}

fn worked(seen: &Seen, operation: &str) -> bool {
    seen.get(operation).is_some_and(|statuses| statuses.keys().any(|status| status.starts_with('2')))
}

/// A till that does what has to work whatever was done before.
struct Till<'a> {
    store: &'a StoreApi,
    /// What signs on, where there are operators.
    operator: Option<&'a str>,
    ids: u64,
}

impl Till<'_> {
    fn id(&mut self) -> String {
        self.ids += 1;
        format!("01991111-0000-7000-8000-{:012x}", self.ids)
    }

    async fn read(&self, path: &str) -> anyhow::Result<Value> {
        get(&self.store.http, &format!("{}{path}", self.store.url)).await
    }

    /// Sends a command of till T1 or another one, which must work.
    async fn act(&mut self, till: &str, path: &str, mut body: Value) -> anyhow::Result<Value> {
        body["till_id"] = json!(till);
        if let Some(operator) = self.operator {
            body["operator_id"] = json!(operator);
        }
        // Sales and refunds are recognised by ids of their own.
        if body.get("sale_id").is_none() {
            body["command_id"] = json!(self.id());
        }
        let url = format!("{}{path}", self.store.url);
        let answer = self.store.http.post(&url).json(&body).send().await.with_context(|| format!("post {url}"))?;
        let (status, text) = (answer.status(), answer.text().await.context("read the answer")?);
        ensure!(status.is_success(), "{path} answered {status}: {text}, asked {body}");
        serde_json::from_str(&text).with_context(|| format!("understand {text}"))
    }

    /// Closes whatever the fuzzer left open on a till, with what should be in its drawer.
    async fn close(&mut self, shift: &Value) -> anyhow::Result<Value> {
        let (shift, till) =
            (shift["shift_id"].as_str().context("an id")?, shift["till_id"].as_str().context("a till")?);
        let report = self.read(&format!("/v1/shifts/{shift}/x-report")).await?;
        let expected = report["report"]["drawer"]["expected_minor"].as_i64().context("a sum")?;
        let body = json!({"counted_minor": expected.max(0)});
        self.act(till, &format!("/v1/shifts/{shift}/close"), body).await
    }

    /// Opens, sells, gives back and closes, as on any day.
    async fn has_its_day(&mut self) -> anyhow::Result<()> {
        for shift in self.read("/v1/shifts").await?.as_array().context("shifts")? {
            self.close(shift).await?;
        }
        for entry in self.read("/v1/sold-out").await?["entries"].as_array().context("entries")? {
            let body = json!({"what": entry["what"], "code": entry["code"], "state": "on_sale"});
            self.act("T1", "/v1/sold-out", body).await?;
        }
        let shift_id = self.id();
        let shift = self.act("T1", "/v1/shifts", json!({"shift_id": shift_id, "float_minor": 20_000})).await?;
        let mut events = self.store.http.get(format!("{}/v1/events", self.store.url)).send().await.context("listen")?;
        let sale_id = self.id();
        let order = json!({"lines": [{"sku": "classic-milk-tea-l", "quantity": 2}]});
        let sale = json!({"sale_id": sale_id, "order": order, "tenders": [{"kind": "cash", "amount_minor": 10_000}]});
        let sold = self.act("T1", "/v1/sales", sale).await?;
        let mut told = String::new();
        let deadline = Instant::now() + PATIENCE;
        while !told.contains(&sale_id) {
            ensure!(Instant::now() < deadline, "nobody told of the sale: {told}");
            let chunk = events.chunk().await.context("read the changes")?.context("the changes end")?;
            told.push_str(&String::from_utf8_lossy(&chunk));
        }
        let refund = json!({"refund_id": self.id(), "sale_id": sale_id, "reason": "wrong_drink", "lines": [{"line": 0, "count": 1}]});
        let given = self.act("T1", "/v1/refunds", refund).await?;
        let report = self.close(&shift).await?["report"].take();
        let amount = |value: &Value, key: &str| value[key].as_i64().with_context(|| format!("{key} in {value}"));
        ensure!(report["sales"]["gross_minor"] == sold["total_minor"] && report["sales"]["count"] == 1, "{report}");
        ensure!(
            report["refunds"]["gross_minor"] == given["total_minor"] && report["refunds"]["count"] == 1,
            "{report}"
        );
        ensure!(amount(&report["drawer"], "difference_minor")? == 0, "{report}");
        let grown = amount(&report, "grand_total_after_minor")? - amount(&report, "grand_total_before_minor")?;
        ensure!(grown == amount(&sold, "total_minor")? - amount(&given, "total_minor")?, "{report}");
        let state = self.read("/v1/state").await?;
        ensure!(state["shifts"].as_array().is_some_and(Vec::is_empty), "{state}");
        Ok(())
    }
}

/// A store of its own with the sample price book, a printer and a terminal; not enrolled, for the centre is not asked.
async fn store(folder: &Path, more_config: &str) -> anyhow::Result<(Agent, StoreApi)> {
    let (printer_address, _) = printer().await?;
    let config = format!(
        "{STORE_CONFIG}\ncurrency = \"CNY\"\nown_prices = \"allow\"\n[[printer]]\nname = \"counter\"\naddress = \"tcp://{printer_address}\"\n\
         roles = [\"receipt\", \"label\", \"report\"]\n[[terminal]]\nname = \"counter\"\nkind = \"simulator\"\n"
    );
    let mut agent = Agent::new(&folder.join("store"), &config).with_http(more_config);
    agent.start()?;
    agent.load_price_book(&tea_book_path())?;
    let store = StoreApi { url: agent.url(""), http: http_client()? };
    Ok((agent, store))
}

async fn sells_by_the_book(store: &StoreApi) -> anyhow::Result<()> {
    until("the store has its price book", PATIENCE, async || {
        store.sync().await?.price_book.map(drop).context("it has none")
    })
    .await
}

/// It ends in order, has complained of nothing, and its books are sound.
fn is_sound(mut agent: Agent) -> anyhow::Result<()> {
    ensure!(agent.is_alive(), "the agent has ended");
    agent.stop()?;
    check(&agent, &["verify"])?;
    check(&agent, &["stock", "check"])?;
    let log = fs::read_to_string(agent.log()).context("read the log")?;
    let complaints: Vec<&str> =
        log.lines().filter(|line| line.contains(" ERROR ") || line.contains("panicked")).collect();
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

#[test]
fn the_api_stands_a_fuzzer() {
    on_processes("fuzz", async |folder| {
        let (agent, store) = store(folder, "").await?;
        sells_by_the_book(&store).await?;
        examples_fit(folder, &store).await?;
        let seen = Fuzzer { folder, url: agent.url(""), examples: 25, token: None }.run().await?;
        let missed: Vec<&str> = REACHED.into_iter().filter(|operation| !worked(&seen, operation)).collect();
        ensure!(missed.is_empty(), "never worked: {missed:?}, of {seen:#?}");
        Till { store: &store, operator: None, ids: 0 }.has_its_day().await?;
        is_sound(agent)
    });
}

#[test]
fn the_api_stands_a_fuzzer_that_is_a_paired_till() {
    on_processes("fuzz-paired", async |folder| {
        let (agent, mut store) = store(folder, "tills = \"paired\"").await?;
        let owner = agent::owner_client::OwnerClient::find(&agent.data_dir()).context("speak for the owner")?;
        for (id, role, pin) in [("li", RoleName::Cashier, "271828"), ("chen", RoleName::Manager, "314159")] {
            let (name, pin) = (id.to_owned(), Some(Pin::new(pin)?));
            let set = SetOperator { name, role, active: true, pin, till_id: None, by: None, approval_id: None };
            owner.set_operator(&id.parse()?, &set).await.context("add an operator")?;
        }
        let code = owner.make_pair_code(1).await.context("a code")?.code;
        let pair = json!({"code": code, "till_id": "T1", "name": "Counter"});
        let paired: Value = store.http.post(store.url.clone() + "/v1/pair").json(&pair).send().await?.json().await?;
        let token = paired["token"].as_str().with_context(|| format!("a token in {paired}"))?;
        let authorization = format!("Bearer {token}").parse().context("a header")?;
        let headers = [(reqwest::header::AUTHORIZATION, authorization)].into_iter().collect();
        store.http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).default_headers(headers).build()?;
        sells_by_the_book(&store).await?;

        let mut till = Till { store: &store, operator: Some("chen"), ids: 0x1000 };
        let sign_on = json!({"pin": "314159"});
        till.act("T1", "/v1/operators/sign-on", sign_on.clone()).await?;
        let seen = Fuzzer { folder, url: agent.url(""), examples: 8, token: Some(token) }.run().await?;
        let missed: Vec<&str> =
            ["POST /v1/shifts", "POST /v1/sales"].into_iter().filter(|operation| !worked(&seen, operation)).collect();
        ensure!(missed.is_empty(), "never worked: {missed:?}, of {seen:#?}");
        // Wrong PINs of the fuzzer lock an operator for a while, which the owner of the folder ends.
        let pin = Some(Pin::new("314159")?);
        let name = "Chen".to_owned();
        let set = SetOperator {
            name,
            role: RoleName::Manager,
            active: true,
            pin,
            till_id: None,
            by: None,
            approval_id: None,
        };
        owner.set_operator(&"chen".parse()?, &set).await.context("unlock")?;
        till.act("T1", "/v1/operators/sign-on", sign_on).await?;
        till.has_its_day().await?;
        is_sound(agent)
    });
}
