//! Shifts as they are read, and added up from the events themselves.

use pos_model::{BusinessDate, ChainHash, Currency, Money, OperatorId, ShiftId, Stamp, TillId};
use protocol::latest::shift_api::ShiftView;
use protocol::latest::{EventBody, RefundCompleted, SaleCompleted, ZReport, decode_event};
use rusqlite::{Connection, OptionalExtension, Row, params};
use till::{CashMove, ShiftSums, Turnover};

use super::error::{Doing, Error};
use super::shift_report::{Close, report};
use super::view::View;

/// A part of a shift's sums, added up to a place in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartOfShift {
    pub(super) shift_id: ShiftId,
    pub(super) through: i64,
    pub(super) sums: ShiftSums,
}

/// A shift as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ShiftRow {
    pub(super) shift_id: ShiftId,
    pub(super) till_id: TillId,
    pub(super) operator_id: Option<OperatorId>,
    pub(super) opened_position: i64,
    pub(super) closed_position: Option<i64>,
    pub(super) opened_at: Stamp,
    pub(super) business_date: BusinessDate,
    pub(super) float: Money,
    pub(super) report: Option<ZReport>,
    pub(super) amendments: u32,
}

impl ShiftRow {
    pub(super) fn view(self, currency: Currency) -> ShiftView {
        ShiftView {
            shift_id: self.shift_id,
            till_id: self.till_id,
            operator_id: self.operator_id,
            opened_at_ms: self.opened_at.utc_ms,
            business_date: self.business_date,
            currency,
            float_minor: self.float,
            report: self.report,
            amendments: self.amendments,
        }
    }
}

