//! Baskets of the whole store: every till sees the same ones.

use pos_model::{BasketId, BusinessDate, LineId, SaleId, Stamp, Tag, TillId};
use protocol::latest::basket_api::{BasketChange, BasketLineState, BasketState, BasketView, ChangeBasket, OpenBasket};
use protocol::latest::local_api::Change;
use rusqlite::{OptionalExtension, params};
use till::Refusal;
use till::basket::{Basket, BasketEffect, BasketRefusal};
use till::kitchen::{KitchenLine, KitchenOrder};
use till::people::Action;
use till::sold_out::Needs;

use super::audit::{Noteworthy, word};
use super::basket_document::{basket_of, changes_of, view_of};
use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::kitchen::next_pickup_no;
use super::kitchen_step::SaidBy;
use super::permit::Permit;
use super::store::Store;
use super::view::View;

/// Baskets that are open or held at the same time: a hall full of tables.
pub(super) const BASKETS_MAX: usize = 500;

/// Changes of one command.
pub(super) const CHANGES_MAX: usize = 50;

/// The number by which a basket is called out, and the business date that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) pickup_no: u32,
    pub(super) business_date: BusinessDate,
}

impl From<BasketRefusal> for Error {
    fn from(refusal: BasketRefusal) -> Self {
        let key = refusal.message_key();
        Self::Refused(if refusal.is_overtaken() {
            Refused::overtaken(key, refusal)
        } else {
            Refused::rule(key, refusal)
        })
    }
}

impl Store {
    /// Begins a basket. Within a command. `by_the_book` says what its lines are to the stations, or why they are not sold.
    pub fn open_basket(
        &mut self,
        moment: &mut Moment,
        command: OpenBasket,
        by_the_book: impl FnOnce(&BasketView) -> Result<Vec<(KitchenLine, Needs)>, Refusal>,
    ) -> Result<BasketView, Error> {
        let OpenBasket { till_id, operator_id, basket_id, channel, changes, .. } = command;
        let subject = basket_id.to_string();
        let permit = self.permit(moment, &till_id, operator_id.as_ref(), None, Action::Sell, &subject)?;
        if self.view().basket(basket_id)?.is_some() {
            let text = format!("basket {basket_id} is known already; a new basket needs a new id");
            return Err(Refused::overtaken("basket.id_known", text).into());
        }
        if usize::try_from(self.view().open_baskets()?).unwrap_or(usize::MAX) >= BASKETS_MAX {
            let text = format!("{BASKETS_MAX} baskets are open or held; pay or cancel some");
            return Err(Refused::rule("basket.too_many_open", text).into());
        }
        let at = moment.at().utc_ms;
        let begun = view_of(&Basket::open(basket_id, till_id.clone(), channel), None, at, at);
        self.apply(moment, begun, changes, (till_id, permit), by_the_book)
    }

    /// Changes a basket, wholly or not at all. Within a command. `by_the_book` says what its lines are to the stations, or why
    /// they are not sold: then nothing is sent.
    pub fn change_basket(
        &mut self,
        moment: &mut Moment,
        basket_id: BasketId,
        command: ChangeBasket,
        by_the_book: impl FnOnce(&BasketView) -> Result<Vec<(KitchenLine, Needs)>, Refusal>,
    ) -> Result<BasketView, Error> {
        let ChangeBasket { till_id, operator_id, approval_id, changes, .. } = command;
        if changes.is_empty() {
            return Err(Refused::rule("basket.no_change", "a command names at least one change").into());
        }
        let view = self.view().basket(basket_id)?.ok_or_else(|| unknown(basket_id))?;
        let sent = view.lines.iter().any(|line| line.state == BasketLineState::Sent);
        let voids = changes.iter().any(|change| match change {
            BasketChange::VoidLine { .. } => true,
            BasketChange::Cancel { .. } => sent,
            _ => false,
        });
        let action = if voids { Action::VoidSentLine } else { Action::Sell };
        let subject = basket_id.to_string();
        let permit = self.permit(moment, &till_id, operator_id.as_ref(), approval_id, action, &subject)?;
        self.apply(moment, view, changes, (till_id, permit), by_the_book)
    }

