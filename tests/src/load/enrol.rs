//! Stores join a centre as an installer would: added with a claim code, which each trades for a login.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use pos_model::StoreId;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::sample::Centre;
use crate::process::program;

/// Stores that enrol at once. The centre commits each on its own, so that more only wait longer.
const AT_ONCE: usize = 8;

/// A claim code, as `breakwater-server store add --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The store.
    pub store_id: StoreId,
    /// Its code, for one enrolment.
    pub claim_code: String,
}

/// With which a store logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The store, which is the user's name.
    pub store_id: StoreId,
    /// Its password.
    pub secret: String,
}

/// The ids of the stores of a run: `prefix-00001` and so on.
pub fn store_ids(prefix: &str, stores: u64) -> anyhow::Result<Vec<StoreId>> {
    let id = |number| StoreId::new(format!("{prefix}-{number:05}"));
    (1..=stores).map(id).collect::<Result<_, _>>().context("name the stores")
}

/// Adds stores to a centre whose data folder is on this machine, by its own command.
pub fn add(data_dir: &Path, stores: &[StoreId]) -> anyhow::Result<Vec<Code>> {
    let mut command = Command::new(program("breakwater-server")?);
    command.args(["store", "add", "--data-dir"]).arg(data_dir);
    add_by(command, stores)
}

/// The same by a command `store add` that says which centre it is.
pub(super) fn add_by(mut command: Command, stores: &[StoreId]) -> anyhow::Result<Vec<Code>> {
    let mut list = tempfile::NamedTempFile::new().context("make a list of stores")?;
    for store in stores {
        std::io::Write::write_all(&mut list, format!("{store}\n").as_bytes()).context("write the list of stores")?;
    }
    command.args(["--json", "--file"]).arg(list.path());
    let output = command.stdin(Stdio::null()).output().context("run breakwater-server store add")?;
    ensure!(output.status.success(), "store add failed: {}", String::from_utf8_lossy(&output.stderr));
    read_lines(&String::from_utf8_lossy(&output.stdout)).context("understand what store add printed")
}

/// Reads one JSON object a line; what else stands in it is passed over.
pub fn read_lines<T: for<'de> Deserialize<'de>>(text: &str) -> anyhow::Result<Vec<T>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| serde_json::from_str(line).with_context(|| format!("line {number}"))).collect()
}

/// Trades claim codes for logins. `tell` hears how many have been.
pub async fn enrol(centre: &Centre, codes: Vec<Code>, mut tell: impl FnMut(usize)) -> anyhow::Result<Vec<Login>> {
    let mut waiting = codes.into_iter().enumerate();
    let mut running = JoinSet::new();
    let mut logins = Vec::new();
    loop {
        while running.len() < AT_ONCE
            && let Some((number, code)) = waiting.next()
        {
            let centre = centre.clone();
            running.spawn(async move { claim(&centre, code).await.map(|login| (number, login)) });
        }
        let Some(done) = running.join_next().await else { break };
        logins.push(done.context("an enrolment ended badly")??);
        tell(logins.len());
    }
    logins.sort_by_key(|(number, _)| *number);
    Ok(logins.into_iter().map(|(_, login)| login).collect())
}

async fn claim(centre: &Centre, code: Code) -> anyhow::Result<Login> {
    let store = code.store_id.clone();
    let request = centre.ask(reqwest::Method::POST, "/api/v1/enroll").json(&code);
    let answer = request.send().await.with_context(|| format!("enrol {store}"))?;
    let status = answer.status();
    let text = answer.text().await.with_context(|| format!("enrol {store}"))?;
    ensure!(status.is_success(), "enrolling {store} was answered {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("understand the login of {store}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_have_names_and_codes_are_read() {
        let ids = store_ids("L7", 2).expect("valid");
        assert_eq!(ids.iter().map(StoreId::as_str).collect::<Vec<_>>(), ["L7-00001", "L7-00002"]);
        assert!(store_ids("no good", 1).is_err());
        let codes: Vec<Code> =
            read_lines("{\"store_id\":\"a\",\"claim_code\":\"x\",\"new\":true}\n\n").expect("a line");
        assert_eq!(codes, [Code { store_id: StoreId::new("a").expect("valid"), claim_code: "x".to_owned() }]);
        assert!(read_lines::<Code>("{}").expect_err("no code").to_string().contains("line 1"));
    }
}
