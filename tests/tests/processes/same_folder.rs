//! Two of something where there should be one: a second agent on a folder, a second tap on the same button.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tests::process::Agent;
use tokio::task::JoinSet;

use super::counter::{Answer, all_days, command};
use super::site::{STORE_CONFIG, StoreApi, http_client, on_processes, said, seed, until};

/// The exit code of an agent that finds its folder in use.
const IN_USE: i32 = 4;

#[test]
fn t09_second_agent_on_the_same_folder_is_refused() {
    on_processes("second-agent", async |folder| {
        let seed = seed();
        let mut first = Agent::new(&folder.join("HARBOUR"), STORE_CONFIG);
        first.start()?;
        let store = StoreApi { url: first.url(""), http: http_client()? };
        store.sell_all(seed, "T1", 0..3).await?;
        let mut second = first.command("run")?;
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        second.args(["--json", "--listen", &free.to_string()]);
        second.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut second = second.spawn().context("run a second agent")?;
        let ended =
            until("the second agent ends", Duration::from_secs(20), async || second.try_wait()?.context("it runs"));
        if let Err(error) = ended.await {
            second.kill().context("kill the second agent")?;
            return Err(error.context(said(&second.wait_with_output()?)));
        }
        let output = second.wait_with_output().context("read what it said")?;
        ensure!(output.status.code() == Some(IN_USE), "the second agent ended with {}", said(&output));
        ensure!(output.stdout.is_empty(), "it said that it is ready: {}", said(&output));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let pid = first.pid().context("the first runs")?.to_string();
        ensure!(words.contains("another agent") && words.contains(&pid), "its words name no reason: {words}");
        // The first one has noticed nothing.
        store.sell_all(seed, "T1", 3..6).await?;
        Ok(())
    });
}

#[test]
fn double_tap() {
    const SALES: u64 = 50;
    /// A few sales come from a whole crowd of impatient clients.
    const CROWD: usize = 16;
    on_processes("double-tap", async |folder| {
        let seed = seed();
        let mut agent = Agent::new(&folder.join("HARBOUR"), STORE_CONFIG);
        agent.start()?;
        // A client of its own for each tap, so that no two share a connection.
        let taps = (0..CROWD).map(|_| Ok(StoreApi { url: agent.url(""), http: http_client()? }));
        let taps = taps.collect::<anyhow::Result<Vec<_>>>()?;
        let mut dates = BTreeSet::new();
        for n in 0..SALES {
            let command = command(seed, "T1", n);
            let crowd = if n % 10 == 0 { &taps[..] } else { &taps[..2] };
            let mut answers = JoinSet::new();
            for (number, tap) in (0..).zip(crowd) {
                let (tap, command) = (tap.clone(), command.clone());
                answers.spawn(async move {
                    // Within the 50 ms of a finger, at a moment that differs from sale to sale.
                    tokio::time::sleep(Duration::from_millis(number * (n % 10))).await;
                    tap.sell(&command).await
                });
            }
            let answers = answers.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
            ensure!(answers.windows(2).all(|pair| pair[0] == pair[1]), "the taps got different answers: {answers:?}");
            dates.insert(answers[0].business_date.to_string());
        }
        let (from, to) = (dates.first().context("sold")?, dates.last().context("sold")?);
        let sums = all_days(&taps[0].totals(from, to).await?);
        ensure!(sums.sales == i64::try_from(SALES)?, "{SALES} sales were tapped and {} were made", sums.sales);

        // The same id with another body is another matter.
        let mut changed = command(seed, "T1", 0);
        changed.member_tag = Some("another customer".to_owned());
        match taps[0].post(&changed).await? {
            Answer::Refused(problem) if problem.status == 409 => Ok(()),
            answer => anyhow::bail!("a known id with another body got {answer:?}"),
        }
    });
}
