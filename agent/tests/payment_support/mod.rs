//! A terminal's service on a port of its own, which outlives the agent as a real one does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use agent::payment::{Code, PayOrder, Script, Silence, Simulator, Terminal};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use pos_model::{AttemptId, Money};
use serde_json::{Value, json};
use till::payment::{Answer, Standing};

/// What the service expects in the `Authorization` header.
pub(crate) const TOKEN: &str = "of-the-counter";

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) simulator: Arc<Simulator>,
    state: Arc<Switches>,
    pub(crate) url: String,
}

#[derive(Default)]
struct Switches {
    pays: AtomicU32,
    /// Nothing is answered while it is set.
    dark: AtomicBool,
    /// It goes dark once it has been asked to pay.
    dark_after_pay: AtomicBool,
}

impl Service {
    pub(crate) async fn open(script: &str) -> Self {
        let script: Script = script.parse().expect("a script");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let service = Self { simulator: Arc::new(Simulator::new(script)), state: Arc::default(), url };
        let router = Router::new()
            .route("/attempts/{id}/pay", post(pay))
            .route("/attempts/{id}", get(query))
            .route("/attempts/{id}/reverse", post(reverse))
            .with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        service
    }

    /// How often it was asked to pay.
    pub(crate) fn pays(&self) -> u32 {
        self.state.pays.load(Ordering::SeqCst)
    }

    pub(crate) fn go_dark_after_pay(&self) {
        self.state.dark_after_pay.store(true, Ordering::SeqCst);
    }

    pub(crate) fn light_up(&self) {
        self.state.dark_after_pay.store(false, Ordering::SeqCst);
        self.state.dark.store(false, Ordering::SeqCst);
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        if self.state.dark.load(Ordering::SeqCst) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let token = headers.get("authorization").and_then(|value| value.to_str().ok());
        if token == Some(&format!("Bearer {TOKEN}")) { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
    }
}

type Said = Result<Json<Value>, StatusCode>;

async fn pay(State(service): State<Service>, Path(id): Path<AttemptId>, headers: HeaderMap, body: Json<Value>) -> Said {
    service.admit(&headers)?;
    assert_eq!(headers["idempotency-key"], id.to_string());
    let text = |key: &str| body[key].as_str().expect("is there").to_owned();
    let order = PayOrder {
        attempt_id: text("attempt_id").parse().expect("an id"),
        sale_id: text("sale_id").parse().expect("an id"),
        till_id: text("till_id").parse().expect("an id"),
        kind: text("kind").parse().expect("a tag"),
        amount: Money::from_minor(body["amount_minor"].as_i64().expect("an amount")),
        currency: text("currency").parse().expect("a currency"),
        code: body["code"].as_str().map(|code| Code::new(code.to_owned())),
    };
    assert_eq!(order.attempt_id, id);
    service.state.pays.fetch_add(1, Ordering::SeqCst);
    let said = service.simulator.pay(&order).await;
    if service.state.dark_after_pay.load(Ordering::SeqCst) {
        service.state.dark.store(true, Ordering::SeqCst);
    }
    tell(said)
}

async fn query(State(service): State<Service>, Path(id): Path<AttemptId>, headers: HeaderMap) -> Said {
    service.admit(&headers)?;
    tell(service.simulator.query(id).await)
}

async fn reverse(State(service): State<Service>, Path(id): Path<AttemptId>, headers: HeaderMap) -> Said {
    service.admit(&headers)?;
    tell(service.simulator.reverse(id).await)
}

fn tell(said: Result<Answer, Silence>) -> Said {
    let Answer { attempt_id, standing } = said.map_err(|_| StatusCode::GATEWAY_TIMEOUT)?;
    let rest = match standing {
        Standing::Approved { amount, reference } => {
            json!({ "standing": "approved", "amount_minor": amount, "currency": "CNY", "reference": reference })
        }
        Standing::Declined { reason } => json!({ "standing": "declined", "reason": reason }),
        Standing::Reversed => json!({ "standing": "reversed" }),
        Standing::StillPaying => json!({ "standing": "still_paying" }),
        Standing::NotFound => json!({ "standing": "not_found" }),
    };
    let mut told = rest;
    told["attempt_id"] = json!(attempt_id);
    Ok(Json(told))
}
