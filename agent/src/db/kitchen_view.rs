//! What stations, the counter and the call screen see of the kitchen.

use pos_model::{BusinessDate, CupId, Quantity, Tag};
use protocol::latest::kitchen::{self, CallScreen, CalledOrder, CupView, CupsView};
use rusqlite::{OptionalExtension, Row, params};
use till::kitchen::{CupCode, CupState};
use uuid::Uuid;

use super::error::{Doing, Error};
use super::view::View;

/// Cups on one screen: more than any station has before it. Older ones are left out, so that a store which never marks its
/// cups sees the newest.
const CUPS_SHOWN_MAX: usize = 300;

/// Orders in each half of the call screen: more than a large screen has room for.
const ORDERS_CALLED_MAX: usize = 50;

macro_rules! cups {
    ($from:literal) => {
        concat!(
            "SELECT k.order_id, k.pickup_no, k.business_date, k.label, k.takeaway, k.channel, k.cups, k.sent_at,
                c.cup_id, c.number, c.station, c.sku, c.name, c.options, c.note, c.quantity_micro, c.state, c.changed_at,
                c.till_id, c.operator_id FROM ",
            $from
        )
    };
}

impl View<'_> {
    /// What a station, or all of them, have before them, and what was voided of it: the oldest order first.
    pub fn kitchen(&self, station: Option<&Tag>) -> Result<CupsView, Error> {
        let doing = "read the kitchen's cups";
        // One more than is shown tells whether there are more.
        let limit = CUPS_SHOWN_MAX + 1;
        let mut select = self
            .connection
            .prepare_cached(cups!(
                "cup AS c INDEXED BY cup_shown CROSS JOIN kitchen_order AS k ON k.ordinal = c.order_no
                 WHERE c.state IN ('queued', 'making', 'ready', 'voided') AND (?1 IS NULL OR c.station = ?1)
                 ORDER BY c.order_no DESC, c.number DESC LIMIT ?2"
            ))
            .doing(doing)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = select.query_map(params![station.map(Tag::as_str), limit], |row| Ok(cup_view(row))).doing(doing)?;
        let mut cups = rows.map(|row| row.doing(doing)?).collect::<Result<Vec<CupView>, Error>>()?;
        let more = cups.len() > CUPS_SHOWN_MAX;
        cups.truncate(CUPS_SHOWN_MAX);
        cups.reverse();
        Ok(CupsView { cups, more })
    }

    /// All cups of an order, or of a sale that was sent without one; none if nothing of it was ever sent.
    pub fn kitchen_order(&self, order_id: Uuid) -> Result<Option<CupsView>, Error> {
        self.consistent(|view| {
            let order_no: Option<i64> = view
                .connection
                .prepare_cached("SELECT ordinal FROM kitchen_order WHERE order_id = ?1")
                .and_then(|mut select| select.query_row([order_id.as_bytes()], |row| row.get(0)).optional())
                .doing("look for an order of the kitchen")?;
            let cups = order_no.map(|order_no| view.cups_of(order_no, |_| true)).transpose()?;
            Ok(cups.map(|cups| CupsView { cups, more: false }))
        })
    }

    /// What customers see: the newest first.
    pub fn call_screen(&self) -> Result<CallScreen, Error> {
        self.consistent(|view| {
            Ok(CallScreen {
                ready: view.called(
                    "SELECT pickup_no, label, changed_at FROM kitchen_order INDEXED BY kitchen_order_ready
                     WHERE live > 0 AND waiting = 0 ORDER BY changed_at DESC, ordinal DESC LIMIT ?1",
                )?,
                making: view.called(
                    "SELECT pickup_no, label, sent_at FROM kitchen_order WHERE waiting > 0 ORDER BY ordinal DESC LIMIT ?1",
                )?,
            })
        })
    }

    fn called(&self, sql: &'static str) -> Result<Vec<CalledOrder>, Error> {
        let doing = "read the call screen";
        let limit = i64::try_from(ORDERS_CALLED_MAX).unwrap_or(i64::MAX);
        let mut select = self.connection.prepare_cached(sql).doing(doing)?;
        let rows = select
            .query_map([limit], |row| {
                Ok(CalledOrder { pickup_no: row.get(0)?, label: row.get(1)?, since_ms: row.get(2)? })
            })
            .doing(doing)?;
        rows.collect::<Result<_, _>>().doing(doing)
    }

    /// Cups of an order by its place in the books, as far as they have one of these numbers.
    pub(super) fn cups_of(&self, order_no: i64, which: impl Fn(u32) -> bool) -> Result<Vec<CupView>, Error> {
        let doing = "read the cups of an order";
        let mut select = self
            .connection
            .prepare_cached(cups!(
                "kitchen_order AS k CROSS JOIN cup AS c ON c.order_no = k.ordinal WHERE k.ordinal = ?1 ORDER BY c.number"
            ))
            .doing(doing)?;
        let rows = select.query_map([order_no], |row| Ok(cup_view(row))).doing(doing)?;
        let cups = rows.map(|row| row.doing(doing)?).collect::<Result<Vec<CupView>, Error>>()?;
        Ok(cups.into_iter().filter(|cup| which(cup.number)).collect())
    }
}

