//! `POST /api/v1/enroll`: a store trades its claim code for a secret.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::connect_info::Connected;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, header};
use axum::serve::IncomingStream;
use pos_model::StoreId;
use protocol::latest::local_api::Problem;
use protocol::mqtt_url::MqttUrl;

use super::listen::HttpListener;
use super::problem::ApiError;
use super::state::Api;
use super::wire::{EnrollAnswer, EnrollRequest};
use crate::claim;
use crate::ingest::utc_ms;
use crate::ledger::{CodeHash, SecretHash};

/// Wrong claim codes from one address within a window. A code has 80 random bits, so guessing is hopeless anyway; the
/// limit keeps whoever tries from costing anything.
const WRONG_CODES_MAX: u32 = 10;

/// The window, after which the count starts again.
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered. With more the oldest counts are forgotten, which only helps whoever has as many.
const ADDRESSES_MAX: usize = 4_096;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, HttpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, HttpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Counts wrong claim codes by address.
#[derive(Debug, Default)]
pub(super) struct WrongCodes(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl WrongCodes {
    /// Seconds until the address may try again, if it may not now.
    fn wait_s(&self, address: IpAddr, now: Instant) -> Option<u32> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, wrong) = table.get(&address)?;
        let left = WINDOW.checked_sub(now.duration_since(*since))?;
        (*wrong >= WRONG_CODES_MAX).then(|| u32::try_from(left.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
    }

    fn note(&self, address: IpAddr, now: Instant) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= ADDRESSES_MAX {
            table.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
            if table.len() >= ADDRESSES_MAX {
                table.clear();
            }
        }
        let (since, wrong) = table.entry(address).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *wrong) = (now, 0);
        }
        *wrong = wrong.saturating_add(1);
    }
}

/// Enrols a store. Asks for no token: the claim code is one.
#[utoipa::path(post, path = "/api/v1/enroll", tag = "stores", request_body = EnrollRequest,
    responses((status = 200, body = EnrollAnswer), (status = 400, body = Problem), (status = 403, body = Problem),
        (status = 429, body = Problem)))]
pub(super) async fn enroll(
    State(api): State<Api>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    request: Result<Json<EnrollRequest>, JsonRejection>,
) -> Result<Json<EnrollAnswer>, ApiError> {
    let Json(request) = request.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let store = StoreId::new(request.store_id.trim()).map_err(|error| ApiError::malformed(error.to_string()))?;
    if let Some(wait_s) = api.wrong_codes.wait_s(peer.ip(), Instant::now()) {
        api.metrics.enrolment_throttled();
        return Err(ApiError::throttled(wait_s));
    }
    let secret = claim::new_secret().map_err(|_| ApiError::unavailable("the system has no random numbers"))?;
    let code = CodeHash::of(claim::normalize(&request.claim_code).as_bytes());
    let hash = SecretHash::of(secret.as_bytes());
    let (registry, credentials) = (api.registry.clone(), api.credentials.clone());
    let asked = store.clone();
    let enrolled = registry.with(move |registry| {
        let enrolled = registry.enroll(&asked, code, hash, utc_ms())?;
        // The store logs in a moment from now.
        Ok(enrolled.map(|()| credentials.learn(&asked, hash)))
    });
    match enrolled.await? {
        Ok(changed) => {
            api.cut(&changed);
            api.metrics.enrolled(&store);
        }
        Err(refused) => {
            api.wrong_codes.note(peer.ip(), Instant::now());
            api.metrics.enrolment_refused(&store, refused);
            return Err(ApiError::claim_refused());
        }
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    Ok(Json(EnrollAnswer {
        store_id: store.to_string(),
        secret,
        mqtt_url: api.mqtt_address.url(host),
        proofs: true,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        server_time_ms: utc_ms(),
    }))
}

/// Where stores connect.
#[derive(Debug, Clone)]
pub struct MqttAddress {
    /// What the operator said.
    pub public_url: Option<String>,
    /// The broker, where stores go by one.
    pub broker: Option<MqttUrl>,
    /// The listener's address.
    pub bound: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

impl MqttAddress {
    /// What a store is told that found us under `host`.
    fn url(&self, host: Option<&str>) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        // A broker on this machine is found as this machine is.
        let (tls, port) = match &self.broker {
            Some(broker) if !broker.is_loopback() => return broker.to_string(),
            Some(broker) => (broker.tls, broker.port),
            None => (self.tls, self.bound.port()),
        };
        let scheme = if tls { "mqtts" } else { "mqtt" };
        // The name under which the store reached this address, without the port; only if it is a plain name.
        let name = host.map(without_port).filter(|name| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
            !name.is_empty() && name.bytes().all(plain)
        });
        match (name, &self.broker) {
            (Some(name), _) => format!("{scheme}://{name}:{port}"),
            (None, Some(broker)) => broker.to_string(),
            (None, None) => format!("{scheme}://{}", self.bound),
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // In `[::1]` the last colon is part of the address.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_is_told() {
        #[track_caller]
        fn check(public: Option<&str>, tls: bool, host: Option<&str>, url: &str) {
            let bound = "127.0.0.1:1883".parse().expect("valid");
            let address = MqttAddress { public_url: public.map(str::to_owned), broker: None, bound, tls };
            assert_eq!(address.url(host), url);
        }
        #[track_caller]
        fn check_broker(public: Option<&str>, broker: &str, host: Option<&str>, url: &str) {
            let bound = "127.0.0.1:1883".parse().expect("valid");
            let broker = Some(broker.parse().expect("valid"));
            let address = MqttAddress { public_url: public.map(str::to_owned), broker, bound, tls: false };
            assert_eq!(address.url(host), url);
        }
        check(None, false, Some("centre.example:8080"), "mqtt://centre.example:1883");
        check(None, true, Some("centre.example"), "mqtts://centre.example:1883");
        check(None, false, Some("[::1]:8080"), "mqtt://[::1]:1883");
        check(None, false, Some("[::1]"), "mqtt://[::1]:1883");
        check(None, false, Some("a b/<c>"), "mqtt://127.0.0.1:1883");
        check(None, false, Some(":80"), "mqtt://127.0.0.1:1883");
        check(None, false, None, "mqtt://127.0.0.1:1883");
        check(Some("mqtts://broker:8883"), false, Some("x"), "mqtts://broker:8883");
        check_broker(None, "mqtts://broker", Some("centre.example:8080"), "mqtts://broker:8883");
        check_broker(None, "mqtt://localhost:1884", Some("centre.example:8080"), "mqtt://centre.example:1884");
        check_broker(None, "mqtts://127.0.0.1", None, "mqtts://127.0.0.1:8883");
        check_broker(Some("mqtts://other:1"), "mqtts://broker", Some("x"), "mqtts://other:1");
    }

    #[test]
    fn wrong_codes_are_counted_by_address() {
        let (codes, start) = (WrongCodes::default(), Instant::now());
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().expect("valid"), "10.0.0.2".parse().expect("valid"));
        for _ in 0..WRONG_CODES_MAX {
            assert_eq!(codes.wait_s(a, start), None);
            codes.note(a, start);
        }
        assert_eq!((codes.wait_s(a, start), codes.wait_s(b, start)), (Some(61), None));
        assert_eq!(codes.wait_s(a, start + WINDOW + Duration::from_millis(1)), None);
        for number in 0..10_000u32 {
            codes.note(IpAddr::from(number.to_be_bytes()), start);
        }
        assert!(codes.0.lock().expect("not poisoned").len() <= ADDRESSES_MAX);
    }
}
