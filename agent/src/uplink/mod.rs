//! The way to the centre: `sync-core` decides, this module does.
//!
//! [`perform`] makes messages out of the books and puts answers into words; [`link`] says what a connection must offer
//! and [`mqtt`] offers it; [`task`] drives the machine.

pub mod link;
pub mod mqtt;
pub mod perform;
pub mod task;
mod telemetry;

use std::path::Path;
use std::sync::Arc;

use rumqttc::TlsConfiguration;
use sync_core::StoreLimits;
use tokio::sync::watch;

use crate::clock::{NoRandomness, random_u64};
use crate::config::{CentreConfig, MqttUrl, is_loopback};
use crate::identity::Identity;
use crate::readers::Readers;
use crate::room;
use crate::trust::{self, TrustError};
use crate::writer::{AGENT_VERSION, Writer};
use mqtt::{Login, MqttSettings};
use perform::Speaker;
use task::{LinkStatus, SyncTask};

/// The uplink could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The address from the enrolment is none.
    #[error("use the MQTT address {address:?} of the enrolment: {problem}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("decide whom to trust")]
    Trust(#[source] TrustError),
    /// The system gave no random numbers.
    #[error("draw a number for this run")]
    Randomness(#[source] NoRandomness),
}

/// Sets the task of an enrolled store up. It does nothing until it runs.
pub fn sync_task(
    identity: &Identity,
    centre: &CentreConfig,
    data_dir: &Path,
    writer: Writer,
    readers: Readers,
    status: watch::Sender<LinkStatus>,
) -> Result<SyncTask<MqttSettings>, UplinkError> {
    let url = match &centre.mqtt_url {
        Some(url) => url.clone(),
        None => identity
            .mqtt_url
            .parse::<MqttUrl>()
            .map_err(|problem| UplinkError::Address { address: identity.mqtt_url.clone(), problem })?,
    };
    if !url.tls && !is_loopback(&url.host) {
        telemetry::plain_text(&url.host);
    }
    let tls = url.tls.then(|| trust::tls(centre.ca_file.as_deref())).transpose().map_err(UplinkError::Trust)?;
    let connect = MqttSettings {
        host: url.host,
        port: url.port,
        tls: tls.map(|tls| TlsConfiguration::Rustls(Arc::new(tls))),
        store: identity.store_id.clone(),
        login: Login::of(identity),
        instance: random_u64().map_err(UplinkError::Randomness)?,
    };
    let data_dir = data_dir.to_owned();
    Ok(SyncTask {
        writer,
        readers,
        connect,
        speaker: Speaker { store_id: identity.store_id.clone(), agent_version: AGENT_VERSION.to_owned() },
        disk_free: Arc::new(move || room::disk_free(&data_dir)),
        limits: StoreLimits::PRODUCTION,
        seed: random_u64().map_err(UplinkError::Randomness)?,
        status,
    })
}
