//! Roll-ups over both homes: see [`crate::ledger::RollUps`].

mod check;
mod facts;
mod query;
mod sums;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use pos_model::BusinessDate;
use protocol::latest::EventBody;

use self::sums::{Day, Sums};
use self::write::State;
use crate::ledger::LedgerError;
use crate::ledger::database::{Cell, Database, Row, cells};
use crate::ledger::rollups::{
    DateRange, HourRow, ItemRow, MARKS_COUNTED_MAX, PromotionRow, RollUpFilter, RollUpReport, RollUpState, RollUpStep,
    RollUps,
};

pub(in crate::ledger) use self::write::mark;

const DOING: &str = "roll up";

/// For how long a worker that says nothing keeps the others from the work, in milliseconds.
const LEASE_MS: i64 = 15_000;

/// A lease that ends later than this was given by a clock that is wrong.
const LEASE_MS_MAX: i64 = 60_000;

/// Dates of stores that are summed up anew in one step: some ten thousand rows, and one walk over the sales.
const STEP_DAYS: i64 = 200;

/// How far apart the dates of one step may lie, in days: a walk goes over all between them.
const STEP_DATES: i32 = 31;

/// The first date that PostgreSQL has, about, in days from 1970-01-01.
const DATE_MIN: i32 = -2_440_000;

impl<D: Database> RollUps for D {
    fn roll_up(&self, worker: i64, now_ms: i64) -> Result<RollUpStep, LedgerError> {
        let mut step = RollUpStep::default();
        if !take_lease(self, worker, now_ms)? {
            step.is_elsewhere = true;
            return Ok(step);
        }
        add_behind(self, &mut step)?;
        sum_up_anew(self, &mut step)?;
        Ok(step)
    }

    fn leave_roll_ups(&self, worker: i64) -> Result<(), LedgerError> {
        let update = "UPDATE rollup_state SET until_ms = 0 WHERE id = 1 AND worker = ?1";
        self.execute(DOING, update, cells![worker]).map(drop)
    }

    fn mark_roll_ups(&self, range: DateRange) -> Result<u64, LedgerError> {
        let (from, to) = days_of(range);
        self.write(DOING, |database| {
            // What stands in the roll-ups and nowhere else is looked at as well.
            let insert = "INSERT INTO rollup_marks (store_no, business_date, event_no)
                SELECT store_no, business_date, 0 FROM (
                    SELECT store_no, business_date FROM day_totals WHERE business_date BETWEEN ?1 AND ?2
                    UNION SELECT store_no, business_date FROM rollup_hours WHERE business_date BETWEEN ?1 AND ?2
                    UNION SELECT store_no, business_date FROM rollup_items WHERE business_date BETWEEN ?1 AND ?2
                    UNION SELECT store_no, business_date FROM rollup_promotions WHERE business_date BETWEEN ?1 AND ?2
                ) AS days WHERE NOT EXISTS (SELECT 1 FROM rollup_state WHERE facts_from > business_date)";
            database.execute(DOING, insert, cells![from, to])
        })
    }

    fn roll_up_state(&self) -> Result<RollUpState, LedgerError> {
        let State { through, facts_from, .. } = State::read(self)?;
        let query = "SELECT received_at_ms FROM batches WHERE first_event_no > ?1 ORDER BY first_event_no LIMIT 1";
        let oldest_ms = self.first("read the lag of roll-ups", query, cells![through], |row| row.number(0))?;
        let query = "SELECT count(*) FROM (SELECT 1 FROM rollup_marks LIMIT ?1) AS marks";
        let days_waiting = self.first("count marks", query, cells![MARKS_COUNTED_MAX], |row| row.number(0))?;
        let facts_from = facts_from.map(BusinessDate::from_days);
        Ok(RollUpState { through, oldest_ms, days_waiting: days_waiting.unwrap_or_default(), facts_from })
    }

    fn check_roll_ups(
        &self,
        range: DateRange,
        each_date: &mut dyn FnMut(BusinessDate),
    ) -> Result<RollUpReport, LedgerError> {
        check::check(self, range, each_date)
    }

    fn hours(&self, filter: &RollUpFilter) -> Result<Vec<HourRow>, LedgerError> {
        query::hours(self, filter)
    }

    fn items(&self, filter: &RollUpFilter) -> Result<Vec<ItemRow>, LedgerError> {
        query::items(self, filter)
    }

    fn promotions(&self, filter: &RollUpFilter) -> Result<Vec<PromotionRow>, LedgerError> {
        query::promotions(self, filter)
    }
}

/// The business date to which an event adds something, as days since 1970-01-01.
pub(in crate::ledger) fn date_of(event: &EventBody) -> Option<i32> {
    Sums::date_of(event)
}

/// The first and the last date of a range, as days. Without one it is what every calendar here has.
fn days_of(range: DateRange) -> (i32, i32) {
    let (from, to) = (range.from.map(BusinessDate::days), range.to.map(BusinessDate::days));
    (from.unwrap_or(DATE_MIN), to.unwrap_or_else(|| BusinessDate::from_days(i64::MAX).days()))
}

