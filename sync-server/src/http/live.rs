//! `GET /api/v1/live`: the fleet every second, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use tokio_stream::{Stream, StreamExt};

use super::fleet::Live;
use super::state::Api;

/// Between two views.
const PERIOD: Duration = Duration::from_secs(1);

/// The fleet, every second.
#[utoipa::path(get, path = "/api/v1/live", tag = "stores",
    responses((status = 200, content_type = "text/event-stream", body = Live,
        description = "an event `fleet` every second, whose data is this object; `trouble` in its place, with words, while the \
            ledger cannot be read")))]
pub(super) async fn live(State(api): State<Api>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = sender.closed() => return,
                _ = ticks.tick() => {}
            }
            let event = match api.fleet.view().await {
                Ok(view) => Event::default().event("fleet").data(&*view.live),
                // The page says that it is not up to date; the next second may be better.
                Err(_) => Event::default().event("trouble").data("the ledger cannot be read"),
            };
            if sender.send(event).await.is_err() {
                return;
            }
        }
    });
    Sse::new(tokio_stream::wrappers::ReceiverStream::new(receiver).map(Ok)).keep_alive(KeepAlive::default())
}
