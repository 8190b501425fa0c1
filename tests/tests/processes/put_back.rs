//! Folders that go back in time, and folders that are copied.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use protocol::latest::local_api::SaleReceipt;
use tests::process::Agent;
use tests::proxy::{Mode, Proxy};

use super::counter::{all_days, amount_minor};
use super::site::{Centre, PATIENCE, STORE_CONFIG, Site, copy_folder, on_processes, put_back, seed, until};

/// Each of these sales is at the centre, and together they are all that is there.
async fn holds_exactly(centre: &Centre, store_id: &str, receipts: &[SaleReceipt]) -> anyhow::Result<()> {
    let distinct: BTreeSet<_> = receipts.iter().map(|receipt| receipt.sale_id).collect();
    ensure!(distinct.len() == receipts.len(), "the test itself sold a sale twice");
    centre.has_applied(store_id, u64::try_from(receipts.len())?).await?;
    for receipt in receipts {
        ensure!(centre.has_sale(receipt.sale_id).await?, "{} is not at the centre", receipt.sale_id);
    }
    let whole = all_days(&centre.totals(store_id).await?);
    let expected = (i64::try_from(receipts.len())?, amount_minor(receipts));
    ensure!((whole.sales, whole.amount_minor) == expected, "the centre's totals are {whole:?} and not {expected:?}");
    let parked = centre.parked().await?;
    ensure!(parked.is_empty(), "parked: {parked:?}");
    Ok(())
}

