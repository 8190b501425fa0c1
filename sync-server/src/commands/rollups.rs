//! `rollups ...`

use std::io::Write;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use pos_model::BusinessDate;
use serde_json::json;

use super::{BOOKS_DIFFER, PROGRESS_EVERY, print};
use crate::cli::{RollupsArgs, RollupsCommand};
use crate::config::Config;
use crate::ingest::utc_ms;
use crate::ledger::{DateRange, Reader};

/// How often is looked whether the service is done.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) fn execute(config: &Config, command: &RollupsCommand) -> anyhow::Result<ExitCode> {
    let (RollupsCommand::Rebuild(args) | RollupsCommand::Check(args)) = command;
    if let (Some(from), Some(to)) = (args.from, args.to) {
        anyhow::ensure!(from <= to, "--from {from} lies behind --to {to}");
    }
    if let Some(file) = config.ledger.file() {
        anyhow::ensure!(file.exists(), "there is no ledger in {}", config.data_dir.display());
    }
    let books = config.ledger.roll_ups()?;
    match command {
        RollupsCommand::Rebuild(args) => rebuild(&*books, args),
        RollupsCommand::Check(args) => check(&*books, args),
    }
}

fn rebuild(books: &dyn Reader, args: &RollupsArgs) -> anyhow::Result<ExitCode> {
    let marked = books.mark_roll_ups(DateRange { from: args.from, to: args.to })?;
    let _ = writeln!(std::io::stderr(), "{marked} dates of stores are summed up anew");
    catch_up(books)?;
    if args.output.json {
        print(&json!({ "days": marked }).to_string())?;
    } else {
        print(&format!("summed up anew: {marked} dates of stores"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Does what there is to do, or waits until the service has done it.
pub(super) fn catch_up(books: &dyn Reader) -> anyhow::Result<()> {
    let mut worker = [0; 8];
    getrandom::fill(&mut worker).map_err(|error| anyhow::anyhow!("get random numbers from the system: {error}"))?;
    let worker = i64::from_le_bytes(worker);
    let (mut said, began_ms) = (Instant::now(), utc_ms());
    loop {
        let step = match books.roll_up(worker, utc_ms()) {
            // Another server came in between.
            Err(error) if error.is_busy() => None,
            step => Some(step.context("roll up")?),
        };
        if step.is_some_and(|step| step.days_left > 0) {
            let _ = writeln!(std::io::stderr(), "some dates stay as they are: their messages were dropped");
        }
        let state = books.roll_up_state()?;
        // What arrives meanwhile is for whoever goes on.
        let is_behind = state.oldest_ms.is_some_and(|oldest_ms| oldest_ms < began_ms);
        if step.is_some_and(|step| !step.more) && !is_behind && state.days_waiting == 0 {
            break;
        }
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            let (days, lag_s) = (state.days_waiting, state.lag_ms(utc_ms()) / 1000);
            // Progress is a courtesy.
            let _ = writeln!(std::io::stderr(), "{days} dates of stores are left; {lag_s} s behind");
        }
        if !step.is_some_and(|step| step.more) {
            sleep(LOOK_EVERY);
        }
    }
    books.leave_roll_ups(worker)?;
    Ok(())
}

fn check(books: &dyn Reader, args: &RollupsArgs) -> anyhow::Result<ExitCode> {
    let mut said = Instant::now();
    let mut each_date = |date: BusinessDate| {
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            let _ = writeln!(std::io::stderr(), "{date}");
        }
    };
    let report = books.check_roll_ups(DateRange { from: args.from, to: args.to }, &mut each_date)?;
    let is_right = report.differences_total == 0;
    if args.output.json {
        let differences: Vec<_> = report
            .differences
            .iter()
            .map(|one| json!({ "what": one.what, "held": one.held, "computed": one.computed }))
            .collect();
        print(
            &json!({
                "right": is_right, "dates": report.dates, "rows": report.rows, "days_waiting": report.days_waiting,
                "dates_without_messages": report.dates_without_messages,
                "differences_total": report.differences_total, "differences": differences,
            })
            .to_string(),
        )?;
    } else {
        for one in &report.differences {
            print(&format!("{}: the roll-ups hold {}, the facts give {}", one.what, one.held, one.computed))?;
        }
        let (dates, rows, waiting) = (report.dates, report.rows, report.days_waiting);
        let result = if is_right {
            "the roll-ups are right".to_owned()
        } else {
            format!("{} differences", report.differences_total)
        };
        print(&format!("{result}: {dates} dates, {rows} rows, {waiting} dates of stores wait to be summed up anew"))?;
    }
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::from(BOOKS_DIFFER) })
}
