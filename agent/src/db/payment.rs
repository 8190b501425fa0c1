//! Attempts at payment terminals.
//!
//! An attempt is on disk before the terminal hears of it, and each change of it before anything follows from the change.
//! A sale takes an attempt in its own database transaction: the check that it pays for that tender and the note that it is
//! used commit with the sale, or not at all. From there on nothing of the attempt changes.

use pos_model::{ApprovalId, AttemptId, Money, OperatorId, SaleId, Stamp, Tag, TillId};
use protocol::latest::local_api::Change;
use protocol::latest::payment::{PaymentState, PaymentView};
use rusqlite::{Connection, Row, params};
use till::Tender;
use till::payment::{Attempt, AttemptState, Outcome, PaymentRefusal, ReversalReason, may_ask};
use till::people::Action;

use super::audit::{Noteworthy, word};
use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::notice::Notice;
use super::permit::Permit;
use super::sale::find_receipt;
use super::store::{Durability, Store};
use super::view::View;

/// Attempts of which something is still to come, in the whole store. Each is asked about again and again, and a store with
/// so many has a terminal that nobody looks at.
pub const ATTEMPTS_UNSETTLED_MAX: usize = 100;

/// For so long a terminal that is to give money back may say that the customer is still paying, in milliseconds since it was
/// asked for the money. After that a person may settle the attempt.
const AT_WORK_MS: i64 = 5 * 60_000;

/// An attempt, and whether its sale was paid with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAttempt {
    /// The attempt.
    pub attempt: Attempt,
    /// Whether it is used.
    pub used: bool,
    /// Whether a person has said what became of it.
    pub settled: bool,
}

/// Somebody says that an earlier attempt for the sale, which is still open, has taken nothing, and asks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskAgain {
    /// Who else has allowed it, where the operator's role does not suffice.
    pub approval: Option<ApprovalId>,
}

/// Who wants a payment reversed, or says what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskReversal {
    /// The till that asks.
    pub till_id: TillId,
    /// Who works there.
    pub operator_id: Option<OperatorId>,
    /// Who else has allowed it, where the operator's role does not suffice.
    pub approval: Option<ApprovalId>,
}

/// What came of keeping a change of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    Changed,
    /// A sale was paid with the attempt meanwhile, so nothing of it changes.
    Used,
    /// A person has said meanwhile what became of it, and nothing that was heard speaks against it, so nothing changes.
    Settled(Outcome),
    /// A person has said meanwhile what became of it, and the terminal says that it has the money: it is kept, open again,
    /// and goes back to the customer, who may have paid a second time.
    Reopened,
}

