//! Recording a sale.

use std::collections::BTreeMap;

use pos_model::{
    ApprovalId, BasketId, BusinessDate, CommandId, Currency, EventId, Money, SaleId, ShiftId, Stamp, TillId,
};
use protocol::latest::local_api::{Change, SaleReceipt};
use protocol::latest::{EncodeError, Event, SaleCompleted};
use rusqlite::{Connection, OptionalExtension, Row, params};
use till::limits::TILLS_MAX;
use till::people::Action;
use till::sold_out::Needs;
use till::{BasketAt, Refusal, SaleDraft};

use super::audit::{Noteworthy, word};
use super::basket::Numbered;
use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::kitchen::next_pickup_no;
use super::sale_event::{Numbers, sale_completed};
use super::store::{Durability, Store};

/// The BLAKE3 of a command in its canonical form: equal for equal commands, whoever sends them.
pub type CommandDigest = [u8; 32];

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It is a sale now.
    New(SaleReceipt),
    /// It was a sale before; this is what was answered then.
    Replayed(SaleReceipt),
    /// Another command has been recorded under this id.
    Conflict,
    /// It breaks a rule that only the books can tell.
    Refused(Refusal),
    /// The state of the store forbids it at this moment: the till is closed, the basket is paid.
    NotNow(Refused),
}

impl Store {
    /// Records a sale with everything that follows from it, or finds it recorded. Idempotent by sale id.
    ///
    /// `now` is when it is recorded. An imported sale keeps its own time, which decides its business date.
    pub fn record_sale(
        &mut self,
        draft: SaleDraft,
        digest: &CommandDigest,
        event_id: EventId,
        now: Stamp,
    ) -> Result<Recorded, Error> {
        let found = find_receipt(&self.connection, draft.sale_id).map_err(|error| self.noted(error))?;
        if let Some((receipt, known)) = found {
            return Ok(if known == *digest { Recorded::Replayed(receipt) } else { Recorded::Conflict });
        }
        let needs = self.needs_of_sale(&draft).map_err(|error| self.noted(error))?;
        let missing = self.missing(now, &needs).map_err(|error| self.noted(error))?;
        // What a terminal has taken is paid: the goods are owed, and the sale is recorded.
        let is_paid = draft.tenders.iter().any(|tender| tender.attempt_id.is_some());
        if !missing.is_empty() && !is_paid {
            return Ok(Recorded::Refused(Refusal::SoldOut { missing }));
        }
        let mut moment = Moment::new(now, event_id);
        moment.carries_out(CommandId::new(draft.sale_id.uuid()));
        match self.atomically(Durability::Promise, |store| store.write_sale(draft, digest, moment, &needs)) {
            Ok(receipt) => Ok(Recorded::New(receipt)),
            Err(Error::Encode(EncodeError::TooLarge { bytes })) => {
                let max = protocol::latest::EVENT_BYTES_MAX;
                Ok(Recorded::Refused(Refusal::TooLarge { bytes, max }))
            }
            Err(Error::Payment(refusal)) => Ok(Recorded::Refused(refusal.into())),
            Err(Error::TooManyTills { max }) => Ok(Recorded::Refused(Refusal::TooManyTills { max })),
            Err(Error::Refused(refused)) => Ok(Recorded::NotNow(refused)),
            Err(error) => Err(error),
        }
    }

