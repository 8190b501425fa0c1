//! Giving money back for a sale.
//!
//! What goes back is what the sale has stored; nothing is priced anew. The units that came back are kept for the whole
//! store, so all refunds of a sale on all tills together never exceed it.

use pos_model::{BusinessDate, CommandId, Money, Quantity, RefundId, SaleId, ShiftId};
use pricing::book::CashRounding;
use protocol::latest::local_api::{Change, TenderCommand};
use protocol::latest::refund_api::{CompleteRefund, Goods, RefundLineCommand, RefundLineView, RefundReceipt};
use protocol::latest::{
    Consumption, RefundCompleted, RefundKind, RefundLine, ReturnedGoods, SaleCompleted, SaleLine, SaleTotals,
};
use rusqlite::{OptionalExtension, params};
use till::people::Action;
use till::{GivenBack, RefundRefusal, SoldUnits, Wanted, give_back};

use super::audit::{Noteworthy, word};
use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::kitchen_step::SaidBy;
use super::permit::Permit;
use super::refund_tender::{MoneyBack, by_hand, money_back};
use super::sale::{CommandDigest, next_receipt_no};
use super::shift::{OpenShift, check_note};
use super::store::{Durability, Store};
use super::view::View;

/// What came of a refund.
#[derive(Debug, Clone, PartialEq)]
pub enum RefundRecorded {
    /// It is recorded now.
    New(RefundReceipt),
    /// It was recorded before; this is what was answered then.
    Replayed(RefundReceipt),
    /// Another refund has been recorded under this id.
    Conflict,
    /// It breaks a rule.
    Refused(Refused),
}

impl From<RefundRefusal> for Error {
    fn from(refusal: RefundRefusal) -> Self {
        Self::Refused(Refused::rule(refusal.message_key(), refusal))
    }
}

impl Store {
    /// Records a refund with everything that follows from it, or finds it recorded. Idempotent by refund id.
    pub fn record_refund(
        &mut self,
        command: CompleteRefund,
        digest: &CommandDigest,
        moment: &mut Moment,
        rounding: Option<CashRounding>,
    ) -> Result<RefundRecorded, Error> {
        let found = self.view().refund(command.refund_id).map_err(|error| self.noted(error))?;
        if let Some((receipt, known)) = found {
            return Ok(if known == *digest { RefundRecorded::Replayed(receipt) } else { RefundRecorded::Conflict });
        }
        match self.atomically(Durability::Promise, |store| store.write_refund(command, digest, moment, rounding)) {
            Ok(receipt) => Ok(RefundRecorded::New(receipt)),
            Err(error) => error.into_refusal().map(RefundRecorded::Refused),
        }
    }