    fn apply(
        &mut self,
        moment: &mut Moment,
        view: BasketView,
        changes: Vec<BasketChange>,
        (till_id, permit): (TillId, Permit),
        by_the_book: impl FnOnce(&BasketView) -> Result<Vec<(KitchenLine, Needs)>, Refusal>,
    ) -> Result<BasketView, Error> {
        if changes.len() > CHANGES_MAX {
            let text = format!("a command has at most {CHANGES_MAX} changes");
            return Err(Refused::rule("basket.too_many", text).into());
        }
        let mut basket = basket_of(&view)?;
        let changes = changes_of(changes, &till_id)?;
        let effects = if changes.is_empty() { Vec::new() } else { basket.change(changes)? };
        let by = SaidBy { till_id: &till_id, operator_id: permit.operator.as_ref() };
        let order_id = basket.basket_id.uuid();
        let mut voided = Vec::new();
        for effect in &effects {
            if let BasketEffect::Voided { line_id, reason } = effect {
                self.mark_void(moment, &basket, (*line_id, reason), &till_id, &permit)?;
                voided.extend(self.void_cups(moment, by, order_id, *line_id, None)?);
            }
        }
        self.print_voids(moment, by, order_id, &voided)?;
        let sends = effects.iter().any(|effect| matches!(effect, BasketEffect::Sent(_)));
        let numbered = match numbers(&view) {
            None if sends => Some(self.number(moment.at())?),
            numbered => numbered,
        };
        let view = view_of(&basket, numbered, view.opened_at_ms, moment.at().utc_ms);
        self.write_basket(&view)?;
        if let Some(numbered) = numbered.filter(|_| sends) {
            // What cannot be sold is not made: somebody would drink it, and nobody could pay.
            let lines = by_the_book(&view).map_err(|refusal| Refused::rule(refusal.message_key(), refusal))?;
            self.send_basket(moment, by, &view, numbered, lines)?;
        }
        Ok(view)
    }

    /// Has the stations make what they have not had, unless something of it is sold out. What lies on a shelf is taken off
    /// the countdowns when it is paid.
    fn send_basket(
        &mut self,
        moment: &mut Moment,
        by: SaidBy<'_>,
        view: &BasketView,
        Numbered { pickup_no, business_date }: Numbered,
        lines: Vec<(KitchenLine, Needs)>,
    ) -> Result<(), Error> {
        let order_id = view.basket_id.uuid();
        let had = self.sent_of(order_id)?.lines;
        let made = lines.into_iter().filter(|(line, _)| line.station.is_some() && !had.contains_key(&line.line_id));
        let (lines, needs): (Vec<KitchenLine>, Vec<Needs>) = made.unzip();
        self.take_sold_out(moment, &needs)?;
        let (label, channel) = (view.label.clone(), view.channel.clone());
        let order = KitchenOrder { order_id, pickup_no, business_date, label, takeaway: view.takeaway, channel, lines };
        self.send_to_kitchen(moment, by, &order).map(drop)
    }

    /// Makes a basket the sale `sale_id`, if it is still as it was priced. Gives the numbers that it has already.
    pub(super) fn pay_basket(
        &mut self,
        at: Stamp,
        (basket_id, revision): (BasketId, u64),
        sale_id: SaleId,
        number: impl FnOnce(&mut Self) -> Result<Numbered, Error>,
    ) -> Result<Numbered, Error> {
        let view = self.view().basket(basket_id)?.ok_or_else(|| unknown(basket_id))?;
        let mut basket = basket_of(&view)?;
        if basket.is_alive() && basket.revision != revision {
            let text = "the basket has changed since it was priced; look at it again";
            return Err(Refused::overtaken("basket.changed", text).into());
        }
        basket.pay(sale_id)?;
        let numbered = match numbers(&view) {
            Some(numbered) => numbered,
            None => number(self)?,
        };
        let paid = view_of(&basket, Some(numbered), view.opened_at_ms, at.utc_ms);
        self.write_basket(&paid)?;
        Ok(numbered)
    }

