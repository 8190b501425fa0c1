//! What a group says to the tables, answered from what was read ahead, and kept back.

use std::collections::{BTreeMap, HashSet};

use pos_model::{ChainHash, Epoch, SaleId, Seq, StoreId, TillId};
use protocol::latest::{EventBody, Mark, Predecessor, decode_event};

use super::state::{ParkedOut, Stream};
use super::{KnownRuns, PostgresTables, add, lookups, sold_of, writing};
use crate::ledger::LedgerError;
use crate::ledger::database::{Cell, Database};
use crate::ledger::fault::Fault;
use crate::ledger::group::{
    BatchRow, DayKey, Direction, FactKind, FactPlace, HealthNote, KnownHead, NumberKind, ParkedRow, RefundTotals,
    Refunded, SaleRow, Sold, StoreCounts, StreamRow, Table, Tables, Totals,
};
use crate::ledger::postgres::database::Access;
use crate::ledger::postgres::months::Month;
use crate::ledger::read::frames::{self, HeldBatch};
use crate::ledger::read::rollups;
use crate::ledger::text::{adjustment_sum_minor, options_as_json, tenders_as_json};

impl<'g> Tables<'g> for PostgresTables<'_, 'g> {
    fn store_no(&mut self, store: &StoreId, now_ms: i64) -> Result<i64, Fault> {
        if let Some(store_no) = self.stores.get(store.as_str()) {
            return Ok(*store_no);
        }
        let store_no = lookups::add_store(self.session, store, now_ms)?;
        self.stores.insert(store.to_string(), store_no);
        Ok(store_no)
    }

    fn next_event_no(&mut self) -> Result<i64, Fault> {
        Ok(self.next_event_no)
    }

    fn stores_waiting(&mut self) -> Result<HashSet<i64>, Fault> {
        let waiting = self.states.iter().filter(|(_, state)| state.refunds_waiting > 0);
        Ok(waiting.map(|(store_no, _)| *store_no).collect())
    }

    fn stream(&mut self, store_no: i64, epoch: Epoch) -> Result<Option<StreamRow>, Fault> {
        Ok(self.cached_stream(store_no, epoch.to_sql())?.map(|stream| stream.row()))
    }

    fn add_stream(
        &mut self,
        store_no: i64,
        epoch: Epoch,
        applied: Mark,
        base_hash: ChainHash,
        now_ms: i64,
    ) -> Result<i64, Fault> {
        if self.stream_numbers.is_empty() {
            self.stream_numbers = lookups::stream_numbers(self.session)?;
        }
        let stream_no = self.stream_numbers.pop().ok_or(LedgerError::Damaged { what: "sequence of epochs" })?;
        let key = (store_no, epoch.to_sql());
        self.streams.insert(key, Some(Stream::new(stream_no, applied, base_hash, now_ms)));
        self.stream_keys.insert(stream_no, key);
        self.losses.insert(stream_no, Vec::new());
        self.newest_place = Some((stream_no, applied.seq.to_sql()));
        Ok(stream_no)
    }

    fn move_cursor(&mut self, stream_no: i64, applied: Mark, base_hash: ChainHash) -> Result<(), Fault> {
        self.numbered(stream_no)?.move_to(applied, base_hash);
        self.newest_place = Some((stream_no, applied.seq.to_sql()));
        Ok(())
    }

    fn open_stream(
        &mut self,
        stream_no: i64,
        at_ms: i64,
        why: &'static str,
        previous: Option<&Predecessor>,
    ) -> Result<(), Fault> {
        if !self.stream_keys.contains_key(&stream_no)
            && let Some((store_no, epoch)) = lookups::stream_key(self.session, stream_no)?
        {
            self.cached_stream(store_no, epoch)?;
        }
        self.numbered(stream_no)?.open(at_ms, why, previous);
        Ok(())
    }

    fn continue_stream(&mut self, store_no: i64, previous: &Predecessor) -> Result<bool, Fault> {
        let Some(stream) = self.cached_stream(store_no, previous.epoch.to_sql())? else { return Ok(false) };
        add(&mut stream.successors, 1)?;
        stream.continued_at = stream.continued_at.min(previous.seq.to_sql());
        stream.is_changed = true;
        Ok(true)
    }