    fn write_refund(
        &mut self,
        command: CompleteRefund,
        digest: &CommandDigest,
        moment: &mut Moment,
        rounding: Option<CashRounding>,
    ) -> Result<RefundReceipt, Error> {
        check_note(&command.note)?;
        moment.carries_out(CommandId::new(command.refund_id.uuid()));
        let sale = self.sale_to_refund(&command)?;
        let shift = self.shift_to_count_in(&command.till_id)?;
        let returned = self.returned_units(command.sale_id)?;
        if command.void {
            self.check_void(&sale, &returned, shift.as_ref(), moment)?;
        }
        let sold: Vec<SoldUnits> =
            sale.lines.iter().zip(&returned).map(|(line, returned)| sold_units(line, returned)).collect();
        let (wanted, goods) = wanted(&command, sale.lines.len());
        let given = give_back(&sold, &wanted)?;
        let due = sum(given.iter().map(|back| back.gross))?;
        let before = self.view().refunds_of(command.sale_id)?;
        let MoneyBack { tenders, cash_rounding, beyond } = money_back(&command, &sale, &before, due, rounding)?;
        let permit = self.permit_refund(moment, &command, beyond)?;

        let business_date = self.business_date(moment.at(), shift.as_ref());
        let receipt_no = next_receipt_no(&self.connection, command.till_id.as_str())?;
        let lines: Vec<RefundLine> =
            given.iter().map(|back| refund_line(back, &sale.lines[back.line], goods[back.entry])).collect();
        let left = given.iter().map(|back| (back.line, units_left(&sold[back.line], &given, back.line))).collect();
        let tax = sum(given.iter().map(|back| back.tax))?;
        let shift_id = shift.map(|shift| shift.shift_id);
        let refund = RefundCompleted {
            refund_id: command.refund_id,
            sale_id: command.sale_id,
            kind: if command.void { RefundKind::Void } else { RefundKind::Refund },
            till_id: command.till_id,
            shift_id,
            operator_id: permit.operator,
            approver_id: permit.approver,
            reason: command.reason,
            note: command.note,
            receipt_no,
            refunded_at: moment.at(),
            business_date,
            currency: self.currency,
            tenders,
            cash_rounding_minor: cash_rounding,
            totals: SaleTotals {
                gross_minor: due,
                tax_minor: tax,
                net_minor: Money::from_minor(due.minor().saturating_sub(tax.minor())),
                quantity: Quantity::from_micro(
                    lines.iter().fold(0, |sum: i64, line| sum.saturating_add(line.quantity.micro())),
                ),
            },
            points: points_lost(&sale, &sold, due),
            lines,
        };
        let receipt = receipt(&refund, moment.at().utc_ms);
        self.note_returned(&refund)?;
        self.add_refund_to_day(business_date, &refund)?;
        self.come_into_day(business_date, &refund.till_id, moment.at())?;
        let restocked: Vec<_> = refund.lines.iter().flat_map(|line| line.restocked.clone()).collect();
        self.print_refund(moment, &refund, &sale)?;
        let by = SaidBy { till_id: &refund.till_id, operator_id: refund.operator_id.as_ref() };
        self.take_cups_back(moment, by, &sale, &left)?;
        self.record(moment, refund)?;
        self.restock(business_date, &restocked)?;
        self.write_refund_header(digest, &receipt, shift_id)?;
        self.changed(Change::RefundCompleted(Box::new(receipt.clone())));
        Ok(receipt)
    }

    /// Asks whether the operator may do it, and marks what goes back in another way than it came.
    fn permit_refund(&mut self, moment: &mut Moment, command: &CompleteRefund, beyond: Money) -> Result<Permit, Error> {
        let action = match (beyond > Money::ZERO, command.void) {
            (true, _) => Action::RefundOtherTender,
            (false, true) => Action::VoidSale,
            (false, false) => Action::Refund,
        };
        let (operator, subject) = (command.operator_id.as_ref(), command.sale_id.to_string());
        let permit = self.permit(moment, &command.till_id, operator, command.approval_id, action, &subject)?;
        if beyond > Money::ZERO {
            let mark = Noteworthy::new(word::REFUNDED_OTHERWISE).at(&command.till_id).permitted(&permit).about(subject);
            let mark = mark.because(Some(command.reason.clone())).worth(beyond);
            self.mark(moment, mark.saying(format!("refund {}", command.refund_id)))?;
        }
        Ok(permit)
    }

    /// The sale as it was recorded, if it is one of this store's and still held.
    fn sale_to_refund(&self, command: &CompleteRefund) -> Result<SaleCompleted, Error> {
        let sale_id = command.sale_id;
        if self.view().refund(RefundId::new(sale_id.uuid()))?.is_some() {
            let text = format!("{sale_id} is a refund; a refund is not given back");
            return Err(Refused::rule("refund.of_refund", text).into());
        }
        let record = self.view().sale(sale_id)?;
        let record = record.ok_or_else(|| {
            Refused::unknown("refund.sale_unknown", format!("sale {sale_id} was not made in this store"))
        })?;
        let sale = record.sale.ok_or_else(|| {
            let text = format!("sale {sale_id} was confirmed by the centre long ago and is held there only");
            Refused::rule("refund.sale_trimmed", text)
        })?;
        Ok(sale)
    }

