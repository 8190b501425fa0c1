//! Operators: sign-on, sign-off, approvals, and who there is.

use axum::Router;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use pos_model::{CommandId, OperatorId, TillId};
use protocol::latest::people::{
    ApprovalGiven, GiveApproval, OperatorView, Pin, RoleName, SetOperator, SignOff, SignOn, SignedOff, SignedOn,
};
use till::people::{Action, Role};
use utoipa::OpenApi;

use super::problem::ApiError;
use super::routes::ApiParts;
use super::said::{Command, Said, answer, commands};
use crate::db::{Approval, Once, OperatorChange, Permit, Refused};
use crate::doors::Caller;
use crate::pin_desk::PinError;

/// Characters of an operator's or a till's name: what fits on a button.
const NAME_CHARS_MAX: usize = 64;

/// Characters of what an approval is about: an id.
const SUBJECT_CHARS_MAX: usize = 64;

commands!(SignOff);

/// The PIN is left out of the digest, which is kept: ten thousand guesses at a digest take no time at all. So it is compared
/// each time that such a command comes, also when it was carried out before.
macro_rules! commands_with_pin {
    ($($name:ident),+) => {
        $(impl Command for $name {
            fn command_id(&self) -> CommandId {
                self.command_id
            }

            fn till_id(&self) -> &TillId {
                &self.till_id
            }

            fn without_secrets(&self) -> Option<Self> {
                Some(Self { pin: Pin::left_out(), ..self.clone() })
            }
        })+
    };
}

commands_with_pin!(SignOn, GiveApproval);

#[derive(Debug, OpenApi)]
#[openapi(paths(operators, set_operator, sign_on, sign_off, approve))]
pub(super) struct Document;

/// The paths of this family.
pub(super) fn routes() -> Router<ApiParts> {
    Router::new()
        .route("/v1/operators", get(operators))
        .route("/v1/operators/{operator_id}", put(set_operator))
        .route("/v1/operators/sign-on", post(sign_on))
        .route("/v1/operators/sign-off", post(sign_off))
        .route("/v1/approvals", post(approve))
}

/// Who works in the store: all operators that there ever were, with where they are signed on.
#[utoipa::path(
    get, path = "/v1/operators",
    responses((status = 200, body = Vec<OperatorView>, example = json!([
        {"operator_id": "li", "name": "Li", "role": "cashier", "active": true, "till_ids": ["T1"], "locked_until_ms": null}
    ])))
)]
async fn operators(State(parts): State<ApiParts>) -> Result<Json<Vec<OperatorView>>, ApiError> {
    Ok(Json(parts.readers.read(|view| view.operators()).await?))
}

/// Add an operator, or make one what this says.
///
/// The first one is added by the owner of the agent's folder (`breakwater-agent operator add`); after that a manager who is
/// signed on at a till may do it as well.
#[utoipa::path(
    put, path = "/v1/operators/{operator_id}", params(("operator_id" = OperatorId, Path)),
    request_body = SetOperator,
    responses(
        (status = 200, description = "So it is", body = OperatorView),
        (status = 422, description = "It breaks a rule"),
    )
)]
async fn set_operator(
    State(parts): State<ApiParts>,
    caller: Caller,
    operator_id: Result<Path<String>, PathRejection>,
    command: Result<Json<SetOperator>, JsonRejection>,
) -> Result<Json<OperatorView>, ApiError> {
    let operator_id = operator_id.ok().and_then(|Path(text)| text.parse::<OperatorId>().ok());
    let operator_id = operator_id.ok_or_else(|| ApiError::malformed("the operator's id is none"))?;
    let Json(SetOperator { name, role, active, pin, till_id, by, approval_id }) = command?;
    let asks = match (&caller, till_id) {
        (Caller::Owner, _) => None,
        (_, Some(till_id)) => {
            caller.speaks_for(&till_id)?;
            Some(till_id)
        }
        (_, None) => {
            caller.owner_only()?;
            None
        }
    };
    check_text("name", &name, 1..=NAME_CHARS_MAX)?;
    let pin_hash = match pin {
        Some(pin) if pin.is_weak() => {
            let text = "the PIN is one digit over and over, or a run such as 1234: choose another one";
            return Err(Refused::rule("operator.pin_weak", text).into());
        }
        Some(pin) => Some(parts.pins.hash(pin).await?),
        None => None,
    };
    let change = OperatorChange { operator_id, name, role: role_of(role), active, pin_hash };
    let done = parts.writer.act(move |store, moment| {
        let Some(till_id) = asks else { return store.put_operator(moment, change, None, &Permit::default()) };
        if !store.view().has_operators()? {
            let text = "the first operator is added by the owner of the agent's folder: breakwater-agent operator add";
            return Err(Refused::not_allowed("operator.first_by_owner", text).into());
        }
        let subject = change.operator_id.to_string();
        let permit = store.permit(moment, &till_id, by.as_ref(), approval_id, Action::ManageOperators, &subject)?;
        store.put_operator(moment, change, Some(&till_id), &permit)
    });
    Ok(Json(done.await??))
}

