//! A store's whole day at two tills, from opening to the Z report: baskets held and recalled, voids, refunds, what is sold
//! out, a printer that goes away, no way to the centre from eleven to three, and a power cut at twenty past one. At the end
//! drawer, stock, numbers and ledger have to agree.
//!
//! The hours are places in the script: the test does not wait for a clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use agent::price_book;
use anyhow::{Context, ensure};
use pos_model::{Currency, Quantity};
use pricing::book::PriceBook;
use protocol::latest::local_api::QuantityJson;
use protocol::latest::stock_api::StockItem;
use serde_json::{Value, json};
use sync_core::Random;
use tests::process::{Agent, program};
use tests::proxy::{Mode, Proxy};
use tests::workload::tea_book_path;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::site::{PATIENCE, STORE_CONFIG, Site, StoreApi, get, on_processes, said, seed, until};

const SALES: u64 = 600;
const TILLS: [&str; 2] = ["T1", "T2"];

/// What is delivered before the first sale, of each item in base units.
const DELIVERED: i64 = 1_000_000;

/// The items that the drinks of the book are made of and that are delivered.
const ITEMS: [&str; 6] = ["milk", "black-tea", "ice", "cup-large", "cup-medium", "straw"];

/// After how many answers the power goes, in the cuts one after the other.
const CUT_AFTER: [usize; 3] = [0, 1, 4];

/// Items and quantities in millionths.
type Used = BTreeMap<String, i64>;

/// What the test itself knows of a till.
#[derive(Default)]
struct Till {
    shift_id: String,
    /// What should be in the drawer.
    cash_minor: i64,
    sold_minor: i64,
    refunded_minor: i64,
    sales: u64,
    refunds: u64,
}

struct Day<'a> {
    store: &'a StoreApi,
    random: Random,
    ids: u64,
    tills: BTreeMap<&'static str, Till>,
    /// Sales that something may come back of: the id, the units of the first line, and what the sale has used.
    sold: Vec<(String, u64, Used)>,
    /// What all sales have used, and what came back into stock.
    used: Used,
    restocked: Used,
    skus: Vec<String>,
}

