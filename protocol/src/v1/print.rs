//! The local API's words for printing: jobs, printers, and what a person can ask of them.

use pos_model::{ApprovalId, CommandId, OperatorId, Tag, TillId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A print job, as `GET /v1/print-jobs` lists it and the change `print_job` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrintJobView {
    /// Its number in this store.
    pub job_id: i64,
    /// The kind of paper: `receipt`, `refund`, `cup_label`, `kitchen_ticket`, `report`, `drawer` or `test`.
    pub kind: String,
    /// Whose printer: a role such as `receipt`, or `@` and the name of a printer.
    pub role: String,
    /// The till that it is printed for, whose printers come first; none if it is the whole store's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "T1")]
    pub till_id: Option<TillId>,
    /// What it belongs to: the id of a sale or a shift, or nothing.
    pub subject: String,
    /// 0 for the first print, then 1, 2 and so on, as the paper says.
    pub copy: u32,
    /// The first print of which this is a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<i64>,
    /// `queued`, `sending`, `printed`, `maybe_printed` (a person has to look), `not_printed`, `failed` or `cancelled`.
    pub state: String,
    /// How often it was tried.
    pub tries: u32,
    /// The printer of the last try; empty before the first.
    pub printer: String,
    /// What went wrong at the last try, in words; empty if nothing did.
    pub trouble: String,
    /// When it was put in, in milliseconds since 1970 (UTC).
    pub created_at_ms: i64,
    /// When its state changed last.
    pub changed_at_ms: i64,
}

/// A printer, as `GET /v1/printers` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrinterView {
    /// Its name in the configuration.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// What it can do.
    pub profile: String,
    /// What it prints.
    pub roles: Vec<String>,
    /// For which tills; all of them if the list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub tills: Vec<TillId>,
    /// Which printer takes over when it cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// `idle`, `printing`, `unreachable` (nothing was sent), or `doubtful` (its last job is `maybe_printed`).
    pub state: String,
    /// What is wrong, in words; empty if nothing is.
    pub trouble: String,
    /// When that was seen, in milliseconds since 1970 (UTC); 0 before the first try.
    pub seen_at_ms: i64,
    /// Jobs that wait for it.
    pub waiting: u32,
}

/// A template, as `GET /v1/print-templates` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrintTemplateView {
    /// The kind of paper.
    pub kind: String,
    /// Whether the store's own template is in force, not the built-in one.
    pub own: bool,
    /// Why the store's own template is not in force, if there is one; it names the line.
    pub trouble: String,
}

/// Asks for something about a job or printer that the path names: a copy, another try, taking back, a test page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000030", "till_id": "T1"}))]
pub struct AskPrinting {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till that asks.
    pub till_id: TillId,
    /// The operator who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed: another try of a job that opens a drawer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub approval_id: Option<ApprovalId>,
}

/// A person has looked at the paper of a job that is `maybe_printed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000033", "till_id": "T1", "is_on_paper": true}))]
pub struct ResolvePrint {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till that asks.
    pub till_id: TillId,
    /// The operator who looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// Whether it is there, and whole.
    pub is_on_paper: bool,
}

/// Opens the drawer at a printer without a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000035", "till_id": "T1", "reason": "change"}))]
pub struct OpenDrawer {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till that asks.
    pub till_id: TillId,
    /// The operator who opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// Why, for the audit.
    pub reason: Tag,
}