impl Store {
    /// Keeps a new attempt, if the terminal may be asked for it. Within a command that is carried out once. While another
    /// one of the sale is open it takes `again`, and somebody who may say so.
    pub fn add_attempt(
        &mut self,
        attempt: &Attempt,
        again: Option<AskAgain>,
        moment: &mut Moment,
    ) -> Result<(), Error> {
        if find_receipt(&self.connection, attempt.sale_id)?.is_some() {
            return Err(refused(&PaymentRefusal::SaleRecorded));
        }
        let others = self.view().attempts_of(attempt.sale_id)?;
        let others: Vec<&Attempt> = others.iter().map(|other| &other.attempt).collect();
        may_ask(attempt, others.iter().copied(), again.is_some()).map_err(|refusal| refused(&refusal))?;
        let unsettled = self.view().unsettled_attempts()?.len();
        if unsettled >= ATTEMPTS_UNSETTLED_MAX {
            return Err(refused(&PaymentRefusal::TooManyOpen { count: unsettled }));
        }
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO attempt (attempt_id, sale_id, till_id, operator_id, kind, amount_minor, terminal, asked_at,
                    asked_offset_s, state, reversal, reference, detail, odd_answers, used, position)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, NULL, NULL, NULL, 0, 0, ?11)
                 ON CONFLICT DO NOTHING",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    attempt.attempt_id.as_bytes(),
                    attempt.sale_id.as_bytes(),
                    attempt.till_id.as_str(),
                    attempt.operator_id.as_ref().map(OperatorId::as_str),
                    attempt.kind.as_str(),
                    attempt.amount.minor(),
                    attempt.terminal.as_str(),
                    attempt.asked_at.utc_ms,
                    attempt.asked_at.offset_s,
                    attempt.state.as_str(),
                    self.tail.position,
                ])
            })
            .doing("keep a payment attempt")?;
        if inserted == 0 {
            // The command's answer has been let go, the attempt has not.
            let text = format!("attempt {} was made before", attempt.attempt_id);
            return Err(Refused::overtaken("payment.exists", text).into());
        }
        if others.iter().any(|other| other.is_open())
            && let Some(AskAgain { approval }) = again
        {
            let (operator, subject) = (attempt.operator_id.as_ref(), attempt.sale_id.to_string());
            let action = Action::SettlePayment;
            let permit = self.permit(moment, &attempt.till_id, operator, approval, action, &subject)?;
            self.mark(moment, marked(word::PAYMENT_ASKED_AGAIN, attempt).permitted(&permit))?;
        }
        self.attempt_changed(attempt, false);
        Ok(())
    }

    /// Keeps what has become of an attempt. That it is to be reversed is never taken back.
    pub fn keep_attempt(&mut self, attempt: &Attempt) -> Result<Kept, Error> {
        self.atomically(Durability::Promise, |store| {
            let before = store.kept_attempt(attempt.attempt_id)?;
            if before.used {
                return Ok(Kept::Used);
            }
            // What a person has given back goes back once, whatever the terminal says.
            let given_back = before.attempt.state == AttemptState::Reversed;
            if before.settled && (given_back || !attempt.holds_money()) {
                return Ok(Kept::Settled(if given_back { Outcome::GivenBack } else { Outcome::NothingTaken }));
            }
            let reversal = attempt.reversal.or(before.settled.then_some(ReversalReason::Late));
            store
                .connection
                .prepare_cached(
                    "UPDATE attempt SET state = ?2, reversal = coalesce(reversal, ?3), reference = ?4, detail = ?5,
                        odd_answers = ?6, taken = CASE ?7 WHEN 'never' THEN taken ELSE ?7 END, settled = 0
                     WHERE attempt_id = ?1",
                )
                .and_then(|mut update| {
                    update.execute(params![
                        attempt.attempt_id.as_bytes(),
                        attempt.state.as_str(),
                        reversal.map(ReversalReason::as_str),
                        attempt.reference,
                        attempt.detail,
                        attempt.odd_answers,
                        attempt.taken.as_str(),
                    ])
                })
                .doing("keep what became of a payment attempt")?;
            let kept = store.kept_attempt(attempt.attempt_id)?;
            // As it is kept: whoever drives it may not have heard yet that it is to go back.
            if !kept.attempt.is_open() {
                store.settle_notice(&notice_key(attempt.attempt_id))?;
            }
            store.attempt_changed(&kept.attempt, kept.used);
            Ok(if before.settled { Kept::Reopened } else { Kept::Changed })
        })
    }

    /// Notes that an attempt is to be reversed: from there on no sale is paid with it. Within a command that is carried
    /// out once. What is declined or reversed stays as it is. That of another till takes somebody who may.
    pub fn want_reversal(
        &mut self,
        attempt_id: AttemptId,
        asks: &AskReversal,
        reason: ReversalReason,
        moment: &mut Moment,
    ) -> Result<(), Error> {
        let KeptAttempt { mut attempt, used, .. } = self.kept_attempt(attempt_id)?;
        let AskReversal { till_id, operator_id, approval } = asks;
        let permit = if attempt.till_id == *till_id {
            Permit { operator: operator_id.clone(), approver: None }
        } else {
            let (action, subject) = (Action::ReverseOthersPayment, attempt_id.to_string());
            self.permit(moment, till_id, operator_id.as_ref(), *approval, action, &subject)?
        };
        if used {
            return Err(refused(&PaymentRefusal::Used { attempt_id }));
        }
        if attempt.reversal.is_some() || !(attempt.is_open() || attempt.is_usable()) {
            return Ok(());
        }
        attempt.reversal = Some(reason);
        self.connection
            .execute(
                "UPDATE attempt SET reversal = ?2 WHERE attempt_id = ?1",
                params![attempt_id.as_bytes(), reason.as_str()],
            )
            .doing("note that a payment is to be reversed")?;
        let mark = marked(word::PAYMENT_REVERSED, &attempt).at(till_id).permitted(&permit);
        self.mark(moment, mark.because(Tag::new(reason.as_str()).ok()))?;
        self.attempt_changed(&attempt, false);
        Ok(())
    }

    /// Notes what a person says of an attempt that no terminal settles: it is over. Within a command that is carried out
    /// once. It takes somebody who may, and is refused while the terminal is at work or nothing is open. A terminal that has
    /// been told to give the money back, and is at work for minutes since, never will do anything else.
    pub fn settle_attempt(
        &mut self,
        attempt_id: AttemptId,
        asks: &AskReversal,
        outcome: Outcome,
        moment: &mut Moment,
    ) -> Result<(), Error> {
        let KeptAttempt { mut attempt, used, .. } = self.kept_attempt(attempt_id)?;
        let AskReversal { till_id, operator_id, approval } = asks;
        let subject = attempt_id.to_string();
        let permit = self.permit(moment, till_id, operator_id.as_ref(), *approval, Action::SettlePayment, &subject)?;
        if used {
            return Err(refused(&PaymentRefusal::Used { attempt_id }));
        }
        if !attempt.is_open() {
            return Err(refused(&PaymentRefusal::NotOpen { attempt_id, state: attempt.state }));
        }
        let since_ms = moment.at().utc_ms.saturating_sub(attempt.asked_at.utc_ms);
        if attempt.state == AttemptState::Asked && (attempt.reversal.is_none() || since_ms < AT_WORK_MS) {
            return Err(refused(&PaymentRefusal::AtWork { attempt_id, minutes: AT_WORK_MS / 60_000 }));
        }
        attempt.state = outcome.state();
        let detail = match outcome {
            Outcome::NothingTaken => "a person has looked at the terminal: nothing was taken",
            Outcome::GivenBack => "a person has looked at the terminal: the money went back",
        };
        attempt.detail = Some(detail.to_owned());
        self.connection
            .execute(
                "UPDATE attempt SET state = ?2, detail = ?3, settled = 1 WHERE attempt_id = ?1",
                params![attempt_id.as_bytes(), attempt.state.as_str(), detail],
            )
            .doing("note what became of a payment")?;
        self.settle_notice(&notice_key(attempt_id))?;
        let mark = marked(word::PAYMENT_SETTLED, &attempt).at(till_id).permitted(&permit);
        self.mark(moment, mark.because(Tag::new(attempt.state.as_str()).ok()))?;
        self.attempt_changed(&attempt, false);
        Ok(())
    }

    /// Has what terminals have taken, or may yet take, for a sale go back to the customer: the sale is paid, and was paid
    /// otherwise. Within the sale's operation, behind [`Store::use_attempts`].
    pub(super) fn give_back_unused(&mut self, sale_id: SaleId, moment: &mut Moment) -> Result<(), Error> {
        let left = self.view().attempts_of(sale_id)?.into_iter().filter(|kept| !kept.used);
        let left = left.map(|kept| kept.attempt).filter(|attempt| attempt.is_open() || attempt.is_usable());
        for mut attempt in left.filter(|attempt| attempt.reversal.is_none()) {
            let reason = ReversalReason::PaidOtherwise;
            attempt.reversal = Some(reason);
            self.connection
                .execute(
                    "UPDATE attempt SET reversal = ?2 WHERE attempt_id = ?1",
                    params![attempt.attempt_id.as_bytes(), reason.as_str()],
                )
                .doing("note that a payment is to be reversed")?;
            let text = format!(
                "Sale {sale_id} was paid otherwise than with payment {} of {} {} by {} at terminal {}. What the terminal \
                 has taken goes back to the customer by itself. Tell the customer.",
                attempt.attempt_id,
                attempt.amount.display(self.currency),
                self.currency,
                attempt.kind,
                attempt.terminal
            );
            let at_ms = moment.at().utc_ms;
            self.raise_notice(&Notice { key: notice_key(attempt.attempt_id), at_ms, text })?;
            self.mark(moment, marked(word::PAYMENT_REVERSED, &attempt).because(Tag::new(reason.as_str()).ok()))?;
            self.attempt_changed(&attempt, false);
        }
        Ok(())
    }

    /// Keeps a notice about an attempt, unless nothing more is to come of it.
    pub fn raise_notice_of_attempt(&mut self, attempt_id: AttemptId, notice: &Notice) -> Result<(), Error> {
        self.atomically(Durability::Hint, |store| {
            let KeptAttempt { attempt, used, .. } = store.kept_attempt(attempt_id)?;
            let settled = used || !(attempt.is_open() || attempt.is_usable());
            if settled { Ok(()) } else { store.raise_notice(notice) }
        })
    }

    /// Takes the attempts that the tenders name for a sale, each once, and writes the terminal's reference into the tender.
    /// Within the sale's operation. Fails with [`Error::Payment`] if one of them does not pay for its tender, or a tender
    /// names none where one for just that was approved: left unnamed it would go back to the customer.
    pub(super) fn use_attempts(&mut self, sale_id: SaleId, tenders: &mut [Tender]) -> Result<(), Error> {
        let mut unnamed = Vec::new();
        for place in 0..tenders.len() {
            let (before, [tender, ..]) = tenders.split_at_mut(place) else { continue };
            let Some(attempt_id) = tender.attempt_id else {
                unnamed.push((tender.kind.clone(), tender.amount));
                continue;
            };
            if before.iter().any(|other| other.attempt_id == Some(attempt_id)) {
                return Err(Error::Payment(PaymentRefusal::NamedTwice { attempt_id }));
            }
            let found = self.view().attempt(attempt_id)?;
            let found = found.ok_or(Error::Payment(PaymentRefusal::UnknownAttempt { attempt_id }))?;
            pays_for(&found, sale_id, tender).map_err(Error::Payment)?;
            tender.reference.clone_from(&found.attempt.reference);
            self.connection
                .prepare_cached("UPDATE attempt SET used = 1 WHERE attempt_id = ?1")
                .and_then(|mut update| update.execute([attempt_id.as_bytes()]))
                .doing("note that a payment attempt is used")?;
            self.settle_notice(&notice_key(attempt_id))?;
            self.attempt_changed(&found.attempt, true);
        }
        if unnamed.is_empty() {
            return Ok(());
        }
        let left = self.view().attempts_of(sale_id)?.into_iter().filter(|kept| !kept.used && kept.attempt.is_usable());
        let meant = left.map(|kept| (kept.attempt.kind, kept.attempt.amount)).find(|left| unnamed.contains(left));
        meant.map_or(Ok(()), |(kind, _)| Err(Error::Payment(PaymentRefusal::AttemptNeeded { kind })))
    }

    fn kept_attempt(&self, attempt_id: AttemptId) -> Result<KeptAttempt, Error> {
        let found = self.view().attempt(attempt_id)?;
        let unknown = PaymentRefusal::UnknownAttempt { attempt_id };
        found.ok_or_else(|| Refused::unknown(unknown.message_key(), unknown).into())
    }

    fn attempt_changed(&mut self, attempt: &Attempt, used: bool) {
        self.changed(Change::Payment(view(attempt, used)));
    }
}

