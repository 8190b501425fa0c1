//! How far the centre is behind, put together for the local API.

use std::time::Duration;

use pos_model::{Currency, StoreId};
use protocol::latest::local_api::{Change, NoticeView, SyncState};
use tokio::sync::watch;

use crate::changes::Changes;
use crate::db::Notice;
use crate::price_book::BookInForce;
use crate::readers::{ReadError, Readers};
use crate::uplink::task::LinkStatus;
use crate::writer::Writer;

/// Between two messages about the outbox: a screen need not be drawn more often.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);

/// Where the state comes from. Clones share it.
#[derive(Debug, Clone)]
pub struct Status {
    /// The store; none before it is enrolled.
    pub store_id: Option<StoreId>,
    /// The currency of its sales.
    pub currency: Currency,
    /// The state of the link.
    pub link: watch::Receiver<LinkStatus>,
    /// The books.
    pub readers: Readers,
    /// The newest event, and whether the disk has failed.
    pub writer: Writer,
    /// The price book in force.
    pub book: BookInForce,
}

impl Status {
    /// The state at this moment.
    pub async fn sync_state(&self) -> Result<SyncState, ReadError> {
        let (depth, notices) = self.readers.read(|view| Ok((view.outbox_depth()?, view.notices()?))).await?;
        let head = *self.writer.head().borrow();
        let link = *self.link.borrow();
        let failed = self.writer.stopped().map(|why| NoticeView {
            key: "disk_failed".to_owned(),
            since_ms: None,
            text: format!("The disk has failed; nothing is recorded until the agent is started again: {why}"),
        });
        let kept =
            notices.into_iter().map(|Notice { key, at_ms, text }| NoticeView { key, since_ms: Some(at_ms), text });
        Ok(SyncState {
            store_id: self.store_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            currency: self.currency,
            link: link.link,
            epoch: head.place.epoch.to_string(),
            head_seq: head.place.seq.get(),
            outbox_events: depth.events,
            outbox_oldest_ms: depth.oldest_ms,
            last_contact_ms: link.last_contact_ms,
            price_book: self.book.borrow().as_ref().map(|active| active.view()),
            notices: failed.into_iter().chain(kept).collect(),
        })
    }

    /// Announces the state whenever the books or the link have changed, until the agent ends.
    pub async fn publish(mut self, changes: Changes, mut shutdown: watch::Receiver<bool>) {
        let mut commits = self.writer.commits();
        let mut last = None;
        loop {
            // The link's sender may be gone: a store that is not enrolled has no link.
            let link = async {
                if self.link.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                changed = commits.changed() => if changed.is_err() { return },
                () = link => {}
                _ = shutdown.wait_for(|&ending| ending) => return,
            }
            if changes.listeners() > 0
                && let Ok(state) = self.sync_state().await
                && last.as_ref().is_none_or(|last| tells_more(last, &state))
            {
                changes.announce(&Change::Sync(state.clone()));
                last = Some(state);
            }
            tokio::time::sleep(PUBLISH_EVERY).await;
        }
    }
}

/// Whether a screen has anything to draw anew. While the link is up, that the centre was heard again is no news.
fn tells_more(last: &SyncState, state: &SyncState) -> bool {
    let heard_again = last.link == LinkState::Online && state.link == LinkState::Online;
    let last_contact_ms = if heard_again { last.last_contact_ms } else { state.last_contact_ms };
    *last != SyncState { last_contact_ms, ..state.clone() }
}
