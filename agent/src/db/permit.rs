//! Whether somebody may do something at a till, asked within the operation that does it.
//!
//! A store that has no operators has not set up people: everything is allowed there. In any other store the one who asks
//! is signed on at that till, and where their role does not suffice, somebody whose role does has approved this action on
//! this subject at this till with their own PIN. An approval serves once, and for a short while. It is used up in the
//! same database transaction as what it allowed, so that neither happens without the other.

use pos_model::{ApprovalId, OperatorId, Tag, TillId};
use protocol::latest::people::ApprovalGiven;
use rusqlite::{OptionalExtension, params};
use till::limits::APPROVAL_MS_MAX;
use till::people::{Action, Decision, may};

use super::audit::{Noteworthy, by_approval, word};
use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::people::{PinHash, parsed};
use super::store::Store;
use super::view::View;

/// Who does something, and who allowed it. It goes into the event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permit {
    /// Who does it, where that is known.
    pub operator: Option<OperatorId>,
    /// Who allowed it, where the operator's role does not suffice.
    pub approver: Option<OperatorId>,
}

/// What somebody is about to allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Made by the till.
    pub approval_id: ApprovalId,
    /// Where it may be used.
    pub till_id: TillId,
    /// Who allows it.
    pub operator_id: OperatorId,
    /// What.
    pub action: Action,
    /// On what.
    pub subject: String,
}

impl View<'_> {
    /// Whether somebody at a till may see what should be in a drawer: everybody where nobody has set up people, else
    /// whoever is signed on there and may.
    pub fn sees_drawer(&self, till_id: Option<&TillId>) -> Result<bool, Error> {
        if !self.has_operators()? {
            return Ok(true);
        }
        let Some(till_id) = till_id else { return Ok(false) };
        let Some(operator_id) = self.signed_on_at(till_id)? else { return Ok(false) };
        let row = self.active_operator(&operator_id)?;
        Ok(row.is_some_and(|row| may(row.role, Action::ReadDrawer) == Decision::Allowed))
    }
}

impl Store {
    /// Asks whether `operator` may do `action` on `subject` at `till`, and uses the approval up if it takes one. Within an
    /// operation; what it refuses undoes the operation.
    ///
    /// `subject` is what the approval was given for: the id of the sale, line, shift or till that the action is about.
    pub fn permit(
        &mut self,
        moment: &Moment,
        till: &TillId,
        operator: Option<&OperatorId>,
        approval: Option<ApprovalId>,
        action: Action,
        subject: &str,
    ) -> Result<Permit, Error> {
        if !self.view().has_operators()? {
            return Ok(Permit { operator: operator.cloned(), approver: None });
        }
        let operator = operator.ok_or_else(|| {
            Refused::not_allowed(
                "operator.needed",
                format!("{action} needs an operator who is signed on at till {till}"),
            )
        })?;
        let row = self.view().active_operator(operator)?;
        let here = self.view().signed_on_at(till)?;
        let row = row.filter(|_| here.as_ref() == Some(operator)).ok_or_else(|| {
            Refused::not_allowed(
                "operator.not_signed_on",
                format!("operator {operator} is not signed on at till {till}"),
            )
        })?;
        let approver = match (may(row.role, action), approval) {
            (Decision::Allowed, _) => None,
            (Decision::NeedsApproval(least), None) => {
                let text = format!("{action} needs the approval of a {least}: operator {operator} is a {}", row.role);
                return Err(Refused::not_allowed("approval.needed", text).into());
            }
            (Decision::NeedsApproval(_), Some(approval)) => {
                Some(self.use_approval(moment, till, approval, action, subject)?)
            }
        };
        Ok(Permit { operator: Some(operator.clone()), approver })
    }