#[test]
fn server_put_back() {
    on_processes("server-put-back", async |folder| {
        let seed = seed();
        let mut site = Site::start(folder)?;
        let mut agents = Vec::new();
        let mut sold = Vec::new();
        for store_id in ["HARBOUR", "LAGOON"] {
            let agent = site.store(folder, store_id)?;
            sold.push(site.at(&agent).sell_all(seed, store_id, 0..40).await?);
            site.at(&agent).is_drained().await?;
            agents.push((store_id, agent));
        }
        let copy = folder.join("backup");
        site.server.stop()?;
        copy_folder(&site.server.data_dir(), &copy)?;
        site.server.restart()?;
        for ((store_id, agent), sold) in agents.iter().zip(&mut sold) {
            sold.extend(site.at(agent).sell_all(seed, store_id, 40..100).await?);
            site.at(agent).is_drained().await?;
            // A second run of the agent, so that more than one epoch is behind.
            site.centre().has_applied(store_id, 100).await?;
        }
        agents[0].1.kill();
        agents[0].1.start()?;
        sold[0].extend(site.at(&agents[0].1).sell_all(seed, "HARBOUR", 100..130).await?);
        site.at(&agents[0].1).is_drained().await?;

        site.server.kill();
        put_back(&copy, &site.server.data_dir())?;
        site.server.restart()?;
        let centre = site.centre();
        for ((store_id, agent), sold) in agents.iter().zip(&sold) {
            holds_exactly(&centre, store_id, sold).await?;
            site.at(agent).is_drained().await?;
            let log = std::fs::read_to_string(agent.log()).context("read the agent's log")?;
            ensure!(log.contains("centre was put back"), "{store_id} says nothing of a centre that went back");
            // All has been sent again, so there is nothing left to say.
            until("the notice is settled", PATIENCE, async || {
                let notices = site.at(agent).sync().await?.notices;
                ensure!(notices.is_empty(), "{notices:?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    });
}

/// How the copy of an agent's folder was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copied {
    /// While the agent was stopped: the copy ends with a run of the agent that was over.
    Stopped,
    /// While it sold, as a snapshot of its disk does: the copy ends in the middle of a run.
    Selling,
}

#[test]
fn agent_put_back() {
    on_processes("agent-put-back", async |folder| put_agent_back(folder, Copied::Stopped).await);
}

#[test]
fn agent_put_back_to_a_snapshot() {
    on_processes("agent-snapshot", async |folder| put_agent_back(folder, Copied::Selling).await);
}

async fn put_agent_back(folder: &Path, copied: Copied) -> anyhow::Result<()> {
    let seed = seed();
    let site = Site::start(folder)?;
    let centre = site.centre();
    let proxy = Proxy::start(site.server.addresses().mqtt).await?;
    let mut agent = Agent::new(&folder.join("HARBOUR"), STORE_CONFIG);
    agent.enroll(&site.server, "HARBOUR", proxy.address())?;
    agent.start()?;
    let mut sold = site.at(&agent).sell_all(seed, "T1", 0..20).await?;
    site.at(&agent).is_drained().await?;
    let copy = folder.join("backup");
    match copied {
        Copied::Stopped => {
            agent.stop()?;
            copy_folder(&agent.data_dir(), &copy)?;
            agent.start()?;
        }
        Copied::Selling => snapshot(&agent, &copy)?,
    }

    sold.extend(site.at(&agent).sell_all(seed, "T1", 20..35).await?);
    site.at(&agent).is_drained().await?;
    proxy.set_mode(Mode::Cut);
    // Seven sales that the centre only hears of: the network is slow when it comes back, the store says what it holds, and
    // the line is cut before it can send it.
    let lost = site.at(&agent).sell_all(seed, "T1", 35..42).await?;
    proxy.set_mode(Mode::Delay(Duration::from_secs(1)));
    until("the centre has heard of the seven sales", PATIENCE, async || {
        let store = centre.get("/api/v1/stores/HARBOUR").await?;
        ensure!(store["backlog"].as_u64() >= Some(7), "{store}");
        Ok(())
    })
    .await?;
    proxy.set_mode(Mode::Cut);
    agent.kill();
    centre.has_applied("HARBOUR", 35).await?;

    put_back(&copy, &agent.data_dir())?;
    proxy.set_mode(Mode::Pass);
    agent.start()?;
    let state = site.at(&agent).is_drained().await?;
    let new = site.at(&agent).sell_all(seed, "T1", 100..110).await?;
    site.at(&agent).is_drained().await?;

    let used: BTreeSet<_> = sold.iter().chain(&lost).map(|receipt| receipt.receipt_no).collect();
    let again: Vec<_> = new.iter().map(|receipt| receipt.receipt_no).filter(|no| used.contains(no)).collect();
    ensure!(again.is_empty(), "receipt numbers stand on two sales: {again:?}");
    sold.extend(new);
    holds_exactly(&centre, "HARBOUR", &sold).await?;

    let alerts = centre.alerts("HARBOUR").await?;
    // Two runs that go on from the end of one are a folder that was put back, or one that was copied: who can tell?
    let kind = if copied == Copied::Stopped { "fork" } else { "went_back" };
    for kind in [kind, "receipt_gaps"] {
        ensure!(alerts.iter().any(|alert| alert == kind), "no alert {kind} among {alerts:?}");
    }
    ensure!(!alerts.iter().any(|alert| alert == "duplicate_receipts"), "{alerts:?}");
    let missing = centre.get("/api/v1/stores/HARBOUR/receipts/missing").await?;
    let (first, last) = (lost[0].receipt_no, lost[lost.len() - 1].receipt_no);
    let expected = serde_json::json!([{ "till_id": "T1", "first_no": first, "last_no": last }]);
    ensure!(missing["missing"] == expected, "the operator sees {missing} and not {expected}");
    if copied == Copied::Selling {
        let told = state.notices.iter().any(|notice| notice.text.contains("put back to an older state"));
        ensure!(told, "the store says nothing of its own folder that went back: {:?}", state.notices);
    }
    Ok(())
}

/// Copies the folder of a running agent, the books as they are at one moment.
fn snapshot(agent: &Agent, copy: &Path) -> anyhow::Result<()> {
    copy_folder(&agent.data_dir(), copy)?;
    let copied = agent::folder::books(copy);
    for suffix in ["", "-wal", "-shm"] {
        let mut path = copied.clone().into_os_string();
        path.push(suffix);
        std::fs::remove_file(path).context("remove what was copied while it changed")?;
    }
    let books = rusqlite::Connection::open(agent.database()).context("open the books")?;
    books.backup("main", copied, None::<fn(rusqlite::backup::Progress)>).context("copy the books")
}

#[test]
fn folder_copied_to_a_second_box() {
    on_processes("copied", async |folder| {
        let seed = seed();
        let site = Site::start(folder)?;
        let centre = site.centre();
        let mut first = site.store(folder, "HARBOUR")?;
        let mut sold = site.at(&first).sell_all(seed, "T1", 0..20).await?;
        site.at(&first).is_drained().await?;
        first.stop()?;
        let mut second = Agent::new(&folder.join("second-box"), STORE_CONFIG);
        copy_folder(&first.data_dir(), &second.data_dir())?;
        first.start()?;
        second.start()?;
        let (one, other) = (site.at(&first), site.at(&second));
        let (at_one, at_other) =
            tokio::join!(one.sell_all(seed, "T1", 20..120), other.sell_all(seed, "T1", 1_020..1_120));
        sold.extend(at_one?);
        sold.extend(at_other?);
        one.is_drained().await?;
        other.is_drained().await?;
        holds_exactly(&centre, "HARBOUR", &sold).await?;
        let alerts = centre.alerts("HARBOUR").await?;
        ensure!(alerts.iter().any(|alert| alert == "fork"), "no alert of a fork among {alerts:?}");
        Ok(())
    });
}
