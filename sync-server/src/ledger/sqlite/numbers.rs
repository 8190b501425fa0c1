//! Numbers that a till gives without gaps, as unbroken runs: those of its receipts, and those of its Z reports. A till has
//! one run, which grows; two runs mean that what lies between them never arrived, and a number that is in a run already
//! was given twice.

use rusqlite::{CachedStatement, params};

use super::fault::{During, Fault};

/// Numbers above this one are not believed (a million a day last for three thousand years): tills go on above the highest
/// number known, and one wrong number must not push them to the end of all numbers.
pub(super) const NUMBER_MAX: i64 = 1_000_000_000_000;

/// A number as the ledger holds it, if it can be one.
pub(super) fn believed(number: u64) -> Option<i64> {
    i64::try_from(number).ok().filter(|number| *number <= NUMBER_MAX)
}

/// The statements on the tables of one kind of number.
pub(super) struct Runs<'r, 'c> {
    /// The runs of a store and till that begin at a number or before it, the last first.
    pub(super) at: &'r mut CachedStatement<'c>,
    /// Writes a run.
    pub(super) put: &'r mut CachedStatement<'c>,
    /// Deletes the run of a store and till that begins at a number.
    pub(super) drop: &'r mut CachedStatement<'c>,
    /// Notes that an event has a number that was given before.
    pub(super) add_duplicate: &'r mut CachedStatement<'c>,
}

/// Notes the numbers that a till has given, each with its event.
pub(super) fn note(
    runs: &mut Runs<'_, '_>,
    store_no: i64,
    till_id: &str,
    mut numbers: Vec<(i64, i64)>,
) -> Result<(), Fault> {
    numbers.sort_unstable();
    let mut rest = numbers.as_slice();
    while let Some(&(first, _)) = rest.first() {
        let mut last = first;
        let mut taken = 0;
        for &(number, event_no) in rest {
            if number > last.saturating_add(1) {
                break;
            }
            if number == last && taken > 0 {
                duplicate(runs, store_no, till_id, number, event_no)?;
            }
            last = number;
            taken += 1;
        }
        let (run, later) = rest.split_at(taken);
        join(runs, store_no, till_id, (first, last), run)?;
        rest = later;
    }
    Ok(())
}

/// Joins a run of new numbers with the runs that it touches.
fn join(
    runs: &mut Runs<'_, '_>,
    store_no: i64,
    till_id: &str,
    (first, last): (i64, i64),
    numbers: &[(i64, i64)],
) -> Result<(), Fault> {
    let (mut joined_first, mut joined_last) = (first, last);
    let mut touched = Vec::new();
    {
        let key = params![store_no, till_id, last.saturating_add(1)];
        let mut found = runs.at.query(key).during("read runs of numbers")?;
        while let Some(row) = found.next().during("read runs of numbers")? {
            let run: (i64, i64) = row.try_into().during("read a run of numbers")?;
            if run.1 < first.saturating_sub(1) {
                break;
            }
            touched.push(run);
        }
    }
    for &(run_first, run_last) in &touched {
        for &(number, event_no) in numbers.iter().filter(|(number, _)| (run_first..=run_last).contains(number)) {
            duplicate(runs, store_no, till_id, number, event_no)?;
        }
        joined_first = joined_first.min(run_first);
        joined_last = joined_last.max(run_last);
    }
    for &(run_first, _) in touched.iter().filter(|(run_first, _)| *run_first != joined_first) {
        runs.drop.execute(params![store_no, till_id, run_first]).during("join runs of numbers")?;
    }
    runs.put.execute(params![store_no, till_id, joined_first, joined_last]).during("write a run of numbers")?;
    Ok(())
}

fn duplicate(runs: &mut Runs<'_, '_>, store_no: i64, till_id: &str, number: i64, event_no: i64) -> Result<(), Fault> {
    runs.add_duplicate
        .execute(params![store_no, till_id, number, event_no])
        .during("note a number that was given twice")?;
    Ok(())
}
