//! The months by which the large tables are kept, made before they are needed, and dropped by who keeps the books.
//!
//! Dates for which no month is kept lie in a partition of their own: those of a wrong clock. So a missing month holds up no
//! sale; it is made when nobody holds the tables, and what came meanwhile is moved into it.

use std::collections::BTreeSet;

use pos_model::BusinessDate;

use super::session::Session;
use crate::ledger::LedgerError;
use crate::ledger::database::{Database, Row, cells};
use crate::ledger::read::frames::{self, HeldBatch};

/// The tables that are kept by business month, with what their partitions are cut by.
const BY_DATE: [&str; 4] = ["sales", "sale_lines", "stock_used", "stock_added"];

/// Months are made for this many months back, for imports, and this many ahead. What lies beyond is taken for a wrong
/// clock.
const MONTHS_BACK: i32 = 120;
const MONTHS_AHEAD: i32 = 2;

/// How long it may take to get at the tables; groups wait meanwhile.
const LOCK_PATIENCE: &str = "SET LOCAL lock_timeout = '1s'";

/// How long a month that could not be made is left alone, in milliseconds.
const LOOK_AGAIN_MS: i64 = 60_000;

/// The bits of an event's number below its month.
pub(super) const EVENT_BITS: u32 = 40;

/// A month, counted from January 2020: negative before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Month(i32);

/// A month of which sales are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthRow {
    /// `YYYY-MM`, or `other` for dates that no month is kept for.
    pub month: String,
    /// The size of its sales and their lines on disk.
    pub bytes: i64,
}

/// What was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedMonth {
    /// The table's partition.
    pub table: String,
}

impl Month {
    /// The month of a day, given as days since 1970-01-01. After Howard Hinnant's `civil_from_days`.
    pub(super) fn of_days(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let (year, month) = (year_of_era + era * 400, from_march + 2);
        Self(i32::try_from((year - 2020) * 12 + month).unwrap_or(i32::MAX))
    }

    pub(super) fn of_ms(at_ms: i64) -> Self {
        Self::of_days(at_ms.div_euclid(86_400_000))
    }

    /// The lowest number of an event that arrives in it.
    pub(super) fn first_event_no(self) -> i64 {
        i64::from(self.0.max(0)) << EVENT_BITS
    }

    fn year_and_month(self) -> (i32, i32) {
        (2020 + self.0.div_euclid(12), 1 + self.0.rem_euclid(12))
    }

    /// As in the names of partitions.
    fn suffix(self) -> String {
        let (year, month) = self.year_and_month();
        format!("{year:04}_{month:02}")
    }

    fn first_day(self) -> String {
        let (year, month) = self.year_and_month();
        format!("{year:04}-{month:02}-01")
    }

    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The months that are known to be there, or that are not to be tried again yet.
#[derive(Debug, Default)]
pub(super) struct Months {
    /// With partitions of the tables of business dates.
    dates: BTreeSet<Month>,
    /// With partitions of the messages.
    arrivals: BTreeSet<Month>,
    /// Business months of which something lies with the others.
    missing: BTreeSet<Month>,
    not_before_ms: i64,
}

impl Months {
    /// Makes what is due, before a group: the month of today and the next, and those that groups have missed.
    pub(super) fn prepare(&mut self, session: &Session, now_ms: i64) {
        let now = Month::of_ms(now_ms);
        let known = self.dates.contains(&now) && self.arrivals.contains(&now) && self.arrivals.contains(&now.next());
        if (known && self.missing.is_empty()) || now_ms < self.not_before_ms {
            return;
        }
        let mut dates = std::mem::take(&mut self.missing);
        dates.extend([now, now.next()]);
        let near = Month(now.0.saturating_sub(MONTHS_BACK))..=Month(now.0.saturating_add(MONTHS_AHEAD));
        dates.retain(|month| near.contains(month) && !self.dates.contains(month));
        let arrivals: Vec<Month> =
            [now, now.next()].into_iter().filter(|month| !self.arrivals.contains(month)).collect();
        if let Err(error) = self.make(session, &dates, &arrivals) {
            tracing::warn!(
                error = crate::telemetry::chain(&error),
                "the tables of a month could not be made; what belongs to it lies with the others for the time being"
            );
            self.missing = dates;
            self.not_before_ms = now_ms.saturating_add(LOOK_AGAIN_MS);
        }
    }

    fn make(&mut self, session: &Session, dates: &BTreeSet<Month>, arrivals: &[Month]) -> Result<(), LedgerError> {
        for month in dates {
            let (low, high) = (month.first_day(), month.next().first_day());
            let tables = BY_DATE.map(|table| (table, "business_date", low.clone(), high.clone()));
            add(session, *month, &tables)?;
            self.dates.insert(*month);
        }
        for month in arrivals {
            let (low, high) = (month.first_event_no().to_string(), month.next().first_event_no().to_string());
            add(session, *month, &[("batches", "first_event_no", low, high)])?;
            self.arrivals.insert(*month);
        }
        Ok(())
    }