    /// A sale is voided in the shift, or on the business date, in which it was made, and before anything of it came back.
    fn check_void(
        &self,
        sale: &SaleCompleted,
        returned: &[Vec<u32>],
        shift: Option<&OpenShift>,
        moment: &Moment,
    ) -> Result<(), Error> {
        if returned.iter().any(|units| !units.is_empty()) {
            return Err(Refused::rule(
                "void.partly_refunded",
                "something of the sale came back before; refund the rest",
            )
            .into());
        }
        let still = match (sale.shift_id, shift) {
            (Some(made_in), Some(open)) => made_in == open.shift_id,
            _ => sale.business_date == self.business_date(moment.at(), shift),
        };
        if still {
            return Ok(());
        }
        if let Some(made_in) = sale.shift_id
            && let Some(till_id) = self.view().open_at(made_in)?
        {
            let text =
                format!("the shift in which the sale was made is open at till {till_id}: void it there, or refund it");
            return Err(Refused::rule("void.other_till", text).into());
        }
        Err(Refused::rule("void.too_late", "the shift in which the sale was made is over; refund it instead").into())
    }

    /// The units that came back, by line.
    fn returned_units(&self, sale_id: SaleId) -> Result<Vec<Vec<u32>>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT line, unit FROM returned_unit WHERE sale_id = ?1")
            .doing("read what came back")?;
        let rows = select
            .query_map([sale_id.as_bytes()], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?)))
            .doing("read what came back")?;
        let mut lines = vec![Vec::new(); till::limits::LINES_MAX];
        for row in rows {
            let (line, unit) = row.doing("read what came back")?;
            if let Some(units) = usize::try_from(line).ok().and_then(|line| lines.get_mut(line)) {
                units.push(unit);
            }
        }
        Ok(lines)
    }

    fn note_returned(&self, refund: &RefundCompleted) -> Result<(), Error> {
        let mut unit = self
            .connection
            .prepare_cached("INSERT INTO returned_unit (sale_id, line, unit) VALUES (?1, ?2, ?3)")
            .doing("note what came back")?;
        for line in &refund.lines {
            for number in &line.units {
                unit.execute(params![refund.sale_id.as_bytes(), line.line, number]).doing("note what came back")?;
            }
        }
        let mut tender = self
            .connection
            .prepare_cached(
                "INSERT INTO refund_tender (sale_id, kind, amount_minor) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET amount_minor = amount_minor + excluded.amount_minor",
            )
            .doing("note what has gone back")?;
        // Nothing reads it but a program of an earlier version on the same books.
        for paid in &refund.tenders {
            tender
                .execute(params![refund.sale_id.as_bytes(), paid.kind.as_str(), paid.amount_minor.minor()])
                .doing("note what has gone back")?;
        }
        Ok(())
    }

    fn add_refund_to_day(&self, business_date: BusinessDate, refund: &RefundCompleted) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO day_total (business_date, sales, lines, units_micro, gross_minor, tax_minor,
                    refunds, refund_gross_minor, refund_tax_minor) VALUES (?1, 0, 0, 0, 0, 0, 1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET refunds = refunds + 1,
                    refund_gross_minor = min(refund_gross_minor + excluded.refund_gross_minor, 9223372036854775807),
                    refund_tax_minor = min(refund_tax_minor + excluded.refund_tax_minor, 9223372036854775807)",
            )
            .and_then(|mut upsert| {
                let totals = &refund.totals;
                upsert.execute(params![business_date.days(), totals.gross_minor.minor(), totals.tax_minor.minor()])
            })
            .doing("write the day's sums")
            .map(drop)
    }

    fn write_refund_header(
        &self,
        digest: &CommandDigest,
        receipt: &RefundReceipt,
        shift_id: Option<ShiftId>,
    ) -> Result<(), Error> {
        let answer = serde_json::to_vec(receipt).expect("an answer of text and numbers always encodes");
        self.connection
            .prepare_cached(
                "INSERT INTO refund (position, refund_id, digest, sale_id, shift_id, business_date, answer)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    self.tail.position,
                    receipt.refund_id.as_bytes(),
                    digest,
                    receipt.sale_id.as_bytes(),
                    shift_id.as_ref().map(ShiftId::as_bytes),
                    receipt.business_date.days(),
                    answer,
                ])
            })
            .doing("write the refund's header")
            .map(drop)
    }
}

