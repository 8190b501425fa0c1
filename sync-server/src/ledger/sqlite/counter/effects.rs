//! What the events of a group move beside sales, gathered in memory and written once.

use std::collections::{BTreeMap, HashSet};

use pos_model::{Currency, SaleId, TillId};
use protocol::latest::RefundCompleted;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::effects::{Table, add, sorted};
use super::super::fault::{During, Fault};
use super::super::numbers::{self, Runs};
use super::super::record::Place;

#[derive(Debug, Default)]
pub(in super::super) struct CounterEffects<'g> {
    /// By store, business date and currency.
    totals: Table<(i64, i32, Currency), RefundTotals>,
    /// By stream, business date and item.
    added: Table<(i64, i32, &'g str), i64>,
    /// Number and event of each Z report, by store and till.
    z: Table<(i64, &'g str), Vec<(i64, i64)>>,
    /// What came back, by store and sale; nothing for a sale that has arrived and of which something came back before.
    refunded: BTreeMap<(i64, SaleId), Refunded>,
}

#[derive(Debug, Default)]
struct RefundTotals {
    refunds: i64,
    gross_minor: i64,
    tax_minor: i64,
}

#[derive(Debug, Default)]
struct Refunded {
    refunds: i64,
    gross_minor: i64,
    tax_minor: i64,
    /// Quantity and gross, by line of the sale.
    lines: BTreeMap<u32, (i64, i64)>,
}

const ADD_TOTALS: &str = "INSERT INTO day_totals (store_no, business_date, currency, sales, lines, quantity_micro,
        gross_minor, tax_minor, net_minor, refunds, refund_gross_minor, refund_tax_minor)
    VALUES (?1, ?2, ?3, 0, 0, 0, 0, 0, 0, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
        refunds = refunds + excluded.refunds, refund_gross_minor = refund_gross_minor + excluded.refund_gross_minor,
        refund_tax_minor = refund_tax_minor + excluded.refund_tax_minor";

const ADD_STOCK: &str = "INSERT INTO stock_added VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
    added_micro = added_micro + excluded.added_micro";

const Z_RUNS_AT: &str = "SELECT first_no, last_no FROM z_runs WHERE store_no = ?1 AND till_id = ?2 AND first_no <= ?3
    ORDER BY first_no DESC";

const PUT_Z_RUN: &str =
    "INSERT INTO z_runs VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET last_no = excluded.last_no";

const DROP_Z_RUN: &str = "DELETE FROM z_runs WHERE store_no = ?1 AND till_id = ?2 AND first_no = ?3";

const ADD_DUPLICATE_Z: &str = "INSERT INTO duplicate_z VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";

const REFUNDED_SALE: &str = "SELECT sale_event_no FROM refunded_sales WHERE store_no = ?1 AND sale_id = ?2";

const ADD_REFUNDED: &str = "INSERT INTO refunded_sales VALUES (?1, ?2, ?3, ?4, ?5, NULL, 0) ON CONFLICT DO UPDATE SET
    refunds = refunds + excluded.refunds, gross_minor = gross_minor + excluded.gross_minor,
    tax_minor = tax_minor + excluded.tax_minor";

const ADD_REFUNDED_LINE: &str = "INSERT INTO refunded_lines VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
    quantity_micro = quantity_micro + excluded.quantity_micro, gross_minor = gross_minor + excluded.gross_minor";

/// A sale counts for the refunds of its own store.
const SALE_EVENT: &str = "SELECT event_no FROM sales WHERE sale_id = ?2 AND store_no = ?1";

const COUNT_WAITING: &str = "UPDATE store_state SET refunds_waiting = refunds_waiting + ?2 WHERE store_no = ?1";

/// More came back than was sold: of the whole sale, or of one of its lines.
const JUDGE: &str = "UPDATE refunded_sales AS back SET sale_event_no = ?3, is_over = (
        SELECT back.gross_minor > sales.gross_minor OR EXISTS (
            SELECT 1 FROM refunded_lines AS line LEFT JOIN sale_lines AS sold
                ON sold.line_no = sales.event_no * 1024 + line.sale_line AND line.sale_line < 1024
            WHERE line.store_no = ?1 AND line.sale_id = ?2 AND (sold.line_no IS NULL
                OR line.quantity_micro > sold.quantity_micro OR line.gross_minor > sold.gross_minor))
        FROM sales WHERE sales.event_no = ?3)
    WHERE back.store_no = ?1 AND back.sale_id = ?2";

impl<'g> CounterEffects<'g> {
    /// Adds a refund. A sum that leaves 64 bits is the refund's fault.
    pub(super) fn refund(&mut self, place: Place, refund: &'g RefundCompleted) -> Result<(), Fault> {
        let (gross, tax) = (refund.totals.gross_minor.minor(), refund.totals.tax_minor.minor());
        let date = refund.business_date.days();
        let totals = self.totals.entry((place.store_no, date, refund.currency)).or_default();
        totals.refunds += 1;
        add(&mut totals.gross_minor, gross)?;
        add(&mut totals.tax_minor, tax)?;
        let refunded = self.refunded.entry((place.store_no, refund.sale_id)).or_default();
        refunded.refunds += 1;
        add(&mut refunded.gross_minor, gross)?;
        add(&mut refunded.tax_minor, tax)?;
        for line in &refund.lines {
            let (quantity, gross) = refunded.lines.entry(line.line).or_default();
            add(quantity, line.quantity.micro())?;
            add(gross, line.gross_minor.minor())?;
        }
        for consumption in refund.lines.iter().flat_map(|line| &line.restocked) {
            let key = (place.stream_no, date, consumption.item_id.as_str());
            self.added(key, consumption.quantity.micro())?;
        }
        Ok(())
    }

