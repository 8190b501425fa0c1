//! A network that delivers the same again and again, in pieces that overlap and in any order.

use agent::db::Reader;
use agent::identity::Identity;
use agent::uplink::perform::{self, Speaker};
use anyhow::{Context, ensure};
use pos_model::Seq;
use protocol::topic::{UplinkKind, uplink};
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use sync_core::Random;
use tests::process::Agent;
use tests::proxy::{Mode, Proxy};
use tokio::task::JoinSet;

use super::counter::{all_days, amount_minor};
use super::mqtt::{Client, identity};
use super::site::{PATIENCE, STORE_CONFIG, Site, on_processes, seed, until};

const SALES: u64 = 60;

/// Connections that deliver at the same time, and pieces on each.
const CONNECTIONS: u64 = 4;
const PIECES: u64 = 40;

#[test]
fn t10_a_backlog_delivered_over_and_over() {
    on_processes("duplicates", async |folder| {
        let seed = seed();
        let site = Site::start(folder)?;
        let centre = site.centre();
        let proxy = Proxy::start(site.server.addresses().mqtt).await?;
        proxy.set_mode(Mode::Cut);
        let mut agent = Agent::new(&folder.join("HARBOUR"), STORE_CONFIG);
        agent.enroll(&site.server, "HARBOUR", proxy.address())?;
        agent.start()?;
        let sold = site.at(&agent).sell_all(seed, "T1", 0..SALES).await?;
        agent.stop()?;

        let store = identity(&agent)?;
        let mut deliveries = JoinSet::new();
        for number in 0..CONNECTIONS {
            let mut random = Random::new(seed + number);
            let mut pieces = Vec::new();
            for _ in 0..PIECES {
                // The opening of the epoch is an event, too.
                let from = 1 + random.below(SALES);
                let events = 1 + random.below(SALES / 2);
                pieces.push(piece(&agent, &store, from, events)?);
            }
            let mut client = Client::log_in_as(site.server.addresses().mqtt, &store, &format!("box-{number}")).await?;
            let topic = uplink(&store.store_id, UplinkKind::Batch);
            deliveries.spawn(async move {
                for piece in pieces {
                    match client.publish(&topic, piece).await? {
                        // It was taken, or had been before, or it lies beyond what is there; or the store has too many
                        // messages on the way.
                        Some(PubAckReason::Success | PubAckReason::QuotaExceeded) => {}
                        other => anyhow::bail!("a piece was answered with {other:?}"),
                    }
                }
                Ok(())
            });
        }
        deliveries.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
        let applied = centre.applied_sales("HARBOUR").await?;
        eprintln!("{applied} of {SALES} sales are applied by {} pieces", CONNECTIONS * PIECES);
        let mut client = Client::log_in(site.server.addresses().mqtt, &store, 60).await?;
        let (topic, whole) = (uplink(&store.store_id, UplinkKind::Batch), piece(&agent, &store, 1, 2 * SALES)?);
        for _ in 0..16 {
            until("the whole backlog is taken", PATIENCE, async || {
                let answer = client.publish(&topic, whole.clone()).await?;
                ensure!(answer == Some(PubAckReason::Success), "answered {answer:?}");
                Ok(())
            })
            .await?;
        }
        centre.has_applied("HARBOUR", SALES).await?;
        let held = all_days(&centre.totals("HARBOUR").await?);
        ensure!((held.sales, held.amount_minor) == (i64::try_from(SALES)?, amount_minor(&sold)), "{held:?}");

        // The store itself finds everything there, and nobody sees anything odd.
        proxy.set_mode(Mode::Pass);
        agent.start()?;
        let state = site.at(&agent).is_drained().await?;
        centre.has_applied("HARBOUR", SALES).await?;
        let (parked, alerts) = (centre.parked().await?, centre.alerts("HARBOUR").await?);
        ensure!(parked.is_empty() && alerts.is_empty() && state.notices.is_empty(), "{parked:?} {alerts:?} {state:?}");
        Ok(())
    });
}

/// A batch out of the store's own outbox, made as the agent makes it.
pub(super) fn piece(agent: &Agent, store: &Identity, from: u64, events: u64) -> anyhow::Result<Vec<u8>> {
    let reader = Reader::open(&agent.database()).context("open the books")?;
    let view = reader.view();
    let epoch = view.epochs().context("read the epochs")?.first().context("the agent has run")?.epoch;
    let speaker = Speaker { store_id: store.store_id.clone(), agent_version: "test".to_owned() };
    let batch =
        perform::batch(view, &speaker, epoch, Seq::new(from), u32::try_from(events)?).context("make a batch")?;
    Ok(batch.context("there are events from there on")?.0)
}
