//! What the commands do. Data goes to standard output, everything else to standard error.

mod parked;
mod rollups;
mod store_add;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use pos_model::{Currency, Money, Quantity, StoreId};
use pricing::Rules;
use pricing::book::Severity;
use serde_json::json;

use crate::backtest::Backtest;
use crate::broker::{self, password_file};
use crate::cli::{
    BacktestArgs, BrokerCommand, BrokerPasswordsArgs, CheckBookArgs, Cli, Command, MonthsCommand, Output, PriceArgs,
    PriceBookCommand, ReconcileArgs, Settings, StoreCommand, TotalsArgs,
};
use crate::config::{self, Config, ConfigError, Flags};
use crate::credentials::Credentials;
use crate::data_dir::{self, DataDirError};
use crate::http;
use crate::ingest::utc_ms;
use crate::ledger::{LedgerError, LedgerHome, PostgresLedger, Reader, ReconciliationFilter, TotalsFilter};
use crate::run::{self, RunError, Service};
use crate::{price_books, telemetry};

/// How often long work says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

const FAILED: u8 = 1;
/// It is that of a wrong command line, and the agent's.
const CONFIG_WRONG: u8 = 2;
const BOOKS_DIFFER: u8 = 3;
const DATA_DIR_IN_USE: u8 = 4;

/// Does what the command line says.
pub fn execute(cli: &Cli) -> ExitCode {
    match attempt(cli) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let in_use = |error: &RunError| matches!(error, RunError::DataDir(DataDirError::InUse { .. }));
    if error.is::<ConfigError>() {
        CONFIG_WRONG
    } else if error.downcast_ref::<RunError>().is_some_and(in_use) {
        DATA_DIR_IN_USE
    } else {
        FAILED
    }
}

fn complain(error: &anyhow::Error) {
    // If even this cannot be written, the exit code still says it.
    let _ = writeln!(std::io::stderr(), "error: {}", telemetry::chain(error.as_ref()));
}

