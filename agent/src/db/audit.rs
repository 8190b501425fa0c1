//! Marks for an auditor. Each is an event, and so stands in the store's one hash chain: `verify` finds a mark that was
//! changed or taken out, and the centre gets every one.

use pos_model::{ApprovalId, Money, OperatorId, Place, Tag, TillId};
use protocol::latest::{AuditMarked, EventBody};
use rusqlite::params;

use super::command::Moment;
use super::error::{Doing, Error};
use super::permit::Permit;
use super::store::{Head, Store};
use super::view::{EventRow, View};

/// Words for what people and the agent itself do. Actions at the counter have the words of `till::people::Action`.
pub mod word {
    /// An operator begins to work at a till.
    pub const SIGNED_ON: &str = "signed_on";
    /// An operator leaves a till.
    pub const SIGNED_OFF: &str = "signed_off";
    /// A PIN was wrong.
    pub const PIN_FAILED: &str = "pin_failed";
    /// After too many wrong PINs an operator has to wait.
    pub const OPERATOR_LOCKED: &str = "operator_locked";
    /// Somebody allowed something.
    pub const APPROVAL_GIVEN: &str = "approval_given";
    /// An operator was added.
    pub const OPERATOR_ADDED: &str = "operator_added";
    /// An operator's name, role, PIN or right to sign on was changed.
    pub const OPERATOR_CHANGED: &str = "operator_changed";
    /// A till was paired.
    pub const TILL_PAIRED: &str = "till_paired";
    /// A till's token was taken back.
    pub const TILL_REVOKED: &str = "till_revoked";
    /// Money went back in another way than it came.
    pub const REFUNDED_OTHERWISE: &str = "refund_other_tender";
    /// Something was sold at another price than the book's.
    pub const PRICE_OVERRIDDEN: &str = "price_overridden";
    /// A line was taken away that the kitchen had.
    pub const LINE_VOIDED: &str = "line_voided";
    /// The drawer was opened without a sale.
    pub const DRAWER_OPENED: &str = "drawer_opened";
    /// A shift was closed from another till than its own.
    pub const SHIFT_CLOSED_ELSEWHERE: &str = "shift_closed_elsewhere";
    /// A payment is to be given back, or never taken.
    pub const PAYMENT_REVERSED: &str = "payment_reversed";
    /// Somebody said what became of a payment that no terminal settles.
    pub const PAYMENT_SETTLED: &str = "payment_settled";
    /// A terminal was asked for money again, after somebody said that nothing had been taken.
    pub const PAYMENT_ASKED_AGAIN: &str = "payment_asked_again";
    /// Somebody asked for paper again, marked as a copy.
    pub const RECEIPT_REPRINTED: &str = "receipt_reprinted";
    /// A print job that is about a drawer was asked for again.
    pub const PRINT_RETRIED: &str = "print_retried";
    /// A print job that is about a drawer was taken back.
    pub const PRINT_CANCELLED: &str = "print_cancelled";
    /// Somebody said whether a print job that is about a drawer came out.
    pub const PRINT_RESOLVED: &str = "print_resolved";
    /// The clock moved by itself, or was set.
    pub const CLOCK_JUMPED: &str = "clock_jumped";
}

/// Bytes of the text for people in a mark. Whoever writes a longer one loses its end, and the event stays small.
const DETAIL_BYTES_MAX: usize = 500;

/// Something worth an auditor's look, put together part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noteworthy {
    action: &'static str,
    till_id: Option<TillId>,
    operator_id: Option<OperatorId>,
    approver_id: Option<OperatorId>,
    reason: Option<Tag>,
    subject: String,
    detail: String,
    amount: Option<Money>,
}

impl Noteworthy {
    /// Something happened. `action` is a word of small letters and underscores.
    pub const fn new(action: &'static str) -> Self {
        Self {
            action,
            till_id: None,
            operator_id: None,
            approver_id: None,
            reason: None,
            subject: String::new(),
            detail: String::new(),
            amount: None,
        }
    }

    /// At which till.
    #[must_use]
    pub fn at(self, till_id: &TillId) -> Self {
        Self { till_id: Some(till_id.clone()), ..self }
    }

    /// Who did it.
    #[must_use]
    pub fn by(self, operator_id: &OperatorId) -> Self {
        Self { operator_id: Some(operator_id.clone()), ..self }
    }

    /// Who did it, and who allowed it.
    #[must_use]
    pub fn permitted(self, permit: &Permit) -> Self {
        Self { operator_id: permit.operator.clone(), approver_id: permit.approver.clone(), ..self }
    }

    /// Why.
    #[must_use]
    pub fn because(self, reason: Option<Tag>) -> Self {
        Self { reason, ..self }
    }

    /// What it was about: an id.
    #[must_use]
    pub fn about(self, subject: impl ToString) -> Self {
        Self { subject: subject.to_string(), ..self }
    }

    /// In words, for people.
    #[must_use]
    pub fn saying(self, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        Self { detail, ..self }
    }

    /// What it was worth.
    #[must_use]
    pub fn worth(self, amount: Money) -> Self {
        Self { amount: Some(amount), ..self }
    }
}