    fn write_sale(
        &mut self,
        mut draft: SaleDraft,
        digest: &CommandDigest,
        mut moment: Moment,
        needs: &[Needs],
    ) -> Result<SaleReceipt, Error> {
        self.use_attempts(draft.sale_id, &mut draft.tenders)?;
        let (now, event_id) = (moment.at(), moment.event_id());
        // What is read from a file was sold elsewhere: it is in no drawer here.
        let (sold_at, shift) = match &draft.imported {
            Some(imported) => (imported.sold_at, None),
            None => (now, self.shift_to_count_in(&draft.till_id)?),
        };
        let business_date = self.business_date(sold_at, shift.as_ref());
        let (shift_id, basket_id) = (shift.map(|shift| shift.shift_id), draft.basket.map(|basket| basket.basket_id));
        let receipt_no = next_receipt_no(&self.connection, draft.till_id.as_str())?;
        let pickup_no = self.pickup_no(&draft, business_date, now)?;
        let currency = self.currency;
        self.note_sold(&mut moment, needs)?;
        self.send_sale(&moment, &draft, pickup_no, business_date)?;
        let (approval_id, override_minor) = (draft.approval_id, overridden(&draft));
        let asks_for_own_prices = draft.asks_for_own_prices;
        let sale = sale_completed(draft, Numbers { receipt_no, pickup_no, sold_at, business_date, currency, shift_id });
        add_to_day(&self.connection, &sale)?;
        if sale.imported.is_some() {
            // It was sold long ago, and whoever reads the file in knows that.
            self.amend_day(business_date)?;
        } else {
            self.come_into_day(business_date, &sale.till_id, now)?;
        }
        self.add_to_usage(&sale)?;
        let receipt = SaleReceipt {
            sale_id: sale.sale_id,
            till_id: sale.till_id.clone(),
            receipt_no,
            pickup_no,
            business_date,
            currency,
            total_minor: sale.totals.gross_minor,
            tax_minor: sale.totals.tax_minor,
            change_minor: sale.change_minor,
            cash_rounding_minor: sale.cash_rounding_minor,
            recorded_at_ms: now.utc_ms,
        };
        self.permit_sale(&mut moment, &sale, approval_id, override_minor, asks_for_own_prices)?;
        self.give_back_unused(sale.sale_id, &mut moment)?;
        self.print_receipt(&moment, &sale)?;
        self.append(&Event { id: event_id, at: now, body: sale.into() })?;
        let counted = Counted { shift_id, basket_id };
        write_header(&self.connection, self.tail.position, &receipt, digest, counted)?;
        self.changed(Change::SaleCompleted(receipt.clone()));
        Ok(receipt)
    }

    /// Asks whether the operator may sell this, and marks what was sold at another price than the book's. What is read from a
    /// file was sold by somebody else.
    fn permit_sale(
        &mut self,
        moment: &mut Moment,
        sale: &SaleCompleted,
        approval_id: Option<ApprovalId>,
        override_minor: Option<Money>,
        asks_for_own_prices: bool,
    ) -> Result<(), Error> {
        if sale.imported.is_some() {
            return Ok(());
        }
        let own_prices = asks_for_own_prices && self.view().has_operators()?;
        let action = if own_prices || override_minor.is_some() { Action::PriceOverride } else { Action::Sell };
        let (operator, subject) = (sale.operator_id.as_ref(), sale.sale_id.to_string());
        let permit = self.permit(moment, &sale.till_id, operator, approval_id, action, &subject)?;
        let mark = Noteworthy::new(word::PRICE_OVERRIDDEN).at(&sale.till_id).permitted(&permit).about(subject);
        let mark = match (override_minor, own_prices) {
            (Some(amount), false) => mark.worth(amount),
            (_, true) => mark.saying("prices of the till's own").worth(sale.totals.gross_minor),
            (None, false) => return Ok(()),
        };
        self.mark(moment, mark).map(drop)
    }

    /// The number that is called out: that of the basket, if the kitchen knows it already.
    fn pickup_no(&mut self, draft: &SaleDraft, business_date: BusinessDate, now: Stamp) -> Result<u32, Error> {
        let number = |store: &mut Self| {
            let pickup_no = next_pickup_no(&store.connection, business_date)?;
            Ok(Numbered { pickup_no, business_date })
        };
        let numbered = match draft.basket {
            Some(BasketAt { basket_id, revision }) => {
                self.pay_basket(now, (basket_id, revision), draft.sale_id, number)?
            }
            None => number(self)?,
        };
        Ok(numbered.pickup_no)
    }

    fn add_to_usage(&self, sale: &SaleCompleted) -> Result<(), Error> {
        let mut used: BTreeMap<&str, i64> = BTreeMap::new();
        for consumption in sale.lines.iter().flat_map(|line| &line.consumption) {
            let sum = used.entry(consumption.item_id.as_str()).or_default();
            // The limits of `till` keep this far from the end of the scale.
            *sum = sum.saturating_add(consumption.quantity.micro());
        }
        self.use_stock(sale.business_date, used)
    }
}