impl View<'_> {
    /// A shift.
    pub fn shift(&self, shift_id: ShiftId) -> Result<Option<ShiftView>, Error> {
        self.consistent(|view| {
            let row = view.shift_row(shift_id)?;
            row.map(|row| Ok(row.view(view.currency()?))).transpose()
        })
    }

    /// The shifts that are open, and those that were opened on a business date.
    pub fn shifts(&self, date: Option<BusinessDate>) -> Result<Vec<ShiftView>, Error> {
        self.consistent(|view| {
            let currency = view.currency()?;
            let days = date.map(BusinessDate::days);
            let mut select = view
                .connection
                .prepare_cached(
                    "SELECT shift_id, till_id, operator_id, opened_position, closed_position, opened_at, opened_offset_s,
                        business_date, float_minor, report, amendments FROM shift
                     WHERE business_date = ?1 OR (?1 IS NULL AND closed_position IS NULL)
                     ORDER BY opened_position",
                )
                .doing("read the shifts")?;
            let rows = select.query_map([days], |row| Ok(read_shift(row))).doing("read the shifts")?;
            rows.map(|row| Ok(row.doing("read the shifts")??.view(currency))).collect()
        })
    }

    /// Adds a shift up as far as the history goes at this moment.
    pub fn part_of_shift(&self, shift_id: ShiftId) -> Result<Option<PartOfShift>, Error> {
        self.consistent(|view| {
            let Some(row) = view.shift_row(shift_id)?.filter(|row| row.closed_position.is_none()) else {
                return Ok(None);
            };
            let through = view.newest_position()?;
            let sums = view.fold(shift_id, row.opened_position, through)?;
            Ok(Some(PartOfShift { shift_id, through, sums }))
        })
    }

    /// What an open shift would report at this moment, as if the drawer held what it should; the report of a closed one.
    pub fn x_report(&self, shift_id: ShiftId, at: Stamp) -> Result<Option<ZReport>, Error> {
        self.consistent(|view| {
            let Some(row) = view.shift_row(shift_id)? else { return Ok(None) };
            if let Some(report) = row.report {
                return Ok(Some(report));
            }
            let through = view.newest_position()?;
            let sums = view.fold(shift_id, row.opened_position, through)?;
            let before: i64 = view
                .connection
                .query_row(
                    "SELECT grand_total_minor FROM till_book WHERE till_id = ?1",
                    [row.till_id.as_str()],
                    |row| row.get(0),
                )
                .doing("read the grand total")?;
            let close = Close {
                z_no: 0,
                closed_at: at,
                counted: sums.expected(row.float),
                grand_total_before: Money::from_minor(before),
                history: if through > 0 { view.hash_at(through)? } else { ChainHash::GENESIS },
            };
            Ok(Some(report(&row, &sums, view.currency()?, close)))
        })
    }

    pub(super) fn shift_row(&self, shift_id: ShiftId) -> Result<Option<ShiftRow>, Error> {
        self.connection
            .prepare_cached(
                "SELECT shift_id, till_id, operator_id, opened_position, closed_position, opened_at, opened_offset_s,
                    business_date, float_minor, report, amendments FROM shift WHERE shift_id = ?1",
            )
            .and_then(|mut select| select.query_row([shift_id.as_bytes()], |row| Ok(read_shift(row))).optional())
            .doing("read the shift")?
            .transpose()
    }

    /// Adds up what a shift did in the positions after `from` up to `through`.
    pub(super) fn fold(&self, shift_id: ShiftId, from: i64, through: i64) -> Result<ShiftSums, Error> {
        let mut sums = ShiftSums::default();
        let each = |sql: &'static str, add: &mut dyn FnMut(EventBody)| -> Result<(), Error> {
            let mut select = self.connection.prepare_cached(sql).doing("add the shift up")?;
            let mut rows = select.query(params![shift_id.as_bytes(), from, through]).doing("add the shift up")?;
            while let Some(row) = rows.next().doing("add the shift up")? {
                let bytes = row.get_ref(0).doing("add the shift up")?;
                let bytes = bytes.as_blob().map_err(|error| Error::Damaged(error.to_string()))?;
                let event =
                    decode_event(bytes).map_err(|error| Error::Damaged(format!("an event of a shift: {error}")))?;
                add(event.body);
            }
            Ok(())
        };
        each(
            "SELECT event.bytes FROM sale JOIN event USING (position)
             WHERE sale.position > ?2 AND sale.position <= ?3 AND sale.shift_id = ?1",
            &mut |body| {
                if let EventBody::SaleCompleted(sale) = body {
                    sums.sale(&turnover_of_sale(*sale));
                }
            },
        )?;
        each(
            "SELECT event.bytes FROM refund JOIN event USING (position)
             WHERE refund.position > ?2 AND refund.position <= ?3 AND refund.shift_id = ?1",
            &mut |body| {
                if let EventBody::RefundCompleted(refund) = body {
                    sums.refund(&turnover_of_refund(*refund));
                }
            },
        )?;
        self.fold_cash(shift_id, from, through, &mut sums)?;
        Ok(sums)
    }

    fn fold_cash(&self, shift_id: ShiftId, from: i64, through: i64, sums: &mut ShiftSums) -> Result<(), Error> {
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT kind, amount_minor FROM cash_movement WHERE shift_id = ?1 AND position > ?2 AND position <= ?3",
            )
            .doing("add the shift's cash up")?;
        let rows = select
            .query_map(params![shift_id.as_bytes(), from, through], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
            })
            .doing("add the shift's cash up")?;
        for row in rows {
            let (kind, minor) = row.doing("add the shift's cash up")?;
            let kind = match kind.as_str() {
                "paid_in" => CashMove::PaidIn,
                "paid_out" => CashMove::PaidOut,
                "drop" => CashMove::Drop,
                "no_sale" => CashMove::NoSale,
                other => return Err(Error::Damaged(format!("cash moved by {other:?}"))),
            };
            sums.cash(kind, Money::from_minor(minor));
        }
        Ok(())
    }

    /// The till at which a shift is open; none if it is closed.
    pub(super) fn open_at(&self, shift_id: ShiftId) -> Result<Option<TillId>, Error> {
        Ok(self.shift_row(shift_id)?.filter(|row| row.closed_position.is_none()).map(|row| row.till_id))
    }

    /// The shifts that have been open since before a moment, the oldest first, at most `rows_max`.
    pub fn shifts_open_since(&self, before_ms: i64, rows_max: u32) -> Result<Vec<(ShiftId, TillId, Stamp)>, Error> {
        let doing = "look for shifts that are open for long";
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT shift_id FROM shift WHERE closed_position IS NULL AND opened_at <= ?1
                 ORDER BY opened_position LIMIT ?2",
            )
            .doing(doing)?;
        let ids = select
            .query_map(params![before_ms, rows_max], |row| row.get::<_, [u8; 16]>(0))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .doing(doing)?;
        let rows = ids.into_iter().map(|id| self.shift_row(ShiftId::new(uuid::Uuid::from_bytes(id))));
        rows.filter_map(Result::transpose)
            .map(|row| row.map(|row| (row.shift_id, row.till_id, row.opened_at)))
            .collect()
    }

    fn newest_position(&self) -> Result<i64, Error> {
        self.connection
            .query_row("SELECT coalesce(max(position), 0) FROM event", [], |row| row.get(0))
            .doing("find the newest event")
    }

    /// The currency of every amount.
    pub fn currency(&self) -> Result<Currency, Error> {
        let text: String = self
            .connection
            .query_row("SELECT currency FROM folder", [], |row| row.get(0))
            .doing("read the folder's currency")?;
        text.parse().map_err(|_| Error::Damaged(format!("the folder's currency {text:?} is none")))
    }
}