impl View<'_> {
    /// A refund as it was answered, and the digest of the command that it was answered for.
    pub fn refund(&self, refund_id: RefundId) -> Result<Option<(RefundReceipt, CommandDigest)>, Error> {
        let found: Option<(CommandDigest, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT digest, answer FROM refund WHERE refund_id = ?1")
            .and_then(|mut select| {
                select.query_row([refund_id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()
            })
            .doing("look for a refund")?;
        found.map(|(digest, answer)| Ok((read_receipt(&answer)?, digest))).transpose()
    }

    /// The refunds of a sale, the oldest first.
    pub fn refunds_of(&self, sale_id: SaleId) -> Result<Vec<RefundReceipt>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT answer FROM refund WHERE sale_id = ?1 ORDER BY position")
            .doing("read the sale's refunds")?;
        let rows =
            select.query_map([sale_id.as_bytes()], |row| row.get::<_, Vec<u8>>(0)).doing("read the sale's refunds")?;
        rows.map(|row| read_receipt(&row.doing("read the sale's refunds")?)).collect()
    }
}

fn read_receipt(answer: &[u8]) -> Result<RefundReceipt, Error> {
    serde_json::from_slice(answer).map_err(|error| Error::Damaged(format!("the answer to a refund: {error}")))
}

fn sum(mut amounts: impl Iterator<Item = Money>) -> Result<Money, Error> {
    amounts.try_fold(Money::ZERO, |sum, amount| sum.checked_add(amount)).map_err(|_| RefundRefusal::Overflow.into())
}

fn sold_units(line: &SaleLine, returned: &[u32]) -> SoldUnits {
    SoldUnits {
        quantity: line.quantity,
        gross: line.gross_minor,
        tax: line.tax_minor,
        unit_gross: line.unit_gross_minor.clone(),
        returned: returned.to_vec(),
    }
}

/// How many units of a line the customer has not given back, after what is given back by this refund.
fn units_left(sold: &SoldUnits, given: &[GivenBack], line: usize) -> u32 {
    let back: usize = given.iter().filter(|back| back.line == line).map(|back| back.units.len()).sum();
    u32::try_from(sold.count().saturating_sub(sold.returned.len().saturating_add(back))).unwrap_or(u32::MAX)
}

/// What the till wants back, and what became of the goods of each entry.
fn wanted(command: &CompleteRefund, lines: usize) -> (Vec<(usize, Wanted)>, Vec<Goods>) {
    if command.void {
        return ((0..lines).map(|line| (line, Wanted::Rest)).collect(), vec![command.goods; lines]);
    }
    let entry = |line: &RefundLineCommand| {
        let what = match (line.count, line.units.is_empty()) {
            (_, false) => Wanted::Units(line.units.clone()),
            (Some(count), true) => Wanted::Count(count),
            (None, true) => Wanted::Rest,
        };
        ((usize::try_from(line.line).unwrap_or(usize::MAX), what), line.goods)
    };
    command.lines.iter().map(entry).unzip()
}

fn refund_line(back: &GivenBack, sold: &SaleLine, goods: Goods) -> RefundLine {
    let restocked = match goods {
        Goods::Wasted => Vec::new(),
        Goods::Restocked => share_of_consumption(sold, back.quantity),
    };
    RefundLine {
        line: u32::try_from(back.line).unwrap_or(u32::MAX),
        sku: sold.sku.clone(),
        name: sold.name.clone(),
        units: back.units.clone(),
        quantity: back.quantity,
        gross_minor: back.gross,
        tax_minor: back.tax,
        tax_group: sold.tax_group.clone(),
        tax_rate_ppm: sold.tax_rate_ppm,
        goods: match goods {
            Goods::Wasted => ReturnedGoods::Wasted,
            Goods::Restocked => ReturnedGoods::Restocked,
        },
        restocked,
    }
}

/// What some units of a line took from stock: their share of what the line took, rounded down, so that never more comes
/// back than went out.
fn share_of_consumption(sold: &SaleLine, quantity: Quantity) -> Vec<Consumption> {
    let (part, whole) = (i128::from(quantity.micro()), i128::from(sold.quantity.micro()).max(1));
    sold.consumption
        .iter()
        .map(|taken| {
            let micro = i128::from(taken.quantity.micro()) * part / whole;
            let quantity = Quantity::from_micro(i64::try_from(micro).unwrap_or(0));
            Consumption { item_id: taken.item_id.clone(), quantity }
        })
        .filter(|taken| taken.quantity > Quantity::ZERO)
        .collect()
}

/// The points that the member loses: what the sale earned, less what the part that stays would have earned, less what was
/// lost before. Shares are rounded down in the member's favour.
fn points_lost(sale: &SaleCompleted, sold: &[SoldUnits], due: Money) -> i64 {
    let Some(earned) = sale.pricing.as_ref().map(|pricing| pricing.points).filter(|points| *points > 0) else {
        return 0;
    };
    let paid = i128::from(sale.totals.gross_minor.minor());
    if paid <= 0 {
        return 0;
    }
    let before: i128 = sold.iter().map(|line| i128::from(given_before(line))).sum();
    let lost = |back: i128| i128::from(earned) * back.clamp(0, paid) / paid;
    i64::try_from(lost(before + i128::from(due.minor())) - lost(before)).unwrap_or(0)
}

/// What has gone back of a line before.
fn given_before(line: &SoldUnits) -> i64 {
    if line.returned.is_empty() {
        return 0;
    }
    let all = SoldUnits { returned: Vec::new(), ..line.clone() };
    let units = Wanted::Units(line.returned.clone());
    give_back(&[all], &[(0, units)]).map_or(0, |given| given.iter().map(|back| back.gross.minor()).sum())
}

fn receipt(refund: &RefundCompleted, recorded_at_ms: i64) -> RefundReceipt {
    RefundReceipt {
        refund_id: refund.refund_id,
        sale_id: refund.sale_id,
        till_id: refund.till_id.clone(),
        receipt_no: refund.receipt_no,
        business_date: refund.business_date,
        currency: refund.currency,
        lines: refund
            .lines
            .iter()
            .map(|line| RefundLineView {
                line: line.line,
                sku: line.sku.to_string(),
                name: line.name.clone(),
                quantity: line.quantity.into(),
                gross_minor: line.gross_minor,
                tax_minor: line.tax_minor,
                goods: if line.goods == ReturnedGoods::Restocked { Goods::Restocked } else { Goods::Wasted },
            })
            .collect(),
        total_minor: refund.totals.gross_minor,
        tax_minor: refund.totals.tax_minor,
        tenders: refund
            .tenders
            .iter()
            .map(|tender| TenderCommand {
                kind: tender.kind.clone(),
                amount_minor: tender.amount_minor,
                attempt_id: tender.attempt_id,
            })
            .collect(),
        cash_rounding_minor: refund.cash_rounding_minor,
        by_hand: by_hand(&refund.tenders),
        recorded_at_ms,
    }
}