/// Under which a person is told of an attempt.
pub(crate) fn notice_key(attempt_id: AttemptId) -> String {
    format!("payment.{attempt_id}")
}

fn refused(refusal: &PaymentRefusal) -> Error {
    Refused::rule(refusal.message_key(), refusal).into()
}

fn pays_for(found: &KeptAttempt, sale_id: SaleId, tender: &Tender) -> Result<(), PaymentRefusal> {
    let KeptAttempt { attempt, used, .. } = found;
    let attempt_id = attempt.attempt_id;
    if attempt.sale_id != sale_id {
        return Err(PaymentRefusal::OtherSale { attempt_id });
    }
    if *used {
        return Err(PaymentRefusal::Used { attempt_id });
    }
    if attempt.kind != tender.kind {
        return Err(PaymentRefusal::OtherKind { attempt_id, kind: attempt.kind.clone() });
    }
    if attempt.amount != tender.amount {
        return Err(PaymentRefusal::OtherAmount { attempt_id, amount: attempt.amount });
    }
    if let (AttemptState::Approved, Some(reason)) = (attempt.state, attempt.reversal) {
        return Err(PaymentRefusal::ToBeReversed { attempt_id, reason });
    }
    if !attempt.is_usable() {
        return Err(PaymentRefusal::NotApproved { attempt_id, state: attempt.state });
    }
    Ok(())
}