fn attempt(cli: &Cli) -> anyhow::Result<ExitCode> {
    if let Command::CheckConfig(args) = &cli.command
        && args.defaults
    {
        print(config::DEFAULT.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    // These look at files only.
    match &cli.command {
        Command::Price(args) => return price(args),
        Command::PriceBook(PriceBookCommand::Check(args)) => return check_book(args),
        Command::PriceBook(PriceBookCommand::Schema) => {
            print(&price_books::schema())?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let (config, is_known) = settings(&cli.settings, &cli.flags())?;
    match &cli.command {
        Command::PriceBook(PriceBookCommand::Add(args)) => return add_book(&config, args),
        Command::PriceBook(PriceBookCommand::List(output)) => list_books(&config, *output)?,
        Command::Price(_) | Command::PriceBook(PriceBookCommand::Check(_) | PriceBookCommand::Schema) => {}
        Command::Run(args) => serve(config, args.output)?,
        Command::CheckConfig(args) if is_known || args.allow_unknown => print("the configuration is good")?,
        Command::CheckConfig(_) => {
            print(
                "something is mistyped, or is of a newer version: a server that runs leaves it out (--allow-unknown)",
            )?;
            return Ok(ExitCode::from(CONFIG_WRONG));
        }
        Command::Store(command) => store(&config, command)?,
        Command::Parked(command) => return parked::execute(&config, command),
        Command::Months(command) => months(&config, command)?,
        Command::Rollups(command) => return rollups::execute(&config, command),
        Command::Broker(BrokerCommand::Passwords(args)) => broker_passwords(&config, args)?,
        Command::Totals(args) => totals(&config, args)?,
        Command::Backtest(args) => backtest(&config, args)?,
        Command::Reconcile(args) => return reconcile(&config, args),
        Command::Verify(output) => return verify(&config, *output),
    }
    Ok(ExitCode::SUCCESS)
}

fn price(args: &PriceArgs) -> anyhow::Result<ExitCode> {
    let book = price_books::read_book(&args.book)?;
    let (basket, rules) = price_books::price_file(book, &args.basket)?;
    if args.output.json {
        print(&price_books::as_json(&basket, &rules).to_string())?;
    } else {
        print(&price_books::as_text(&basket, &rules, args.explain))?;
    }
    let forbidden = basket.problems.iter().filter(|problem| problem.forbids_sale());
    let texts: Vec<String> = forbidden.map(ToString::to_string).collect();
    if texts.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    complain(&anyhow::anyhow!("the basket cannot be sold like this: {}", texts.join("; ")));
    Ok(ExitCode::from(BOOKS_DIFFER))
}

fn check_book(args: &CheckBookArgs) -> anyhow::Result<ExitCode> {
    let book = price_books::read_book(&args.file)?;
    let findings = book.check();
    if args.output.json {
        print(&price_books::findings_as_json(&book, &findings).to_string())?;
    } else {
        for finding in &findings {
            print(&price_books::finding_as_text(finding))?;
        }
        let articles: usize = book.items.values().map(|item| item.variants.len()).sum();
        print(&format!(
            "price book {}, {articles} articles, {} promotions, hash {}",
            book.version,
            book.promotions.len(),
            book.hash()
        ))?;
    }
    let wrong = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if wrong { ExitCode::from(BOOKS_DIFFER) } else { ExitCode::SUCCESS })
}

fn add_book(config: &Config, args: &CheckBookArgs) -> anyhow::Result<ExitCode> {
    let book = price_books::read_book(&args.file)?;
    let findings = book.check();
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if !errors.is_empty() {
        for finding in errors {
            print(&price_books::finding_as_text(finding))?;
        }
        complain(&anyhow::anyhow!("price book {} must not be released, and is not added", book.version));
        return Ok(ExitCode::from(BOOKS_DIFFER));
    }
    let (hash, version) = (book.hash(), book.version.as_str());
    let new = registry(config)?.add_price_book(hash, version, &book.canonical(), utc_ms())?;
    if args.output.json {
        print(&json!({ "version": version, "hash": hash.to_string(), "new": new }).to_string())?;
    } else {
        print(&format!("price book {version} {}", if new { "added" } else { "was there already" }))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list_books(config: &Config, output: Output) -> anyhow::Result<()> {
    let rows = books(config)?.price_books()?;
    if output.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| json!({ "version": row.version, "hash": row.hash.to_string(), "added_at_ms": row.added_at_ms }))
            .collect();
        return print(&json!({ "price_books": rows }).to_string());
    }
    let now_ms = utc_ms();
    let mut table = Table::new(["VERSION", "ADDED", "HASH"]);
    for row in rows {
        table.row([row.version, ago(now_ms - row.added_at_ms), row.hash.to_string()]);
    }
    table.print()
}

/// The configuration, and whether all that was said names a setting.
fn settings(settings: &Settings, flags: &Flags) -> anyhow::Result<(Config, bool)> {
    let file = match &settings.config {
        None => None,
        Some(path) => {
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            Some((path.as_path(), text))
        }
    };
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    let env = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
    let layered = config::layer(file, &env, flags)?;
    for warning in &layered.warnings {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    let is_known = layered.warnings.is_empty();
    Ok((Config::check(layered)?, is_known))
}

fn serve(config: Config, output: Output) -> anyhow::Result<()> {
    run::start_log(&config.log.filter, config.log.json).map_err(anyhow::Error::msg)?;
    let web = if config.http.tls.is_some() { "https" } else { "http" };
    let listener = if config.mqtt.tls.is_some() { "mqtts" } else { "mqtt" };
    let by_broker = config.broker.url.as_ref().map(ToString::to_string);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(async {
        let service = Service::start(config).await?;
        let addresses = service.addresses();
        let (http, mqtt) = (addresses.http, addresses.mqtt);
        if output.json {
            print(&json!({ "http": http, "mqtt": mqtt, "broker": by_broker }).to_string())?;
        } else {
            let ways = mqtt.map(|mqtt| format!("stores on {listener}://{mqtt}"));
            let ways = ways.into_iter().chain(by_broker.map(|url| format!("stores by the broker {url}")));
            let ways: Vec<_> = ways.collect();
            print(&format!("ready: console and API on {web}://{http}/, {}", ways.join(", ")))?;
        }
        // Without signals the process is stopped by force, which loses nothing either.
        let stop = async {
            if run::stop_signal().await.is_err() {
                std::future::pending().await
            }
        };
        service.run(stop).await.map_err(anyhow::Error::from)
    })
}

/// The registry of a ledger that may not be there yet.
fn registry(config: &Config) -> anyhow::Result<Box<dyn Reader + Send>> {
    if let Some(file) = config.ledger.file() {
        if !file.exists() {
            data_dir::make(&config.data_dir)?;
            drop(config.ledger.open()?);
        }
        return Ok(config.ledger.registry()?);
    }
    match config.ledger.registry() {
        Err(LedgerError::NoLedger) => {
            drop(config.ledger.open()?);
            Ok(config.ledger.registry()?)
        }
        registry => Ok(registry?),
    }
}

fn books(config: &Config) -> anyhow::Result<Box<dyn Reader + Send>> {
    if let Some(file) = config.ledger.file() {
        anyhow::ensure!(file.exists(), "there is no ledger in {}", config.data_dir.display());
    }
    Ok(config.ledger.reader()?)
}

/// A mistyped id is an error, and not a store that sold nothing.
fn known_store(books: &dyn Reader, store: Option<&StoreId>) -> anyhow::Result<()> {
    let Some(store) = store else { return Ok(()) };
    anyhow::ensure!(books.store(store)?.is_some(), "there is no store {store}");
    Ok(())
}

fn broker_passwords(config: &Config, args: &BrokerPasswordsArgs) -> anyhow::Result<()> {
    let credentials = Credentials::default();
    credentials.refresh(&*registry(config)?)?;
    let (stores, server) = (credentials.passwords(), broker::Credentials::of(&config.broker)?);
    if args.plain {
        for (store, password) in &stores {
            print(&format!("{store}:{password}"))?;
        }
        return Ok(());
    }
    let text = password_file::text(&stores, server.as_ref())?;
    match &args.out {
        None => print(text.trim_end()),
        Some(file) => {
            let changed = password_file::write(file, &text)?;
            let what = if changed { "written" } else { "unchanged" };
            let _ = writeln!(std::io::stderr(), "{}: {what}, {} stores", file.display(), stores.len());
            Ok(())
        }
    }
}

fn store(config: &Config, command: &StoreCommand) -> anyhow::Result<()> {
    match command {
        StoreCommand::Add(args) => store_add::run(config, args),
        StoreCommand::List(output) => {
            let (rows, now_ms) = (books(config)?.stores()?, utc_ms());
            // Who is connected only the running service knows: a store that was heard lately counts here.
            let stores = rows.iter().map(|row| http::store_to_wire(row, false, now_ms, config.parking));
            if output.json {
                let stores: Vec<_> = stores
                    .filter_map(|store| {
                        let mut store = serde_json::to_value(store).ok()?;
                        store.as_object_mut()?.remove("connected");
                        Some(store)
                    })
                    .collect();
                return print(&json!({ "stores": stores }).to_string());
            }
            let mut table = Table::new(["STORE", "STATUS", "SALES", "LAST CONTACT", "LAST BACKLOG", "ALERTS", "NAME"]);
            for store in stores {
                let status = if store.enrolled || store.status != "active" { store.status } else { "not enrolled" };
                let contact = store.last_contact_ms.map_or("never".to_owned(), |at| ago(now_ms - at));
                let numbers = [store.applied_sales.to_string(), store.backlog.to_string()];
                let [sales, backlog] = numbers;
                let kinds: Vec<&str> = store.alerts.iter().map(|alert| alert.kind).collect();
                let alerts = if kinds.is_empty() { "-".to_owned() } else { kinds.join(",") };
                table.row([store.store_id, status.to_owned(), sales, contact, backlog, alerts, store.name]);
            }
            table.print()
        }
        StoreCommand::Revoke(args) => {
            let known = registry(config)?.revoke_store(&args.store_id)?;
            anyhow::ensure!(known, "there is no store {}", args.store_id);
            if args.output.json {
                return print(&json!({ "store_id": args.store_id.as_str(), "status": "revoked" }).to_string());
            }
            print(&format!("store {} may not come in any more; what it sold stays", args.store_id))
        }
    }
}

fn months(config: &Config, command: &MonthsCommand) -> anyhow::Result<()> {
    let LedgerHome::Postgres(settings) = &config.ledger else {
        anyhow::bail!("{} is a file, which is not kept by months", config.ledger);
    };
    let ledger = PostgresLedger::open(settings)?;
    match command {
        MonthsCommand::List(output) => {
            let months = ledger.months()?;
            if output.json {
                let months: Vec<_> =
                    months.iter().map(|one| json!({ "month": one.month, "bytes": one.bytes })).collect();
                return print(&json!({ "months": months }).to_string());
            }
            let mut table = Table::new(["MONTH", "BYTES"]);
            months.into_iter().for_each(|one| table.row([one.month, one.bytes.to_string()]));
            table.print()
        }
        MonthsCommand::Drop(args) => {
            // The roll-ups stay, so what is dropped has to be in them.
            rollups::catch_up(&*config.ledger.roll_ups()?)?;
            let dropped = ledger.drop_months_before(&args.before, utc_ms())?;
            if args.output.json {
                let tables: Vec<_> = dropped.iter().map(|one| &one.table).collect();
                return print(&json!({ "dropped": tables }).to_string());
            }
            dropped.iter().try_for_each(|one| print(&one.table))
        }
    }
}

/// How often the outcome of a comparison is looked for.
const LOOK_FOR_OUTCOME: Duration = Duration::from_millis(200);

/// Differences of one date that are looked at, the newest first.
const RECONCILIATIONS_MAX: u32 = 20;

fn reconcile(config: &Config, args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    let books = registry(config)?;
    if let Some(first) = books.roll_up_state()?.facts_from.filter(|first| args.date < *first) {
        anyhow::bail!("sales of dates before {first} are not kept, so there is nothing to compare with");
    }
    let filter = ReconciliationFilter {
        store: Some(args.store.clone()),
        business_date: Some(args.date),
        limit: RECONCILIATIONS_MAX,
        ..ReconciliationFilter::default()
    };
    // By number and not by time: the service may have another clock.
    let was_repaired: BTreeSet<i64> = books
        .reconciliations(&filter)?
        .iter()
        .filter(|row| row.repaired_at_ms.is_some())
        .map(|row| row.reconciliation_no)
        .collect();
    anyhow::ensure!(books.wish(&args.store, args.date, utc_ms())?, "there is no store {}", args.store);
    let key = (args.store.clone(), args.date);
    let until = Instant::now() + Duration::from_secs(args.wait);
    let mut is_done = false;
    while !is_done && Instant::now() < until {
        std::thread::sleep(LOOK_FOR_OUTCOME);
        is_done = !books.wishes()?.contains(&key);
    }
    let found = books.reconciliations(&filter)?;
    let mut repaired = found.iter().filter(|row| row.repaired_at_ms.is_some());
    let repaired = repaired.next().filter(|row| !was_repaired.contains(&row.reconciliation_no));
    let lasting = found.iter().find(|row| row.repaired_at_ms.is_none());
    let (store, date) = (args.store.as_str(), args.date.to_string());
    if args.output.json {
        let outcome = lasting.or(repaired).map(|row| row.outcome.as_str());
        let said = json!({
            "store_id": store, "date": date, "compared": is_done, "differs": lasting.is_some(), "outcome": outcome,
            "restored_events": repaired.map_or(0, |row| row.restored_events),
            "received_events": repaired.map_or(0, |row| row.received_events),
        });
        print(&said.to_string())?;
    } else if !is_done {
        print(&format!("{store} on {date} will be compared when the store is connected"))?;
    } else if let Some(row) = lasting {
        print(&format!("{store} on {date} differs ({}): {}", row.outcome, row.what))?;
    } else if let Some(row) = repaired {
        let (what, restored, received) = (&row.what, row.restored_events, row.received_events);
        print(&format!(
            "{store} on {date} differed and was put right: {what} ({restored} events restored, {received} received again)"
        ))?;
    } else {
        print(&format!("{store} on {date} is in the ledger as the store holds it"))?;
    }
    let is_well = lasting.is_none() && (is_done || args.wait == 0);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(BOOKS_DIFFER) })
}

fn totals(config: &Config, args: &TotalsArgs) -> anyhow::Result<()> {
    let filter = TotalsFilter { store: args.store.clone(), from: args.from, to: args.to, rows_max: None };
    if let (Some(from), Some(to)) = (args.from, args.to) {
        anyhow::ensure!(from <= to, "--from {from} lies behind --to {to}");
    }
    let books = books(config)?;
    known_store(&*books, args.store.as_ref())?;
    let days = books.totals(&filter)?;
    if args.output.json {
        return print(&serde_json::to_string(&http::totals_to_wire(&filter, days)).context("write JSON")?);
    }
    let mut table = Table::new([
        "STORE", "DATE", "SALES", "LINES", "UNITS", "GROSS", "TAX", "NET", "REFUNDS", "REFUNDED", "TURNOVER",
        "CURRENCY",
    ]);
    for day in days {
        let amount = |minor: i64| match day.currency.parse::<Currency>() {
            Ok(currency) => Money::from_minor(minor).display(currency).to_string(),
            Err(_) => minor.to_string(),
        };
        let (gross, tax, net) = (amount(day.gross_minor), amount(day.tax_minor), amount(day.net_minor));
        let (refunded, turnover) = (day.refund_gross_minor, day.gross_minor.saturating_sub(day.refund_gross_minor));
        let (refunded, turnover) = (amount(refunded), amount(turnover));
        let units = Quantity::from_micro(day.quantity_micro).to_string();
        let (sales, lines, refunds) = (day.sales.to_string(), day.lines.to_string(), day.refunds.to_string());
        let date = day.business_date.to_string();
        table.row([day.store, date, sales, lines, units, gross, tax, net, refunds, refunded, turnover, day.currency]);
    }
    table.print()
}

fn backtest(config: &Config, args: &BacktestArgs) -> anyhow::Result<()> {
    let rules = |path: &Path| anyhow::Ok(Rules::new(price_books::read_book(path)?));
    let (new, against) = (rules(&args.book)?, args.against.as_deref().map(rules).transpose()?);
    if let Some(against) = &against {
        let currencies = (new.book().currency, against.book().currency);
        anyhow::ensure!(currencies.0 == currencies.1, "the books are in {} and {}", currencies.0, currencies.1);
    }
    let mut backtest = Backtest::new(new, against);
    let TotalsArgs { store, from, to, output } = &args.sales;
    if let (Some(from), Some(to)) = (from, to) {
        anyhow::ensure!(from <= to, "--from {from} lies behind --to {to}");
    }
    let books = books(config)?;
    known_store(&*books, store.as_ref())?;
    let filter = TotalsFilter { store: store.clone(), from: *from, to: *to, rows_max: None };
    let mut said = Instant::now();
    books.each_sale(&filter, &mut |store, sale| {
        backtest.add(store, sale);
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            // Progress is a courtesy.
            let _ = writeln!(std::io::stderr(), "{} sales", backtest.seen());
        }
    })?;
    if output.json { print(&backtest.to_json().to_string()) } else { print(&backtest.to_text()) }
}

fn verify(config: &Config, output: Output) -> anyhow::Result<ExitCode> {
    let report = books(config)?.verify()?;
    let balance = report.differences_total == 0;
    if output.json {
        let differences: Vec<_> = report
            .differences
            .iter()
            .map(|one| json!({ "what": one.what, "held": one.held, "computed": one.computed }))
            .collect();
        print(
            &json!({
                "balance": balance, "events": report.events, "sales": report.sales, "compared": report.counters,
                "differences_total": report.differences_total, "differences": differences,
            })
            .to_string(),
        )?;
    } else {
        for one in &report.differences {
            print(&format!("{}: the ledger says {}, adding up again gives {}", one.what, one.held, one.computed))?;
        }
        let (events, sales, compared) = (report.events, report.sales, report.counters);
        let result =
            if balance { "the books balance".to_owned() } else { format!("{} differences", report.differences_total) };
        print(&format!("{result}: {events} events, {sales} sales, {compared} comparisons"))?;
    }
    Ok(if balance { ExitCode::SUCCESS } else { ExitCode::from(BOOKS_DIFFER) })
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Whoever read has seen enough, as in `... | head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

fn ago(ms: i64) -> String {
    match ms / 1000 {
        ..120 => format!("{} s ago", (ms / 1000).max(0)),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// A table for people: columns as wide as what stands in them.
struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    fn new(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    fn print(&self) -> anyhow::Result<()> {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            print(cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}