impl Day<'_> {
    fn id(&mut self) -> String {
        self.ids += 1;
        format!("01990000-0000-7000-8000-{:012x}", self.ids)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let url = format!("{}{path}", self.store.url);
        let answer = self.store.http.post(&url).json(body).send().await.with_context(|| format!("post {url}"))?;
        let status = answer.status().as_u16();
        let body = answer.json().await.with_context(|| format!("read the answer of {url}"))?;
        Ok((status, body))
    }

    async fn act(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (status, answer) = self.post(path, body).await?;
        ensure!(status == 200, "{path} answered {status}: {answer}, asked {body}");
        Ok(answer)
    }

    async fn open(&mut self) -> anyhow::Result<()> {
        for (till, float) in TILLS.into_iter().zip([20_000, 15_000]) {
            let shift_id = self.id();
            let open = json!({"command_id": self.id(), "till_id": till, "shift_id": shift_id, "float_minor": float});
            self.act("/v1/shifts", &open).await?;
            self.tills.insert(till, Till { shift_id, cash_minor: float, ..Till::default() });
        }
        let items = ITEMS.map(|item| json!({"item_id": item, "quantity": DELIVERED}));
        let delivery = json!({"command_id": self.id(), "till_id": "T1", "movement_id": self.id(), "kind": "received",
            "reference": "note 17", "items": items});
        self.act("/v1/stock/movements", &delivery).await.map(drop)
    }

    /// A customer orders, and pays in cash or by card. Every tenth basket is held and recalled on the other till; of some a
    /// line is sent and voided.
    async fn serve(&mut self, number: u64) -> anyhow::Result<()> {
        let at = usize::try_from(number % 2)?;
        let (first, other) = (TILLS[at], TILLS[1 - at]);
        let sku = self.sku();
        let quantity = 1 + self.random.below(3);
        let lines = json!([{"sku": sku, "quantity": quantity}]);
        let sale_id = self.id();
        let takes_away = number.is_multiple_of(3);
        let (till, mut sale, used) = if number.is_multiple_of(5) {
            let (basket_id, line_id) = (self.id(), self.id());
            let path = format!("/v1/baskets/{basket_id}/changes");
            let add = json!({"change": "add_line", "line_id": line_id, "sku": sku, "quantity": quantity});
            let mut changes = vec![add, json!({"change": "set_takeaway", "takeaway": takes_away})];
            if number.is_multiple_of(25) {
                let (wrong, wrong_sku) = (self.id(), self.sku());
                changes.insert(1, json!({"change": "add_line", "line_id": wrong, "sku": wrong_sku}));
                changes.push(json!({"change": "send"}));
                changes.push(json!({"change": "void_line", "line_id": wrong, "reason": "wrong_drink"}));
            }
            let open = json!({"command_id": self.id(), "till_id": first, "basket_id": basket_id, "changes": changes});
            self.act("/v1/baskets", &open).await?;
            let mut till = first;
            if number.is_multiple_of(10) {
                let hold = json!({"command_id": self.id(), "till_id": first, "changes": [{"change": "hold"}]});
                self.act(&path, &hold).await?;
                let recall = json!({"command_id": self.id(), "till_id": other, "changes": [{"change": "recall"}]});
                self.act(&path, &recall).await?;
                till = other;
            }
            let priced: Value = get(&self.store.http, &format!("{}/v1/baskets/{basket_id}", self.store.url)).await?;
            let shown = priced["quote"]["gross_minor"].as_i64().with_context(|| format!("no price in {priced}"))?;
            let revision = &priced["basket"]["revision"];
            (
                till,
                json!({"sale_id": sale_id, "till_id": till, "basket_id": basket_id, "basket_revision": revision,
                "expected_total_minor": shown}),
                used_by(&priced["quote"])?,
            )
        } else {
            let order = json!({"lines": lines, "takeaway": takes_away});
            let price = self.act("/v1/price", &json!({"order": order})).await?;
            let shown = price["gross_minor"].as_i64().with_context(|| format!("no price in {price}"))?;
            let sale = json!({"sale_id": sale_id, "till_id": first, "order": order, "expected_total_minor": shown});
            (first, sale, used_by(&price)?)
        };
        let shown = sale["expected_total_minor"].as_i64().context("a total")?;
        let in_cash = !number.is_multiple_of(4);
        sale["tenders"] = if in_cash {
            json!([{"kind": "cash", "amount_minor": shown / 1000 * 1000 + 1000}])
        } else {
            json!([{"kind": "card", "amount_minor": shown}])
        };
        let receipt = self.act("/v1/sales", &sale).await?;
        // A till that did not hear the answer asks again.
        if number.is_multiple_of(7) {
            ensure!(self.act("/v1/sales", &sale).await? == receipt, "the same sale again is the same");
        }
        let view: Value = get(&self.store.http, &format!("{}/v1/sales/{sale_id}", self.store.url)).await?;
        let rounding = view["cash_rounding_minor"].as_i64().unwrap_or_default();
        let till = self.tills.get_mut(till).context("the till")?;
        till.sales += 1;
        till.sold_minor += shown;
        till.cash_minor += if in_cash { shown + rounding } else { 0 };
        add(&mut self.used, &used);
        self.sold.push((sale_id, quantity, used));
        Ok(())
    }

    fn sku(&mut self) -> String {
        let place = self.random.below(u64::try_from(self.skus.len()).unwrap_or(1));
        self.skus[usize::try_from(place).unwrap_or(0)].clone()
    }

    /// Something comes back: a unit, or a whole sale that was a mistake.
    async fn give_back(&mut self, number: u64) -> anyhow::Result<()> {
        let place = usize::try_from(self.random.below(u64::try_from(self.sold.len())?))?;
        let (sale_id, left, used) = self.sold.swap_remove(place);
        if left == 1 {
            add(&mut self.restocked, &used);
        }
        let till = TILLS[usize::try_from(number % 2)?];
        let refund = json!({"refund_id": self.id(), "till_id": till, "sale_id": sale_id, "reason": "wrong_drink",
            "lines": [{"line": 0, "count": 1, "goods": if left > 1 { "wasted" } else { "restocked" }}]});
        let given = self.act("/v1/refunds", &refund).await?;
        ensure!(self.act("/v1/refunds", &refund).await? == given, "the same refund again is the same");
        let tenders = given["tenders"].as_array().context("tenders")?;
        let cash: i64 = tenders
            .iter()
            .filter(|tender| tender["kind"] == "cash")
            .filter_map(|tender| tender["amount_minor"].as_i64())
            .sum();
        let till = self.tills.get_mut(till).context("the till")?;
        till.refunds += 1;
        till.refunded_minor += given["total_minor"].as_i64().context("a total")?;
        till.cash_minor -= cash;
        Ok(())
    }

    /// The power goes while both tills wait for the answers to their sales. Afterwards they ask again: each sale is made once,
    /// whether it was answered, made without an answer, or never heard of.
    async fn lose_power(&mut self, agent: &mut Agent, answers: usize) -> anyhow::Result<()> {
        let mut sales = Vec::new();
        for till in TILLS.into_iter().cycle().take(6) {
            let order = json!({"lines": [{"sku": self.sku(), "quantity": 1}]});
            let price = self.act("/v1/price", &json!({"order": order})).await?;
            let shown = price["gross_minor"].as_i64().with_context(|| format!("no price in {price}"))?;
            let sale = json!({"sale_id": self.id(), "till_id": till, "order": order, "expected_total_minor": shown,
                "tenders": [{"kind": "card", "amount_minor": shown}]});
            sales.push((till, sale, shown, used_by(&price)?));
        }
        let mut asked = JoinSet::new();
        for (_, sale, ..) in &sales {
            let request = self.store.http.post(format!("{}/v1/sales", self.store.url)).json(sale);
            asked.spawn(async move { request.send().await?.json::<Value>().await });
        }
        let mut receipts = Vec::new();
        while receipts.len() < answers {
            let answer = asked.join_next().await.context("a sale that waits")??;
            receipts.push(answer.context("an answer before the power goes")?);
        }
        agent.kill();
        while let Some(answer) = asked.join_next().await {
            // What was under way has its answer, or none.
            receipts.extend(answer?.ok());
        }
        agent.start()?;
        for (till, sale, shown, used) in sales {
            let receipt = self.act("/v1/sales", &sale).await?;
            let heard = receipts.iter().find(|heard| heard["sale_id"] == sale["sale_id"]);
            ensure!(heard.is_none_or(|heard| *heard == receipt), "{heard:?} was answered, and then {receipt}");
            ensure!(self.act("/v1/sales", &sale).await? == receipt, "the same sale again is the same");
            let till = self.tills.get_mut(till).context("the till")?;
            till.sales += 1;
            till.sold_minor += shown;
            add(&mut self.used, &used);
        }
        Ok(())
    }

    /// What is on hand, by what was delivered, used and restocked as this test has added it up.
    async fn check_stock(&self, ledger: &Path) -> anyhow::Result<()> {
        let connection = rusqlite::Connection::open(ledger).context("open the ledger")?;
        let at_centre =
            |sql: &str, item: &str| -> anyhow::Result<i64> { Ok(connection.query_row(sql, [item], |row| row.get(0))?) };
        for item in ITEMS {
            let micro = |sums: &Used| sums.get(item).copied().unwrap_or_default();
            let (used, restocked) = (micro(&self.used), micro(&self.restocked));
            ensure!(used > 0, "nothing of {item} was used");
            let added = DELIVERED * Quantity::MICRO_PER_UNIT + restocked;
            let view: StockItem = get(&self.store.http, &format!("{}/v1/stock/items/{item}", self.store.url)).await?;
            ensure!(view.on_hand.parse()?.micro() == added - used, "{view:?}: {added} added, {used} used");
            let of_store = "WHERE store_id = 'HARBOUR' AND item_id = ?1";
            let found = at_centre(&format!("SELECT coalesce(sum(used_micro), 0) FROM v_stock_used {of_store}"), item)?;
            ensure!(found == used, "the centre knows of {found} of {item} used, the test of {used}");
            let found =
                at_centre(&format!("SELECT coalesce(sum(added_micro), 0) FROM v_stock_added {of_store}"), item)?;
            ensure!(found == added, "the centre knows of {found} of {item} added, the test of {added}");
        }
        Ok(())
    }

    /// Something is sold out: no till sells it, until it is there again.
    async fn sell_out(&mut self) -> anyhow::Result<()> {
        let sku = self.skus[0].clone();
        let set = |command_id: String, state: &str| json!({"command_id": command_id, "till_id": "T1", "what": "sku", "code": sku, "state": state});
        let out = set(self.id(), "sold_out");
        self.act("/v1/sold-out", &out).await?;
        let sale = json!({"sale_id": self.id(), "till_id": "T2", "order": {"lines": [{"sku": sku}]},
            "tenders": [{"kind": "cash", "amount_minor": 100_000}]});
        let (status, answer) = self.post("/v1/sales", &sale).await?;
        ensure!(status == 422, "what is sold out is sold: {status} {answer}");
        let back = set(self.id(), "on_sale");
        self.act("/v1/sold-out", &back).await.map(drop)
    }

    async fn move_cash(&mut self, kind: &str, amount: i64) -> anyhow::Result<()> {
        let (command_id, shift_id) = (self.id(), self.tills["T1"].shift_id.clone());
        let body = json!({"command_id": command_id, "till_id": "T1", "kind": kind, "amount_minor": amount, "reason": "change"});
        self.act(&format!("/v1/shifts/{shift_id}/cash"), &body).await?;
        let sign = if kind == "paid_in" { 1 } else { -1 };
        self.tills.get_mut("T1").context("the till")?.cash_minor += sign * amount;
        Ok(())
    }

    /// Counts and closes; the reports have to say what the test knows.
    async fn close(&mut self) -> anyhow::Result<Vec<Value>> {
        let mut reports = Vec::new();
        for name in TILLS {
            let (command_id, till) = (self.id(), &self.tills[name]);
            let close = json!({"command_id": command_id, "till_id": name, "counted_minor": till.cash_minor});
            let closed = self.act(&format!("/v1/shifts/{}/close", till.shift_id), &close).await?;
            let report = &closed["report"];
            let what = format!("{name}: {report}");
            ensure!(
                report["drawer"]["expected_minor"] == json!(till.cash_minor),
                "the drawer of {what}, known {}",
                till.cash_minor
            );
            ensure!(report["drawer"]["difference_minor"] == 0, "{what}");
            ensure!(report["sales"]["count"] == json!(till.sales), "the sales of {what}");
            ensure!(report["sales"]["gross_minor"] == json!(till.sold_minor), "what was sold, of {what}");
            ensure!(report["refunds"]["count"] == json!(till.refunds), "the refunds of {what}");
            ensure!(report["refunds"]["gross_minor"] == json!(till.refunded_minor), "what went back, of {what}");
            ensure!(report["receipt_no_first"] == 1, "the first number of {what}");
            ensure!(report["receipt_no_last"] == json!(till.sales + till.refunds), "the last number of {what}");
            reports.push(report.clone());
        }
        Ok(reports)
    }
}