fn marked(action: &'static str, attempt: &Attempt) -> Noteworthy {
    let detail = format!("{} at terminal {} for sale {}", attempt.kind, attempt.terminal, attempt.sale_id);
    Noteworthy::new(action).at(&attempt.till_id).about(attempt.attempt_id).saying(detail).worth(attempt.amount)
}

impl KeptAttempt {
    /// What a till is told about it.
    pub fn view(&self) -> PaymentView {
        view(&self.attempt, self.used)
    }
}

fn view(attempt: &Attempt, used: bool) -> PaymentView {
    PaymentView {
        attempt_id: attempt.attempt_id,
        sale_id: attempt.sale_id,
        till_id: attempt.till_id.clone(),
        operator_id: attempt.operator_id.clone(),
        kind: attempt.kind.clone(),
        amount_minor: attempt.amount,
        terminal: attempt.terminal.clone(),
        asked_at_ms: attempt.asked_at.utc_ms,
        state: match attempt.state {
            AttemptState::Asked => PaymentState::Asked,
            AttemptState::Approved => PaymentState::Approved,
            AttemptState::Declined => PaymentState::Declined,
            AttemptState::Unknown => PaymentState::Unknown,
            AttemptState::Reversed => PaymentState::Reversed,
        },
        reversal: attempt.reversal.and_then(|reason| Tag::new(reason.as_str()).ok()),
        usable: attempt.is_usable() && !used,
        used,
        reference: attempt.reference.clone(),
        detail: attempt.detail.clone(),
        odd_answers: attempt.odd_answers,
    }
}

