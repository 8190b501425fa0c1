//! What somebody may have to answer for later. It stands in the store's one chain of events, so that nothing of it can be
//! left out or changed without notice.

use pos_model::{Money, OperatorId, Stamp, Tag, TillId};
use serde::{Deserialize, Serialize};

/// Something worth an auditor's look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditMarked {
    /// What happened: `line_voided`, `price_overridden`, `drawer_opened`, `receipt_reprinted`, `pin_failed`, `clock_jumped`
    /// and so on.
    pub action: Tag,
    /// Where; none for what the agent noticed by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub till_id: Option<TillId>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// Who allowed it, where that was somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver_id: Option<OperatorId>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Tag>,
    /// What it was about: the id of a sale, a basket, an operator.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// In words, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What it was worth, where it was worth something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<Money>,
    /// When, by the store's clock.
    pub marked_at: Stamp,
}

impl AuditMarked {
    /// The kind's name.
    pub const KIND: &'static str = "audit_marked";
}