fn take_lease<D: Database>(database: &D, worker: i64, now_ms: i64) -> Result<bool, LedgerError> {
    let query = "SELECT worker, until_ms FROM rollup_state WHERE id = 1";
    let held = database.first(DOING, query, &[], |row| Ok((row.number(0)?, row.number(1)?)))?;
    let (holder, until_ms) = held.ok_or(LedgerError::Damaged { what: "state of roll-ups" })?;
    let is_held = (now_ms..=now_ms.saturating_add(LEASE_MS_MAX)).contains(&until_ms);
    if is_held && holder != worker {
        return Ok(false);
    }
    if is_held && until_ms > now_ms.saturating_add(LEASE_MS / 2) {
        return Ok(true);
    }
    let update = "UPDATE rollup_state SET worker = ?1, until_ms = ?2 WHERE id = 1 AND worker = ?3 AND until_ms = ?4";
    let values = cells![worker, now_ms.saturating_add(LEASE_MS), holder, until_ms];
    Ok(database.execute(DOING, update, values)? == 1)
}

/// Adds what lies behind the watermark, a bounded number of events.
fn add_behind<D: Database>(database: &D, step: &mut RollUpStep) -> Result<(), LedgerError> {
    let mut before = State::read(database)?;
    // Before the snapshot: what is settled when this is answered is in it.
    let settled = database.first(DOING, D::DIALECT.settled, &[], |row| row.maybe_number(0))?.flatten();
    let settled = settled.unwrap_or_default();
    if settled < before.through {
        // Somebody took events away by hand, and their numbers will be given again.
        database.mark_roll_ups(DateRange::default())?;
        return before.go_back(database, settled);
    }
    let (mut state, behind) = database.snapshot(DOING, |database| {
        let state = State::read(database)?;
        let settled = settled.max(state.through);
        Ok((state, facts::behind(database, state.through, settled)?))
    })?;
    if behind.through > state.through {
        state.add(database, &behind.sums, behind.through)?;
    }
    step.events = behind.events;
    step.more |= behind.more;
    Ok(())
}

/// Sums up anew what is marked, a bounded number of dates.
fn sum_up_anew<D: Database>(database: &D, step: &mut RollUpStep) -> Result<(), LedgerError> {
    let read = database.snapshot(DOING, |database| {
        let state = State::read(database)?;
        let marks = marks_due(database, &state)?;
        let facts_from = state.facts_from.unwrap_or(i64::MIN);
        let days: BTreeSet<Day> = marks.keys().filter(|day| i64::from(day.1) >= facts_from).copied().collect();
        let anew = facts::anew(database, &days, state.through)?;
        Ok((state, marks, days, anew))
    });
    let (mut state, marks, days, mut anew) = read?;
    step.more |= !marks.is_empty();
    for (day, marks) in marks {
        let sums = anew.sums.take_day(day);
        if days.contains(&day) && !anew.incomplete.contains(&day) {
            state.replace(database, day, &sums, &marks)?;
            step.days += 1;
        } else {
            state.drop_marks(database, &marks)?;
            step.days_left += 1;
        }
    }
    Ok(())
}

/// The next dates that are to be summed up anew, each with the numbers of its marks.
fn marks_due<D: Database>(database: &D, state: &State) -> Result<BTreeMap<Day, Vec<i64>>, LedgerError> {
    let doing = "read marks";
    let query = "SELECT DISTINCT business_date, store_no FROM rollup_marks WHERE event_no <= ?1
        ORDER BY business_date, store_no LIMIT ?2";
    let days = database
        .all(doing, query, cells![state.through, STEP_DAYS], |row| Ok((row.number(1)?, row.small::<i32>(0)?)))?;
    let first = days.first().map_or(0, |day| day.1);
    let near = days.into_iter().filter(|day| day.1.saturating_sub(first) < STEP_DATES);
    let query = "SELECT mark_no FROM rollup_marks WHERE business_date = ?1 AND store_no = ?2 AND event_no <= ?3";
    let marks = near.map(|day| {
        // Exactly those that are seen: one that comes meanwhile asks for more than was read.
        let marks = database.all(doing, query, cells![day.1, day.0, state.through], |row| row.number(0))?;
        Ok((day, marks))
    });
    marks.collect()
}

/// Adds conditions on stores and dates to a query, and their values.
fn narrow<'a>(filter: &'a RollUpFilter, query: &mut String, values: &mut Vec<Cell<'a>>) {
    let totals = &filter.totals;
    let store = totals.store.as_ref().map(|store| ("store_id =", Cell::from(store.as_str())));
    let from = totals.from.map(|from| ("business_date >=", Cell::from(from.days())));
    let to = totals.to.map(|to| ("business_date <=", Cell::from(to.days())));
    for (condition, value) in [store, from, to].into_iter().flatten() {
        values.push(value);
        query.push_str(&format!(" AND {condition} ?{}", values.len()));
    }
}
