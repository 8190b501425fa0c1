//! Server-sent events: what changes in the store, each with its version as the event's id.
//!
//! A listener that comes back names the last id it has seen (`Last-Event-ID`, or `since` in the query) and is told what it
//! missed. What is behind that is bounded: a listener that was away for too long, or falls behind, is told `reset` and reads
//! the state anew at `/v1/state`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use protocol::latest::local_api::Change;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;

use super::routes::ApiParts;
use crate::changes::{Heard, Listening, Version};
use crate::doors::Caller;
use crate::telemetry;

/// Events made ready for one listener.
const READY_EVENTS_MAX: usize = 16;

/// Between comments that keep the connection open when nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The stream of one listener.
#[derive(Debug)]
pub(super) struct Told(mpsc::Receiver<Event>);

impl Stream for Told {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}

/// Opens a stream: what was missed, the state of the link, then every change, until the agent ends or the listener goes
/// away.
pub(super) fn stream(
    parts: &ApiParts,
    since: Option<Version>,
    caller: Caller,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let (sender, receiver) = mpsc::channel(READY_EVENTS_MAX);
    // Subscribed before the first state is read, so that nothing falls between the two.
    let listening = parts.changes.listen(since);
    let feeding = feed(parts.clone(), listening, since.is_some(), sender, parts.shutdown.clone());
    let doors = parts.doors.clone();
    tokio::spawn(async move {
        // A till that was revoked hears no more.
        tokio::select! {
            () = feeding => {}
            () = doors.closed_to(&caller) => {}
        }
    });
    Sse::new(Told(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

async fn feed(
    parts: ApiParts,
    mut listening: Listening,
    comes_back: bool,
    listener: mpsc::Sender<Event>,
    mut shutdown: watch::Receiver<bool>,
) {
    if listening.is_anew && comes_back && !reset(&listener, listening.version).await {
        return;
    }
    loop {
        // What was missed comes before the state of the link.
        while let Some(heard) = listening.ready() {
            if tell(&listener, heard, listening.version).await != Some(Goes::On) {
                break;
            }
        }
        // The state of the link is made for each listener: it has the version of the change before it.
        if let Some(state) = fresh(&parts).await
            && !send(&listener, listening.version, state.name(), &in_words(&state)).await
        {
            return;
        }
        loop {
            let heard = tokio::select! {
                heard = listening.next() => heard,
                () = listener.closed() => return,
                _ = shutdown.wait_for(|&ending| ending) => return,
            };
            match tell(&listener, heard, listening.version).await {
                Some(Goes::On) => {}
                Some(Goes::Anew) => break,
                None => return,
            }
        }
    }
}

/// How a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    /// The listener reads the state anew, and is told the state of the link as at the beginning.
    Anew,
}

/// Tells a listener what it hears. None if nobody listens any more.
async fn tell(listener: &mpsc::Sender<Event>, heard: Heard, version: Version) -> Option<Goes> {
    match heard {
        Heard::Change(told) => send(listener, told.version, told.name, &told.json).await.then_some(Goes::On),
        Heard::FellBehind { missed } => {
            telemetry::listener_lagged(missed);
            reset(listener, version).await.then_some(Goes::Anew)
        }
    }
}

async fn fresh(parts: &ApiParts) -> Option<Change> {
    parts.status.sync_state().await.ok().map(Change::Sync)
}

fn in_words(change: &Change) -> String {
    serde_json::to_string(change).expect("text and numbers always encode")
}

/// Tells a listener that it has to read the state anew.
async fn reset(listener: &mpsc::Sender<Event>, version: Version) -> bool {
    let event = Event::default().event("reset").id(version.to_string()).data("{}");
    listener.send(event).await.is_ok()
}

async fn send(listener: &mpsc::Sender<Event>, version: Version, name: &str, json: &str) -> bool {
    let event = Event::default().event(name).id(version.to_string()).data(json);
    listener.send(event).await.is_ok()
}
