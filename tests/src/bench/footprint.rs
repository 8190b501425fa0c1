//! `bench footprint`: the agent's memory and start time with a million sales on disk.
//!
//! The books are filled by the agent's own code; then the real program is started on them. The start is the time from
//! spawning the process until its ready line, which it prints when a till can sell.

use std::time::{Duration, Instant};

use agent::clock::{StoreClock, SystemClock, random_epoch, random_event_id};
use agent::db::Durability;
use anyhow::Context;
use jiff::tz::TimeZone;
use protocol::latest::OpenReason;
use serde_json::json;

use super::edge::{self, Command};
use super::{Machine, Report, folder, median, peak_rss_kb, rss_kb};
use crate::process::Agent;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sales on disk.
    pub sales: u64,
    /// How often to start; the time is the median.
    pub rounds: usize,
}

/// Sales in one database transaction while the books are filled.
const SALES_PER_COMMIT: u64 = 2_000;

/// How long the agent is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(3);

/// Runs the case.
pub fn run(settings: &Settings, commands: &dyn Fn(u64) -> Command) -> anyhow::Result<Report> {
    let folder = folder()?;
    let mut agent = Agent::new(folder.path(), "[store]\ntime_zone = \"UTC\"");
    std::fs::create_dir_all(agent.data_dir()).context("make the data folder")?;
    fill(&agent, settings.sales, commands)?;
    let mut starts = Vec::new();
    let (mut rss, mut peak) = (0, 0);
    for _ in 0..settings.rounds {
        let started = Instant::now();
        agent.start()?;
        starts.push(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        std::thread::sleep(SETTLE);
        let pid = agent.pid().context("the agent runs")?;
        rss = rss.max(rss_kb(pid).unwrap_or(0));
        peak = peak.max(peak_rss_kb(pid).unwrap_or(0));
        agent.stop()?;
    }
    let bytes = std::fs::metadata(agent.database()).map_or(0, |file| file.len());
    let settings = json!({
        "sales": settings.sales, "rounds": settings.rounds, "database_mb": bytes >> 20, "rss_now_mb": rss / 1024,
        "starts_ms": starts, "machine": Machine::here(folder.path()),
    });
    let start_ms = median(starts.into_iter());
    Ok(Report { case: "footprint", settings, rss_mb: Some(peak.div_ceil(1024)), start_ms, ..Report::default() })
}

fn fill(agent: &Agent, sales: u64, commands: &dyn Fn(u64) -> Command) -> anyhow::Result<()> {
    let clock = StoreClock::new(std::sync::Arc::new(SystemClock), TimeZone::UTC);
    let mut store = edge::open(&agent.database())?;
    let now = clock.now();
    store.open_epoch(random_epoch()?, random_event_id(now.utc_ms)?, now, OpenReason::Start, "bench")?;
    let mut next = 0;
    let mut told = Instant::now();
    while next < sales {
        let end = (next + SALES_PER_COMMIT).min(sales);
        store.begin(Durability::Promise)?;
        for number in next..end {
            let (draft, digest) = commands(number);
            let now = clock.now();
            store.record_sale(draft, &digest, random_event_id(now.utc_ms)?, now)?;
        }
        store.commit()?;
        next = end;
        if told.elapsed() > Duration::from_secs(2) {
            eprintln!("filling the books: {next}/{sales} sales");
            told = Instant::now();
        }
    }
    Ok(())
}
