//! Writing sums, with the watermark in the same database transaction.

use serde_json::{Value, json};

use super::sums::{Day, KeyPart, RollUpTable, Rows, Sums, TABLES};
use crate::ledger::LedgerError;
use crate::ledger::database::{Database, Row, cells};

const DOING: &str = "write roll-ups";

/// Rows in one statement: some hundred kilobytes of text.
const STATEMENT_ROWS: usize = 2_000;

/// What was read of the state.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) through: i64,
    pub(super) version: i64,
    pub(super) facts_from: Option<i64>,
}

impl State {
    pub(super) fn read<D: Database>(database: &D) -> Result<Self, LedgerError> {
        let query = "SELECT through, version, facts_from FROM rollup_state WHERE id = 1";
        let state = database.first("read the state of roll-ups", query, &[], |row| {
            Ok(Self { through: row.number(0)?, version: row.number(1)?, facts_from: row.maybe_number(2)? })
        })?;
        state.ok_or(LedgerError::Damaged { what: "state of roll-ups" })
    }

    /// Moves the state within a database transaction; fails if somebody else has moved it since it was read.
    fn proceed<D: Database>(&self, database: &D, through: i64) -> Result<(), LedgerError> {
        let update = "UPDATE rollup_state SET through = ?1, version = version + 1 WHERE id = 1 AND version = ?2";
        match database.execute(DOING, update, cells![through, self.version])? {
            1 => Ok(()),
            _ => Err(LedgerError::Away("another server rolls up".to_owned())),
        }
    }

    fn proceeded(&mut self, through: i64) {
        (self.through, self.version) = (through, self.version.saturating_add(1));
    }

    /// Adds sums, and moves the watermark up to `through`. Sums that do not fit beside what is there are left out, and their
    /// dates marked: whoever sums up anew holds them at the end of 64 bits.
    pub(super) fn add<D: Database>(&mut self, database: &D, sums: &Sums, through: i64) -> Result<(), LedgerError> {
        let added = database.write(DOING, |database| {
            self.proceed(database, through)?;
            put(database, sums)
        });
        match added {
            Err(error) if error.content().is_some() => {
                let days = sums.days();
                tracing::warn!(
                    error = crate::telemetry::chain(&error),
                    days = days.len(),
                    "sums do not fit the roll-ups; their dates are summed up anew"
                );
                database.write(DOING, |database| {
                    self.proceed(database, through)?;
                    days.into_iter().try_for_each(|day| mark(database, day, 0))
                })?;
            }
            added => added?,
        }
        self.proceeded(through);
        Ok(())
    }

    /// Puts the rows of a date of a store in the place of what is there, and takes away the marks that asked for it.
    pub(super) fn replace<D: Database>(
        &mut self,
        database: &D,
        day: Day,
        sums: &Sums,
        marks: &[i64],
    ) -> Result<(), LedgerError> {
        database.write(DOING, |database| {
            self.proceed(database, self.through)?;
            for table in TABLES {
                let delete = format!("DELETE FROM {} WHERE store_no = ?1 AND business_date = ?2", table.name);
                database.execute(DOING, &delete, cells![day.0, day.1])?;
            }
            put(database, sums)?;
            unmark(database, marks)
        })?;
        self.proceeded(self.through);
        Ok(())
    }

    /// Takes the watermark back. All dates were marked before.
    pub(super) fn go_back<D: Database>(&mut self, database: &D, through: i64) -> Result<(), LedgerError> {
        tracing::warn!(self.through, through, "events that were in the roll-ups are gone; all are summed up anew");
        database.write(DOING, |database| self.proceed(database, through))?;
        self.proceeded(through);
        Ok(())
    }

    /// Takes marks away and leaves the sums as they are.
    pub(super) fn drop_marks<D: Database>(&mut self, database: &D, marks: &[i64]) -> Result<(), LedgerError> {
        database.write(DOING, |database| {
            self.proceed(database, self.through)?;
            unmark(database, marks)
        })?;
        self.proceeded(self.through);
        Ok(())
    }
}

/// Marks a date of a store to be summed up anew, as soon as the watermark has come to an event.
pub(in crate::ledger) fn mark<D: Database>(
    database: &D,
    (store_no, date): Day,
    event_no: i64,
) -> Result<(), LedgerError> {
    let insert = "INSERT INTO rollup_marks (store_no, business_date, event_no) VALUES (?1, ?2, ?3)";
    database.execute("mark a date for the roll-ups", insert, cells![store_no, date, event_no]).map(drop)
}

fn unmark<D: Database>(database: &D, marks: &[i64]) -> Result<(), LedgerError> {
    let delete = "DELETE FROM rollup_marks WHERE mark_no = ?1";
    marks.iter().try_for_each(|mark_no| database.execute(DOING, delete, cells![*mark_no]).map(drop))
}

fn put<D: Database>(database: &D, sums: &Sums) -> Result<(), LedgerError> {
    TABLES.iter().zip(&sums.rows).try_for_each(|(table, rows)| put_rows(database, table, rows))
}

fn put_rows<D: Database>(database: &D, table: &RollUpTable, rows: &Rows) -> Result<(), LedgerError> {
    let statement = upsert::<D>(table);
    let mut entries = rows.iter().map(as_json).peekable();
    while entries.peek().is_some() {
        let some: Vec<Value> = entries.by_ref().take(STATEMENT_ROWS).collect();
        database.execute(DOING, &statement, cells![&Value::Array(some).to_string()])?;
    }
    Ok(())
}

fn as_json(((day, key), counters): (&(Day, Vec<KeyPart>), &Vec<i128>)) -> Value {
    let (store_no, date) = day;
    let mut row = vec![json!(store_no), json!(date)];
    row.extend(key.iter().map(|part| match part {
        KeyPart::Hour(hour) => json!(hour),
        KeyPart::Text(text) => json!(text),
    }));
    row.extend(counters.iter().map(|sum| json!(held(*sum))));
    Value::Array(row)
}

/// A sum as a column holds it; one beyond 64 bits is held at their end.
pub(super) fn held(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

fn upsert<D: Database>(table: &RollUpTable) -> String {
    let RollUpTable { name, keys, counters } = table;
    let key_names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
    let mut values = vec!["CAST(value ->> 0 AS BIGINT)".to_owned(), D::DIALECT.date_of_json.to_owned()];
    let types = keys.iter().map(|(_, ty)| *ty).chain(counters.iter().map(|_| "BIGINT"));
    values.extend(types.zip(2..).map(|(ty, place)| format!("CAST(value ->> {place} AS {ty})")));
    let sums: Vec<String> =
        counters.iter().map(|counter| format!("{counter} = {name}.{counter} + excluded.{counter}")).collect();
    let (key_names, counters) = (key_names.join(", "), counters.join(", "));
    format!(
        "INSERT INTO {name} (store_no, business_date, {key_names}, {counters}) SELECT {} FROM {} WHERE true
        ON CONFLICT (store_no, business_date, {key_names}) DO UPDATE SET {}",
        values.join(", "),
        D::DIALECT.rows_of_json,
        sums.join(", ")
    )
}