    /// Gives a pickup number of the business date.
    fn number(&self, at: Stamp) -> Result<Numbered, Error> {
        let business_date = BusinessDate::of(at, self.rules.cut_off);
        Ok(Numbered { pickup_no: next_pickup_no(&self.connection, business_date)?, business_date })
    }

    fn write_basket(&mut self, view: &BasketView) -> Result<(), Error> {
        let document = serde_json::to_vec(view).expect("text and numbers always encode");
        let alive = matches!(view.state, BasketState::Open | BasketState::Held);
        self.connection
            .prepare_cached(
                "INSERT INTO basket (basket_id, alive, revision, position, document) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET alive = excluded.alive, revision = excluded.revision,
                    position = excluded.position, document = excluded.document",
            )
            .and_then(|mut upsert| {
                upsert.execute(params![
                    view.basket_id.as_bytes(),
                    alive,
                    view.revision.cast_signed(),
                    self.tail.position,
                    document
                ])
            })
            .doing("write the basket")?;
        self.changed(Change::Basket(Box::new(view.clone())));
        Ok(())
    }

    fn mark_void(
        &mut self,
        moment: &mut Moment,
        basket: &Basket,
        (line_id, reason): (LineId, &Tag),
        till_id: &TillId,
        permit: &Permit,
    ) -> Result<(), Error> {
        let line = basket.lines.iter().find(|line| line.line_id == line_id);
        let detail = line.map(|line| format!("{} x {}", line.quantity, line.sku)).unwrap_or_default();
        let mark = Noteworthy::new(word::LINE_VOIDED).at(till_id).permitted(permit).about(basket.basket_id);
        self.mark(moment, mark.because(Some(reason.clone())).saying(detail)).map(drop)
    }
}

fn unknown(basket_id: BasketId) -> Refused {
    Refused::unknown("basket.unknown", format!("basket {basket_id} is not known here"))
}

fn numbers(view: &BasketView) -> Option<Numbered> {
    let (pickup_no, business_date) = view.pickup_no.zip(view.business_date)?;
    Some(Numbered { pickup_no, business_date })
}

impl View<'_> {
    /// A basket.
    pub fn basket(&self, basket_id: BasketId) -> Result<Option<BasketView>, Error> {
        let found: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT document FROM basket WHERE basket_id = ?1")
            .and_then(|mut select| select.query_row([basket_id.as_bytes()], |row| row.get(0)).optional())
            .doing("read the basket")?;
        found.map(|document| read_document(&document)).transpose()
    }

    /// The baskets that are open or held, the oldest first.
    pub fn baskets(&self) -> Result<Vec<BasketView>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT document FROM basket WHERE alive = 1 ORDER BY basket_id")
            .doing("read the baskets")?;
        let rows = select.query_map([], |row| row.get::<_, Vec<u8>>(0)).doing("read the baskets")?;
        rows.map(|row| read_document(&row.doing("read the baskets")?)).collect()
    }

    /// How many baskets are open or held.
    pub fn open_baskets(&self) -> Result<u32, Error> {
        self.connection
            .prepare_cached("SELECT count(*) FROM basket WHERE alive = 1")
            .and_then(|mut select| select.query_row([], |row| row.get(0)))
            .doing("count the baskets")
    }
}

fn read_document(document: &[u8]) -> Result<BasketView, Error> {
    serde_json::from_slice(document).map_err(|error| Error::Damaged(format!("a basket: {error}")))
}
