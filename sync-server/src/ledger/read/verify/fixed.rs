//! What people did about parked events: that it is as it was written down, and that it hangs together.

use std::collections::BTreeMap;

use pos_model::ChainHash;
use protocol::latest::{EventBody, decode_event, decode_identity};

use super::page::{Page, Parked};
use super::{Computed, DOING};
use crate::ledger::LedgerError;
use crate::ledger::books::VerifyReport;
use crate::ledger::database::{Cell, Database, Row};
use crate::ledger::group::{Sealed, hash_of};
use crate::ledger::read::frames::{SUPERSEDING, Superseding, superseding_row};

/// The fixed events, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Fixed(BTreeMap<i64, Superseding>);

/// What the newest actions about a parked event say.
#[derive(Debug, Default)]
struct Said {
    last: String,
    /// Of a fix: the hashes of the original and of what counts.
    fix: Option<(Option<ChainHash>, Option<ChainHash>)>,
}

impl Fixed {
    pub(super) fn read<D: Database>(database: &D) -> Result<Self, LedgerError> {
        let fixed = database.all(DOING, SUPERSEDING, &[], superseding_row)?;
        Ok(Self(fixed.into_iter().map(|one| (one.event_no, one)).collect()))
    }

    /// The content that counts of an event that a message holds.
    pub(super) fn content<'a>(&'a self, event_no: i64, bytes: &'a [u8], report: &mut VerifyReport) -> &'a [u8] {
        let Some(fixed) = self.0.get(&event_no) else { return bytes };
        report.compare(fixed.original.as_slice() == bytes, true, || {
            format!("original of the fixed event {}", fixed.parked_no)
        });
        &fixed.bytes
    }

    /// Adds up the fixed events that no message of a followed history holds.
    pub(super) fn add_beside<D: Database>(
        &self,
        database: &D,
        parked: &Parked,
        computed: &mut Computed,
        report: &mut VerifyReport,
    ) -> Result<(), LedgerError> {
        for fixed in self.0.values().filter(|fixed| fixed.is_beside) {
            let Superseding { event_no, store_no, stream_no, .. } = *fixed;
            let Ok(event) = decode_event(&fixed.bytes) else { continue };
            let page = Page::of_events(database, Vec::new(), event_no, event_no)?;
            computed.event(&page, parked, (event_no, store_no, stream_no), &event.body, report);
            let is_there = matches!(event.body, EventBody::SaleCompleted(_)).then(|| page.has_sale(event_no));
            report.compare(is_there.unwrap_or(true), true, || format!("sale of the fixed event {}", fixed.parked_no));
        }
        Ok(())
    }

    pub(super) fn compare<D: Database>(&self, database: &D, report: &mut VerifyReport) -> Result<(), LedgerError> {
        let said = actions(database, report)?;
        for fixed in self.0.values() {
            let no = fixed.parked_no;
            let hashes = said.get(&no).and_then(|said| said.fix);
            report.compare(hashes.is_some(), true, || format!("action that fixed the parked event {no}"));
            let (original, content) = hashes.unwrap_or_default();
            let is = |noted: Option<ChainHash>, bytes: &[u8]| noted == Some(hash_of(bytes));
            report.compare(is(original, &fixed.original), true, || format!("original of the fixed event {no}"));
            report.compare(is(content, &fixed.bytes), true, || format!("content of the fixed event {no}"));
            let id = |bytes| decode_identity(bytes).and_then(|identity| identity.id);
            let same = id(&fixed.original).is_none_or(|original| id(&fixed.bytes) == Some(original));
            report.compare(same, true, || format!("id of the fixed event {no}"));
        }
        for (no, _) in said.iter().filter(|(_, said)| said.fix.is_some()) {
            let held = self.0.values().any(|fixed| fixed.parked_no == *no);
            report.compare(held, true, || format!("content of the fixed event {no}"));
        }
        self.compare_states(database, &said, report)
    }

    /// The states of the events that are still among the parked ones.
    fn compare_states<D: Database>(
        &self,
        database: &D,
        said: &BTreeMap<i64, Said>,
        report: &mut VerifyReport,
    ) -> Result<(), LedgerError> {
        let beside: BTreeMap<i64, &Superseding> =
            self.0.values().filter(|fixed| fixed.is_beside).map(|fixed| (fixed.parked_no, fixed)).collect();
        let query = "SELECT parked_no, state, bytes FROM parked WHERE state <> 'open'";
        database.query(DOING, query, &[], &mut |row| {
            let (no, state) = (row.number(0)?, row.text(1)?);
            if state == "fixed" {
                let original = match row.cell(2)? {
                    Cell::Bytes(bytes) => bytes,
                    _ => &[],
                };
                let same = beside.get(&no).is_some_and(|fixed| fixed.original == original);
                report.compare(same, true, || format!("original of the fixed event {no}"));
            } else {
                let last = said.get(&no).map_or("", |said| said.last.as_str()).to_owned();
                report.compare(state, last, || format!("state of the parked event {no}"));
            }
            Ok(())
        })?;
        let query = "SELECT store_id, parked_events + forked_events, coalesce((SELECT count(*) FROM parked
                WHERE parked.store_no = store_state.store_no AND state = 'open'), 0)
            FROM store_state JOIN stores ON stores.store_no = store_state.store_no";
        database.query(DOING, query, &[], &mut |row| {
            let (store, held, computed) = (row.text(0)?, row.number(1)?, row.number(2)?);
            report.compare(held, computed, || format!("parked events of store {store}"));
            Ok(())
        })
    }
}

/// Follows the chains of the actions.
fn actions<D: Database>(database: &D, report: &mut VerifyReport) -> Result<BTreeMap<i64, Said>, LedgerError> {
    let mut found: BTreeMap<i64, Said> = BTreeMap::new();
    let mut before = (0, ChainHash::GENESIS);
    let query = "SELECT action_no, parked_no, at_ms, what, who, why, reason, detail, original, content, hash
        FROM parked_actions ORDER BY parked_no, action_no";
    database.query(DOING, query, &[], &mut |row| {
        let (action_no, parked_no, at_ms) = (row.number(0)?, row.number(1)?, row.number(2)?);
        let hash = |column| match row.cell(column)? {
            Cell::Nothing => Ok(None),
            _ => row.hash(column).map(Some),
        };
        let hashes = [hash(8)?, hash(9)?];
        let texts = [row.text(3)?, row.text(4)?, row.text(5)?, row.text(6)?, row.text(7)?];
        let words = [0, 1, 2, 3, 4].map(|word: usize| texts[word].as_str());
        if before.0 != parked_no {
            before = (parked_no, ChainHash::GENESIS);
        }
        let computed = Sealed { parked_no, at_ms, words, hashes }.hash(before.1);
        let held = row.hash(10)?;
        report.compare(held, computed, || format!("action {action_no} about the parked event {parked_no}"));
        before.1 = held;
        let said = found.entry(parked_no).or_default();
        if texts[0] == "fixed" {
            said.fix = Some((hashes[0], hashes[1]));
        }
        let [what, ..] = texts;
        said.last = what;
        Ok(())
    })?;
    Ok(found)
}

/// The receipt numbers that were given by parked events first.
pub(super) fn parked_receipts<D: Database>(database: &D, computed: &mut Computed) -> Result<(), LedgerError> {
    let query = "SELECT store_no, till_id, receipt_no FROM parked_receipts";
    database.query(DOING, query, &[], &mut |row| {
        let receipt_no = u64::try_from(row.number(2)?).unwrap_or_default();
        computed.counter.receipt(row.number(0)?, &row.text(1)?, receipt_no);
        Ok(())
    })
}
