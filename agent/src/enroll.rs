//! `breakwater-agent enroll`: a claim code becomes an identity.
//!
//! The installer types the store id and a short-lived code that the centre printed. The centre answers with the store's
//! secret and its MQTT address; both are kept in the data folder. Enrolling again replaces the secret, and the events
//! in the outbox stay what they are: they do not name the store.

use std::path::Path;
use std::time::Duration;

use pos_model::StoreId;
use serde::{Deserialize, Serialize};

use crate::config::is_loopback;
use crate::identity::{Identity, IdentityError};

/// How long the centre may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// What the centre is asked.
#[derive(Debug, Serialize)]
struct Request<'a> {
    store_id: &'a StoreId,
    claim_code: &'a str,
}

/// What it answers, as far as the agent needs it.
#[derive(Deserialize)]
struct Answer {
    store_id: StoreId,
    secret: String,
    mqtt_url: String,
    /// An older centre does not say it.
    #[serde(default)]
    proofs: bool,
}

/// Enrolment failed.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The client could not be set up.
    #[error("set up the connection to the centre")]
    Client(#[source] reqwest::Error),
    /// The centre did not answer.
    #[error("reach the centre at {url}")]
    Reach {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The centre refused.
    #[error("enroll: the centre refused ({status}): {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        detail: String,
    },
    /// The answer is not one of a Breakwater server.
    #[error("understand the answer of {url}")]
    Answer {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The centre answered for another store.
    #[error("enroll: asked for store {asked}, the centre answered for {answered}")]
    OtherStore {
        /// Asked for.
        asked: StoreId,
        /// Answered for.
        answered: StoreId,
    },
    /// The identity could not be read or kept.
    #[error("keep the identity")]
    Keep(#[source] IdentityError),
    /// The secret would travel for everybody to read.
    #[error(
        "enroll: {address} has no TLS and is not loopback, so the store's secret could be read on the way; use https and mqtts, or allow it with --plain-text"
    )]
    PlainText {
        /// The address.
        address: String,
    },
    /// The folder belongs to another store.
    #[error(
        "enroll: this folder holds the sales of store {held}; a box that becomes another store begins with an empty folder (--replace-store insists)"
    )]
    HoldsOther {
        /// That store.
        held: StoreId,
    },
}

/// What to enroll with.
#[derive(Debug)]
pub struct Enrollment<'a> {
    /// The centre's HTTP address.
    pub centre_url: &'a str,
    /// The store.
    pub store_id: &'a StoreId,
    /// The code from `breakwater-server store add`.
    pub claim_code: &'a str,
    /// Used instead of the MQTT address that the centre names, for a store that reaches it by another way.
    pub mqtt_url: Option<&'a str>,
    /// The folder that keeps the identity.
    pub data_dir: &'a Path,
    /// What is allowed on purpose.
    pub allowed: Allowed,
}

/// What an enrolment refuses unless a person insists.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed {
    /// The secret may travel without TLS.
    pub plain_text: bool,
    /// The folder may belong to another store, whose sales then go to the centre a second time under the new id.
    pub replace_store: bool,
}