/// What an order takes from stock, as its price says.
fn used_by(quote: &Value) -> anyhow::Result<Used> {
    let mut used = Used::new();
    for line in quote["lines"].as_array().with_context(|| format!("no lines in {quote}"))? {
        for item in line["consumption"].as_array().into_iter().flatten() {
            let quantity: QuantityJson = serde_json::from_value(item["quantity"].clone())?;
            let item_id = item["item_id"].as_str().context("an item")?;
            *used.entry(item_id.to_owned()).or_default() += quantity.parse()?.micro();
        }
    }
    Ok(used)
}

fn add(sums: &mut Used, used: &Used) {
    for (item, micro) in used {
        *sums.entry(item.clone()).or_default() += micro;
    }
}

/// A printer that swallows everything, until it is told to go away.
pub(super) async fn printer() -> anyhow::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the printer")?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    Ok((address, task))
}

/// Runs a command of the program on the agent's folder, which must succeed.
pub(super) fn check(agent: &Agent, arguments: &[&str]) -> anyhow::Result<()> {
    let output = agent.command(arguments[0])?.args(&arguments[1..]).output().context("run the agent")?;
    ensure!(output.status.success(), "breakwater-agent {arguments:?}: {}", said(&output));
    Ok(())
}

#[test]
fn t19_a_whole_day_of_two_tills() {
    on_processes("day", async |folder: &Path| {
        let seed = seed();
        let book: PriceBook = price_book::read(&tea_book_path(), Currency::CNY)?;
        let mut site = Site::start(folder)?;
        let proxy = Proxy::start(site.server.addresses().mqtt).await?;
        let (printer_address, printing) = printer().await?;
        let config = format!(
            "{STORE_CONFIG}\n[[printer]]\nname = \"counter\"\naddress = \"tcp://{printer_address}\"\n\
             roles = [\"receipt\", \"label\", \"report\"]\n"
        );
        let mut agent = Agent::new(&folder.join("HARBOUR"), &config);
        agent.enroll(&site.server, "HARBOUR", proxy.address())?;
        agent.start()?;
        agent.load_price_book(&tea_book_path())?;
        let store = site.at(&agent);
        until("the store has its price book", PATIENCE, async || {
            store.sync().await?.price_book.map(drop).context("it has none")
        })
        .await?;

        let skus = book.items.values().flat_map(|item| &item.variants).map(|variant| variant.sku.to_string()).collect();
        let tills = BTreeMap::new();
        let (used, restocked, sold) = (Used::new(), Used::new(), Vec::new());
        let mut day = Day { store: &store, random: Random::new(seed), ids: 0, tills, sold, used, restocked, skus };
        day.open().await?;
        for number in 1..=SALES {
            match number {
                150 => proxy.set_mode(Mode::Cut),
                200 => printing.abort(),
                320 => {
                    for answers in CUT_AFTER {
                        day.lose_power(&mut agent, answers).await.context("a power cut")?;
                    }
                }
                450 => proxy.set_mode(Mode::Pass),
                _ => {}
            }
            day.serve(number).await.with_context(|| format!("sale {number}"))?;
            if number.is_multiple_of(30) {
                day.give_back(number).await.with_context(|| format!("a refund behind sale {number}"))?;
            }
            if number.is_multiple_of(120) {
                day.sell_out().await.with_context(|| format!("sold out behind sale {number}"))?;
                day.move_cash("paid_in", 5_000).await?;
                day.move_cash("drop", 20_000).await?;
            }
        }
        let reports = day.close().await?;
        let date = reports[0]["business_date"].as_str().context("a date")?.to_owned();
        let close = json!({"command_id": day.id(), "till_id": "T1", "business_date": date});
        let closed = day.act("/v1/days/close", &close).await?;
        let sum = |part: fn(&Till) -> i64| day.tills.values().map(part).sum::<i64>();
        ensure!(closed["sales"]["gross_minor"] == json!(sum(|till| till.sold_minor)), "{closed}");
        ensure!(closed["refunds"]["gross_minor"] == json!(sum(|till| till.refunded_minor)), "{closed}");

        // Printing went away in the middle, and nobody was kept waiting: what could not be printed is in the queue.
        let waiting: Vec<Value> = get(&store.http, &format!("{}/v1/print-jobs?state=queued", store.url)).await?;
        ensure!(!waiting.is_empty(), "the printer has been away");

        store.is_drained().await?;
        let centre = site.centre();
        let in_the_dark = 6 * u64::try_from(CUT_AFTER.len())?;
        centre.has_applied("HARBOUR", SALES + in_the_dark).await?;
        day.check_stock(&site.server.data_dir().join("ledger.db")).await?;
        let detail = centre.get("/api/v1/stores/HARBOUR").await?;
        ensure!(detail["parked"] == 0, "{detail}");
        let missing = centre.get("/api/v1/stores/HARBOUR/receipts/missing").await?;
        ensure!(missing["missing"].as_array().is_some_and(Vec::is_empty), "{missing}");
        let totals = centre.get(&format!("/api/v1/totals?store=HARBOUR&from={date}&to={date}")).await?;
        ensure!(totals["rows"][0]["gross_minor"] == json!(sum(|till| till.sold_minor)), "{totals}");
        ensure!(totals["rows"][0]["refund_gross_minor"] == json!(sum(|till| till.refunded_minor)), "{totals}");
        ensure!(centre.alerts("HARBOUR").await?.is_empty(), "{:?}", centre.alerts("HARBOUR").await?);

        agent.stop()?;
        check(&agent, &["verify"])?;
        check(&agent, &["stock", "check"])?;
        site.server.stop()?;
        let mut verify = std::process::Command::new(program("breakwater-server")?);
        let output = verify.args(["verify", "--data-dir"]).arg(site.server.data_dir()).output()?;
        ensure!(output.status.success(), "breakwater-server verify: {}", said(&output));
        Ok(())
    });
}
