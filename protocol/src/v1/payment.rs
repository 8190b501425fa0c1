//! Payment at a terminal, as a till asks for it and hears of it.

use pos_model::{ApprovalId, AttemptId, CommandId, Money, OperatorId, SaleId, Tag, TillId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/payments`: ask a terminal for money.
///
/// The same `attempt_id` again never asks the terminal again: it is answered how the attempt stands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"attempt_id": "01990000-0000-7000-8000-000000000015", "till_id": "T1",
    "sale_id": "01990000-0000-7000-8000-000000000017", "kind": "card", "amount_minor": 1800}))]
pub struct AskPayment {
    /// A UUID, version 7, that the till made and kept before it sent this. A further try has another one.
    pub attempt_id: AttemptId,
    /// The till.
    pub till_id: TillId,
    /// The sale that is to be paid, by the id that it will have.
    pub sale_id: SaleId,
    /// The operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// The kind of tender: `card`, `wallet`, `voucher` and so on.
    pub kind: Tag,
    /// How much.
    #[schema(value_type = i64, example = 1800)]
    pub amount_minor: Money,
    /// The terminal, by its name in the configuration; may be left out if there is one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Tag>,
    /// What the customer's telephone or voucher shows, where the till has read it. It goes to the terminal and is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Somebody has looked at the terminal and says that an earlier attempt of the sale, which is still open, has taken
    /// nothing. It goes into the audit trail with who said it.
    #[serde(default)]
    pub nothing_taken: bool,
    /// What somebody else has allowed: `settle_payment` for this sale, where the operator may not say that themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
}

impl std::fmt::Debug for AskPayment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AskPayment")
            .field("attempt_id", &self.attempt_id)
            .field("till_id", &self.till_id)
            .field("sale_id", &self.sale_id)
            .field("kind", &self.kind)
            .field("amount_minor", &self.amount_minor)
            .field("terminal", &self.terminal)
            .field("code", &self.code.as_ref().map(|_| "[redacted]"))
            .finish_non_exhaustive()
    }
}

/// `POST /v1/payments/{attempt_id}/reverse`: give the money back, or never take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000016", "till_id": "T1", "reason": "sale_given_up"}))]
pub struct ReversePayment {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// The operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed on the attempt: `reverse_others_payment`, for the payment of another till.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub approval_id: Option<ApprovalId>,
    /// Why; `person` if left out.
    #[serde(default)]
    pub reason: ReverseReason,
}

/// `POST /v1/payments/{attempt_id}/settle`: say what became of an attempt that no terminal settles.
///
/// Somebody has looked at the terminal's own list. Their word is final: the terminal is not asked any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000018", "till_id": "T1", "outcome": "given_back"}))]
pub struct SettlePayment {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// The operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed on the attempt: `settle_payment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub approval_id: Option<ApprovalId>,
    /// What became of it.
    pub outcome: PaymentOutcome,
}

/// What a person has found at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentOutcome {
    /// Nothing was taken. The attempt is `declined`.
    NothingTaken,
    /// What was taken has gone back to the customer, in whatever way. The attempt is `reversed`.
    GivenBack,
}

/// Why a till wants a payment reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReverseReason {
    /// A person wants it.
    #[default]
    Person,
    /// The sale will not be made.
    SaleGivenUp,
}

/// How an attempt stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentView {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The sale that it is for.
    pub sale_id: SaleId,
    /// The till that asked.
    pub till_id: TillId,
    /// Who asked.
    pub operator_id: Option<OperatorId>,
    /// The kind of tender.
    pub kind: Tag,
    /// How much.
    pub amount_minor: Money,
    /// The terminal.
    pub terminal: Tag,
    /// When the till asked, in milliseconds since 1970 (UTC).
    pub asked_at_ms: i64,
    /// What is known of it.
    pub state: PaymentState,
    /// Why it is to be reversed, once it is: `person`, `sale_given_up`, `unpaid`, `never_arrived`, `other_amount`, `late`,
    /// `paid_otherwise`.
    pub reversal: Option<Tag>,
    /// Whether its sale may name it in a tender: it is approved, not to be reversed, and not used.
    pub usable: bool,
    /// Whether its sale was paid with it.
    pub used: bool,
    /// What the terminal calls it.
    pub reference: Option<String>,
    /// Why it was declined, or what was odd, in words.
    pub detail: Option<String>,
    /// How many answers of the terminal were about another attempt or amount, or contradicted an earlier one.
    pub odd_answers: u32,
}

/// What is known of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// The terminal is asked, and may be waiting for the customer.
    Asked,
    /// The money is taken.
    Approved,
    /// Nothing was taken, and nothing will be.
    Declined,
    /// The terminal has not answered. It is asked again, and until then a sale must not be paid anew by card or wallet.
    Unknown,
    /// What was taken has gone back.
    Reversed,
}
