//! The link to a broker by itself, against a real Mosquitto: what it holds back, and which partitions it consumes.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::{Context, ensure};
use pos_model::StoreId;
use protocol::topic::{UplinkKind, uplink};
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason};
use sync_server::broker::{
    Broker, BrokerHandle, BrokerSettings, Credentials, PartitionSet, RunningBroker, password_file,
};
use sync_server::mqtt::{Commons, Limits, Uplinked};
use tests::mosquitto::Mosquitto;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::mqtt::{Client, login_packet};
use super::site::{PATIENCE, on_processes, until};

/// The least memory that can be configured. Half of it is room for so many messages of this size.
const UPLINK_BYTES_MAX: usize = 1 << 20;
const MESSAGE_BYTES: usize = 60_000;
const WINDOW: u64 = 8;

struct Scene {
    mosquitto: Mosquitto,
    broker: RunningBroker,
    handle: BrokerHandle,
    messages: mpsc::Receiver<Uplinked>,
    store: StoreId,
    client: Client,
}

impl Scene {
    /// A broker, the link, and a store's own connection.
    async fn start(folder: &Path) -> anyhow::Result<Self> {
        let store = StoreId::new("HARBOUR")?;
        let server = Credentials { username: "server@breakwater".to_owned(), password: "one".to_owned() };
        let mut mosquitto = Mosquitto::new(&folder.join("mosquitto"))?;
        let logins = password_file::text(&[(store.clone(), "two".to_owned())], Some(&server))?;
        password_file::write(&mosquitto.passwords(), &logins)?;
        mosquitto.start()?;
        let settings = BrokerSettings {
            url: format!("mqtt://{}", mosquitto.address()).parse().map_err(anyhow::Error::msg)?,
            credentials: Some(server),
            tls: None,
            client_id: "link".to_owned(),
            connections: 1,
        };
        let commons = Commons::new(&Limits { uplink_bytes_max: UPLINK_BYTES_MAX, ..Limits::standard() });
        let (sender, messages) = mpsc::channel(Broker::messages_max(&settings));
        let broker = Broker::new(settings, UPLINK_BYTES_MAX, &commons, sender)?;
        let handle = broker.handle();
        let broker = broker.start();
        let login = login_packet(store.as_str(), "two", "store", 60)?;
        let (client, code) = Client::connect(mosquitto.address(), &login).await?;
        ensure!(code == ConnectReturnCode::Success, "the login was answered by {code:?}");
        let scene = Self { mosquitto, broker, handle, messages, store, client };
        scene.consumes(PartitionSet::ALL).await?;
        Ok(scene)
    }

    async fn consumes(&self, partitions: PartitionSet) -> anyhow::Result<()> {
        until("the subscriptions are as wanted", PATIENCE, async || {
            let status = self.handle.status();
            ensure!(status.is_well() && status.subscribed == partitions, "{status:?}");
            Ok(())
        })
        .await
    }

    async fn publish(&mut self, payload: &[u8]) -> anyhow::Result<Option<PubAckReason>> {
        self.client.publish(&uplink(&self.store, UplinkKind::Batch), payload.to_vec()).await
    }

    async fn next(&mut self) -> anyhow::Result<Uplinked> {
        timeout(PATIENCE, self.messages.recv()).await.context("wait for a message")?.context("the link runs")
    }
}

#[test]
fn what_finds_no_room_waits_outside() {
    on_processes("broker-window", async |folder| {
        let mut scene = Scene::start(folder).await?;
        for number in 0..60u8 {
            let answer = scene.publish(&[number; MESSAGE_BYTES]).await?;
            ensure!(answer == Some(PubAckReason::Success), "the broker answered {answer:?}");
        }
        let received = |scene: &Scene| scene.handle.stats().messages_in.get();
        until("the window is full", PATIENCE, async || {
            ensure!(received(&scene) == WINDOW, "{} messages came", received(&scene));
            Ok(())
        })
        .await?;
        // There are never more unsettled messages than the window holds, and none is lost or overtaken.
        let mut held = VecDeque::new();
        for number in 0..60u64 {
            let message = scene.next().await?;
            ensure!(u64::from(message.payload[0]) == number, "message {} came as number {number}", message.payload[0]);
            held.push_back(message);
            let settled = number + 1 - held.len() as u64;
            ensure!(received(&scene) - settled <= WINDOW, "{} are unsettled", received(&scene) - settled);
            if held.len() as u64 == WINDOW {
                held.pop_front();
            }
        }
        drop(held);
        ensure!(scene.handle.stats().overload.get() == 0, "something was dropped");
        scene.broker.leave().await;
        Ok(())
    });
}

#[test]
fn partitions_are_taken_and_given_up_while_it_runs() {
    on_processes("broker-partitions", async |folder| {
        let mut scene = Scene::start(folder).await?;
        let own: PartitionSet = [scene.store.partition()].into_iter().collect();
        scene.handle.unsubscribe(own);
        scene.consumes(PartitionSet::ALL.without(own)).await?;
        let answer = scene.publish(b"to nobody").await?;
        ensure!(answer == Some(PubAckReason::NoMatchingSubscribers), "the broker answered {answer:?}");
        scene.handle.subscribe(own);
        scene.consumes(PartitionSet::ALL).await?;
        scene.publish(b"to us").await?;
        ensure!(scene.next().await?.payload[..] == b"to us"[..], "the first message came all the same");

        // A broker that comes back knows nothing; what is wanted is asked for again, and what is not wanted is not.
        scene.handle.unsubscribe(PartitionSet::ALL.without(own));
        scene.consumes(own).await?;
        scene.mosquitto.kill();
        until("the loss is noticed", PATIENCE, async || {
            let status = scene.handle.status();
            ensure!(!status.is_well() && status.trouble.is_some(), "{status:?}");
            Ok(())
        })
        .await?;
        scene.mosquitto.start()?;
        scene.consumes(own).await?;
        scene.broker.leave().await;
        Ok(())
    });
}