fn cup_view(row: &Row<'_>) -> Result<CupView, Error> {
    let doing = "read a cup";
    let text = |column: usize| row.get::<_, String>(column).doing(doing);
    let optional = |column: usize| row.get::<_, Option<String>>(column).doing(doing);
    let number = |column: usize| row.get::<_, u32>(column).doing(doing);
    let ms = |column: usize| row.get::<_, i64>(column).doing(doing);
    let id = |column: usize| row.get::<_, [u8; 16]>(column).map(Uuid::from_bytes).doing(doing);
    let damaged = |what: &str| Error::Damaged(format!("a cup has {what}"));
    let cup_id = CupId::new(id(8)?);
    let state = CupState::parse(&text(16)?).ok_or_else(|| damaged("a state that is none"))?;
    Ok(CupView {
        cup_id,
        code: CupCode::of(cup_id).to_string(),
        order_id: id(0)?,
        pickup_no: number(1)?,
        business_date: BusinessDate::from_days(ms(2)?),
        label: optional(3)?,
        takeaway: row.get(4).doing(doing)?,
        channel: text(5)?.parse().map_err(|_| damaged("a channel that is none"))?,
        of: number(6)?,
        sent_at_ms: ms(7)?,
        number: number(9)?,
        station: text(10)?.parse().map_err(|_| damaged("a station that is none"))?,
        sku: text(11)?.parse().map_err(|_| damaged("a SKU that is none"))?,
        name: text(12)?,
        options: serde_json::from_str(&text(13)?).map_err(|_| damaged("options that are none"))?,
        note: optional(14)?,
        quantity: Quantity::from_micro(ms(15)?).into(),
        state: cup_state(state),
        changed_at_ms: ms(17)?,
        till_id: optional(18)?.map(|text| text.parse().map_err(|_| damaged("a till that is none"))).transpose()?,
        operator_id: optional(19)?
            .map(|text| text.parse().map_err(|_| damaged("an operator that is none")))
            .transpose()?,
    })
}

/// A state as tills hear it.
pub(super) const fn cup_state(state: CupState) -> kitchen::CupState {
    match state {
        CupState::Queued => kitchen::CupState::Queued,
        CupState::Making => kitchen::CupState::Making,
        CupState::Ready => kitchen::CupState::Ready,
        CupState::Handed => kitchen::CupState::Handed,
        CupState::Voided => kitchen::CupState::Voided,
        CupState::Discarded => kitchen::CupState::Discarded,
    }
}

/// A state as tills say it.
pub(super) const fn inner_state(state: kitchen::CupState) -> CupState {
    match state {
        kitchen::CupState::Queued => CupState::Queued,
        kitchen::CupState::Making => CupState::Making,
        kitchen::CupState::Ready => CupState::Ready,
        kitchen::CupState::Handed => CupState::Handed,
        kitchen::CupState::Voided => CupState::Voided,
        kitchen::CupState::Discarded => CupState::Discarded,
    }
}
