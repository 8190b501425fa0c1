//! A basket: what a customer is about to buy, on whichever till.
//!
//! A change names the line that it is about, so changes from two tills merge line by line, in the order in which the store
//! takes them in. A line that was sent to the kitchen is never taken out: it is voided, with a reason, and stays to be seen.
//! A basket that is paid or cancelled takes no more changes.

use pos_model::{BasketId, LineId, Quantity, SaleId, Sku, Tag, TillId};
use pricing::Member;

use crate::limits::{LINES_MAX, NAME_CHARS_MAX, NOTE_CHARS_MAX, OPTIONS_MAX, ORDER_PARTS_MAX, QUANTITY_MICRO_MAX};

/// Whether a basket is being filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BasketStatus {
    /// On a till.
    Open,
    /// Put aside; any till may recall it.
    Held,
    /// It has become a sale.
    Paid(SaleId),
    /// The customer has left.
    Cancelled,
}

/// A basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basket {
    /// Made by the till.
    pub basket_id: BasketId,
    /// Counts its changes, from one.
    pub revision: u64,
    /// Whether it is being filled.
    pub status: BasketStatus,
    /// The till that had it last.
    pub till_id: TillId,
    /// How the order comes in.
    pub channel: Tag,
    /// The table, or the name that is called out.
    pub label: Option<String>,
    /// Whether it is taken away, which may be taxed otherwise.
    pub takeaway: bool,
    /// Who buys.
    pub member: Option<Member>,
    /// The classes of the coupons that the customer has brought.
    pub coupons: Vec<Tag>,
    /// What is in it, in the order in which it came.
    pub lines: Vec<BasketLine>,
}

/// A line of a basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasketLine {
    /// Made by the till.
    pub line_id: LineId,
    /// The article in its size.
    pub sku: Sku,
    /// The codes of the options.
    pub options: Vec<Sku>,
    /// How many.
    pub quantity: Quantity,
    /// What the customer asked for besides, in words.
    pub note: Option<String>,
    /// Where it stands.
    pub state: LineState,
}

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineState {
    /// In the basket only.
    Open,
    /// In the kitchen.
    Sent,
    /// Taken back after it was sent.
    Voided {
        /// Why.
        reason: Tag,
    },
}

/// What a till wants of a basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BasketChange {
    /// Put a line in. The same line again is no change.
    AddLine {
        /// The line's id.
        line_id: LineId,
        /// The article.
        sku: Sku,
        /// The options.
        options: Vec<Sku>,
        /// How many.
        quantity: Quantity,
        /// What the customer asked for besides.
        note: Option<String>,
    },
    /// Put the last line in once more.
    RepeatLast {
        /// The id of the line that comes in.
        line_id: LineId,
    },
    /// Change a line that was not sent. What is left out stays.
    SetLine {
        /// The line.
        line_id: LineId,
        /// The options.
        options: Option<Vec<Sku>>,
        /// How many.
        quantity: Option<Quantity>,
        /// What the customer asked for besides; empty for nothing.
        note: Option<String>,
    },
    /// Take a line out that was not sent.
    RemoveLine {
        /// The line.
        line_id: LineId,
    },
    /// Take a line back that was sent.
    VoidLine {
        /// The line.
        line_id: LineId,
        /// Why.
        reason: Tag,
    },
    /// Eat here or take away: the whole basket is priced anew.
    SetTakeaway(bool),
    /// The table, or the name; none to take it off.
    SetLabel(Option<String>),
    /// Who buys; none for nobody known.
    SetMember(Option<Member>),
    /// The coupons that the customer has brought.
    SetCoupons(Vec<Tag>),
    /// Have the kitchen make every line that it does not know yet.
    Send,
    /// Put the basket aside.
    Hold,
    /// Take it up on a till.
    Recall(TillId),
    /// The customer has left. Lines that were sent are voided.
    Cancel {
        /// Why.
        reason: Tag,
    },
}

/// What followed from a change, for whoever has to act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BasketEffect {
    /// The kitchen has to make these lines.
    Sent(Vec<LineId>),
    /// A line that the kitchen has is taken back.
    Voided {
        /// The line.
        line_id: LineId,
        /// Why.
        reason: Tag,
    },
}