    fn report_head(&mut self, store_no: i64, epoch: Epoch, head: Seq) -> Result<(), Fault> {
        if let Some(stream) = self.cached_stream(store_no, epoch.to_sql())?
            && stream.reported_head < head.to_sql()
        {
            stream.reported_head = head.to_sql();
            stream.is_changed = true;
        }
        Ok(())
    }

    fn held(&mut self, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, Fault> {
        self.flush()?;
        Ok(lookups::held(self.session, stream_no, seq)?)
    }

    fn lost(&mut self, stream_no: i64, from: Seq, to: Seq) -> Result<Option<(Seq, Seq)>, Fault> {
        if !self.losses.contains_key(&stream_no) {
            self.flush()?;
            let losses = lookups::losses(self.session, stream_no)?;
            self.losses.insert(stream_no, losses);
        }
        let (from, to) = (from.to_sql(), to.to_sql());
        let runs = self.losses.get(&stream_no).map(Vec::as_slice).unwrap_or_default();
        let run = runs.iter().filter(|(first, last)| *first <= to && *last >= from).min();
        Ok(run.map(|(first, last)| (Seq::from_sql(from.max(*first)), Seq::from_sql(to.min(*last)))))
    }

    fn found(&mut self, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, Fault> {
        self.flush()?;
        Ok(lookups::found(self.session, stream_no, seq)?)
    }

    fn add_loss(&mut self, stream_no: i64, from: Seq, to: Seq, now_ms: i64) -> Result<(), Fault> {
        let (from, to) = (from.to_sql(), to.to_sql());
        let runs = self.losses.entry(stream_no).or_default();
        if !runs.iter().any(|(first, _)| *first == from) {
            runs.push((from, to));
            self.new_losses.push((stream_no, from, to, now_ms));
        }
        Ok(())
    }

    fn add_batch(&mut self, row: &BatchRow<'g>) -> Result<(), Fault> {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.batches
            .row(8)
            .bigint(row.first_event_no)
            .bigint(row.stream_no)
            .bigint(row.first_seq.to_sql())
            .bigint(number(row.events))
            .bigint(row.received_at_ms)
            .bigint(number(row.skip))
            .bytes(row.last_hash.as_bytes())
            .bytes(row.frame);
        Ok(())
    }

    /// Hashes follow from the frames.
    fn add_event(&mut self, _event_no: i64, _hash: &ChainHash) -> Result<(), Fault> {
        Ok(())
    }

    fn add_sale(&mut self, row: &SaleRow<'g>) -> Result<bool, Fault> {
        let sale = row.sale;
        if self.knows(FactKind::Sale, sale.sale_id.as_bytes())? {
            return Ok(false);
        }
        self.add_fact_id(FactKind::Sale, sale.sale_id.as_bytes(), (row.store_no, row.event_no));
        let days = sale.business_date.days();
        self.months.insert(Month::of_days(days.into()));
        tenders_as_json(&sale.tenders, &mut self.text);
        let imported = sale.imported.as_ref();
        self.sales
            .row(25)
            .bigint(row.event_no)
            .bytes(sale.sale_id.as_bytes())
            .bigint(row.store_no)
            .bigint(row.stream_no)
            .bigint(row.seq.to_sql())
            .date(days)
            .bigint(sale.sold_at.utc_ms)
            .integer(sale.sold_at.offset_s)
            .text(sale.till_id.as_str())
            .maybe_text(sale.operator_id.as_ref().map(pos_model::OperatorId::as_str))
            .text(sale.channel.as_str())
            .maybe_text(sale.member_tag.as_deref())
            .bigint(row.receipt_no)
            .bigint(sale.pickup_no.into())
            .text(sale.currency.as_str())
            .integer(i32::try_from(row.lines).unwrap_or(i32::MAX))
            .bigint(sale.totals.quantity.micro())
            .bigint(sale.totals.gross_minor.minor())
            .bigint(sale.totals.tax_minor.minor())
            .bigint(sale.totals.net_minor.minor())
            .bigint(sale.change_minor.minor())
            .text(&self.text)
            .maybe_text(sale.price_book_version.as_deref())
            .maybe_text(imported.map(|imported| imported.source.as_str()))
            .maybe_text(imported.map(|imported| imported.reference.as_str()));
        for (line, line_no) in sale.lines.iter().zip(row.event_no * 1024..) {
            options_as_json(line, &mut self.text);
            self.lines
                .row(12)
                .bigint(line_no)
                .date(days)
                .text(line.sku.as_str())
                .text(&line.name)
                .bigint(line.quantity.micro())
                .bigint(line.unit_price_minor.minor())
                .bigint(line.gross_minor.minor())
                .bigint(line.tax_minor.minor())
                .text(line.tax_group.as_str())
                .bigint(line.tax_rate_ppm.into())
                .bigint(adjustment_sum_minor(line))
                .maybe_text((!self.text.is_empty()).then_some(self.text.as_str()));
        }
        if self.watched.contains(&sale.sale_id) {
            self.sold.insert(row.event_no, sold_of(sale));
            self.sale_events.insert((row.store_no, sale.sale_id), Some(row.event_no));
        }
        Ok(true)
    }

    fn add_fact(
        &mut self,
        kind: FactKind,
        table: Table,
        id: &[u8; 16],
        place: (i64, i64),
        row: &[Cell<'_>],
    ) -> Result<bool, Fault> {
        if self.knows(kind, id)? {
            return Ok(false);
        }
        self.add_row(table, row)?;
        self.add_fact_id(kind, id, place);
        Ok(true)
    }

    fn add_row(&mut self, table: Table, row: &[Cell<'_>]) -> Result<(), Fault> {
        let types = self.session.types(table.name())?;
        let copy = &mut self.rows[table as usize];
        copy.cells(row, &types).map_err(|error| Fault::Content(error.to_string()))
    }

    fn fact_place(&mut self, kind: FactKind, id: &[u8; 16]) -> Result<FactPlace, Fault> {
        self.flush()?;
        Ok(lookups::fact_place(self.session, kind, id)?)
    }

    fn holding(&mut self, event_no: i64) -> Result<Option<HeldBatch>, Fault> {
        self.flush()?;
        Ok(frames::holding(&Access(self.session), event_no)?)
    }

    fn park(&mut self, row: &ParkedRow<'_>) -> Result<bool, Fault> {
        let parked = ParkedOut::of(row);
        if row.event_no.is_some() {
            self.parked.push(parked);
            return Ok(true);
        }
        // Whether it is new decides what is counted.
        self.flush()?;
        Ok(writing::park_one(self.session, &parked)?)
    }

    fn is_parked(&mut self, stream_no: i64, mark: Mark) -> Result<bool, Fault> {
        self.flush()?;
        Ok(lookups::is_parked(self.session, stream_no, mark)?)
    }

    fn access(&mut self) -> Result<impl Database + '_, Fault> {
        Ok(Access(self.session))
    }

    fn roll_up_anew(&mut self, store_no: i64, date: i32, event_no: i64) -> Result<(), Fault> {
        Ok(rollups::mark(&Access(self.session), (store_no, date), event_no)?)
    }

    fn report_receipt(&mut self, store_no: i64, till: &TillId, receipt_no: i64) -> Result<(), Fault> {
        let head = self.heads.entry((store_no, till.as_str().to_owned())).or_insert(receipt_no);
        *head = receipt_no.max(*head);
        self.note_receipt(store_no, till.as_str(), receipt_no);
        Ok(())
    }

    fn known_receipts(&mut self, store_no: i64) -> Result<Vec<KnownHead>, Fault> {
        if !self.receipts.contains_key(&store_no) {
            self.flush()?;
            let known = lookups::known_receipts(self.session, store_no)?;
            self.receipts.insert(store_no, known);
        }
        let known = self.receipts.get(&store_no).expect("it was read if it was not there");
        Ok(known.values().cloned().collect())
    }

    fn note_health(&mut self, store_no: i64, note: &HealthNote<'_>) -> Result<(), Fault> {
        self.state(store_no)?.note_health(note);
        Ok(())
    }

    fn count_store(&mut self, store_no: i64, counts: &StoreCounts) -> Result<(), Fault> {
        self.state(store_no)?.count(counts)
    }

    fn add_totals(&mut self, key: DayKey, totals: &Totals) -> Result<(), Fault> {
        let (sum, _) = self.totals.entry(key).or_default();
        add(&mut sum.sales, totals.sales)?;
        add(&mut sum.lines, totals.lines)?;
        add(&mut sum.quantity_micro, totals.quantity_micro)?;
        add(&mut sum.gross_minor, totals.gross_minor)?;
        add(&mut sum.tax_minor, totals.tax_minor)?;
        add(&mut sum.net_minor, totals.net_minor)
    }

    fn add_refund_totals(&mut self, key: DayKey, totals: &RefundTotals) -> Result<(), Fault> {
        let (_, sum) = self.totals.entry(key).or_default();
        add(&mut sum.refunds, totals.refunds)?;
        add(&mut sum.gross_minor, totals.gross_minor)?;
        add(&mut sum.tax_minor, totals.tax_minor)
    }

    fn add_stock(&mut self, direction: Direction, key: (i64, i32, &'g str), micro: i64) -> Result<(), Fault> {
        let (stream_no, days, item) = key;
        add(self.stock.entry((direction, stream_no, days, item)).or_default(), micro)
    }

    fn expect_numbers(&mut self, kind: NumberKind, ranges: &[(i64, &'g str, i64, i64)]) -> Result<(), Fault> {
        let unread: Vec<_> =
            ranges.iter().filter(|(store_no, till, ..)| !self.runs.contains_key(&(kind, *store_no, *till))).collect();
        if unread.is_empty() {
            return Ok(());
        }
        for &&(store_no, till, first, last) in &unread {
            let window = (first.saturating_sub(1), last.saturating_add(1));
            self.runs.insert((kind, store_no, till), KnownRuns { window, runs: BTreeMap::new() });
        }
        for (index, first, last) in lookups::runs(self.session, kind, &unread)? {
            if let Some(&&(store_no, till, ..)) = usize::try_from(index).ok().and_then(|index| unread.get(index))
                && let Some(known) = self.runs.get_mut(&(kind, store_no, till))
            {
                known.runs.insert(first, last);
            }
        }
        Ok(())
    }

    fn runs(
        &mut self,
        kind: NumberKind,
        store_no: i64,
        till_id: &'g str,
        first: i64,
        last: i64,
    ) -> Result<Vec<(i64, i64)>, Fault> {
        let (low, high) = (first.saturating_sub(1), last.saturating_add(1));
        let key = (kind, store_no, till_id);
        let is_read = self.runs.get(&key).is_some_and(|known| known.window.0 <= low && known.window.1 >= high);
        if !is_read {
            // Beyond what was read, the database says more; it must know what was written.
            self.flush()?;
            self.runs.remove(&key);
            self.expect_numbers(kind, &[(store_no, till_id, first, last)])?;
        }
        let known = self.runs.get(&key).expect("it was read if it was not there");
        let touching = known.runs.range(..=high).filter(|(_, run_last)| **run_last >= low);
        Ok(touching.map(|(run_first, run_last)| (*run_first, *run_last)).collect())
    }

    fn put_run(
        &mut self,
        kind: NumberKind,
        store_no: i64,
        till_id: &'g str,
        first: i64,
        last: i64,
    ) -> Result<(), Fault> {
        if let Some(known) = self.runs.get_mut(&(kind, store_no, till_id)) {
            known.runs.insert(first, last);
        }
        self.put_runs.insert((kind, store_no, till_id, first), Some(last));
        match kind {
            NumberKind::Receipt => self.note_receipt(store_no, till_id, last),
            // With the number comes a grand total; the store that asks next has them read again.
            NumberKind::Z => drop(self.receipts.remove(&store_no)),
        }
        Ok(())
    }

    fn drop_run(&mut self, kind: NumberKind, store_no: i64, till_id: &'g str, first: i64) -> Result<(), Fault> {
        if let Some(known) = self.runs.get_mut(&(kind, store_no, till_id)) {
            known.runs.remove(&first);
        }
        self.put_runs.insert((kind, store_no, till_id, first), None);
        Ok(())
    }

    fn add_duplicate(
        &mut self,
        kind: NumberKind,
        store_no: i64,
        till_id: &'g str,
        number: i64,
        event_no: i64,
    ) -> Result<(), Fault> {
        self.duplicates.insert((kind, store_no, till_id, number, event_no));
        Ok(())
    }

    fn expect_refunds(&mut self, sales: &[(i64, SaleId)]) -> Result<(), Fault> {
        let unread: Vec<_> = sales.iter().copied().filter(|key| !self.refunded.contains_key(key)).collect();
        if unread.is_empty() {
            return Ok(());
        }
        let (refunded, events) = lookups::refunds(self.session, &unread)?;
        for key in unread {
            self.refunded.insert(key, refunded.get(&key).cloned());
            // A sale of this group is not in the database yet.
            self.sale_events.entry(key).or_insert_with(|| events.get(&key).copied());
        }
        Ok(())
    }

    fn refunded(&mut self, store_no: i64, sale_id: SaleId) -> Result<Option<Refunded>, Fault> {
        let key = (store_no, sale_id);
        if !self.refunded.contains_key(&key) {
            self.flush()?;
            self.expect_refunds(&[key])?;
        }
        Ok(self.refunded.get(&key).cloned().flatten())
    }

    fn put_refunded(
        &mut self,
        store_no: i64,
        sale_id: SaleId,
        refunded: &Refunded,
        changed: &[u32],
    ) -> Result<(), Fault> {
        self.refunded.insert((store_no, sale_id), Some(refunded.clone()));
        self.put_refunded.entry((store_no, sale_id)).or_default().extend(changed);
        Ok(())
    }

    fn sale_event(&mut self, store_no: i64, sale_id: SaleId) -> Result<Option<i64>, Fault> {
        let key = (store_no, sale_id);
        if !matches!(self.sale_events.get(&key), Some(Some(_)))
            && self.facts.contains_key(&(FactKind::Sale, *sale_id.as_bytes()))
        {
            // It came with this group.
            self.flush()?;
            self.sale_events.remove(&key);
        }
        if !self.sale_events.contains_key(&key) {
            let found = lookups::fact(self.session, FactKind::Sale, sale_id.as_bytes())?;
            let found = found.filter(|(at, _)| *at == store_no).map(|(_, event_no)| event_no);
            self.sale_events.insert(key, found);
        }
        Ok(self.sale_events.get(&key).copied().flatten())
    }

    fn sold(&mut self, event_no: i64) -> Result<Option<Sold>, Fault> {
        if !self.sold.contains_key(&event_no) {
            self.flush()?;
            let bytes = frames::event_bytes(&Access(self.session), event_no)?;
            let Some(bytes) = bytes else { return Ok(None) };
            let Some(EventBody::SaleCompleted(sale)) = decode_event(&bytes).ok().map(|event| event.body) else {
                return Err(LedgerError::Damaged { what: "event of a sale" }.into());
            };
            self.sold.insert(event_no, sold_of(&sale));
        }
        Ok(self.sold.get(&event_no).cloned())
    }

    fn count_waiting(&mut self, store_no: i64, more: i64) -> Result<(), Fault> {
        let state = self.state(store_no)?;
        state.is_changed = true;
        add(&mut state.refunds_waiting, more)
    }

    fn change(&mut self, sql: &str, values: &[Cell<'_>]) -> Result<u64, Fault> {
        self.flush()?;
        Ok(Access(self.session).execute("put right what was lost", sql, values)?)
    }

    fn find_fact(&mut self, kind: FactKind, id: &[u8; 16]) -> Result<Option<(i64, i64)>, Fault> {
        self.flush()?;
        Ok(lookups::fact(self.session, kind, id)?)
    }

    fn forget_fact(&mut self, kind: FactKind, id: &[u8; 16]) -> Result<(), Fault> {
        let delete = "DELETE FROM fact_ids WHERE id = ?1 AND kind = ?2";
        self.change(delete, &[Cell::Bytes(id), Cell::Number(super::number_of(kind).into())])?;
        self.facts.remove(&(kind, *id));
        Ok(())
    }

    /// Hashes follow from the frames.
    fn put_hash(&mut self, _event_no: i64, _hash: &ChainHash) -> Result<(), Fault> {
        Ok(())
    }

    fn message_at(&mut self, stream_no: i64, seq: Seq) -> Result<Option<HeldBatch>, Fault> {
        self.flush()?;
        Ok(frames::at(&Access(self.session), stream_no, seq)?)
    }

    fn begin_step(&mut self) -> Result<(), Fault> {
        self.flush()?;
        Ok(self.session.batch("open savepoint", "SAVEPOINT step")?)
    }

    fn undo_step(&mut self) -> Result<(), Fault> {
        self.forget();
        Ok(self.session.batch("roll back to savepoint", "ROLLBACK TO step")?)
    }

    fn end_step(&mut self) -> Result<(), Fault> {
        Ok(self.session.batch("release savepoint", "RELEASE step")?)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.write()
    }
}
