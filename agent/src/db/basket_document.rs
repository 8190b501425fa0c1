//! Baskets as they are stored and shown, and as `till` decides about them.

use pos_model::TillId;
use pricing::Member;
use protocol::latest::PricingMember;
use protocol::latest::basket_api::{self as wire, BasketLineState, BasketLineView, BasketState, BasketView};
use protocol::latest::local_api::QuantityJson;
use till::basket::{Basket, BasketChange, BasketLine, BasketStatus, LineState};

use super::basket::Numbered;
use super::command::Refused;
use super::error::Error;

pub(super) fn view_of(
    basket: &Basket,
    numbered: Option<Numbered>,
    opened_at_ms: i64,
    changed_at_ms: i64,
) -> BasketView {
    let (state, sale_id) = match basket.status {
        BasketStatus::Open => (BasketState::Open, None),
        BasketStatus::Held => (BasketState::Held, None),
        BasketStatus::Paid(sale_id) => (BasketState::Paid, Some(sale_id)),
        BasketStatus::Cancelled => (BasketState::Cancelled, None),
    };
    BasketView {
        basket_id: basket.basket_id,
        revision: basket.revision,
        state,
        till_id: basket.till_id.clone(),
        channel: basket.channel.clone(),
        label: basket.label.clone(),
        takeaway: basket.takeaway,
        member: basket.member.clone().map(|member| PricingMember {
            level: member.level,
            tags: member.tags,
            order_no: member.order_no,
            used: member.used,
        }),
        coupons: basket.coupons.clone(),
        lines: basket.lines.iter().map(line_view).collect(),
        pickup_no: numbered.map(|numbered| numbered.pickup_no),
        business_date: numbered.map(|numbered| numbered.business_date),
        sale_id,
        opened_at_ms,
        changed_at_ms,
    }
}

fn line_view(line: &BasketLine) -> BasketLineView {
    let (state, void_reason) = match &line.state {
        LineState::Open => (BasketLineState::Open, None),
        LineState::Sent => (BasketLineState::Sent, None),
        LineState::Voided { reason } => (BasketLineState::Voided, Some(reason.clone())),
    };
    BasketLineView {
        line_id: line.line_id,
        sku: line.sku.clone(),
        options: line.options.clone(),
        quantity: line.quantity.into(),
        note: line.note.clone(),
        state,
        void_reason,
    }
}

/// The inverse of [`view_of`].
pub(super) fn basket_of(view: &BasketView) -> Result<Basket, Error> {
    let damaged = |what: &str| Error::Damaged(format!("basket {}: {what}", view.basket_id));
    let status = match (view.state, view.sale_id) {
        (BasketState::Open, _) => BasketStatus::Open,
        (BasketState::Held, _) => BasketStatus::Held,
        (BasketState::Paid, Some(sale_id)) => BasketStatus::Paid(sale_id),
        (BasketState::Paid, None) => return Err(damaged("it is paid by no sale")),
        (BasketState::Cancelled, _) => BasketStatus::Cancelled,
    };
    let lines = view.lines.iter().map(|line| {
        let state = match (line.state, &line.void_reason) {
            (BasketLineState::Open, _) => LineState::Open,
            (BasketLineState::Sent, _) => LineState::Sent,
            (BasketLineState::Voided, Some(reason)) => LineState::Voided { reason: reason.clone() },
            (BasketLineState::Voided, None) => return Err(damaged("a line is voided without a reason")),
        };
        Ok(BasketLine {
            line_id: line.line_id,
            sku: line.sku.clone(),
            options: line.options.clone(),
            quantity: line.quantity.parse().map_err(|_| damaged("a quantity is none"))?,
            note: line.note.clone(),
            state,
        })
    });
    Ok(Basket {
        basket_id: view.basket_id,
        revision: view.revision,
        status,
        till_id: view.till_id.clone(),
        channel: view.channel.clone(),
        label: view.label.clone(),
        takeaway: view.takeaway,
        member: view.member.clone().map(member_of),
        coupons: view.coupons.clone(),
        lines: lines.collect::<Result<_, _>>()?,
    })
}

fn member_of(member: PricingMember) -> Member {
    Member { level: member.level, tags: member.tags, order_no: member.order_no, used: member.used }
}

/// What a till says, understood. A basket is recalled on the till that says so.
pub(super) fn changes_of(changes: Vec<wire::BasketChange>, till_id: &TillId) -> Result<Vec<BasketChange>, Error> {
    let quantity = |quantity: QuantityJson| {
        let parsed = quantity.parse();
        parsed.map_err(|_| Refused::rule("basket.quantity", "a quantity is a decimal with at most six places"))
    };
    let change = |change| {
        Ok::<_, Refused>(match change {
            wire::BasketChange::AddLine { line_id, sku, options, quantity: count, note } => BasketChange::AddLine {
                line_id,
                sku,
                options,
                quantity: quantity(count)?,
                note: note.filter(|note| !note.is_empty()),
            },
            wire::BasketChange::RepeatLast { line_id } => BasketChange::RepeatLast { line_id },
            wire::BasketChange::SetLine { line_id, options, quantity: count, note } => {
                BasketChange::SetLine { line_id, options, quantity: count.map(quantity).transpose()?, note }
            }
            wire::BasketChange::RemoveLine { line_id } => BasketChange::RemoveLine { line_id },
            wire::BasketChange::VoidLine { line_id, reason } => BasketChange::VoidLine { line_id, reason },
            wire::BasketChange::SetTakeaway { takeaway } => BasketChange::SetTakeaway(takeaway),
            wire::BasketChange::SetLabel { label } => BasketChange::SetLabel(label),
            wire::BasketChange::SetMember { member } => BasketChange::SetMember(member.map(member_of)),
            wire::BasketChange::SetCoupons { coupons } => BasketChange::SetCoupons(coupons),
            wire::BasketChange::Send => BasketChange::Send,
            wire::BasketChange::Hold => BasketChange::Hold,
            wire::BasketChange::Recall => BasketChange::Recall(till_id.clone()),
            wire::BasketChange::Cancel { reason } => BasketChange::Cancel { reason },
        })
    };
    Ok(changes.into_iter().map(change).collect::<Result<_, Refused>>()?)
}