    /// Somebody allows one action on one subject at one till, once. `proof` is the hash that their PIN was compared with.
    /// Within an operation.
    pub fn give_approval(
        &mut self,
        moment: &mut Moment,
        approval: Approval,
        proof: &PinHash,
    ) -> Result<ApprovalGiven, Error> {
        let Approval { approval_id, till_id, operator_id, action, subject } = approval;
        let role = self.pin_was_right(&operator_id, proof)?;
        if let Decision::NeedsApproval(least) = may(role, action) {
            let text = format!("{action} needs a {least} to approve it: operator {operator_id} is a {role}");
            return Err(Refused::not_allowed("approval.role_too_low", text).into());
        }
        let now_ms = moment.at().utc_ms;
        let added = self
            .connection
            .execute(
                "INSERT INTO approval (approval_id, action, subject, operator_id, till_id, made_at, position)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
                params![
                    approval_id.as_bytes(),
                    action.as_str(),
                    subject,
                    operator_id.as_str(),
                    till_id.as_str(),
                    now_ms,
                    self.tail.position
                ],
            )
            .doing("keep an approval")?;
        if added == 0 {
            let text = format!("there is an approval {approval_id} already; a new one needs a new id");
            return Err(Refused::overtaken("approval.exists", text).into());
        }
        let given = Noteworthy::new(word::APPROVAL_GIVEN).at(&till_id).by(&operator_id).about(&subject);
        self.mark(moment, given.saying(format!("{action}, {}", by_approval(approval_id))))?;
        Ok(ApprovalGiven {
            approval_id,
            till_id,
            action: Tag::new(action.as_str()).expect("words of actions are tags"),
            subject,
            operator_id,
            expires_at_ms: now_ms.saturating_add(APPROVAL_MS_MAX),
        })
    }

    /// Uses an approval up, if it serves. Returns who gave it.
    fn use_approval(
        &self,
        moment: &Moment,
        till: &TillId,
        approval_id: ApprovalId,
        action: Action,
        subject: &str,
    ) -> Result<OperatorId, Error> {
        type Found = (String, String, String, String, i64, bool);
        let found: Option<Found> = self
            .connection
            .prepare_cached(
                "SELECT action, subject, till_id, operator_id, made_at, used_by IS NOT NULL FROM approval
                 WHERE approval_id = ?1",
            )
            .and_then(|mut select| {
                let read = |row: &rusqlite::Row<'_>| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
                };
                select.query_row([approval_id.as_bytes()], read).optional()
            })
            .doing("look for an approval")?;
        let not_allowed =
            |key, text: &str| Err(Refused::not_allowed(key, format!("approval {approval_id} {text}")).into());
        let Some((for_action, for_subject, at_till, approver, made_at_ms, used)) = found else {
            return not_allowed("approval.unknown", "is not known here");
        };
        if for_action != action.as_str() || for_subject != subject || at_till != till.as_str() {
            return not_allowed("approval.for_other", "was given for something else, or at another till");
        }
        if used {
            return not_allowed("approval.used", "has been used; each allows one thing once");
        }
        // A moment before it was given means that the clock was set back: nobody can say how old it is.
        let age_ms = moment.at().utc_ms.saturating_sub(made_at_ms);
        if !(0..APPROVAL_MS_MAX).contains(&age_ms) {
            return not_allowed("approval.expired", "was given too long ago");
        }
        let approver: OperatorId = parsed(&approver)?;
        let suffices =
            self.view().active_operator(&approver)?.is_some_and(|row| may(row.role, action) == Decision::Allowed);
        if !suffices {
            return not_allowed("approval.role_too_low", "was given by somebody who may not do this any more");
        }
        // The command's id, that of a sale or refund included. The agent's own doings have none, and need no approval.
        let used_by = moment.command().map_or([0; 16], |id| *id.as_bytes());
        self.connection
            .execute(
                "UPDATE approval SET used_by = ?2 WHERE approval_id = ?1",
                params![approval_id.as_bytes(), used_by],
            )
            .doing("use an approval up")?;
        Ok(approver)
    }

    /// Approvals go when the events of their time have gone. Returns how many.
    pub(super) fn trim_approvals(&self, rows_max: i64) -> Result<i64, Error> {
        let gone = self
            .connection
            .execute(
                "DELETE FROM approval WHERE approval_id IN (SELECT approval_id FROM approval
                    WHERE position < (SELECT min(position) FROM event) ORDER BY position LIMIT ?1)",
                [rows_max],
            )
            .doing("let approvals go")?;
        Ok(i64::try_from(gone).unwrap_or(i64::MAX))
    }
}
