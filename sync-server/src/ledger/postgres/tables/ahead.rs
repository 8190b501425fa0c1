//! Reading ahead: the transaction begins, the stores are locked, and what the group needs is read, in one flight.

use std::collections::BTreeMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::lookups::{STATE_COLUMNS, STREAM_COLUMNS, read_state, read_stream};
use super::{PostgresTables, Reading, number_of};
use crate::ledger::LedgerError;
use crate::ledger::database::{AnyRow, Row as _};
use crate::ledger::group::{FactKind, KnownHead};
use crate::ledger::postgres::months::Month;
use crate::ledger::postgres::session::Sent;

const DOING: &str = "read what the group needs";

/// A store that the ledger has never heard of gets a number: whoever let its message in knows it, and a sale is a fact.
const ADD_STORES: &str = "INSERT INTO stores (store_id, name, status, added_at_ms)
    SELECT id, '', 'active', ?2::bigint FROM unnest(?1::text[]) AS id
    WHERE NOT EXISTS (SELECT 1 FROM stores WHERE store_id = id) ORDER BY id ON CONFLICT DO NOTHING";

const ADD_STATES: &str = "INSERT INTO store_state (store_no, last_contact_ms)
    SELECT store_no, ?2::bigint FROM stores WHERE store_id = ANY (?1::text[])
        AND NOT EXISTS (SELECT 1 FROM store_state WHERE store_state.store_no = stores.store_no)
    ORDER BY store_no ON CONFLICT DO NOTHING";

/// The lock and the fence: in one order, so that two servers never wait for each other in a circle.
fn lock_stores() -> String {
    format!(
        "SELECT {STATE_COLUMNS}, store_id FROM store_state JOIN stores USING (store_no)
        WHERE store_id = ANY (?1::text[]) OR store_no = ANY (?2::bigint[]) ORDER BY store_no FOR UPDATE OF store_state"
    )
}

fn streams() -> String {
    format!(
        "SELECT {STREAM_COLUMNS}, asked.store_id FROM unnest(?1::text[], ?2::bigint[]) AS asked (store_id, epoch)
        JOIN stores ON stores.store_id = asked.store_id
        JOIN streams ON streams.store_no = stores.store_no AND streams.epoch = asked.epoch"
    )
}

const LOSSES: &str = "SELECT losses.stream_no, from_seq, to_seq
    FROM unnest(?1::text[], ?2::bigint[]) AS asked (store_id, epoch)
    JOIN stores ON stores.store_id = asked.store_id
    JOIN streams ON streams.store_no = stores.store_no AND streams.epoch = asked.epoch
    JOIN losses ON losses.stream_no = streams.stream_no";

const NUMBERS: &str = "SELECT take_event_numbers(?1, ?2)";

/// The newest numbers of the tills of stores that a condition picks.
pub(super) fn known_receipts(which: &str) -> String {
    format!(
        "SELECT heads.store_no, heads.till_id, max(heads.receipt_no), max(heads.z_no), coalesce((
            SELECT grand_total_after_minor FROM z_reports
            WHERE z_reports.store_no = heads.store_no AND z_reports.till_id = heads.till_id
            ORDER BY z_reports.z_no DESC LIMIT 1), 0)
        FROM stores JOIN (
            SELECT store_no, till_id, last_no AS receipt_no, 0::bigint AS z_no FROM receipt_runs
            UNION ALL SELECT store_no, till_id, receipt_no, 0 FROM receipt_heads
            UNION ALL SELECT store_no, till_id, 0, last_no FROM z_runs) AS heads ON heads.store_no = stores.store_no
        WHERE {which} GROUP BY heads.store_no, heads.till_id"
    )
}

/// The store and the head of a row of [`known_receipts`].
pub(super) fn known_head(row: &AnyRow<'_>) -> Result<(i64, KnownHead), LedgerError> {
    let head = KnownHead {
        till_id: row.text(1)?,
        receipt_no: row.number(2)?,
        z_no: row.number(3)?,
        grand_total_minor: row.number(4)?,
    };
    Ok((row.number(0)?, head))
}

const FACTS: &str = "SELECT kind, id FROM fact_ids JOIN unnest(?1::smallint[], ?2::uuid[]) AS asked (kind, id)
    USING (kind, id)";

/// What a statement brings.
type Rows = Vec<Row>;

fn run<'a>(client: &'a Client, statement: Statement, values: Vec<&'a (dyn ToSql + Sync)>) -> Sent<'a, Rows> {
    Box::pin(async move { client.query(&statement, &values).await })
}