/// Sign an operator on at a till, by their PIN.
///
/// After five wrong PINs in a row none of that operator is looked at for a while (429), which grows with each further one.
#[utoipa::path(
    post, path = "/v1/operators/sign-on",
    request_body = SignOn,
    responses(
        (status = 200, description = "Signed on, now or before", body = SignedOn),
        (status = 403, description = "The PIN is wrong, or the token another till's"),
        (status = 404, description = "No such operator"),
        (status = 409, description = "Another command was carried out under this id, the operator was changed meanwhile, or has signed off since"),
        (status = 429, description = "Too many wrong PINs: wait"),
    )
)]
async fn sign_on(State(parts): State<ApiParts>, said: Said<SignOn>) -> Result<Json<SignedOn>, ApiError> {
    let Said { command: SignOn { till_id, operator_id, pin, .. }, key } = said;
    let proof = parts.pins.check(till_id.clone(), operator_id.clone(), pin, "at sign-on").await?;
    let once =
        parts.writer.once(key, move |store, moment| store.sign_on(moment, &till_id, &operator_id, &proof)).await?;
    if let Once::Replayed(SignedOn { till_id, operator_id, .. }) = &once {
        let till_id = till_id.clone();
        let here = parts.readers.read(move |view| view.signed_on_at(&till_id)).await?;
        if here.as_ref() != Some(operator_id) {
            let text = format!("operator {operator_id} has signed on by this command, and off since; sign on anew");
            return Err(Refused::overtaken("operator.signed_off_since", text).into());
        }
    }
    answer(once)
}

/// Sign an operator off.
#[utoipa::path(
    post, path = "/v1/operators/sign-off",
    request_body = SignOff,
    responses(
        (status = 200, description = "Signed off, now or before", body = SignedOff),
        (status = 409, description = "Another command was carried out under this id, or somebody else is signed on"),
    )
)]
async fn sign_off(State(parts): State<ApiParts>, said: Said<SignOff>) -> Result<Json<SignedOff>, ApiError> {
    let Said { command: SignOff { till_id, operator_id, .. }, key } = said;
    let once = parts.writer.once(key, move |store, moment| store.sign_off(moment, &till_id, &operator_id));
    answer(once.await?)
}

/// Allow one action on one subject at a till, once, by the PIN of somebody whose role suffices.
///
/// The command that does it names the `approval_id` within two minutes. `subject` is the id of what it is about: the sale,
/// basket, shift, attempt or operator; for cash into or out of a drawer the shift's id, a stroke, and the amount.
#[utoipa::path(
    post, path = "/v1/approvals",
    request_body = GiveApproval,
    responses(
        (status = 200, description = "Allowed, now or before", body = ApprovalGiven),
        (status = 403, description = "The PIN is wrong, the role does not suffice, or the token is another till's"),
        (status = 404, description = "No such operator"),
        (status = 409, description = "The command_id or the approval_id was used before"),
        (status = 422, description = "There is no such action, or the subject is too long"),
        (status = 429, description = "Too many wrong PINs: wait"),
    )
)]
async fn approve(State(parts): State<ApiParts>, said: Said<GiveApproval>) -> Result<Json<ApprovalGiven>, ApiError> {
    let Said { command, key } = said;
    let GiveApproval { till_id, approval_id, operator_id, pin, action, subject, .. } = command;
    let action: Action = action
        .as_str()
        .parse()
        .map_err(|_| Refused::rule("approval.action_unknown", format!("there is no action {action} to approve")))?;
    check_text("subject", &subject, 0..=SUBJECT_CHARS_MAX)?;
    let proof = parts.pins.check(till_id.clone(), operator_id.clone(), pin, "at an approval").await?;
    let approval = Approval { approval_id, till_id, operator_id, action, subject };
    let once = parts.writer.once(key, move |store, moment| store.give_approval(moment, approval, &proof));
    answer(once.await?)
}

/// Refuses a text that does not fit on a screen.
pub(super) fn check_text(field: &str, text: &str, chars: std::ops::RangeInclusive<usize>) -> Result<(), ApiError> {
    let fits = chars.contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    let (least, most) = (chars.start(), chars.end());
    Err(Refused::rule(
        "request.text",
        format!("{field} is {least} to {most} characters, none of them a control character"),
    )
    .into())
}

fn role_of(role: RoleName) -> Role {
    match role {
        RoleName::Cashier => Role::Cashier,
        RoleName::ShiftLead => Role::ShiftLead,
        RoleName::Manager => Role::Manager,
    }
}

impl From<PinError> for ApiError {
    fn from(error: PinError) -> Self {
        let detail = error.to_string();
        match error {
            PinError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "operator.unknown", "No such operator", detail),
            PinError::Wrong => Self::new(StatusCode::FORBIDDEN, "operator.pin_wrong", "Wrong PIN", detail),
            PinError::Locked { for_ms } => {
                let seconds = u32::try_from(for_ms / 1000 + 1).unwrap_or(u32::MAX);
                Self::new(StatusCode::TOO_MANY_REQUESTS, "operator.locked", "Too many wrong PINs", detail)
                    .after(seconds)
            }
            PinError::Busy => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store.busy", "Too many wait", detail).after(1)
            }
            PinError::Write(error) => error.into(),
        }
    }
}
