//! One date of one store, compared with the store's digest.
//!
//! Order: the messages of the date, then the rows of its events, then the sums. What comes later only makes sense where
//! what comes before is whole, so the first thing that is wrong is what is told, and after its repair it is looked again.

use std::collections::BTreeSet;

use pos_model::StoreId;
use protocol::digest::FactsDigest;
use protocol::latest::{DayDigest, FactSums, RunOfDay};

use super::rows::{self, Compared};
use super::sums::{self, Moved};
use super::walk::{Seen, Walked};
use crate::ledger::LedgerError;
use crate::ledger::database::Database;
use crate::ledger::group::Repair;
use crate::ledger::reconcile::{Examined, Standing};

/// Events whose rows are written again in one database transaction: some milliseconds.
const REPAIR_EVENTS_MAX: usize = 500;

/// How long a digest may be on its way. What was taken in since it was made is not in it, and is no difference.
const ON_THE_WAY_MS: i64 = 60_000;

pub(super) fn examine<D: Database>(
    database: &D,
    store: &StoreId,
    digest: &DayDigest,
    heard_at_ms: i64,
) -> Result<Examined, LedgerError> {
    let store_facts = facts(&digest.sums);
    let standing = |standing, ledger_facts| Ok(Examined { store_facts, ledger_facts, standing });
    let Some(store_no) = super::store_no(database, store)? else { return standing(Standing::Behind, 0) };
    let date = digest.business_date;
    if !super::is_kept(database, date)? {
        return standing(Standing::NotKept, 0);
    }
    if overlap(&digest.runs) {
        return standing(Standing::NotADigest, 0);
    }
    let mut walked = Walked::default();
    for run in &digest.runs {
        walked.run(database, store_no, run)?;
    }
    if walked.is_behind {
        return standing(Standing::Behind, 0);
    }
    if walked.is_too_large {
        return standing(Standing::TooLarge, 0);
    }
    let Compared { wrong, ledger } = rows::compare(database, &walked, date)?;
    let ledger_facts = facts(&ledger.sums());
    if walked.is_other_history {
        return standing(Standing::OtherHistory, ledger_facts);
    }
    if !walked.gaps.is_empty() {
        return standing(Standing::Lacks(walked.gaps), ledger_facts);
    }
    let mut moved = Moved::by(&walked, date);
    let beside = moved.add_beside(database, store_no, &walked, date)?;
    if !wrong.is_empty() {
        let what = format!("{} of {} events have not the rows that they should have", wrong.len(), walked.events.len());
        let mut repair = Repair::new(store_no, date);
        let chosen: BTreeSet<usize> = wrong.into_iter().take(REPAIR_EVENTS_MAX).collect();
        let events = walked.events.into_iter().enumerate().filter(|(index, _)| chosen.contains(index));
        for (_, Seen { event_no, stream_no, epoch, seq, hash, received, fixed, .. }) in events {
            repair.add_event(event_no, stream_no, epoch, seq, hash, fixed.unwrap_or(received));
        }
        return standing(Standing::Wrong { repair, what }, ledger_facts);
    }
    let kept = sums::kept(database, store_no, date)?;
    let (mut others, mut is_whole) = (Vec::new(), !digest.partial);
    let mut wanted = moved.sums.clone();
    if !sums::missing(&wanted, &kept).is_empty()
        || !sums::missing_stock(database, &walked.streams, date, &moved.stock)?.is_empty()
    {
        // What the digest does not name has moved the sums as well.
        let behind = Walked::behind(database, store_no, &digest.runs)?;
        if behind.is_too_large {
            return standing(Standing::TooLarge, ledger_facts);
        }
        if !behind.gaps.is_empty() {
            return standing(Standing::Lacks(behind.gaps), ledger_facts);
        }
        others = moved.add_all(&behind, date);
        wanted.clone_from(&moved.sums);
        let known = walked.events.iter().chain(&behind.events).map(|seen| seen.event_no).chain(beside).collect();
        let unnamed = sums::add_others(database, store_no, date, &known, &mut wanted)?;
        is_whole &= unnamed.is_empty();
        others.extend(unnamed);
    }
    let mut repair = Repair::new(store_no, date);
    let mut what = Vec::new();
    let missing = sums::missing(&wanted, &kept);
    if !missing.is_empty() {
        what.push("the sums of the day");
        repair.add_sums(missing);
    }
    // Before what a store names of a date there may have been more. What that used of stock is not looked at here.
    if is_whole {
        let missing = sums::missing_stock(database, &walked.streams, date, &moved.stock)?;
        if !missing.is_empty() {
            what.push("what was used of stock");
            repair.add_stock(missing);
        }
    }
    let missing = sums::missing_numbers(database, store_no, &moved.numbers)?;
    if !missing.is_empty() {
        what.push("the rows of receipt numbers");
        repair.add_numbers(missing);
    }
    if !what.is_empty() {
        let what = format!("{} are not those of the events", what.join(", "));
        return standing(Standing::Wrong { repair, what }, ledger_facts);
    }
    if !is_same(digest, &ledger) {
        return standing(Standing::Unexplained, ledger_facts);
    }
    if !others.is_empty() && !digest.partial {
        let older = sums::came_before(database, &others, heard_at_ms.saturating_sub(ON_THE_WAY_MS))?;
        if older > 0 {
            return standing(Standing::HoldsMore(older), ledger_facts);
        }
    }
    standing(Standing::Agrees, ledger_facts)
}

/// Whether an event lies in two runs.
fn overlap(runs: &[RunOfDay]) -> bool {
    let mut runs: Vec<_> = runs.iter().map(|run| (run.epoch.to_sql(), run.first, run.last.seq)).collect();
    runs.sort_unstable();
    runs.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].2 >= pair[1].1)
}

fn is_same(digest: &DayDigest, ledger: &FactsDigest) -> bool {
    digest.hash == ledger.hash() && digest.sums == ledger.sums()
}

fn facts(sums: &[FactSums]) -> i64 {
    let all = sums.iter().fold(0_u64, |all, sums| all.saturating_add(sums.sales).saturating_add(sums.refunds));
    i64::try_from(all).unwrap_or(i64::MAX)
}
