//! What a sale means to the stations, and to what is counted down.
//!
//! A basket may have been sent before it is paid. Its lines then have their cups, and were taken off the countdowns when
//! they were sent; the sale adds what is left.

use std::collections::BTreeMap;

use pos_model::{BasketId, BusinessDate, LineId};
use protocol::latest::SaleCompleted;
use protocol::latest::basket_api::BasketLineState;
use till::SaleDraft;
use till::kitchen::{KitchenLine, KitchenOrder, line_of_sale, lines_of_sale};
use till::sold_out::Needs;

use super::command::Moment;
use super::error::Error;
use super::kitchen_step::SaidBy;
use super::store::Store;

impl Store {
    /// By which parts of a sale it may be sold out. One that was made elsewhere and is read from a file takes nothing here,
    /// and what the stations have was taken when it was sent.
    pub(super) fn needs_of_sale(&mut self, draft: &SaleDraft) -> Result<Vec<Needs>, Error> {
        if draft.imported.is_some() || self.sold_out()?.is_empty() {
            return Ok(Vec::new());
        }
        let lines = self.kitchen_lines(draft)?;
        let sent =
            draft.basket.map(|basket| self.sent_of(basket.basket_id.uuid())).transpose()?.unwrap_or_default().lines;
        let new = draft.lines.iter().zip(&lines).filter(|(_, line)| !sent.contains_key(&line.line_id));
        Ok(new.map(|(line, _)| Needs::from(&line.line)).collect())
    }

    /// Sends to the stations what they have not had of a sale. Within the sale's operation.
    pub(super) fn send_sale(
        &mut self,
        moment: &Moment,
        draft: &SaleDraft,
        pickup_no: u32,
        business_date: BusinessDate,
    ) -> Result<(), Error> {
        if draft.imported.is_some() || draft.lines.iter().all(|line| line.line.station.is_none()) {
            return Ok(());
        }
        let order = KitchenOrder {
            order_id: draft.basket.map_or(draft.sale_id.uuid(), |basket| basket.basket_id.uuid()),
            pickup_no,
            business_date,
            label: draft.label.clone(),
            takeaway: draft.priced_by.as_ref().is_some_and(|priced_by| priced_by.context.takeaway),
            channel: draft.channel.clone(),
            lines: self.kitchen_lines(draft)?,
        };
        let by = SaidBy { till_id: &draft.till_id, operator_id: draft.operator_id.as_ref() };
        self.send_to_kitchen(moment, by, &order).map(drop)
    }

    /// Takes the cups of lines that came back off the stations. Within the refund's operation. `left` tells of each such
    /// line, by its place in the sale, how many of its units the customer has not given back.
    ///
    /// Somebody who gets money for one of two drinks still waits for the other, and nobody says which cup was meant. So as
    /// many cups go on being made as units are left. What the customer has is never one of them.
    pub(super) fn take_cups_back(
        &mut self,
        moment: &Moment,
        by: SaidBy<'_>,
        sale: &SaleCompleted,
        left: &BTreeMap<usize, u32>,
    ) -> Result<(), Error> {
        let order_id = sale.basket_id.map_or(sale.sale_id.uuid(), |basket_id| basket_id.uuid());
        let Some(order_no) = self.order_no(order_id)? else { return Ok(()) };
        let in_basket = self.basket_lines(sale.basket_id)?;
        let mut voided = Vec::new();
        for (&place, &left) in left {
            let line_id = in_basket.get(place).copied().unwrap_or_else(|| line_of_sale(sale.sale_id, place));
            let surplus = self.live_cups(order_no, line_id)?.saturating_sub(left);
            if surplus > 0 {
                voided.extend(self.void_cups(moment, by, order_id, line_id, Some(surplus))?);
            }
        }
        self.print_voids(moment, by, order_id, &voided)
    }

    /// The lines of a sale, under the ids that they have in its basket.
    fn kitchen_lines(&self, draft: &SaleDraft) -> Result<Vec<KitchenLine>, Error> {
        let mut lines = lines_of_sale(draft.sale_id, &draft.lines);
        let in_basket = self.basket_lines(draft.basket.map(|basket| basket.basket_id))?;
        lines.iter_mut().zip(in_basket).for_each(|(line, id)| line.line_id = id);
        Ok(lines)
    }

    /// The ids of a basket's lines, in the order in which they are sold; none without a basket.
    fn basket_lines(&self, basket_id: Option<BasketId>) -> Result<Vec<LineId>, Error> {
        let basket = basket_id.map(|basket_id| self.view().basket(basket_id)).transpose()?.flatten();
        let lines = basket.map(|basket| basket.lines).unwrap_or_default();
        let sold = lines.into_iter().filter(|line| line.state != BasketLineState::Voided);
        Ok(sold.map(|line| line.line_id).collect())
    }
}