impl Store {
    /// Refuses a till that the store does not know, if it has as many as it may have.
    pub(super) fn make_room_for_till(&self, till_id: &TillId) -> Result<(), Error> {
        let (known, tills): (bool, i64) = self
            .connection
            .query_row(
                "SELECT count(*) FILTER (WHERE till_id = ?1) > 0, count(*)
                 FROM (SELECT till_id FROM till_head UNION SELECT till_id FROM till_book)",
                [till_id.as_str()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .doing("count the store's tills")?;
        if known || tills < TILLS_MAX {
            return Ok(());
        }
        let refusal = Refusal::TooManyTills { max: TILLS_MAX };
        Err(Refused::rule(refusal.message_key(), refusal).into())
    }
}

/// The reason of an adjustment by which a person sells at another price than the book's.
const OVERRIDE: &str = "override";

/// What people have changed the prices of a sale by; none if nobody has.
fn overridden(draft: &SaleDraft) -> Option<Money> {
    let changes = draft.lines.iter().flat_map(|line| &line.line.adjustments);
    let overrides = changes.filter(|change| change.reason.as_str() == OVERRIDE);
    overrides
        .map(|change| change.amount)
        .reduce(|sum, amount| Money::from_minor(sum.minor().saturating_add(amount.minor())))
}

/// The next number of a till's row, which sales and refunds share.
pub(super) fn next_receipt_no(connection: &Connection, till_id: &str) -> Result<u64, Error> {
    let number = connection
        .prepare_cached(
            "INSERT INTO till_head (till_id, receipt_no) VALUES (?1, 1)
             ON CONFLICT DO UPDATE SET receipt_no = receipt_no + 1 RETURNING receipt_no",
        )
        .and_then(|mut next| next.query_row([till_id], |row| row.get::<_, i64>(0)))
        .doing("give a receipt number")?;
    if number == 1 {
        let tills: i64 = connection
            .query_row("SELECT count(*) FROM till_head", [], |row| row.get(0))
            .doing("count the store's tills")?;
        if tills > TILLS_MAX {
            return Err(Error::TooManyTills { max: TILLS_MAX });
        }
    }
    Ok(number.unsigned_abs())
}

/// Sums stop at the end of the scale: a day of absurd quantities shows an absurd sum, and goes on selling. SQLite makes
/// a sum that leaves 64 bits a floating-point number, which is larger than the bound.
fn add_to_day(connection: &Connection, sale: &SaleCompleted) -> Result<(), Error> {
    let lines = i64::try_from(sale.lines.len()).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "INSERT INTO day_total (business_date, sales, lines, units_micro, gross_minor, tax_minor)
             VALUES (?1, 1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET sales = sales + 1, lines = lines + excluded.lines,
                units_micro = min(units_micro + excluded.units_micro, 9223372036854775807),
                gross_minor = min(gross_minor + excluded.gross_minor, 9223372036854775807),
                tax_minor = min(tax_minor + excluded.tax_minor, 9223372036854775807)",
        )
        .and_then(|mut upsert| {
            upsert.execute(params![
                sale.business_date.days(),
                lines,
                sale.totals.quantity.micro(),
                sale.totals.gross_minor.minor(),
                sale.totals.tax_minor.minor(),
            ])
        })
        .doing("write the day's sums")
        .map(drop)
}

/// What a sale counts in, and what it was made of.
struct Counted {
    shift_id: Option<ShiftId>,
    basket_id: Option<BasketId>,
}

fn write_header(
    connection: &Connection,
    position: i64,
    receipt: &SaleReceipt,
    digest: &CommandDigest,
    counted: Counted,
) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO sale (position, sale_id, digest, till_id, receipt_no, pickup_no, business_date, recorded_at,
                total_minor, tax_minor, change_minor, shift_id, basket_id, cash_rounding_minor)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )
        .and_then(|mut insert| {
            insert.execute(params![
                position,
                receipt.sale_id.as_bytes(),
                digest,
                receipt.till_id.as_str(),
                receipt.receipt_no.cast_signed(),
                receipt.pickup_no,
                receipt.business_date.days(),
                receipt.recorded_at_ms,
                receipt.total_minor.minor(),
                receipt.tax_minor.minor(),
                receipt.change_minor.minor(),
                counted.shift_id.as_ref().map(ShiftId::as_bytes),
                counted.basket_id.as_ref().map(BasketId::as_bytes),
                receipt.cash_rounding_minor.minor(),
            ])
        })
        .doing("write the sale's header")
        .map(drop)
}