/// The oldest position that an open shift still has to add up.
pub(super) fn oldest_in_open_shift(connection: &Connection) -> Result<Option<i64>, Error> {
    connection
        .query_row("SELECT min(opened_position) FROM shift WHERE closed_position IS NULL", [], |row| row.get(0))
        .doing("find the oldest open shift")
}

fn read_shift(row: &Row<'_>) -> Result<ShiftRow, Error> {
    let damaged = |what: &str| Error::Damaged(format!("a shift's {what}"));
    let text = |index| row.get::<_, Option<String>>(index).doing("read a shift");
    let number = |index| row.get::<_, i64>(index).doing("read a shift");
    let report: Option<Vec<u8>> = row.get(9).doing("read a shift")?;
    Ok(ShiftRow {
        shift_id: ShiftId::new(uuid::Uuid::from_bytes(row.get(0).doing("read a shift")?)),
        till_id: text(1)?.and_then(|text| text.parse().ok()).ok_or_else(|| damaged("till"))?,
        operator_id: text(2)?.map(|text| text.parse().map_err(|_| damaged("operator"))).transpose()?,
        opened_position: number(3)?,
        closed_position: row.get(4).doing("read a shift")?,
        opened_at: Stamp { utc_ms: number(5)?, offset_s: row.get(6).doing("read a shift")? },
        business_date: BusinessDate::from_days(number(7)?),
        float: Money::from_minor(number(8)?),
        report: report.map(|json| serde_json::from_slice(&json).map_err(|_| damaged("report"))).transpose()?,
        amendments: row.get(10).doing("read a shift")?,
    })
}

fn turnover_of_sale(sale: SaleCompleted) -> Turnover {
    let mut adjustments = Vec::new();
    let mut taxes = Vec::with_capacity(sale.lines.len());
    for line in sale.lines {
        taxes.push((line.tax_group, line.tax_rate_ppm, line.gross_minor, line.tax_minor));
        adjustments.extend(
            line.adjustments.into_iter().map(|change| (change.reason, change.promotion_id, change.amount_minor)),
        );
    }
    Turnover {
        receipt_no: sale.receipt_no,
        gross: sale.totals.gross_minor,
        tax: sale.totals.tax_minor,
        quantity: sale.totals.quantity,
        taxes,
        tenders: sale.tenders.into_iter().map(|tender| (tender.kind, tender.amount_minor)).collect(),
        change: sale.change_minor,
        cash_rounding: sale.cash_rounding_minor,
        adjustments,
    }
}

fn turnover_of_refund(refund: RefundCompleted) -> Turnover {
    Turnover {
        receipt_no: refund.receipt_no,
        gross: refund.totals.gross_minor,
        tax: refund.totals.tax_minor,
        quantity: refund.totals.quantity,
        taxes: refund
            .lines
            .into_iter()
            .map(|line| (line.tax_group, line.tax_rate_ppm, line.gross_minor, line.tax_minor))
            .collect(),
        tenders: refund.tenders.into_iter().map(|tender| (tender.kind, tender.amount_minor)).collect(),
        change: Money::ZERO,
        cash_rounding: refund.cash_rounding_minor,
        adjustments: Vec::new(),
    }
}
