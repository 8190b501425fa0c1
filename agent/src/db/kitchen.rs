//! What is sent to the stations, and the numbers that are called out.
//!
//! Everything here belongs into an operation: a sale or a basket sends its cups in its own database transaction, so that
//! an order that was promised has its cups, and one that was refused has none. `kitchen_step` moves and voids them,
//! `kitchen_view` is what people see of them.

use pos_model::{BusinessDate, LineId, Quantity};
use protocol::latest::kitchen::CupsView;
use protocol::latest::local_api::Change;
use rusqlite::{Connection, OptionalExtension, params};
use till::kitchen::{Cup, CupState, KitchenOrder, Sent, SentBefore, cups};
use uuid::Uuid;

use super::command::Moment;
use super::error::{Doing, Error};
use super::kitchen_step::SaidBy;
use super::store::Store;
use super::trim::RETENTION_MS_MIN;

/// The newest orders whose pickup numbers are not given again as long as a customer waits for them. More customers never
/// wait at once; a store that does not mark its cups gives its numbers again all the same.
const LIVE_ORDERS: i64 = 100;

/// For how long an order of which nothing is waited for is kept, in running time: three days, for whoever asks what
/// became of yesterday's. Other orders are kept as long as events.
const SETTLED_KEPT_MS: i64 = 3 * 24 * 60 * 60 * 1000;

impl Store {
    /// Sends an order to its stations. Within an operation.
    ///
    /// What was sent of it before stays; cups are made for what is more. Gives the cups that are made, whose labels are to
    /// be printed. An order of which nothing is made anywhere leaves no trace.
    pub fn send_to_kitchen(
        &mut self,
        moment: &Moment,
        by: SaidBy<'_>,
        order: &KitchenOrder,
    ) -> Result<Vec<Cup>, Error> {
        if order.lines.iter().all(|line| line.station.is_none()) {
            return Ok(Vec::new());
        }
        let (known, before) = (self.order_no(order.order_id)?, self.sent_of(order.order_id)?);
        let cups = cups(order, &before);
        let made = i64::try_from(cups.len()).unwrap_or(i64::MAX);
        let order_no = match known {
            None if cups.is_empty() => return Ok(cups),
            None => self.add_order(moment, order, made)?,
            Some(order_no) => self.add_to_order(moment, order, order_no, made)?,
        };
        for cup in &cups {
            self.add_cup(moment, order_no, cup)?;
        }
        // The others have another "of m" from here on, which a screen knows from the new ones of their order.
        self.tell_cups(order_no, |number| cups.iter().any(|cup| cup.number == number))?;
        self.print_cups(moment, by, order, &cups)?;
        Ok(cups)
    }

    pub(super) fn order_no(&self, order_id: Uuid) -> Result<Option<i64>, Error> {
        self.connection
            .prepare_cached("SELECT ordinal FROM kitchen_order WHERE order_id = ?1")
            .and_then(|mut select| select.query_row([order_id.as_bytes()], |row| row.get(0)).optional())
            .doing("look for an order of the kitchen")
    }

