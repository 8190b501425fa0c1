//! `breakwater-agent enroll`: a claim code becomes an identity.
//!
//! The installer types the store id and a short-lived code that the centre printed. The centre answers with the store's
//! secret and its MQTT address; both are kept in the data folder. Enrolling again replaces the secret, and the events
//! in the outbox stay what they are: they do not name the store.

use std::path::Path;
use std::time::Duration;

use pos_model::StoreId;
use serde::{Deserialize, Serialize};

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
    /// The identity could not be kept.
    #[error("keep the identity")]
    Keep(#[source] IdentityError),
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
}

/// Enrolls the store and keeps its identity. `client` carries the trusted certificates.
pub async fn enroll(client: &reqwest::Client, enrollment: Enrollment<'_>) -> Result<Identity, EnrollError> {
    let centre_url = enrollment.centre_url.trim_end_matches('/');
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
    };
    identity.save(enrollment.data_dir).map_err(EnrollError::Keep)?;
    Ok(identity)
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
