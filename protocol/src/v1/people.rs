//! Operators, approvals and paired tills, as the local API speaks of them.

use std::fmt;

use pos_model::{ApprovalId, CommandId, OperatorId, Tag, TillId};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The fewest and the most digits of a PIN.
const PIN_DIGITS: std::ops::RangeInclusive<usize> = 4..=12;

/// What an operator types to prove who they are: 4 to 12 digits. It is never shown: not by `Debug`, not in an error.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, pattern = "^[0-9]{4,12}$", example = "271828")]
pub struct Pin(String);

/// A text is no PIN. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a PIN is 4 to 12 digits")]
pub struct NotAPin;

impl Pin {
    /// Checks that it is 4 to 12 digits.
    pub fn new(text: impl Into<String>) -> Result<Self, NotAPin> {
        let text = text.into();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if digits && PIN_DIGITS.contains(&text.len()) { Ok(Self(text)) } else { Err(NotAPin) }
    }

    /// In place of a PIN where none may stand.
    pub const fn left_out() -> Self {
        Self(String::new())
    }

    /// The digits, for the one place that compares them.
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// Whether it is among the first that anybody tries: one digit over and over, or a run such as 1234 or 9876.
    pub fn is_weak(&self) -> bool {
        let steps =
            |step: i16| self.0.as_bytes().windows(2).all(|pair| i16::from(pair[1]) - i16::from(pair[0]) == step);
        steps(0) || steps(1) || steps(-1)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whatever else was sent is let go unread: asked for text alone, a parser refuses a number and repeats it.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Sent {
            Text(String),
            Other(de::IgnoredAny),
        }

        match Sent::deserialize(deserializer)? {
            Sent::Text(text) => Self::new(text).map_err(de::Error::custom),
            Sent::Other(_) => Err(de::Error::custom("a PIN is 4 to 12 digits in quotes")),
        }
    }
}

/// What somebody is in the store. Each may do what the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    /// Sells.
    Cashier,
    /// Leads a shift.
    ShiftLead,
    /// Answers for the store.
    Manager,
}

/// `POST /v1/operators/sign-on`: an operator begins to work at a till. Whoever was signed on there is signed off.
///
/// The PIN is in no digest and in nothing that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000050", "till_id": "T1", "operator_id": "li", "pin": "271828"}))]
pub struct SignOn {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// Who.
    pub operator_id: OperatorId,
    /// Their PIN.
    pub pin: Pin,
}

/// `POST /v1/operators/sign-off`: an operator leaves a till.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000051", "till_id": "T1", "operator_id": "li"}))]
pub struct SignOff {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// Who.
    pub operator_id: OperatorId,
}

/// Who works at a till: the answer to a sign-on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedOn {
    /// The till.
    pub till_id: TillId,
    /// Who.
    pub operator_id: OperatorId,
    /// Their name on the screen.
    pub name: String,
    /// What they are.
    pub role: RoleName,
    /// Since when, in milliseconds since 1970 (UTC).
    pub since_ms: i64,
}

/// The answer to a sign-off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedOff {
    /// The till.
    pub till_id: TillId,
    /// Who was signed on there; none if nobody was.
    pub operator_id: Option<OperatorId>,
}

/// `POST /v1/approvals`: somebody whose role suffices allows one action on one subject at this till, once.
///
/// The PIN is in no digest and in nothing that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000052", "till_id": "T1",
    "approval_id": "01990000-0000-7000-8000-000000000053", "operator_id": "chen", "pin": "314159", "action": "refund",
    "subject": "01990000-0000-7000-8000-000000000008"}))]
pub struct GiveApproval {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till at which it may be used.
    pub till_id: TillId,
    /// A UUID that the till made for the approval; the command that uses it names it.
    pub approval_id: ApprovalId,
    /// Who approves.
    pub operator_id: OperatorId,
    /// Their PIN.
    pub pin: Pin,
    /// What is allowed: `refund`, `void_sent_line`, `price_override`, `no_sale` and so on.
    pub action: Tag,
    /// On what: the id of the sale, line, shift or till that the command is about. At most 64 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 64, example = "019bd2c0-0000-7000-8000-000000000001")]
    pub subject: String,
}

/// What somebody has allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalGiven {
    /// Named by the command that uses it.
    pub approval_id: ApprovalId,
    /// The till at which it may be used.
    pub till_id: TillId,
    /// What is allowed.
    pub action: Tag,
    /// On what.
    pub subject: String,
    /// Who allowed it.
    pub operator_id: OperatorId,
    /// Until when it may be used, in milliseconds since 1970 (UTC).
    pub expires_at_ms: i64,
}