impl Store {
    /// Records a mark. Within an operation, so that it commits with what it is about.
    pub fn mark(&mut self, moment: &mut Moment, noteworthy: Noteworthy) -> Result<Head, Error> {
        let Noteworthy { action, till_id, operator_id, approver_id, reason, subject, detail, amount } = noteworthy;
        let marked = AuditMarked {
            action: Tag::new(action).expect("words of marks are small letters and underscores"),
            till_id,
            operator_id,
            approver_id,
            reason,
            subject,
            detail,
            amount_minor: amount,
            marked_at: moment.at(),
        };
        self.record(moment, marked)
    }
}

/// A mark, where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct MarkRow {
    /// The event's place.
    pub place: Place,
    /// What it says.
    pub mark: AuditMarked,
}

impl View<'_> {
    /// The newest marks that are held, at most `rows_max`, the oldest of them first.
    pub fn audit_marks(&self, rows_max: u32) -> Result<Vec<MarkRow>, Error> {
        self.consistent(|view| {
            let epochs = view.epoch_rows()?;
            let mut select = view
                .connection
                .prepare_cached("SELECT position FROM event WHERE kind = ?1 ORDER BY position DESC LIMIT ?2")
                .doing("read the marks")?;
            let positions = select
                .query_map(params![AuditMarked::KIND, rows_max], |row| row.get::<_, i64>(0))
                .doing("read the marks")?
                .collect::<Result<Vec<i64>, _>>()
                .doing("read the marks")?;
            let mut marks = Vec::with_capacity(positions.len());
            for position in positions.into_iter().rev() {
                let epoch = epochs.iter().rfind(|epoch| epoch.base < position);
                let epoch = epoch.ok_or_else(|| Error::Damaged(format!("event {position} is of no epoch")))?;
                let Some(row) = view.event_at(epoch, position)? else { continue };
                marks.push(MarkRow { place: row.place, mark: marked(&row)? });
            }
            Ok(marks)
        })
    }
}

fn marked(row: &EventRow) -> Result<AuditMarked, Error> {
    match row.event().map(|event| event.body) {
        Ok(EventBody::AuditMarked(mark)) => Ok(*mark),
        Ok(_) => Err(Error::Damaged(format!("event {} is no mark", row.place))),
        Err(error) => Err(Error::Damaged(format!("event {}: {error}", row.place))),
    }
}

/// How an approval is named in the detail of a mark.
pub(super) fn by_approval(approval_id: ApprovalId) -> String {
    format!("approval {approval_id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::{event_id, open_epoch, sell, stamp, store};
    use crate::db::{Durability, Store};

    fn mark(store: &mut Store, number: u64) {
        let mut moment = Moment::new(stamp(0), event_id(100 + number));
        let noteworthy = Noteworthy::new(word::PIN_FAILED).about(number).saying("a wrong PIN at sign-on");
        store.atomically(Durability::Promise, |store| store.mark(&mut moment, noteworthy)).expect("marks");
    }

    /// An opening, a mark, a sale, a mark.
    fn marked() -> Store {
        let mut store = store();
        open_epoch(&mut store, 1);
        mark(&mut store, 1);
        sell(&mut store, 1);
        mark(&mut store, 2);
        store
    }

    #[test]
    fn marks_are_read_in_order_and_the_newest_ones_first_come() {
        let store = marked();
        let subjects = |rows_max| -> Vec<String> {
            let marks = store.view().audit_marks(rows_max).expect("reads");
            marks.into_iter().map(|row| row.mark.subject).collect()
        };
        assert_eq!(subjects(10), ["1", "2"]);
        assert_eq!(subjects(1), ["2"]);
        assert_eq!(store.view().audit_marks(10).expect("reads")[1].place.seq.get(), 4);
    }

    #[test]
    fn a_mark_that_was_changed_or_taken_out_is_found() {
        #[track_caller]
        fn check(damage: &str, seq: u64) {
            let store = marked();
            store.connection.execute_batch(damage).expect("works");
            let broken = store.view().verify().expect("reads").expect_err("must be found");
            assert_eq!(broken.place.seq.get(), seq, "{damage}: {broken}");
        }
        assert!(marked().view().verify().expect("reads").is_ok());
        check("DELETE FROM event WHERE position = 2", 2);
        check("DELETE FROM event WHERE position = 4; UPDATE epoch SET head = 4", 4);
        let other_word = "UPDATE event SET bytes = CAST(replace(CAST(bytes AS TEXT), 'sign-on', 'signoff') AS BLOB)";
        check(&format!("{other_word} WHERE position = 2"), 2);
        check("UPDATE event SET bytes = (SELECT bytes FROM event WHERE position = 4) WHERE position = 2", 2);
        // A whole row of another mark, hash and all, does not follow on what stands before it.
        check(
            "UPDATE event SET (bytes, hash) = (SELECT bytes, hash FROM event WHERE position = 4) WHERE position = 2",
            2,
        );
    }

    #[test]
    fn a_long_text_loses_its_end() {
        let noteworthy = Noteworthy::new(word::CLOCK_JUMPED).saying("\u{676d}".repeat(1000));
        assert_eq!(noteworthy.detail.chars().count(), 166);
    }
}
