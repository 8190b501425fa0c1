//! Numbers that a till gives without gaps, as unbroken runs: those of its receipts, and those of its Z reports. A till has
//! one run, which grows; two runs mean that what lies between them never arrived, and a number that is in a run already
//! was given twice.

use std::collections::BTreeMap;

use protocol::latest::Mark;

use super::tables::{NumberKind, Tables};
use crate::ledger::database::{Database, cells};
use crate::ledger::fault::Fault;

/// Numbers above this one are not believed (a million a day last for three thousand years): tills go on above the highest
/// number known, and one wrong number must not push them to the end of all numbers.
pub(super) const NUMBER_MAX: i64 = 1_000_000_000_000;

/// A number as the ledger holds it, if it can be one.
pub(super) fn believed(number: u64) -> Option<i64> {
    i64::try_from(number).ok().filter(|number| *number <= NUMBER_MAX)
}

/// The numbers that a till of a store has given, each with its event.
pub(super) type OfTill<'g> = ((i64, &'g str), Vec<(i64, i64)>);

/// A number on the receipt of a parked sale or refund. It is given, whatever becomes of the event.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParkedNumber {
    pub(super) number: i64,
    /// The number of the event, or that of the next event behind it.
    pub(super) event_no: i64,
    pub(super) stream_no: i64,
    pub(super) mark: Mark,
}

/// The number of an event, the number on its receipt, and more of it where it is parked.
type Given = (i64, i64, Option<ParkedNumber>);

/// The receipt numbers of parked events of a till of a store.
pub(super) type ParkedOfTill<'g> = ((i64, &'g str), Vec<ParkedNumber>);

/// Notes the receipt numbers that tills have given, where some are those of parked events. They are taken one by one, in
/// the order in which they came, so that the outcome is that of any other grouping.
pub(super) fn note_with_parked<'g, T: Tables<'g>>(
    tables: &mut T,
    tills: Vec<OfTill<'g>>,
    parked: Vec<ParkedOfTill<'g>>,
) -> Result<(), Fault> {
    let kind = NumberKind::Receipt;
    let mut with_parked: BTreeMap<(i64, &'g str), Vec<Given>> = BTreeMap::new();
    for (till, numbers) in parked {
        let entries = numbers.into_iter().map(|one| (one.event_no, one.number, Some(one)));
        with_parked.entry(till).or_default().extend(entries);
    }
    let mut others = Vec::with_capacity(tills.len());
    for (till, numbers) in tills {
        match with_parked.get_mut(&till) {
            Some(entries) => entries.extend(numbers.into_iter().map(|(number, event_no)| (event_no, number, None))),
            None => others.push((till, numbers)),
        }
    }
    note_all(tables, kind, others)?;
    for ((store_no, till_id), mut entries) in with_parked {
        entries.sort_by_key(|(event_no, ..)| *event_no);
        let numbers = entries.iter().map(|(_, number, _)| *number);
        if let Some((first, last)) = numbers.clone().min().zip(numbers.max()) {
            tables.expect_numbers(kind, &[(store_no, till_id, first, last)])?;
        }
        for (event_no, number, parked) in entries {
            let Some(parked) = parked else {
                Noting { tables, kind, store_no, till_id }.join((number, number), &[(number, event_no)])?;
                continue;
            };
            let runs = tables.runs(kind, store_no, till_id, number, number)?;
            // A number that was given before is that of whoever gave it first.
            if !runs.iter().any(|(first, last)| (*first..=*last).contains(&number)) {
                Noting { tables, kind, store_no, till_id }.join((number, number), &[])?;
                let (seq, hash) = (parked.mark.seq.to_sql(), parked.mark.hash);
                let row = cells![parked.stream_no, seq, hash.as_bytes(), store_no, till_id, number];
                tables.access()?.execute("note the receipt of a parked event", PARKED_RECEIPT, row)?;
            }
        }
    }
    Ok(())
}

const PARKED_RECEIPT: &str =
    "INSERT INTO parked_receipts VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (stream_no, seq, hash) DO NOTHING";

/// Notes the numbers that tills have given.
pub(super) fn note_all<'g, T: Tables<'g>>(
    tables: &mut T,
    kind: NumberKind,
    mut tills: Vec<OfTill<'g>>,
) -> Result<(), Fault> {
    let mut ranges = Vec::with_capacity(tills.len());
    for ((store_no, till_id), numbers) in &mut tills {
        numbers.sort_unstable();
        if let (Some((first, _)), Some((last, _))) = (numbers.first(), numbers.last()) {
            ranges.push((*store_no, *till_id, *first, *last));
        }
    }
    tables.expect_numbers(kind, &ranges)?;
    for ((store_no, till_id), numbers) in &tills {
        Noting { tables, kind, store_no: *store_no, till_id }.note(numbers)?;
    }
    Ok(())
}

/// The numbers of one till.
struct Noting<'t, 'g, T> {
    tables: &'t mut T,
    kind: NumberKind,
    store_no: i64,
    till_id: &'g str,
}

impl<'g, T: Tables<'g>> Noting<'_, 'g, T> {
    /// Notes numbers that are sorted.
    fn note(&mut self, numbers: &[(i64, i64)]) -> Result<(), Fault> {
        let mut rest = numbers;
        while let Some(&(first, _)) = rest.first() {
            let mut last = first;
            let mut taken = 0;
            for &(number, event_no) in rest {
                if number > last.saturating_add(1) {
                    break;
                }
                if number == last && taken > 0 {
                    self.duplicate(number, event_no)?;
                }
                last = number;
                taken += 1;
            }
            let (run, later) = rest.split_at(taken);
            self.join((first, last), run)?;
            rest = later;
        }
        Ok(())
    }

    /// Joins a run of new numbers with the runs that it touches.
    fn join(&mut self, (first, last): (i64, i64), numbers: &[(i64, i64)]) -> Result<(), Fault> {
        let (mut joined_first, mut joined_last) = (first, last);
        let touched = self.tables.runs(self.kind, self.store_no, self.till_id, first, last)?;
        for &(run_first, run_last) in &touched {
            for &(number, event_no) in numbers.iter().filter(|(number, _)| (run_first..=run_last).contains(number)) {
                self.duplicate(number, event_no)?;
            }
            joined_first = joined_first.min(run_first);
            joined_last = joined_last.max(run_last);
        }
        for &(run_first, _) in touched.iter().filter(|(run_first, _)| *run_first != joined_first) {
            self.tables.drop_run(self.kind, self.store_no, self.till_id, run_first)?;
        }
        self.tables.put_run(self.kind, self.store_no, self.till_id, joined_first, joined_last)
    }

    fn duplicate(&mut self, number: i64, event_no: i64) -> Result<(), Fault> {
        self.tables.add_duplicate(self.kind, self.store_no, self.till_id, number, event_no)
    }
}