/// What a till was answered, and the digest of the command that it was answered for.
pub(super) fn find_receipt(
    connection: &Connection,
    sale_id: SaleId,
) -> Result<Option<(SaleReceipt, CommandDigest)>, Error> {
    let found = connection
        .prepare_cached(
            "SELECT till_id, receipt_no, pickup_no, business_date, currency, total_minor, tax_minor, change_minor,
                recorded_at, cash_rounding_minor, digest FROM sale, folder WHERE sale_id = ?1",
        )
        .and_then(|mut select| {
            select
                .query_row([sale_id.as_bytes()], |row| {
                    Ok((read_receipt(sale_id, row), row.get::<_, CommandDigest>(10)?))
                })
                .optional()
        })
        .doing("look the sale up")?;
    found.map(|(receipt, digest)| receipt.map(|receipt| (receipt, digest))).transpose()
}

/// Reads the ten columns of a receipt.
pub(super) fn read_receipt(sale_id: SaleId, row: &Row<'_>) -> Result<SaleReceipt, Error> {
    let damaged = |what: &str| Error::Damaged(format!("sale {sale_id} has {what}"));
    let number = |column| row.get::<_, i64>(column).doing("read a sale's header");
    let text = |column| row.get::<_, String>(column).doing("read a sale's header");
    Ok(SaleReceipt {
        sale_id,
        till_id: text(0)?.parse().map_err(|_| damaged("a till id that is none"))?,
        receipt_no: u64::try_from(number(1)?).map_err(|_| damaged("a negative receipt number"))?,
        pickup_no: u32::try_from(number(2)?).map_err(|_| damaged("a pickup number that is none"))?,
        business_date: BusinessDate::from_days(number(3)?),
        currency: text(4)?.parse::<Currency>().map_err(|_| damaged("a currency that is none"))?,
        total_minor: Money::from_minor(number(5)?),
        tax_minor: Money::from_minor(number(6)?),
        change_minor: Money::from_minor(number(7)?),
        recorded_at_ms: number(8)?,
        cash_rounding_minor: Money::from_minor(number(9)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::{
        NOON_MS, command, digest, draft, event_id, open_epoch, reopen, sale_id, sell, stamp, store,
    };
    use pos_model::{Quantity, SaleId};
    use protocol::latest::local_api::QuantityJson;
    use till::{CompleteSale, Imported};

    fn record(store: &mut Store, command: CompleteSale, digest: &CommandDigest) -> Result<Recorded, Error> {
        let number = command.sale_id.uuid().as_u64_pair().1;
        store.record_sale(draft(command), digest, event_id(number), stamp(0))
    }

    #[test]
    fn the_same_command_again_gets_the_same_answer() {
        let mut store = store();
        open_epoch(&mut store, 1);
        let receipt = sell(&mut store, 1);
        let head = store.head();
        let again = |store: &mut Store, digest| record(store, command(1), &digest).expect("works");
        assert_eq!(again(&mut store, digest(1)), Recorded::Replayed(receipt.clone()));
        assert_eq!(again(&mut store, digest(2)), Recorded::Conflict);
        assert_eq!(store.head(), head, "nothing was recorded");
        // Also after a restart, even before its epoch is open.
        let mut store = reopen(store);
        assert_eq!(again(&mut store, digest(1)), Recorded::Replayed(receipt));
        assert_eq!(sell_at(&mut store, 2, 1), 2);
    }

    /// Sells at an epoch of its own, and returns the receipt number.
    fn sell_at(store: &mut Store, epoch: u64, number: u64) -> u64 {
        open_epoch(store, epoch);
        sell(store, number + 100).receipt_no
    }

    #[test]
    fn receipt_numbers_count_per_till_and_pickup_numbers_per_day() {
        let mut store = store();
        open_epoch(&mut store, 1);
        let mut number = 0;
        let mut check = |till: &str, after_h: i64, receipt_no, pickup_no, date: &str| {
            number += 1;
            let command = CompleteSale { till_id: till.parse().expect("valid"), ..command(number) };
            let at = stamp(after_h * 3_600_000);
            let recorded = store.record_sale(draft(command), &digest(1), event_id(number), at).expect("records");
            let Recorded::New(receipt) = recorded else { panic!("not new") };
            assert_eq!(
                (receipt.receipt_no, receipt.pickup_no, receipt.business_date.to_string().as_str()),
                (receipt_no, pickup_no, date)
            );
        };
        check("T1", 0, 1, 1, "2026-03-02");
        check("T2", 0, 1, 2, "2026-03-02");
        check("T1", 1, 2, 3, "2026-03-02");
        // 18:00 in Shanghai and ten hours: four in the morning.
        check("T1", 10, 3, 1, "2026-03-03");
        check("T2", 9, 2, 4, "2026-03-02");
    }

    #[test]
    fn a_day_of_absurd_quantities_goes_on_selling() {
        let mut store = store();
        open_epoch(&mut store, 1);
        let date = sell(&mut store, 1).business_date;
        let nearly = i64::MAX - 1;
        store.connection.execute("UPDATE day_total SET units_micro = ?1, gross_minor = ?1", [nearly]).expect("works");
        store.connection.execute("UPDATE stock_usage SET used_micro = ?1", [nearly]).expect("works");
        sell(&mut store, 2);
        let totals = store.view().totals(date, date).expect("reads");
        assert_eq!((totals[0].sales, totals[0].gross_minor.minor()), (2, i64::MAX));
    }

    #[test]
    fn a_till_too_many_is_refused_and_takes_no_number() {
        let mut store = store();
        open_epoch(&mut store, 1);
        let mut sell_at = |till: i64| {
            let number = till.unsigned_abs();
            record(
                &mut store,
                CompleteSale { till_id: format!("T{till}").parse().expect("valid"), ..command(number) },
                &digest(1),
            )
        };
        for till in 1..=TILLS_MAX {
            assert!(matches!(sell_at(till), Ok(Recorded::New(_))), "till {till}");
        }
        for _ in 0..2 {
            let refused = sell_at(TILLS_MAX + 1).expect("works");
            assert_eq!(refused, Recorded::Refused(Refusal::TooManyTills { max: TILLS_MAX }));
        }
        assert!(store.view().verify().expect("reads").is_ok());
    }

    #[test]
    fn an_imported_sale_belongs_to_its_own_day() {
        let mut store = store();
        open_epoch(&mut store, 1);
        let sold_at = Stamp { utc_ms: NOON_MS - 700 * 86_400_000, offset_s: 0 };
        let imported = Imported { source: "coffee".to_owned(), reference: "17".to_owned(), sold_at };
        let recorded = record(&mut store, CompleteSale { imported: Some(imported), ..command(1) }, &digest(1));
        let Ok(Recorded::New(receipt)) = recorded else { panic!("{recorded:?}") };
        assert_eq!(receipt.business_date.to_string(), "2024-04-01");
        assert_eq!(receipt.recorded_at_ms, NOON_MS);
        let sale = store.view().sale(sale_id(1)).expect("reads").expect("is there").sale.expect("is held");
        assert_eq!((sale.sold_at, sale.imported.expect("imported").reference.as_str()), (sold_at, "17"));
    }

    #[test]
    fn sums_use_and_header_follow_from_the_sale() {
        let mut store = store();
        open_epoch(&mut store, 1);
        let receipt = sell(&mut store, 1);
        sell(&mut store, 2);
        let date = receipt.business_date;
        let totals = store.view().totals(date, date).expect("reads");
        let [day] = &totals[..] else { panic!("one day") };
        assert_eq!((day.sales, day.lines, &day.units), (2, 2, &QuantityJson::Whole(4)));
        assert_eq!((day.gross_minor.minor(), day.tax_minor.minor(), day.net_minor.minor()), (7200, 408, 6792));
        let used: i64 =
            store.connection.query_row("SELECT used_micro FROM stock_usage", [], |row| row.get(0)).expect("reads");
        assert_eq!(used, 2 * Quantity::MICRO_PER_UNIT);
        let record = store.view().sale(sale_id(1)).expect("reads").expect("is there");
        assert_eq!(record.receipt, receipt);
        assert!(!record.synced);
        assert_eq!(record.sale.expect("is held").lines[0].gross_minor.minor(), 3600);
        assert_eq!(store.view().sale(sale_id(3)).expect("reads"), None);
    }

    #[test]
    fn a_refused_or_failed_sale_takes_no_number() {
        let mut store = store();
        assert!(matches!(record(&mut store, command(1), &digest(1)), Err(Error::NoEpoch)));
        open_epoch(&mut store, 1);
        let mut large = command(2);
        large.lines = vec![large.lines[0].clone(); 200];
        for line in &mut large.lines {
            line.name = "x".repeat(128);
            line.adjustments.clear();
        }
        large.tenders[0].amount = Money::from_minor(720_000);
        let head = store.head();
        let recorded = record(&mut store, large, &digest(1)).expect("works");
        assert!(matches!(recorded, Recorded::Refused(Refusal::TooLarge { .. })), "{recorded:?}");
        assert_eq!(store.head(), head);
        let receipt = sell(&mut store, 3);
        assert_eq!((receipt.receipt_no, receipt.pickup_no), (1, 1));
        assert!(store.view().verify().expect("reads").is_ok());
    }

    #[test]
    fn operations_of_a_group_stand_and_fall_alone() {
        let mut store = store();
        open_epoch(&mut store, 1);
        store.begin(Durability::Promise).expect("begins");
        sell(&mut store, 1);
        let head = store.head();
        store
            .connection
            .execute_batch("CREATE TEMP TRIGGER fail BEFORE INSERT ON sale BEGIN SELECT RAISE(ABORT, 'no'); END")
            .expect("works");
        record(&mut store, command(2), &digest(1)).expect_err("must fail");
        assert_eq!(store.head(), head, "the tail went back with the savepoint");
        store.connection.execute_batch("DROP TRIGGER fail").expect("works");
        sell(&mut store, 3);
        store.commit().expect("commits");
        assert_eq!(store.head().expect("open").place.seq.get(), 3);
        let held = |number: u64| {
            store.view().sale(SaleId::new(uuid::Uuid::from_u64_pair(0x5, number))).expect("reads").is_some()
        };
        assert_eq!([held(1), held(2), held(3)], [true, false, true]);
        assert!(store.view().verify().expect("reads").is_ok());
    }

    #[test]
    fn what_is_promised_is_synced_and_what_is_hinted_is_not() {
        let mut store = store();
        open_epoch(&mut store, 1);
        for (durability, level) in [(Durability::Hint, 1), (Durability::Promise, 2), (Durability::Hint, 1)] {
            store.begin(durability).expect("begins");
            store.raise_receipts(&[]).expect("works");
            let synchronous = |store: &Store| -> i64 {
                store.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("reads")
            };
            assert_eq!(synchronous(&store), level);
            store.commit().expect("commits");
        }
        sell(&mut store, 1);
        let level: i64 = store.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("reads");
        assert_eq!(level, 2, "a sale outside of a group is a promise too");
    }

    #[test]
    fn a_group_that_is_undone_never_was() {
        let mut store = store();
        let head = open_epoch(&mut store, 1);
        store.begin(Durability::Promise).expect("begins");
        sell(&mut store, 1);
        store.rollback();
        assert_eq!(store.head(), Some(head));
        assert_eq!(sell(&mut store, 1).receipt_no, 1);
        assert!(store.view().verify().expect("reads").is_ok());
    }
}