/// `PUT /v1/operators/{operator_id}`: adds an operator, or makes one what this says.
///
/// Who asks is either the owner of the agent's folder (its token), or a manager who is signed on at a till: then `till_id`
/// and `by` are named. The first operator is made by the owner of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Li", "role": "cashier", "pin": "271828", "till_id": "T1", "by": "chen"}))]
pub struct SetOperator {
    /// The name on the screen: 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64, example = "Li")]
    pub name: String,
    /// What they are.
    pub role: RoleName,
    /// Whether they may sign on; someone who left may not. `true` if left out.
    #[serde(default = "yes")]
    pub active: bool,
    /// A new PIN; the old one stays if left out. An operator that is added needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// The till at which this is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub till_id: Option<TillId>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<OperatorId>,
    /// A manager's approval, where the one who asks is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
}

fn yes() -> bool {
    true
}

/// An operator, as screens and lists show them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperatorView {
    /// Who.
    pub operator_id: OperatorId,
    /// The name on the screen.
    pub name: String,
    /// What they are.
    pub role: RoleName,
    /// Whether they may sign on.
    pub active: bool,
    /// The tills at which they are signed on.
    pub till_ids: Vec<TillId>,
    /// After too many wrong PINs: until when none is looked at, in milliseconds since 1970 (UTC).
    pub locked_until_ms: Option<i64>,
}

/// `POST /v1/pair-codes`: makes a code by which tills pair. Only the owner of the agent's folder may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tills": 1}))]
pub struct MakePairCode {
    /// How many tills may pair with it: 1 to 32; one if left out.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 32, example = 1)]
    pub tills: u32,
}

fn one() -> u32 {
    1
}

/// A code by which tills pair.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairCode {
    /// Eight digits, as `1234-5678`.
    #[schema(example = "2718-2818")]
    pub code: String,
    /// How many tills may pair with it.
    pub tills: u32,
    /// For how many seconds it holds.
    pub expires_in_s: u64,
}

impl fmt::Debug for PairCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairCode").field("code", &"[redacted]").field("tills", &self.tills).finish_non_exhaustive()
    }
}

/// `POST /v1/pair`: a till becomes one of the store's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "2718-2818", "till_id": "T1", "name": "Counter, left",
    "pair_id": "01990000-0000-7000-8000-000000000054"}))]
pub struct PairTill {
    /// The code that `breakwater-agent till pair-code` printed; spaces and dashes are ignored.
    #[schema(max_length = 32, example = "2718-2818")]
    pub code: String,
    /// What the till is called in sales and receipts, for ever. No other till has it.
    pub till_id: TillId,
    /// For people, such as where it stands: 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64, example = "Counter, left")]
    pub name: String,
    /// A UUID, version 7, that the till made and kept before it sent this. When the answer is lost, the same request with the
    /// same `pair_id` gets another token as long as the code holds, and the first token opens nothing any more. Without it a
    /// till whose answer is lost is revoked and paired again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub pair_id: Option<CommandId>,
}

impl fmt::Debug for PairTill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairTill").field("till_id", &self.till_id).finish_non_exhaustive()
    }
}

/// What a till keeps of its pairing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TillToken {
    /// The till.
    pub till_id: TillId,
    /// Named in each request as `Authorization: Bearer`. It is shown this once; the agent keeps its hash only.
    #[schema(example = "6f1c0a5e9d3b7842c6e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6")]
    pub token: String,
}

impl fmt::Debug for TillToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TillToken").field("till_id", &self.till_id).field("token", &"[redacted]").finish()
    }
}

/// A till that was paired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TillView {
    /// The till.
    pub till_id: TillId,
    /// For people.
    pub name: String,
    /// When it was paired, in milliseconds since 1970 (UTC).
    pub paired_at_ms: i64,
    /// When its token was taken back, in milliseconds since 1970 (UTC); none while it holds.
    pub revoked_at_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins() {
        #[track_caller]
        fn check(text: &str, valid: bool, weak: bool) {
            let pin = Pin::new(text);
            assert_eq!(pin.is_ok(), valid, "{text}");
            assert_eq!(pin.is_ok_and(|pin| pin.is_weak()), weak, "{text}");
        }
        check("2718", true, false);
        check("271828182845", true, false);
        check("2718281828459", false, false);
        check("271", false, false);
        check("", false, false);
        check("27 18", false, false);
        check("\u{661}\u{662}\u{663}\u{664}", false, false);
        check("0000", true, true);
        check("1234", true, true);
        check("987654", true, true);
        check("1235", true, false);
    }

    #[test]
    fn no_error_and_no_debug_repeats_a_pin() {
        for sent in ["\"27182818x\"", "27182818", "-27182818", "27182818.5", "[27182818]", "{\"27182818\":1}", "true"] {
            let error = serde_json::from_str::<Pin>(sent).expect_err("must be refused").to_string();
            assert!(!error.contains("2718"), "{error}");
        }
        let pin: Pin = serde_json::from_str("\"27182818\"").expect("a PIN");
        assert_eq!(format!("{pin:?}"), "[redacted]");
        assert_eq!(pin.digits(), "27182818");
    }
}