/// Why a basket does not change. Lines are named by their ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum BasketRefusal {
    #[error("the basket is paid")]
    Paid,
    #[error("the basket is cancelled")]
    Cancelled,
    #[error("the basket is on till {till_id}; it has to be held there before another till takes it up")]
    OnAnotherTill { till_id: TillId },
    #[error("the basket has no line {line_id}")]
    UnknownLine { line_id: LineId },
    #[error("the basket has another line under the id {line_id}")]
    LineIdKnown { line_id: LineId },
    #[error("line {line_id} was sent to the kitchen; void it with a reason")]
    LineSent { line_id: LineId },
    #[error("line {line_id} was not sent to the kitchen; remove it")]
    LineNotSent { line_id: LineId },
    #[error("line {line_id} is voided")]
    LineVoided { line_id: LineId },
    #[error("the basket has no line to repeat")]
    NothingToRepeat,
    #[error("a basket has at most {max} {what}")]
    TooMany { what: &'static str, max: usize },
    #[error("a quantity is above zero and at most {max_units} units")]
    Quantity { max_units: i64 },
    #[error("{field} has at most {max} characters, all of them printable")]
    Text { field: &'static str, max: usize },
}

impl BasketRefusal {
    /// The key under which a screen finds its own words.
    pub const fn message_key(&self) -> &'static str {
        match self {
            Self::Paid => "basket.paid",
            Self::Cancelled => "basket.cancelled",
            Self::OnAnotherTill { .. } => "basket.on_another_till",
            Self::UnknownLine { .. } => "basket.unknown_line",
            Self::LineIdKnown { .. } => "basket.line_id_known",
            Self::LineSent { .. } => "basket.line_sent",
            Self::LineNotSent { .. } => "basket.line_not_sent",
            Self::LineVoided { .. } => "basket.line_voided",
            Self::NothingToRepeat => "basket.nothing_to_repeat",
            Self::TooMany { .. } => "basket.too_many",
            Self::Quantity { .. } => "basket.quantity",
            Self::Text { .. } => "basket.text",
        }
    }

    /// Whether another command came first, so that the till should look again.
    pub const fn is_overtaken(&self) -> bool {
        matches!(
            self,
            Self::Paid | Self::Cancelled | Self::OnAnotherTill { .. } | Self::LineSent { .. } | Self::LineVoided { .. }
        )
    }
}