impl PostgresTables<'_, '_> {
    pub(super) fn read_ahead(&mut self, asked: &Reading<'_>) -> Result<(), LedgerError> {
        let session = self.session;
        let client = session.client();
        let statement = |sql: &str| session.statement(DOING, sql);
        let (add_stores, add_states) = (statement(ADD_STORES)?, statement(ADD_STATES)?);
        let (lock, streams, losses) = (statement(&lock_stores())?, statement(&streams())?, statement(LOSSES)?);
        let (numbers, receipts, facts) =
            (statement(NUMBERS)?, statement(&known_receipts("stores.store_id = ANY (?1::text[])"))?, statement(FACTS)?);

        let stores: Vec<&str> = asked.epochs.keys().copied().collect();
        let store_numbers: Vec<i64> = asked.store_numbers.iter().copied().collect();
        let pairs = || asked.epochs.iter().flat_map(|(store, epochs)| epochs.iter().map(move |epoch| (*store, *epoch)));
        let (of_stores, epochs): (Vec<&str>, Vec<i64>) = pairs().unzip();
        let asking: Vec<&str> = asked.receipts.iter().copied().collect();
        let (kinds, ids) = self.fact_keys(asked);
        let least = Month::of_ms(self.now_ms).first_event_no();

        let mut flight: Vec<Sent<'_, Rows>> = vec![Box::pin(async {
            client.batch_execute("BEGIN").await?;
            Ok(Vec::new())
        })];
        if !stores.is_empty() {
            flight.push(run(client, add_stores, vec![&stores, &self.now_ms]));
            flight.push(run(client, add_states, vec![&stores, &self.now_ms]));
        }
        flight.push(run(client, lock, vec![&stores, &store_numbers]));
        let first_read = flight.len();
        flight.push(run(client, streams, vec![&of_stores, &epochs]));
        flight.push(run(client, losses, vec![&of_stores, &epochs]));
        flight.push(run(client, receipts, vec![&asking]));
        flight.push(run(client, facts, vec![&kinds, &ids]));
        if asked.events > 0 {
            flight.push(run(client, numbers, vec![&asked.events, &least]));
        }
        let rows = session.flight(DOING, flight)?;
        let [locked, streams, losses, receipts, facts, numbers @ ..] = &rows[first_read - 1..] else {
            return Err(LedgerError::Damaged { what: "answer of the database" });
        };
        self.take_states(locked)?;
        self.take_streams(streams, pairs())?;
        for row in losses {
            let row = AnyRow::Postgres(row, DOING);
            self.losses.entry(row.number(0)?).or_default().push((row.number(1)?, row.number(2)?));
        }
        for store in &asked.receipts {
            if let Some(store_no) = self.stores.get(*store) {
                self.receipts.insert(*store_no, BTreeMap::new());
            }
        }
        for row in receipts {
            let (store_no, head) = known_head(&AnyRow::Postgres(row, DOING))?;
            self.receipts.entry(store_no).or_default().insert(head.till_id.clone(), head);
        }
        self.take_facts(facts, asked)?;
        if let Some(row) = numbers.first().and_then(|rows| rows.first()) {
            self.next_event_no = AnyRow::Postgres(row, DOING).number(0)?;
        }
        Ok(())
    }

    fn fact_keys(&self, asked: &Reading<'_>) -> (Vec<i16>, Vec<uuid::Uuid>) {
        let key = |kind, id: &[u8; 16]| (number_of(kind), uuid::Uuid::from_bytes(*id));
        let mut keys: Vec<_> = asked.facts.iter().map(|(kind, id)| key(*kind, id)).collect();
        if self.look_up_sales {
            keys.extend(asked.sales.iter().map(|id| key(FactKind::Sale, id)));
        }
        keys.into_iter().unzip()
    }

    fn take_states(&mut self, rows: &Rows) -> Result<(), LedgerError> {
        for row in rows {
            let row = AnyRow::Postgres(row, DOING);
            let (store_no, state) = read_state(&row)?;
            self.states.insert(store_no, state);
            self.stores.insert(row.text(8)?, store_no);
        }
        Ok(())
    }

    fn take_streams<'a>(
        &mut self,
        rows: &Rows,
        asked: impl Iterator<Item = (&'a str, i64)>,
    ) -> Result<(), LedgerError> {
        // Those that are not found are known not to be there.
        for (store, epoch) in asked {
            if let Some(store_no) = self.stores.get(store) {
                self.streams.insert((*store_no, epoch), None);
            }
        }
        for row in rows {
            let (key, stream) = read_stream(&AnyRow::Postgres(row, DOING))?;
            self.stream_keys.insert(stream.stream_no, key);
            self.losses.insert(stream.stream_no, Vec::new());
            self.streams.insert(key, Some(stream));
        }
        Ok(())
    }

    fn take_facts(&mut self, rows: &Rows, asked: &Reading<'_>) -> Result<(), LedgerError> {
        for (kind, id) in &asked.facts {
            self.facts.insert((*kind, *id), false);
        }
        if self.look_up_sales {
            self.facts.extend(asked.sales.iter().map(|id| ((FactKind::Sale, *id), false)));
        }
        for row in rows {
            let row = AnyRow::Postgres(row, DOING);
            let kind = KINDS.into_iter().find(|kind| i64::from(number_of(*kind)) == row.number(0).unwrap_or(-1));
            let kind = kind.ok_or(LedgerError::Damaged { what: "kind of an id" })?;
            self.facts.insert((kind, *row.id(1)?.as_bytes()), true);
        }
        Ok(())
    }
}

const KINDS: [FactKind; 8] = [
    FactKind::Sale,
    FactKind::Refund,
    FactKind::ShiftOpen,
    FactKind::ZReport,
    FactKind::ShiftAmendment,
    FactKind::CashMovement,
    FactKind::StockMovement,
    FactKind::StockCount,
];
