//! Receipt numbers as unbroken runs. A till numbers its receipts without gaps, so it has one run, which grows; two runs
//! mean that receipts between them never arrived, and a number that is in a run already was given twice.

use rusqlite::params;

use super::fault::{During, Fault};
use super::rows::Rows;

/// Receipt numbers above this one are not believed (a million a day last for three thousand years): tills go on above
/// the highest number known, and one wrong number must not push them to the end of all numbers.
pub(super) const RECEIPT_NO_MAX: i64 = 1_000_000_000_000;

/// A receipt number as the ledger holds it, if it can be one.
pub(super) fn believed(receipt_no: u64) -> Option<i64> {
    i64::try_from(receipt_no).ok().filter(|number| *number <= RECEIPT_NO_MAX)
}

/// Notes the numbers of a till's sales, each with its event.
pub(super) fn note(
    rows: &mut Rows<'_>,
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
                duplicate(rows, store_no, till_id, number, event_no)?;
            }
            last = number;
            taken += 1;
        }
        let (run, later) = rest.split_at(taken);
        join(rows, store_no, till_id, (first, last), run)?;
        rest = later;
    }
    Ok(())
}

/// Joins a run of new numbers with the runs that it touches.
fn join(
    rows: &mut Rows<'_>,
    store_no: i64,
    till_id: &str,
    (first, last): (i64, i64),
    numbers: &[(i64, i64)],
) -> Result<(), Fault> {
    let (mut joined_first, mut joined_last) = (first, last);
    let mut touched = Vec::new();
    {
        let key = params![store_no, till_id, last.saturating_add(1)];
        let mut found = rows.receipt_runs_at.query(key).during("read receipt runs")?;
        while let Some(row) = found.next().during("read receipt runs")? {
            let run: (i64, i64) = row.try_into().during("read receipt run")?;
            if run.1 < first.saturating_sub(1) {
                break;
            }
            touched.push(run);
        }
    }
    for &(run_first, run_last) in &touched {
        for &(number, event_no) in numbers.iter().filter(|(number, _)| (run_first..=run_last).contains(number)) {
            duplicate(rows, store_no, till_id, number, event_no)?;
        }
        joined_first = joined_first.min(run_first);
        joined_last = joined_last.max(run_last);
    }
    for &(run_first, _) in touched.iter().filter(|(run_first, _)| *run_first != joined_first) {
        rows.drop_receipt_run.execute(params![store_no, till_id, run_first]).during("join receipt runs")?;
    }
    rows.put_receipt_run.execute(params![store_no, till_id, joined_first, joined_last]).during("write receipt run")?;
    Ok(())
}

fn duplicate(rows: &mut Rows<'_>, store_no: i64, till_id: &str, number: i64, event_no: i64) -> Result<(), Fault> {
    rows.add_duplicate_receipt
        .execute(params![store_no, till_id, number, event_no])
        .during("note a receipt number that was given twice")?;
    Ok(())
}