/// Enrolls the store and keeps its identity. `client` carries the trusted certificates.
pub async fn enroll(client: &reqwest::Client, enrollment: Enrollment<'_>) -> Result<Identity, EnrollError> {
    let Allowed { plain_text, replace_store } = enrollment.allowed;
    let centre_url = enrollment.centre_url.trim_end_matches('/');
    check_secrecy(centre_url, plain_text)?;
    if let Some(mqtt_url) = enrollment.mqtt_url {
        check_secrecy(mqtt_url, plain_text)?;
    }
    let held = Identity::load(enrollment.data_dir).map_err(EnrollError::Keep)?.map(|identity| identity.store_id);
    if let Some(held) = held.filter(|held| held != enrollment.store_id && !replace_store) {
        return Err(EnrollError::HoldsOther { held });
    }
    let url = format!("{centre_url}/api/v1/enroll");
    let reach = |source| EnrollError::Reach { url: url.clone(), source };
    let request = Request { store_id: enrollment.store_id, claim_code: enrollment.claim_code.trim() };
    let response = client.post(&url).timeout(ANSWER_TIMEOUT).json(&request).send().await.map_err(reach)?;
    let status = response.status();
    let body = response.bytes().await.map_err(reach)?;
    if !status.is_success() {
        return Err(EnrollError::Refused { status: status.as_u16(), detail: detail_of(&body) });
    }
    let answer: Answer =
        serde_json::from_slice(&body).map_err(|source| EnrollError::Answer { url: url.clone(), source })?;
    if answer.store_id != *enrollment.store_id {
        return Err(EnrollError::OtherStore { asked: enrollment.store_id.clone(), answered: answer.store_id });
    }
    let identity = Identity {
        store_id: answer.store_id,
        secret: answer.secret,
        centre_url: centre_url.to_owned(),
        mqtt_url: enrollment.mqtt_url.map_or(answer.mqtt_url, str::to_owned),
        proofs: answer.proofs,
    };
    identity.save(enrollment.data_dir).map_err(EnrollError::Keep)?;
    Ok(identity)
}

/// Checks that an address keeps the secret: it has TLS, or stays on this machine. Each login carries the secret.
fn check_secrecy(address: &str, plain_text: bool) -> Result<(), EnrollError> {
    // What is no address fails where it is used.
    let Ok(url) = reqwest::Url::parse(address) else { return Ok(()) };
    let is_plain = matches!(url.scheme(), "http" | "mqtt") && !is_loopback(url.host_str().unwrap_or_default());
    if is_plain && !plain_text { Err(EnrollError::PlainText { address: address.to_owned() }) } else { Ok(()) }
}

/// The detail of a problem document, or the beginning of whatever was answered.
fn detail_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem.detail,
        Err(_) => String::from_utf8_lossy(body).chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(centre_url: &str, mqtt_url: Option<&str>, data_dir: &Path) -> EnrollError {
        let store_id = StoreId::new("SH-0042").expect("valid");
        let allowed = Allowed::default();
        let enrollment = Enrollment { centre_url, store_id: &store_id, claim_code: "x", mqtt_url, data_dir, allowed };
        let client = crate::trust::http_client(None).expect("a client");
        enroll(&client, enrollment).await.expect_err("must be refused")
    }

    #[tokio::test]
    async fn the_secret_does_not_travel_in_plain_text() {
        let folder = tempfile::tempdir().expect("a folder");
        for (centre, mqtt, plain) in [
            ("http://centre.example:8080", None, true),
            ("https://127.0.0.1:1", Some("mqtt://centre.example:1883"), true),
            // These are allowed, and fail for want of a server.
            ("http://127.0.0.1:1", Some("mqtt://localhost:1883"), false),
            ("https://127.0.0.1:1", Some("mqtts://centre.example:8883"), false),
        ] {
            let error = refusal(centre, mqtt, folder.path()).await;
            assert_eq!(matches!(error, EnrollError::PlainText { .. }), plain, "{centre} {mqtt:?}: {error}");
            assert_eq!(matches!(error, EnrollError::Reach { .. }), !plain, "{centre} {mqtt:?}: {error}");
        }
    }

    #[tokio::test]
    async fn a_folder_of_another_store_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let identity = |store: &str| Identity {
            store_id: StoreId::new(store).expect("valid"),
            secret: "s".to_owned(),
            centre_url: "http://127.0.0.1:1".to_owned(),
            mqtt_url: "mqtt://127.0.0.1:1".to_owned(),
            proofs: true,
        };
        identity("SH-0001").save(folder.path()).expect("keeps");
        let error = refusal("http://127.0.0.1:1", None, folder.path()).await;
        assert!(matches!(&error, EnrollError::HoldsOther { held } if held.as_str() == "SH-0001"), "{error}");
        // The same store enrolls again as often as it likes.
        identity("SH-0042").save(folder.path()).expect("keeps");
        let error = refusal("http://127.0.0.1:1", None, folder.path()).await;
        assert!(matches!(error, EnrollError::Reach { .. }), "{error}");
    }
}