    /// What was sent of an order; nothing of one that is not known.
    pub(super) fn sent_of(&self, order_id: Uuid) -> Result<SentBefore, Error> {
        let Some(order_no) = self.order_no(order_id)? else { return Ok(SentBefore::default()) };
        let doing = "read what was sent of an order";
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT line_id, max(unit),
                    sum(CASE WHEN state IN ('voided', 'discarded') THEN 0 ELSE quantity_micro END), max(number)
                 FROM cup WHERE order_no = ?1 GROUP BY line_id",
            )
            .doing(doing)?;
        let mut rows = select.query([order_no]).doing(doing)?;
        let mut before = SentBefore::default();
        while let Some(row) = rows.next().doing(doing)? {
            let read = || -> rusqlite::Result<_> {
                let line_id = LineId::new(Uuid::from_bytes(row.get(0)?));
                let sent = Sent { units: row.get(1)?, quantity: Quantity::from_micro(row.get(2)?) };
                Ok((line_id, sent, row.get::<_, u32>(3)?))
            };
            let (line_id, sent, number) = read().doing(doing)?;
            before.lines.insert(line_id, sent);
            before.cups = before.cups.max(number);
        }
        Ok(before)
    }

    fn add_order(&self, moment: &Moment, order: &KitchenOrder, made: i64) -> Result<i64, Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO kitchen_order (order_id, pickup_no, business_date, label, takeaway, channel, sent_at,
                    changed_at, position, cups, waiting, live)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?9, ?9)",
            )
            .and_then(|mut insert| {
                insert.insert(params![
                    order.order_id.as_bytes(),
                    order.pickup_no,
                    order.business_date.days(),
                    order.label,
                    order.takeaway,
                    order.channel.as_str(),
                    moment.at().utc_ms,
                    self.tail.position,
                    made,
                ])
            })
            .doing("write an order of the kitchen")
    }

    fn add_to_order(&self, moment: &Moment, order: &KitchenOrder, order_no: i64, made: i64) -> Result<i64, Error> {
        self.connection
            .prepare_cached(
                "UPDATE kitchen_order SET label = ?2, takeaway = ?3, position = ?4, cups = cups + ?5,
                    waiting = waiting + ?5, live = live + ?5, changed_at = ?6 WHERE ordinal = ?1",
            )
            .and_then(|mut update| {
                update.execute(params![
                    order_no,
                    order.label,
                    order.takeaway,
                    self.tail.position,
                    made,
                    moment.at().utc_ms
                ])
            })
            .doing("add to an order of the kitchen")
            .map(|_| order_no)
    }

    fn add_cup(&self, moment: &Moment, order_no: i64, cup: &Cup) -> Result<(), Error> {
        let options = serde_json::to_string(&cup.options).expect("a list of texts always encodes");
        self.connection
            .prepare_cached(
                "INSERT INTO cup (order_no, number, cup_id, line_id, unit, station, sku, name, options, note,
                    quantity_micro, state, changed_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    order_no,
                    cup.number,
                    cup.id.as_bytes(),
                    cup.line_id.as_bytes(),
                    cup.unit,
                    cup.station.as_str(),
                    cup.sku.as_str(),
                    cup.name,
                    options,
                    cup.note,
                    cup.quantity.micro(),
                    CupState::Queued.as_str(),
                    moment.at().utc_ms,
                ])
            })
            .doing("write a cup")
            .map(drop)
    }

    pub(super) fn tell_cups(&mut self, order_no: i64, which: impl Fn(u32) -> bool) -> Result<(), Error> {
        let cups = self.view().cups_of(order_no, which)?;
        if cups.is_empty() {
            return Ok(());
        }
        self.changed(Change::Cup(CupsView { cups, more: false }));
        Ok(())
    }

    /// Lets at most `rows_max` orders go, with their cups: those of which nothing is waited for sooner than the others.
    pub(super) fn trim_kitchen(&self, rows_max: i64) -> Result<i64, Error> {
        let mut gone = 0;
        for (kept_ms, live) in [(SETTLED_KEPT_MS, false), (RETENTION_MS_MIN, true)] {
            let Some(limit) = self.newest_of_age(kept_ms)? else { continue };
            let deleted = self
                .connection
                .execute(
                    "DELETE FROM kitchen_order WHERE ordinal IN (SELECT ordinal FROM kitchen_order
                        WHERE position <= ?1 AND (?2 OR live = 0) ORDER BY ordinal LIMIT ?3)",
                    params![limit, live, rows_max - gone],
                )
                .doing("let orders of the kitchen go")?;
            gone += i64::try_from(deleted).unwrap_or(i64::MAX);
        }
        Ok(gone)
    }
}

/// The next pickup number of a business date. It only grows, and leaves out what a waiting customer holds: a clock that
/// jumped to another date and back must not call two customers by one number.
pub(super) fn next_pickup_no(connection: &Connection, business_date: BusinessDate) -> Result<u32, Error> {
    let doing = "give a pickup number";
    let mut next = connection
        .prepare_cached(
            "INSERT INTO pickup_head (business_date, pickup_no) VALUES (?1, 1)
             ON CONFLICT DO UPDATE SET pickup_no = pickup_no + 1 RETURNING pickup_no",
        )
        .doing(doing)?;
    let mut is_held = connection
        .prepare_cached(
            "SELECT 1 FROM kitchen_order WHERE pickup_no = ?1 AND live > 0
                AND ordinal > (SELECT max(ordinal) FROM kitchen_order) - ?2",
        )
        .doing(doing)?;
    loop {
        let pickup_no: u32 = next.query_row([business_date.days()], |row| row.get(0)).doing(doing)?;
        // At most so many numbers are held, so this ends.
        if !is_held.exists(params![pickup_no, LIVE_ORDERS]).doing(doing)? {
            return Ok(pickup_no);
        }
    }
}