    /// Counts stock as added: of a stream, business date and item.
    pub(super) fn added(&mut self, key: (i64, i32, &'g str), micro: i64) -> Result<(), Fault> {
        add(self.added.entry(key).or_default(), micro)
    }

    /// Counts the number of a Z report.
    pub(super) fn z_report(&mut self, store_no: i64, till_id: &'g TillId, z_no: i64, event_no: i64) {
        self.z.entry((store_no, till_id.as_str())).or_default().push((z_no, event_no));
    }

    /// A sale is applied of which something may have come back before.
    pub(in super::super) fn awaited(&mut self, store_no: i64, sale_id: SaleId) {
        self.refunded.entry((store_no, sale_id)).or_default();
    }

    /// Writes what was gathered; stores of which a refund waits for its sale are added to `stores_waiting`.
    pub(in super::super) fn write(
        &mut self,
        connection: &Connection,
        stores_waiting: &mut HashSet<i64>,
    ) -> Result<(), Fault> {
        for ((store_no, date, currency), totals) in sorted(&mut self.totals) {
            let doing = "add to the day's refunds";
            let RefundTotals { refunds, gross_minor, tax_minor } = totals;
            let row = params![store_no, date, currency.as_str(), refunds, gross_minor, tax_minor];
            connection.prepare_cached(ADD_TOTALS).during(doing)?.execute(row).during(doing)?;
        }
        for ((stream_no, date, item_id), micro) in sorted(&mut self.added) {
            let doing = "add to the stock added";
            let row = params![stream_no, date, item_id, micro];
            connection.prepare_cached(ADD_STOCK).during(doing)?.execute(row).during(doing)?;
        }
        for ((store_no, till_id), z_numbers) in sorted(&mut self.z) {
            let doing = "prepare statement";
            let mut runs = Runs {
                at: &mut connection.prepare_cached(Z_RUNS_AT).during(doing)?,
                put: &mut connection.prepare_cached(PUT_Z_RUN).during(doing)?,
                drop: &mut connection.prepare_cached(DROP_Z_RUN).during(doing)?,
                add_duplicate: &mut connection.prepare_cached(ADD_DUPLICATE_Z).during(doing)?,
            };
            numbers::note(&mut runs, store_no, till_id, z_numbers)?;
        }
        for ((store_no, sale_id), refunded) in std::mem::take(&mut self.refunded) {
            if settle(connection, store_no, sale_id, &refunded)? == Settled::Waits {
                stores_waiting.insert(store_no);
            }
        }
        Ok(())
    }
}

/// Whether the refunds of a sale could be compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    /// They were, or there are none.
    Done,
    /// Its sale is not applied.
    Waits,
}

/// Adds what came back of a sale, and compares the sum with what was sold. Refunds may come before their sale, and in any
/// order: the outcome is the same.
fn settle(connection: &Connection, store_no: i64, sale_id: SaleId, back: &Refunded) -> Result<Settled, Fault> {
    let doing = "add up what came back of a sale";
    let key = params![store_no, sale_id.as_bytes()];
    let query = |sql: &'static str| -> Result<Option<Option<i64>>, Fault> {
        let mut statement = connection.prepare_cached(sql).during(doing)?;
        Ok(statement.query_row(key, |row| row.get(0)).optional().during(doing)?)
    };
    let before = query(REFUNDED_SALE)?;
    if back.refunds > 0 {
        let row = params![store_no, sale_id.as_bytes(), back.refunds, back.gross_minor, back.tax_minor];
        connection.prepare_cached(ADD_REFUNDED).during(doing)?.execute(row).during(doing)?;
        for (line, (quantity_micro, gross_minor)) in &back.lines {
            let row = params![store_no, sale_id.as_bytes(), line, quantity_micro, gross_minor];
            connection.prepare_cached(ADD_REFUNDED_LINE).during(doing)?.execute(row).during(doing)?;
        }
    } else if before.is_none() {
        return Ok(Settled::Done);
    }
    let sale = match before.flatten() {
        Some(event_no) => Some(event_no),
        None => query(SALE_EVENT)?.flatten(),
    };
    let waited = before == Some(None);
    let moved = i64::from(sale.is_none()) - i64::from(waited);
    if moved != 0 {
        connection.prepare_cached(COUNT_WAITING).during(doing)?.execute(params![store_no, moved]).during(doing)?;
    }
    let Some(event_no) = sale else { return Ok(Settled::Waits) };
    let row = params![store_no, sale_id.as_bytes(), event_no];
    connection.prepare_cached(JUDGE).during(doing)?.execute(row).during(doing)?;
    Ok(Settled::Done)
}
