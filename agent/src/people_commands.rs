//! The commands about operators, tills and the audit trail: what they ask, and what they print.

use std::io::{self, BufRead, IsTerminal, Write};

use pos_model::OperatorId;
use protocol::latest::people::{NotAPin, OperatorView, Pin, SetOperator};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::json;

use crate::cli::{OperatorCommand, TillCommand};
use crate::commands::{CommandError, moment};
use crate::db::Reader;
use crate::owner_client::{OwnerClient, OwnerError};

/// Bytes of a line that may be a PIN. Whoever sends more sends something else.
const PIN_LINE_BYTES_MAX: u64 = 64;

/// A command did not do its work.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum PeopleError {
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error("read the PIN")]
    ReadPin(#[source] io::Error),
    #[error("take the PIN")]
    NotAPin(#[source] NotAPin),
    #[error("take the PIN: the two are not the same")]
    PinsDiffer,
    #[error("write the answer")]
    Output(#[source] io::Error),
}

/// `operator ...`.
pub async fn operator(client: &OwnerClient, command: OperatorCommand, out: &mut impl Write) -> Result<(), PeopleError> {
    match command {
        OperatorCommand::Add { operator, name, role } => {
            let set = SetOperator { name, pin: Some(new_pin()?), ..as_it_is(role.into()) };
            changed(&client.set_operator(&operator, &set).await?, "is added", out)
        }
        OperatorCommand::List { json } => list_operators(&client.operators().await?, json, out),
        OperatorCommand::SetPin { operator } => {
            let known = known(client, &operator).await?;
            let set = SetOperator { pin: Some(new_pin()?), ..known };
            changed(&client.set_operator(&operator, &set).await?, "has another PIN", out)
        }
        OperatorCommand::SetRole { operator, role } => {
            let set = SetOperator { role: role.into(), ..known(client, &operator).await? };
            changed(&client.set_operator(&operator, &set).await?, "is changed", out)
        }
        OperatorCommand::Remove { operator } => {
            let set = SetOperator { active: false, ..known(client, &operator).await? };
            changed(&client.set_operator(&operator, &set).await?, "may not sign on any more", out)
        }
    }
}

/// `till ...`.
pub async fn till(client: &OwnerClient, command: TillCommand, out: &mut impl Write) -> Result<(), PeopleError> {
    match command {
        TillCommand::PairCode { tills, json } => {
            let made = client.make_pair_code(tills).await?;
            let line = if json {
                json!({ "code": made.code, "tills": made.tills, "expires_in_s": made.expires_in_s }).to_string()
            } else {
                let (many, minutes) = (if made.tills == 1 { "one till" } else { "tills" }, made.expires_in_s / 60);
                let count = if made.tills == 1 { String::new() } else { format!("{} ", made.tills) };
                format!("{}  for {count}{many}, within {minutes} minutes", made.code)
            };
            writeln!(out, "{line}").map_err(PeopleError::Output)
        }
        TillCommand::List { json } => {
            let tills = client.tills().await?;
            if !json {
                let heading = if tills.is_empty() {
                    "no till is paired"
                } else {
                    "TILL              PAIRED (UTC)              REVOKED (UTC)             NAME"
                };
                writeln!(out, "{heading}").map_err(PeopleError::Output)?;
            }
            for till in tills {
                let line = if json {
                    serde_json::to_string(&till).expect("text and numbers always encode")
                } else {
                    let revoked = till.revoked_at_ms.map_or_else(|| "-".to_owned(), moment);
                    let till_id = till.till_id.to_string();
                    format!("{till_id:<16}  {:<24}  {revoked:<24}  {}", moment(till.paired_at_ms), till.name)
                };
                writeln!(out, "{line}").map_err(PeopleError::Output)?;
            }
            Ok(())
        }
        TillCommand::Revoke { till } => {
            let view = client.revoke_till(&till).await?;
            writeln!(out, "till {} is revoked: its token opens nothing", view.till_id).map_err(PeopleError::Output)
        }
    }
}

/// `audit list`.
pub fn list_marks(reader: &Reader, rows_max: u32, as_json: bool, out: &mut impl Write) -> Result<(), CommandError> {
    let rows = reader.view().audit_marks(rows_max).map_err(CommandError::Books)?;
    if !as_json {
        let heading = if rows.is_empty() {
            "nothing is marked"
        } else {
            "MARKED AT (UTC)           ACTION              TILL              OPERATOR          WHAT"
        };
        writeln!(out, "{heading}").map_err(CommandError::Output)?;
    }
    for row in rows {
        let mark = row.mark;
        let line = if as_json {
            json!({ "place": row.place.to_string(), "mark": mark }).to_string()
        } else {
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let (till, operator) = (mark.till_id.map(|id| id.to_string()), mark.operator_id.map(|id| id.to_string()));
            let what = [
                Some(mark.subject).filter(|subject| !subject.is_empty()),
                Some(mark.detail).filter(|detail| !detail.is_empty()),
                mark.reason.map(|reason| format!("reason {reason}")),
                mark.approver_id.map(|approver| format!("allowed by {approver}")),
                mark.amount_minor.map(|amount| format!("{} minor units", amount.minor())),
            ];
            let what: Vec<String> = what.into_iter().flatten().collect();
            let (at, action) = (moment(mark.marked_at.utc_ms), mark.action.to_string());
            let (till, operator, what) = (or_dash(till), or_dash(operator), what.join("; "));
            format!("{at:<24}  {action:<18}  {till:<16}  {operator:<16}  {what}")
        };
        writeln!(out, "{line}").map_err(CommandError::Output)?;
    }
    Ok(())
}

fn list_operators(operators: &[OperatorView], as_json: bool, out: &mut impl Write) -> Result<(), PeopleError> {
    if !as_json {
        let heading = if operators.is_empty() {
            "the store has no operators: everything is allowed to everybody"
        } else {
            "OPERATOR          ROLE        SIGNED ON AT      NAME"
        };
        writeln!(out, "{heading}").map_err(PeopleError::Output)?;
    }
    for operator in operators {
        let line = if as_json {
            serde_json::to_string(operator).expect("text and numbers always encode")
        } else {
            let tills: Vec<&str> = operator.till_ids.iter().map(pos_model::TillId::as_str).collect();
            let tills = if tills.is_empty() { "-".to_owned() } else { tills.join(" ") };
            let role = if operator.active { word(operator) } else { "removed".to_owned() };
            format!("{:<16}  {role:<10}  {tills:<16}  {}", operator.operator_id.as_str(), operator.name)
        };
        writeln!(out, "{line}").map_err(PeopleError::Output)?;
    }
    Ok(())
}

fn changed(operator: &OperatorView, how: &str, out: &mut impl Write) -> Result<(), PeopleError> {
    let line = format!("operator {}, {}, {how}", operator.operator_id, word(operator));
    writeln!(out, "{line}").map_err(PeopleError::Output)
}

fn word(operator: &OperatorView) -> String {
    let word = serde_json::to_value(operator.role).expect("a word always encodes");
    word.as_str().unwrap_or_default().replace('_', " ")
}

/// An operator that is left as they are.
async fn known(client: &OwnerClient, operator: &OperatorId) -> Result<SetOperator, PeopleError> {
    let OperatorView { name, role, active, .. } = client.operator(operator).await?;
    Ok(SetOperator { name, active, ..as_it_is(role) })
}

fn as_it_is(role: protocol::latest::people::RoleName) -> SetOperator {
    SetOperator { name: String::new(), role, active: true, pin: None, till_id: None, by: None, approval_id: None }
}

/// Asks for a PIN: twice and unseen at a terminal, else one line of stdin.
fn new_pin() -> Result<Pin, PeopleError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Pin::new(line().map_err(PeopleError::ReadPin)?).map_err(PeopleError::NotAPin);
    }
    let first = unseen("PIN (4 to 12 digits): ").map_err(PeopleError::ReadPin)?;
    let first = Pin::new(first).map_err(PeopleError::NotAPin)?;
    let second = unseen("again: ").map_err(PeopleError::ReadPin)?;
    if first.digits() == second { Ok(first) } else { Err(PeopleError::PinsDiffer) }
}

fn line() -> io::Result<String> {
    let mut line = String::new();
    io::Read::take(io::stdin().lock(), PIN_LINE_BYTES_MAX).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Puts the terminal back however the reading ends.
struct Echo(Termios);

impl Drop for Echo {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to put back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn unseen(prompt: &str) -> io::Result<String> {
    let mut err = io::stderr();
    write!(err, "{prompt}")?;
    err.flush()?;
    let shown = tcgetattr(io::stdin())?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let echo = Echo(shown);
    tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
    let read = line();
    drop(echo);
    writeln!(err)?;
    read
}
