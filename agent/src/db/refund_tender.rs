//! How the money of a refund goes back.
//!
//! What a sale was paid with, and what of it has gone back, is read from the sale and from its refunds as they were
//! answered. All refunds of a sale together give back in cash what one refund of the same units would.

use pos_model::{Money, Tag};
use pricing::book::CashRounding;
use protocol::latest::local_api::TenderCommand;
use protocol::latest::refund_api::{CompleteRefund, GiveBackByHand, RefundReceipt};
use protocol::latest::{SaleCompleted, Tender};
use till::{CASH, CashBack, Origin, WayBack, beyond_origin, note_gone, origins, way_of_origin};

use super::error::Error;

/// How the money of one refund goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MoneyBack {
    /// The tenders, cash in coins that there are.
    pub(super) tenders: Vec<Tender>,
    /// By how much the cash differs from what is owed.
    pub(super) cash_rounding: Money,
    /// How much goes back in another way than it came.
    pub(super) beyond: Money,
}

/// Works out how so much goes back: as the till says, or the way it came.
pub(super) fn money_back(
    command: &CompleteRefund,
    sale: &SaleCompleted,
    before: &[RefundReceipt],
    due: Money,
    rounding: Option<CashRounding>,
) -> Result<MoneyBack, Error> {
    let mut origins = origins_of(sale);
    let gone: Vec<WayBack> = before.iter().flat_map(owed_by).collect();
    // What names an attempt goes back to it first, whatever was recorded before it.
    for part in gone.iter().filter(|part| part.attempt_id.is_some()) {
        note_gone(&mut origins, part);
    }
    for part in gone.iter().filter(|part| part.attempt_id.is_none()) {
        note_gone(&mut origins, part);
    }
    let (way, beyond) = if command.tenders.is_empty() {
        (way_of_origin(&origins, due), Money::ZERO)
    } else {
        let way: Vec<WayBack> = command.tenders.iter().map(part_of).collect();
        let beyond = beyond_origin(&origins, &way, due)?;
        (way, beyond)
    };
    let mut tenders: Vec<Tender> = Vec::with_capacity(way.len());
    let mut owed = Money::ZERO;
    for part in way {
        if part.kind.as_str() == CASH {
            owed = plus(owed, part.amount);
            continue;
        }
        let reference = part.attempt_id.and_then(|attempt_id| {
            sale.tenders.iter().find(|paid| paid.attempt_id == Some(attempt_id))?.reference.clone()
        });
        let WayBack { kind, attempt_id, amount } = part;
        tenders.push(Tender { kind, amount_minor: amount, attempt_id, reference });
    }
    let owed_before = in_cash(gone.iter().map(|part| (&part.kind, part.amount)));
    let given_before = in_cash(before.iter().flat_map(|receipt| receipt.tenders.iter().map(kind_and_amount)));
    let most = most_in_cash(sale, &gone, &tenders, &origins, beyond);
    let cash = CashBack { owed_before, given_before, most }.given_for(owed, rounding);
    let cash_rounding = Money::from_minor(cash.minor().saturating_sub(owed.minor()));
    if cash > Money::ZERO {
        let kind = Tag::new(CASH).expect("a word of small letters is a tag");
        tenders.push(Tender { kind, amount_minor: cash, attempt_id: None, reference: None });
    }
    Ok(MoneyBack { tenders, cash_rounding, beyond })
}

/// What a person gives back with their own hands: all but cash, which the drawer gives.
pub(super) fn by_hand(tenders: &[Tender]) -> Vec<GiveBackByHand> {
    let others = tenders.iter().filter(|tender| tender.kind.as_str() != CASH);
    others
        .map(|tender| GiveBackByHand {
            kind: tender.kind.clone(),
            amount_minor: tender.amount_minor,
            attempt_id: tender.attempt_id,
            reference: tender.reference.clone(),
        })
        .collect()
}

fn origins_of(sale: &SaleCompleted) -> Vec<Origin> {
    let tenders = sale.tenders.iter().map(|paid| WayBack {
        kind: paid.kind.clone(),
        attempt_id: paid.attempt_id,
        amount: paid.amount_minor,
    });
    origins(tenders, sale.totals.gross_minor)
}

fn part_of(tender: &TenderCommand) -> WayBack {
    WayBack { kind: tender.kind.clone(), attempt_id: tender.attempt_id, amount: tender.amount_minor }
}

/// What a refund owed in each way: cash before it was rounded.
fn owed_by(receipt: &RefundReceipt) -> Vec<WayBack> {
    let mut way: Vec<WayBack> =
        receipt.tenders.iter().filter(|tender| tender.kind.as_str() != CASH).map(part_of).collect();
    let given = in_cash(receipt.tenders.iter().map(kind_and_amount));
    let amount = Money::from_minor(given.minor().saturating_sub(receipt.cash_rounding_minor.minor()));
    if amount != Money::ZERO {
        let kind = Tag::new(CASH).expect("a word of small letters is a tag");
        way.push(WayBack { kind, attempt_id: None, amount });
    }
    way
}

/// The most that all refunds of the sale may give in cash: the cash that was kept, or, where somebody has allowed another
/// way, all that was paid less what goes back otherwise.
fn most_in_cash(
    sale: &SaleCompleted,
    gone: &[WayBack],
    tenders: &[Tender],
    origins: &[Origin],
    beyond: Money,
) -> Money {
    let paid = sale.tenders.iter().fold(Money::ZERO, |sum, tender| plus(sum, tender.amount_minor));
    let paid = Money::from_minor(paid.minor().saturating_sub(sale.change_minor.minor()));
    let others = gone.iter().map(|part| (&part.kind, part.amount));
    let others = others.chain(tenders.iter().map(|tender| (&tender.kind, tender.amount_minor)));
    let otherwise =
        others.filter(|(kind, _)| kind.as_str() != CASH).fold(Money::ZERO, |sum, (_, amount)| plus(sum, amount));
    let left = Money::from_minor(paid.minor().saturating_sub(otherwise.minor()));
    let paid_otherwise = origins
        .iter()
        .filter(|origin| origin.kind.as_str() != CASH)
        .fold(Money::ZERO, |sum, origin| plus(sum, origin.paid));
    let kept = Money::from_minor(paid.minor().saturating_sub(paid_otherwise.minor()));
    let owed_before = in_cash(gone.iter().map(|part| (&part.kind, part.amount)));
    let within = beyond == Money::ZERO && owed_before <= kept;
    if within { kept.min(left) } else { left }
}

fn in_cash<'a>(parts: impl Iterator<Item = (&'a Tag, Money)>) -> Money {
    parts.filter(|(kind, _)| kind.as_str() == CASH).fold(Money::ZERO, |sum, (_, amount)| plus(sum, amount))
}

fn kind_and_amount(tender: &TenderCommand) -> (&Tag, Money) {
    (&tender.kind, tender.amount_minor)
}

fn plus(sum: Money, amount: Money) -> Money {
    Money::from_minor(sum.minor().saturating_add(amount.minor()))
}
