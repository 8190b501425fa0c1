//! What a sale means to the stations, and to what is counted down.
//!
//! A basket may have been sent before it is paid. Its lines then have their cups, and were taken off the countdowns when
//! they were sent; the sale adds what is left.

use pos_model::{BusinessDate, LineId};
use protocol::latest::basket_api::BasketLineState;
use till::SaleDraft;
use till::kitchen::{KitchenLine, KitchenOrder, lines_of_sale};
use till::sold_out::Needs;

use super::command::Moment;
use super::error::Error;
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
        self.send_to_kitchen(moment, &order).map(drop)
    }

    /// The lines of a sale, under the ids that they have in its basket.
    fn kitchen_lines(&self, draft: &SaleDraft) -> Result<Vec<KitchenLine>, Error> {
        let mut lines = lines_of_sale(draft.sale_id, &draft.lines);
        if let Some(basket) = draft.basket
            && let Some(view) = self.view().basket(basket.basket_id)?
        {
            let sold = view.lines.iter().filter(|line| line.state != BasketLineState::Voided);
            let ids: Vec<LineId> = sold.map(|line| line.line_id).collect();
            lines.iter_mut().zip(ids).for_each(|(line, id)| line.line_id = id);
        }
        Ok(lines)
    }
}
