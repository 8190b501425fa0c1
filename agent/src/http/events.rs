//! Server-sent events: sales as they are recorded, and the state of the link.
//!
//! The channel behind it is bounded. A listener that falls behind loses what it missed and gets the state afresh; a
//! till that needs every sale asks for the sums.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use protocol::latest::local_api::Change;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_stream::Stream;

use super::routes::ApiParts;
use crate::telemetry;

/// Events made ready for one listener.
const READY_EVENTS_MAX: usize = 16;

/// Between comments that keep the connection open when nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The stream of one listener.
#[derive(Debug)]
pub(super) struct Changes(mpsc::Receiver<Event>);

impl Stream for Changes {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}

/// Opens a stream: the state of the link first, then every change, until the agent ends or the listener goes away.
pub(super) fn stream(parts: &ApiParts) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let (sender, receiver) = mpsc::channel(READY_EVENTS_MAX);
    // Subscribed before the first state is read, so that nothing falls between the two.
    let changes = parts.changes.subscribe();
    tokio::spawn(feed(parts.clone(), changes, sender, parts.shutdown.clone()));
    Sse::new(Changes(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

async fn feed(
    parts: ApiParts,
    mut changes: broadcast::Receiver<Change>,
    listener: mpsc::Sender<Event>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut next = fresh(&parts).await;
    loop {
        if let Some(change) = next
            && !send(&listener, &change).await
        {
            return;
        }
        let heard = tokio::select! {
            heard = changes.recv() => heard,
            () = listener.closed() => return,
            _ = shutdown.wait_for(|&ending| ending) => return,
        };
        next = match heard {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                telemetry::listener_lagged(missed);
                fresh(&parts).await
            }
            Err(broadcast::error::RecvError::Closed) => return,
        };
    }
}

async fn fresh(parts: &ApiParts) -> Option<Change> {
    parts.status.sync_state().await.ok().map(Change::Sync)
}

async fn send(listener: &mpsc::Sender<Event>, change: &Change) -> bool {
    let name = match change {
        Change::SaleCompleted(_) => "sale_completed",
        Change::Sync(_) => "sync",
    };
    let data = serde_json::to_string(change).expect("text and numbers always encode");
    listener.send(Event::default().event(name).data(data)).await.is_ok()
}