macro_rules! attempts {
    ($rest:literal) => {
        concat!(
            "SELECT attempt_id, sale_id, till_id, operator_id, kind, amount_minor, terminal, asked_at, asked_offset_s,
                state, reversal, reference, detail, odd_answers, used, taken, settled FROM attempt ",
            $rest
        )
    };
}

impl View<'_> {
    /// An attempt.
    pub fn attempt(&self, attempt_id: AttemptId) -> Result<Option<KeptAttempt>, Error> {
        let found = read(self.connection, attempts!("WHERE attempt_id = ?1"), &[attempt_id.as_bytes()])?;
        Ok(found.into_iter().next())
    }

    /// The attempts for a sale, in the order in which they were asked for.
    pub fn attempts_of(&self, sale_id: SaleId) -> Result<Vec<KeptAttempt>, Error> {
        read(self.connection, attempts!("WHERE sale_id = ?1 ORDER BY asked_at, attempt_id"), &[sale_id.as_bytes()])
    }

    /// The attempts of which something is still to come, the oldest first: an answer, a reversal, or the sale that uses
    /// it. Few: the store takes no more than [`ATTEMPTS_UNSETTLED_MAX`].
    pub fn unsettled_attempts(&self) -> Result<Vec<KeptAttempt>, Error> {
        let sql =
            attempts!("WHERE used = 0 AND state IN ('asked', 'approved', 'unknown') ORDER BY asked_at, attempt_id");
        read(self.connection, sql, &[])
    }
}

fn read(connection: &Connection, sql: &str, key: &[&[u8; 16]]) -> Result<Vec<KeptAttempt>, Error> {
    let doing = "read payment attempts";
    let mut select = connection.prepare_cached(sql).doing(doing)?;
    let mut rows = select.query(rusqlite::params_from_iter(key)).doing(doing)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        found.push(read_attempt(row)?);
    }
    Ok(found)
}

fn read_attempt(row: &Row<'_>) -> Result<KeptAttempt, Error> {
    fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, column: usize) -> Result<T, Error> {
        row.get(column).doing("read a payment attempt")
    }
    let attempt_id = AttemptId::new(uuid::Uuid::from_bytes(get(row, 0)?));
    let damaged = |what: &str| Error::Damaged(format!("payment attempt {attempt_id} has {what}"));
    let text = |column| get::<String>(row, column);
    let optional = |column| get::<Option<String>>(row, column);
    let operator_id = optional(3)?.map(|text| text.parse()).transpose();
    let reversal = optional(10)?.map(|text| text.parse()).transpose();
    Ok(KeptAttempt {
        attempt: Attempt {
            attempt_id,
            sale_id: SaleId::new(uuid::Uuid::from_bytes(get(row, 1)?)),
            till_id: text(2)?.parse().map_err(|_| damaged("a till id that is none"))?,
            operator_id: operator_id.map_err(|_| damaged("an operator id that is none"))?,
            kind: text(4)?.parse().map_err(|_| damaged("a kind that is none"))?,
            amount: Money::from_minor(get(row, 5)?),
            terminal: text(6)?.parse().map_err(|_| damaged("a terminal that is none"))?,
            asked_at: Stamp { utc_ms: get(row, 7)?, offset_s: get(row, 8)? },
            state: text(9)?.parse().map_err(|_| damaged("a state that is none"))?,
            reversal: reversal.map_err(|_| damaged("a reason that is none"))?,
            reference: optional(11)?,
            detail: optional(12)?,
            odd_answers: get(row, 13)?,
            taken: text(15)?.parse().map_err(|_| damaged("a word that is none"))?,
        },
        used: get(row, 14)?,
        settled: get(row, 16)?,
    })
}

#[cfg(test)]
mod tests;
