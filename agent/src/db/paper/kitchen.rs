//! Labels of cups, and tickets for the stations.

use std::collections::BTreeSet;

use pos_model::{OperatorId, Quantity, Tag, TillId};
use printing::context::{CupLabel, KitchenLine, KitchenTicket};
use printing::job::State;
use printing::template::Kind;
use protocol::latest::kitchen::CupView;
use serde_json::Value;
use till::kitchen::{Cup, CupCode, KitchenOrder};
use uuid::Uuid;

use super::{Goes, PaperPlan, service, words};
use crate::db::command::Moment;
use crate::db::error::Error;
use crate::db::kitchen_step::{SaidBy, VoidedCup};
use crate::db::store::Store;
use crate::wall_clock::local_time;

/// The role of the printers of cup labels.
const LABEL: &str = "label";

/// The role of the printer for every station that has none of its own.
const KITCHEN: &str = "kitchen";

impl Store {
    /// The labels and tickets of cups that were sent to their stations.
    pub(in crate::db) fn print_cups(
        &mut self,
        moment: &Moment,
        by: SaidBy<'_>,
        order: &KitchenOrder,
        cups: &[Cup],
    ) -> Result<(), Error> {
        let at = local_time(moment.at());
        let subject = || order.order_id.to_string();
        if self.paper.prints(LABEL, by.till_id) {
            for cup in cups {
                let label = label_of(cup, order, &self.paper, &at);
                let goes = Goes { role: LABEL, till_id: by.till_id, subject: subject() };
                self.put_in(moment, Kind::CupLabel, goes, label)?;
            }
        }
        let operator = self.name_of_operator(by.operator_id)?;
        let stations: BTreeSet<&Tag> = cups.iter().map(|cup| &cup.station).collect();
        for station in stations {
            let Some(role) = self.ticket_role(station, by.till_id) else { continue };
            let ticket = KitchenTicket {
                lines: lines_of(cups.iter().filter(|cup| cup.station == *station).map(|cup| KitchenLine {
                    name: cup.name.clone(),
                    quantity_micro: cup.quantity.micro(),
                    options: cup.options.clone(),
                    note: cup.note.clone(),
                    voided: false,
                })),
                station: words(station),
                pickup_number: order.pickup_no.to_string(),
                table: order.label.clone(),
                service: service(None, Some(order.takeaway)),
                at: at.clone(),
                operator: operator.clone(),
                note: None,
            };
            let goes = Goes { role, till_id: by.till_id, subject: subject() };
            self.put_in(moment, Kind::KitchenTicket, goes, ticket)?;
        }
        Ok(())
    }

    /// Tells stations that work from paper which cups of an order they need not make. A screen shows it by itself. Labels
    /// of these cups that still wait for their printer are not printed: somebody would make the cup that they stick on.
    pub(in crate::db) fn print_voids(
        &mut self,
        moment: &Moment,
        by: SaidBy<'_>,
        order_id: Uuid,
        voided: &[VoidedCup],
    ) -> Result<(), Error> {
        if voided.is_empty() {
            return Ok(());
        }
        self.cancel_labels(moment, order_id, voided)?;
        let cups = self.view().kitchen_order(order_id)?.map(|order| order.cups).unwrap_or_default();
        let voided: Vec<&CupView> =
            cups.iter().filter(|cup| voided.iter().any(|voided| voided.id == cup.cup_id)).collect();
        let operator = self.name_of_operator(by.operator_id)?;
        let stations: BTreeSet<&Tag> = voided.iter().map(|cup| &cup.station).collect();
        for station in stations {
            let Some(role) = self.ticket_role(station, by.till_id) else { continue };
            let here = || voided.iter().filter(|cup| cup.station == *station);
            let Some(first) = here().next() else { continue };
            let ticket = KitchenTicket {
                lines: lines_of(here().map(|cup| KitchenLine {
                    name: cup.name.clone(),
                    quantity_micro: cup.quantity.parse().map_or(0, Quantity::micro),
                    options: cup.options.clone(),
                    note: cup.note.clone(),
                    voided: true,
                })),
                station: words(station),
                pickup_number: first.pickup_no.to_string(),
                table: first.label.clone(),
                service: service(None, Some(first.takeaway)),
                at: local_time(moment.at()),
                operator: operator.clone(),
                note: None,
            };
            let goes = Goes { role, till_id: by.till_id, subject: order_id.to_string() };
            self.put_in(moment, Kind::KitchenTicket, goes, ticket)?;
        }
        Ok(())
    }

    fn cancel_labels(&mut self, moment: &Moment, order_id: Uuid, voided: &[VoidedCup]) -> Result<(), Error> {
        let codes: Vec<String> = voided.iter().map(|cup| CupCode::of(cup.id).to_string()).collect();
        let mut jobs = self.view().prints_of(&order_id.to_string())?;
        jobs.retain(|job| job.kind == Kind::CupLabel && job.progress.state == State::Queued);
        for job in jobs {
            let data = self.view().print_data(job.id)?;
            let code = data.as_ref().and_then(|label| label.get("qr")).and_then(Value::as_str);
            if code.is_some_and(|code| codes.iter().any(|voided| voided == code)) {
                self.drop_print(job.id, "the cup was taken back before its label was printed", moment.at().utc_ms)?;
            }
        }
        Ok(())
    }

    /// The role under which a station's tickets are printed; none if it has no paper.
    fn ticket_role<'a>(&self, station: &'a Tag, till_id: &TillId) -> Option<&'a str> {
        [station.as_str(), KITCHEN].into_iter().find(|role| self.paper.prints(role, till_id))
    }

    /// What stands on paper for an operator: the name, or what the till says where the store has no such person.
    fn name_of_operator(&self, operator_id: Option<&OperatorId>) -> Result<String, Error> {
        let Some(operator_id) = operator_id else { return Ok(String::new()) };
        let row = self.view().operator_row(operator_id)?;
        Ok(row.map_or_else(|| operator_id.to_string(), |row| row.name))
    }
}

/// One line for what is alike.
fn lines_of(cups: impl Iterator<Item = KitchenLine>) -> Vec<KitchenLine> {
    let mut lines: Vec<KitchenLine> = Vec::new();
    for cup in cups {
        let alike =
            |line: &&mut KitchenLine| (&line.name, &line.options, &line.note) == (&cup.name, &cup.options, &cup.note);
        match lines.iter_mut().find(alike) {
            Some(line) => line.quantity_micro = line.quantity_micro.saturating_add(cup.quantity_micro),
            None => lines.push(cup),
        }
    }
    lines
}

fn label_of(cup: &Cup, order: &KitchenOrder, plan: &PaperPlan, at: &str) -> CupLabel {
    CupLabel {
        store: plan.shop(),
        pickup_number: order.pickup_no.to_string(),
        cup: cup.number,
        cups: cup.of,
        name: cup.name.clone(),
        options: cup.options.clone(),
        note: cup.note.clone(),
        service: service(None, Some(order.takeaway)),
        customer: order.label.clone(),
        at: at.to_owned(),
        qr: Some(CupCode::of(cup.id).to_string()),
    }
}