    /// Notes the business months of a group for which it may have found no partition.
    pub(super) fn note(&mut self, months: &BTreeSet<Month>) {
        self.missing.extend(months.iter().filter(|month| !self.dates.contains(month)));
    }
}

/// Adds the partitions of a month in one transaction.
fn add(session: &Session, month: Month, tables: &[(&str, &str, String, String)]) -> Result<(), LedgerError> {
    let doing = "make the tables of a month";
    let mut sql = format!("BEGIN; {LOCK_PATIENCE};");
    for (table, key, low, high) in tables {
        sql.push_str(&format!(" SELECT add_partition('{table}', '{}', '{key}', '{low}', '{high}');", month.suffix()));
    }
    sql.push_str(" COMMIT");
    session.batch(doing, &sql).or_else(|error| {
        session.batch("roll back", "ROLLBACK").inspect_err(|_| session.give_up())?;
        Err(error)
    })
}

const LIST: &str = "SELECT child.relname::text, pg_total_relation_size(child.oid) FROM pg_inherits
    JOIN pg_class AS child ON child.oid = inhrelid JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE parent.relname = ?1 AND parent.relkind = 'p' AND parent.relnamespace = current_schema()::regnamespace
    ORDER BY 1";

/// The partitions of a table, by what stands behind its name, with their sizes.
fn partitions(session: &Session, table: &str) -> Result<Vec<(String, i64)>, LedgerError> {
    let access = super::database::Access(session);
    let found = access.all("read the months", &LIST.replace("?1", &format!("'{table}'")), &[], |row| {
        Ok((row.text(0)?, row.number(1)?))
    })?;
    let suffix = |name: &str| name.strip_prefix(table).and_then(|rest| rest.strip_prefix('_')).map(str::to_owned);
    Ok(found.into_iter().filter_map(|(name, bytes)| Some((suffix(&name)?, bytes))).collect())
}

/// The months of which sales are kept.
pub(super) fn list(session: &Session) -> Result<Vec<MonthRow>, LedgerError> {
    let lines: std::collections::BTreeMap<String, i64> = partitions(session, "sale_lines")?.into_iter().collect();
    let of = |(month, bytes): (String, i64)| MonthRow {
        bytes: bytes.saturating_add(lines.get(&month).copied().unwrap_or_default()),
        month: month.replace('_', "-"),
    };
    Ok(partitions(session, "sales")?.into_iter().map(of).collect())
}

/// The first month that is kept, as `YYYY-MM`, if so many are kept behind the present one.
pub(super) fn first_kept(keep: u32, now_ms: i64) -> String {
    let now = Month::of_ms(now_ms);
    Month(now.0.saturating_sub(i32::try_from(keep).unwrap_or(i32::MAX).min(12_000))).suffix().replace('_', "-")
}

/// Whether something of the dates before a month is not in the roll-ups, or of the messages that are dropped with them.
const NOT_ROLLED_UP: &str = "SELECT EXISTS (SELECT 1 FROM rollup_marks WHERE business_date < CAST(?1 AS text)::date)
    OR EXISTS (SELECT 1 FROM batches, rollup_state WHERE first_event_no > through AND first_event_no < ?2)
    OR EXISTS (SELECT 1 FROM sales, rollup_state WHERE event_no > through AND business_date < CAST(?1 AS text)::date)";

/// What is dropped cannot be summed up anew.
const NOTE_DROPPED: &str = "UPDATE rollup_state SET facts_from = greatest(facts_from, CAST(?1 AS text)::date),
    version = version + 1";

/// Drops all partitions of months before one, which are over.
pub(super) fn drop_before(session: &Session, month: &str, now_ms: i64) -> Result<Vec<DroppedMonth>, LedgerError> {
    let doing = "drop a month";
    let present = first_kept(0, now_ms);
    if *month > *present {
        return Err(LedgerError::NotOver { month: month.to_owned(), present });
    }
    let before = month.replace('-', "_");
    let access = super::database::Access(session);
    let first_day = format!("{month}-01");
    let date = first_day.parse::<BusinessDate>().map_err(|_| LedgerError::Damaged { what: "month" })?;
    let first_month = Month::of_days(date.days().into());
    let (first_event_no, messages_before) = (first_month.first_event_no(), Month(first_month.0 - 1).suffix());
    let behind = access.first(doing, NOT_ROLLED_UP, cells![&first_day, first_event_no], |row| row.is(0))?;
    if behind != Some(false) {
        return Err(LedgerError::NotRolledUp { month: month.to_owned() });
    }
    // Said first: a sum of half of what was there must never take the place of a whole one.
    access.execute(doing, NOTE_DROPPED, cells![&first_day])?;
    let mut dropped = Vec::new();
    for table in BY_DATE.into_iter().chain(["batches"]) {
        for (suffix, _) in partitions(session, table)? {
            let is_month = suffix.starts_with(|c: char| c.is_ascii_digit());
            // Messages go by the month in which they came. Of the first date that is kept some may have come in the month
            // before, so they stay a month longer.
            let before = if table == "batches" { &messages_before } else { &before };
            if !is_month || suffix >= *before {
                continue;
            }
            let name = format!("{table}_{suffix}");
            if table == "batches" {
                keep_parked_bytes(session, &name)?;
            }
            let ids = if table == "sales" { drop_ids(session, &name)? } else { String::new() };
            session.batch(doing, &format!("BEGIN; {LOCK_PATIENCE}; {ids} DROP TABLE {name}; COMMIT")).or_else(
                |error| {
                    session.batch("roll back", "ROLLBACK").inspect_err(|_| session.give_up())?;
                    Err(error)
                },
            )?;
            dropped.push(DroppedMonth { table: name });
        }
    }
    Ok(dropped)
}

/// Takes the ids of a month's sales out, in pieces that each take a second or two. Gives what is to be done about the few
/// that came in meanwhile, together with the table.
fn drop_ids(session: &Session, sales: &str) -> Result<String, LedgerError> {
    let (doing, access) = ("drop the ids of a month", super::database::Access(session));
    let pages = format!("SELECT pg_relation_size('{sales}') / current_setting('block_size')::bigint");
    let pages = access.first(doing, &pages, &[], |row| row.number(0))?.unwrap_or_default();
    let delete = |from: i64| {
        format!(
            "DELETE FROM fact_ids USING {sales} AS gone WHERE kind = 0 AND id = gone.sale_id AND gone.ctid >= '({from},0)'"
        )
    };
    let mut from = 0;
    while from < pages {
        let to = from + PIECE_PAGES;
        session.batch(doing, &format!("{} AND gone.ctid < '({to},0)'", delete(from)))?;
        from = to;
    }
    Ok(format!("{};", delete(pages)))
}

/// Pages of sales whose ids go in one piece: some ten thousand.
const PIECE_PAGES: i64 = 1_000;

/// Before the messages of a month go: what is parked keeps its bytes.
fn keep_parked_bytes(session: &Session, messages: &str) -> Result<(), LedgerError> {
    let (doing, access) = ("keep the bytes of parked events", super::database::Access(session));
    let query = format!(
        "SELECT parked_no, event_no FROM parked WHERE event_no IS NOT NULL AND bytes IS NULL AND EXISTS (
            SELECT 1 FROM {messages} WHERE first_event_no <= event_no AND event_no < first_event_no + events)
        ORDER BY event_no"
    );
    let parked = access.all(doing, &query, &[], |row| Ok((row.number(0)?, row.number(1)?)))?;
    let mut message: Option<HeldBatch> = None;
    for (parked_no, event_no) in parked {
        if message.as_ref().is_none_or(|message| message.bytes(event_no).is_none()) {
            message = frames::holding(&access, event_no)?;
        }
        if let Some(bytes) = message.as_ref().and_then(|message| message.bytes(event_no)) {
            let update = "UPDATE parked SET bytes = ?2 WHERE parked_no = ?1";
            access.execute(doing, update, cells![parked_no, bytes])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_month_of_a_day() {
        #[track_caller]
        fn check(date: &str, suffix: &str, first: &str, next: &str) {
            let month = Month::of_days(date.parse::<BusinessDate>().expect("a date").days().into());
            assert_eq!(
                (month.suffix(), month.first_day(), month.next().first_day()),
                (suffix.into(), first.into(), next.into())
            );
        }
        check("2020-01-01", "2020_01", "2020-01-01", "2020-02-01");
        check("2020-02-29", "2020_02", "2020-02-01", "2020-03-01");
        check("2026-12-31", "2026_12", "2026-12-01", "2027-01-01");
        check("1969-12-31", "1969_12", "1969-12-01", "1970-01-01");
        check("2000-03-01", "2000_03", "2000-03-01", "2000-04-01");
        check("9999-12-31", "9999_12", "9999-12-01", "10000-01-01");
    }

    #[test]
    fn numbers_of_events_begin_anew_above_each_month() {
        let month = Month::of_ms(1_780_000_000_000);
        assert_eq!((month.suffix(), month.first_event_no()), ("2026_05".to_owned(), 76 << 40));
        assert_eq!((first_kept(5, 1_780_000_000_000).as_str(), first_kept(0, 0).as_str()), ("2025-12", "1970-01"));
        assert!(month.next().first_event_no() > month.first_event_no());
        assert_eq!(Month::of_ms(0).first_event_no(), 0, "a clock that stands in the past takes no negative numbers");
    }
}
