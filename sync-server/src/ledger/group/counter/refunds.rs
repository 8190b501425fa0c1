//! Refunds.

use pos_model::OperatorId;
use protocol::latest::{EventBody, RefundCompleted, RefundKind, ReturnedGoods};

use super::super::Group;
use super::super::numbers;
use super::super::record::{LINES_MAX, MALFORMED, Place, Refusal};
use super::super::tables::{FactKind, Table, Tables};
use super::{Facts, items_as_json};
use crate::ledger::database::cells;
use crate::ledger::fault::Fault;
use crate::ledger::text::tenders_as_json;

const REFUNDS: Facts = Facts {
    what: "refund",
    table: Table::Refunds,
    kind: FactKind::Refund,
    known: "refund_id_known",
    conflict: "refund_id_conflict",
};

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    pub(in super::super) fn refund(
        &mut self,
        place: Place,
        refund: &'g RefundCompleted,
    ) -> Result<Option<Refusal>, Fault> {
        let Some(lines) = i64::try_from(refund.lines.len()).ok().filter(|lines| *lines < LINES_MAX) else {
            return Ok(Some((MALFORMED, format!("a refund of {} lines", refund.lines.len()))));
        };
        let Some(receipt_no) = numbers::believed(refund.receipt_no) else {
            return Ok(Some((MALFORMED, format!("receipt number {}", refund.receipt_no))));
        };
        let restocked = refund.lines.iter().flat_map(|line| &line.restocked);
        if let Some(item) = restocked.into_iter().find(|one| one.quantity.micro() < 0) {
            return Ok(Some((MALFORMED, format!("less than nothing of {} went back into stock", item.item_id))));
        }
        let kind = match refund.kind {
            RefundKind::Refund => "refund",
            RefundKind::Void => "void",
            RefundKind::Other => "other",
        };
        let mut tenders = String::new();
        tenders_as_json(&refund.tenders, &mut tenders);
        let row = cells![
            place.event_no,
            refund.refund_id.as_bytes(),
            refund.sale_id.as_bytes(),
            place.store_no,
            place.stream_no,
            place.seq.to_sql(),
            kind,
            refund.business_date.days(),
            refund.refunded_at.utc_ms,
            refund.refunded_at.offset_s,
            refund.till_id.as_str(),
            refund.shift_id.as_ref().map(|shift| shift.as_bytes()),
            refund.operator_id.as_ref().map(OperatorId::as_str),
            refund.approver_id.as_ref().map(OperatorId::as_str),
            refund.reason.as_str(),
            &refund.note,
            receipt_no,
            refund.currency.as_str(),
            lines,
            refund.totals.quantity.micro(),
            refund.totals.gross_minor.minor(),
            refund.totals.tax_minor.minor(),
            refund.totals.net_minor.minor(),
            refund.cash_rounding_minor.minor(),
            refund.points,
            &tenders,
        ];
        let refused = self.add_fact(
            &REFUNDS,
            place,
            refund.refund_id.uuid(),
            row,
            |held| matches!(held, EventBody::RefundCompleted(held) if is_repeated(held, refund)),
        )?;
        if refused.is_some() {
            return Ok(refused);
        }
        for (line, line_no) in refund.lines.iter().zip(place.event_no * LINES_MAX..) {
            let goods = match line.goods {
                ReturnedGoods::Restocked => "restocked",
                ReturnedGoods::Wasted => "wasted",
                ReturnedGoods::Other => "other",
            };
            let units = serde_json::json!(line.units).to_string();
            let restocked = items_as_json(&line.restocked);
            let row = cells![
                line_no,
                line.line,
                line.sku.as_str(),
                &line.name,
                &units,
                line.quantity.micro(),
                line.gross_minor.minor(),
                line.tax_minor.minor(),
                line.tax_group.as_str(),
                line.tax_rate_ppm,
                goods,
                restocked.as_deref(),
            ];
            self.add_row(Table::RefundLines, row)?;
        }
        self.receipt(place, &refund.till_id, receipt_no);
        self.effects.counter.refund(place, refund)?;
        Ok(None)
    }
}

/// Whether a till has asked for the same again: only what the agent adds may differ.
fn is_repeated(held: &RefundCompleted, refund: &RefundCompleted) -> bool {
    held.sale_id == refund.sale_id
        && held.kind == refund.kind
        && held.till_id == refund.till_id
        && held.reason == refund.reason
        && held.currency == refund.currency
        && held.lines == refund.lines
        && held.tenders == refund.tenders
        && held.totals == refund.totals
}