impl Basket {
    /// An empty basket on a till.
    pub fn open(basket_id: BasketId, till_id: TillId, channel: Tag) -> Self {
        Self {
            basket_id,
            revision: 1,
            status: BasketStatus::Open,
            till_id,
            channel,
            label: None,
            takeaway: false,
            member: None,
            coupons: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// The lines that are sold: all but the voided ones.
    pub fn sold_lines(&self) -> impl Iterator<Item = &BasketLine> {
        self.lines.iter().filter(|line| !matches!(line.state, LineState::Voided { .. }))
    }

    /// Whether it can still become a sale.
    pub const fn is_alive(&self) -> bool {
        matches!(self.status, BasketStatus::Open | BasketStatus::Held)
    }

    /// Makes changes, all of them or none. Says what followed.
    pub fn change(&mut self, changes: Vec<BasketChange>) -> Result<Vec<BasketEffect>, BasketRefusal> {
        self.check_alive()?;
        let mut next = self.clone();
        let mut effects = Vec::new();
        for change in changes {
            next.check_alive()?;
            next.apply(change, &mut effects)?;
        }
        next.revision = self.revision.saturating_add(1);
        *self = next;
        Ok(effects)
    }

    /// Makes it a sale. What the kitchen does not know yet is sent.
    pub fn pay(&mut self, sale_id: SaleId) -> Result<Vec<BasketEffect>, BasketRefusal> {
        let effects = self.change(vec![BasketChange::Send])?;
        self.status = BasketStatus::Paid(sale_id);
        Ok(effects)
    }

    fn check_alive(&self) -> Result<(), BasketRefusal> {
        match self.status {
            BasketStatus::Open | BasketStatus::Held => Ok(()),
            BasketStatus::Paid(_) => Err(BasketRefusal::Paid),
            BasketStatus::Cancelled => Err(BasketRefusal::Cancelled),
        }
    }

    fn apply(&mut self, change: BasketChange, effects: &mut Vec<BasketEffect>) -> Result<(), BasketRefusal> {
        match change {
            BasketChange::AddLine { line_id, sku, options, quantity, note } => {
                self.add(BasketLine { line_id, sku, options, quantity, note, state: LineState::Open })
            }
            BasketChange::RepeatLast { line_id } => {
                if self.lines.iter().any(|line| line.line_id == line_id) {
                    return Ok(());
                }
                let last = self.sold_lines().last().cloned().ok_or(BasketRefusal::NothingToRepeat)?;
                self.add(BasketLine { line_id, state: LineState::Open, ..last })
            }
            BasketChange::SetLine { line_id, options, quantity, note } => {
                let line = self.unsent(line_id)?;
                line.options = options.unwrap_or(std::mem::take(&mut line.options));
                line.quantity = quantity.unwrap_or(line.quantity);
                if let Some(note) = note {
                    line.note = Some(note).filter(|note| !note.is_empty());
                }
                check_line(line)
            }
            BasketChange::RemoveLine { line_id } => {
                self.unsent(line_id)?;
                self.lines.retain(|line| line.line_id != line_id);
                Ok(())
            }
            BasketChange::VoidLine { line_id, reason } => {
                let line = self.line(line_id)?;
                match line.state {
                    LineState::Open => Err(BasketRefusal::LineNotSent { line_id }),
                    LineState::Voided { .. } => Err(BasketRefusal::LineVoided { line_id }),
                    LineState::Sent => {
                        line.state = LineState::Voided { reason: reason.clone() };
                        effects.push(BasketEffect::Voided { line_id, reason });
                        Ok(())
                    }
                }
            }
            BasketChange::SetTakeaway(takeaway) => {
                self.takeaway = takeaway;
                Ok(())
            }
            BasketChange::SetLabel(label) => {
                check_text("label", label.as_deref(), NAME_CHARS_MAX)?;
                self.label = label.filter(|label| !label.is_empty());
                Ok(())
            }
            BasketChange::SetMember(member) => {
                let parts = member.as_ref().map_or(0, |member| member.tags.len().max(member.used.len()));
                check_count("parts of a member", parts, ORDER_PARTS_MAX)?;
                self.member = member;
                Ok(())
            }
            BasketChange::SetCoupons(coupons) => {
                check_count("coupons", coupons.len(), ORDER_PARTS_MAX)?;
                self.coupons = coupons;
                Ok(())
            }
            BasketChange::Send => {
                let mut sent = Vec::new();
                for line in self.lines.iter_mut().filter(|line| line.state == LineState::Open) {
                    line.state = LineState::Sent;
                    sent.push(line.line_id);
                }
                if !sent.is_empty() {
                    effects.push(BasketEffect::Sent(sent));
                }
                Ok(())
            }
            BasketChange::Hold => {
                self.status = BasketStatus::Held;
                Ok(())
            }
            BasketChange::Recall(till_id) => {
                if self.status == BasketStatus::Open && self.till_id != till_id {
                    return Err(BasketRefusal::OnAnotherTill { till_id: self.till_id.clone() });
                }
                self.status = BasketStatus::Open;
                self.till_id = till_id;
                Ok(())
            }
            BasketChange::Cancel { reason } => {
                for line in self.lines.iter_mut().filter(|line| line.state == LineState::Sent) {
                    line.state = LineState::Voided { reason: reason.clone() };
                    effects.push(BasketEffect::Voided { line_id: line.line_id, reason: reason.clone() });
                }
                self.status = BasketStatus::Cancelled;
                Ok(())
            }
        }
    }

    fn add(&mut self, line: BasketLine) -> Result<(), BasketRefusal> {
        check_line(&line)?;
        if let Some(known) = self.lines.iter().find(|known| known.line_id == line.line_id) {
            let same = known.sku == line.sku && known.options == line.options;
            return if same { Ok(()) } else { Err(BasketRefusal::LineIdKnown { line_id: line.line_id }) };
        }
        check_count("lines", self.lines.len() + 1, LINES_MAX)?;
        self.lines.push(line);
        Ok(())
    }

    fn line(&mut self, line_id: LineId) -> Result<&mut BasketLine, BasketRefusal> {
        let found = self.lines.iter_mut().find(|line| line.line_id == line_id);
        found.ok_or(BasketRefusal::UnknownLine { line_id })
    }

    fn unsent(&mut self, line_id: LineId) -> Result<&mut BasketLine, BasketRefusal> {
        let line = self.line(line_id)?;
        match line.state {
            LineState::Open => Ok(line),
            LineState::Sent => Err(BasketRefusal::LineSent { line_id }),
            LineState::Voided { .. } => Err(BasketRefusal::LineVoided { line_id }),
        }
    }
}

fn check_line(line: &BasketLine) -> Result<(), BasketRefusal> {
    check_count("options in a line", line.options.len(), OPTIONS_MAX)?;
    check_text("note", line.note.as_deref(), NOTE_CHARS_MAX)?;
    if (1..=QUANTITY_MICRO_MAX).contains(&line.quantity.micro()) {
        return Ok(());
    }
    Err(BasketRefusal::Quantity { max_units: QUANTITY_MICRO_MAX / Quantity::MICRO_PER_UNIT })
}

fn check_count(what: &'static str, count: usize, max: usize) -> Result<(), BasketRefusal> {
    if count > max { Err(BasketRefusal::TooMany { what, max }) } else { Ok(()) }
}

fn check_text(field: &'static str, text: Option<&str>, max: usize) -> Result<(), BasketRefusal> {
    let fits = text.is_none_or(|text| text.chars().count() <= max && !text.chars().any(char::is_control));
    if fits { Ok(()) } else { Err(BasketRefusal::Text { field, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line_id(number: u64) -> LineId {
        LineId::new(format!("018f0000-0000-7000-8000-{number:012x}").parse::<LineId>().expect("valid").uuid())
    }

    fn add(number: u64) -> BasketChange {
        BasketChange::AddLine {
            line_id: line_id(number),
            sku: "milk-tea-l".parse().expect("valid"),
            options: Vec::new(),
            quantity: Quantity::ONE,
            note: None,
        }
    }

    fn set_quantity(number: u64, units: i64) -> BasketChange {
        let quantity = Some(Quantity::from_units(units).expect("small"));
        BasketChange::SetLine { line_id: line_id(number), options: None, quantity, note: None }
    }

    fn void(number: u64) -> BasketChange {
        BasketChange::VoidLine { line_id: line_id(number), reason: reason() }
    }

    fn reason() -> Tag {
        "changed_mind".parse().expect("valid")
    }

    fn till(name: &str) -> TillId {
        name.parse().expect("valid")
    }

    fn basket() -> Basket {
        let id = "018f0000-0000-7000-8000-00000000000b".parse().expect("valid");
        Basket::open(id, till("T1"), "counter".parse().expect("valid"))
    }

    #[test]
    fn changes_and_refusals() {
        #[track_caller]
        fn check(before: &[BasketChange], change: BasketChange, expected: Result<(), &str>) {
            let mut basket = basket();
            basket.change(before.to_vec()).expect("is possible");
            let was = basket.clone();
            let found = basket.change(vec![change]);
            assert_eq!(found.as_ref().map(drop).map_err(BasketRefusal::message_key), expected);
            assert_eq!(basket.revision, was.revision + u64::from(expected.is_ok()));
            if expected.is_err() {
                assert_eq!(basket, was);
            }
        }
        let remove = |number| BasketChange::RemoveLine { line_id: line_id(number) };
        let repeat = |number| BasketChange::RepeatLast { line_id: line_id(number) };
        let cancel = || BasketChange::Cancel { reason: reason() };
        check(&[], add(1), Ok(()));
        check(&[add(1)], add(1), Ok(()));
        check(&[add(1)], set_quantity(1, 3), Ok(()));
        check(&[add(1)], set_quantity(1, 0), Err("basket.quantity"));
        check(&[add(1)], set_quantity(2, 3), Err("basket.unknown_line"));
        check(&[add(1), BasketChange::Send], set_quantity(1, 3), Err("basket.line_sent"));
        check(&[add(1)], remove(1), Ok(()));
        check(&[add(1), BasketChange::Send], remove(1), Err("basket.line_sent"));
        check(&[add(1)], void(1), Err("basket.line_not_sent"));
        check(&[add(1), BasketChange::Send], void(1), Ok(()));
        check(&[add(1), BasketChange::Send, void(1)], void(1), Err("basket.line_voided"));
        check(&[], repeat(1), Err("basket.nothing_to_repeat"));
        check(&[add(1)], repeat(2), Ok(()));
        check(&[BasketChange::Hold], BasketChange::Recall(till("T2")), Ok(()));
        check(&[], BasketChange::Recall(till("T2")), Err("basket.on_another_till"));
        check(&[], BasketChange::Recall(till("T1")), Ok(()));
        check(&[cancel()], add(1), Err("basket.cancelled"));
        check(&[], BasketChange::SetLabel(Some("\u{1b}".to_owned())), Err("basket.text"));
        check(&[], BasketChange::SetLabel(Some("Table 7".to_owned())), Ok(()));
        check(&[], BasketChange::SetTakeaway(true), Ok(()));
        check(&[add(1)], BasketChange::SetCoupons(vec![reason(); ORDER_PARTS_MAX + 1]), Err("basket.too_many"));
    }

    #[test]
    fn a_paid_basket_stays_paid() {
        let mut basket = basket();
        basket.change(vec![add(1)]).expect("is possible");
        let sale_id = "018f0000-0000-7000-8000-00000000000a".parse().expect("valid");
        assert_eq!(basket.pay(sale_id), Ok(vec![BasketEffect::Sent(vec![line_id(1)])]));
        let paid = basket.clone();
        for change in [add(2), BasketChange::Hold, BasketChange::Recall(till("T2")), BasketChange::Send, void(1)] {
            assert_eq!(basket.change(vec![change]), Err(BasketRefusal::Paid));
        }
        assert_eq!(basket.pay(sale_id), Err(BasketRefusal::Paid));
        assert_eq!(basket, paid);
    }

    #[test]
    fn a_cancelled_basket_voids_what_was_sent() {
        let mut basket = basket();
        basket.change(vec![add(1), BasketChange::Send, add(2)]).expect("is possible");
        let effects = basket.change(vec![BasketChange::Cancel { reason: reason() }]).expect("is possible");
        assert_eq!(effects, [BasketEffect::Voided { line_id: line_id(1), reason: reason() }]);
    }

    fn any_change() -> impl Strategy<Value = BasketChange> {
        prop_oneof![
            (1u64..6).prop_map(add),
            (1u64..6, 1i64..4).prop_map(|(number, units)| set_quantity(number, units)),
            (1u64..6).prop_map(|number| BasketChange::RemoveLine { line_id: line_id(number) }),
            (1u64..6).prop_map(void),
            (6u64..9).prop_map(|number| BasketChange::RepeatLast { line_id: line_id(number) }),
            Just(BasketChange::Send),
            Just(BasketChange::Hold),
            any::<bool>().prop_map(BasketChange::SetTakeaway),
        ]
    }

    proptest! {
        /// Whatever two tills do, a line that was sent stays in the basket, sent or voided, and each line is sent once.
        #[test]
        fn nothing_sent_is_dropped(commands in prop::collection::vec(prop::collection::vec(any_change(), 1..4), 1..40)) {
            let mut basket = basket();
            let mut sent: Vec<LineId> = Vec::new();
            for changes in commands {
                for effect in basket.change(changes).unwrap_or_default() {
                    if let BasketEffect::Sent(lines) = effect {
                        prop_assert!(!lines.iter().any(|line| sent.contains(line)), "sent twice");
                        sent.extend(lines);
                    }
                }
                for line_id in &sent {
                    let line = basket.lines.iter().find(|line| line.line_id == *line_id);
                    prop_assert!(line.is_some_and(|line| line.state != LineState::Open), "dropped");
                }
            }
        }
    }
}
