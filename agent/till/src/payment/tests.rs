//! Cases in the order of the rules, then any script of faults against a terminal that keeps its own books.

mod cases;
mod properties;
mod terminal;

use pos_model::{AttemptId, Money, SaleId, Stamp, Tag, TillId};

use super::{Attempt, AttemptState, Taken};

const AMOUNT: Money = Money::from_minor(1_800);

fn id(number: u8) -> AttemptId {
    format!("018f0000-0000-7000-8000-0000000000{number:02x}").parse().expect("valid")
}

fn attempt() -> Attempt {
    Attempt {
        attempt_id: id(1),
        sale_id: SaleId::new(id(0xaa).uuid()),
        till_id: TillId::new("T1").expect("valid"),
        operator_id: None,
        kind: Tag::new("wallet").expect("valid"),
        amount: AMOUNT,
        terminal: Tag::new("front").expect("valid"),
        asked_at: Stamp { utc_ms: 0, offset_s: 0 },
        state: AttemptState::Asked,
        reversal: None,
        reference: None,
        detail: None,
        odd_answers: 0,
        taken: Taken::Never,
    }
}
