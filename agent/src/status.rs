//! How far the centre is behind, put together for the local API.

use std::time::Duration;

use pos_model::{Currency, StoreId};
use protocol::latest::local_api::{Change, LinkState, NoticeView, SyncState};
use tokio::sync::watch;

use crate::changes::Changes;
use crate::db::Notice;
use crate::price_book::BookInForce;
use crate::readers::{ReadError, Readers};
use crate::room::NoRoom;
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
        let full = self.writer.no_room().map(|NoRoom { since_ms, why }| NoticeView {
            key: "disk_full".to_owned(),
            since_ms: Some(since_ms),
            text: format!(
                "The disk is full; sales may be refused until there is room, and go on by themselves then: {why}"
            ),
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
            notices: failed.into_iter().chain(full).chain(kept).collect(),
        })
    }

    /// Announces the state whenever the books or the link have changed, until the agent ends.
    pub async fn publish(mut self, changes: Changes, mut shutdown: watch::Receiver<bool>) {
        let (mut commits, mut room) = (self.writer.commits(), self.writer.room());
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
                // No error: the writer, which lives as long as this, holds the sender.
                _ = room.changed() => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_the_centre_was_heard_again_is_no_news() {
        let online = SyncState {
            store_id: "SH-1".to_owned(),
            currency: Currency::CNY,
            link: LinkState::Online,
            epoch: "1".to_owned(),
            head_seq: 7,
            outbox_events: 0,
            outbox_oldest_ms: None,
            last_contact_ms: Some(1),
            price_book: None,
            notices: Vec::new(),
        };
        let offline = SyncState { link: LinkState::Offline, ..online.clone() };
        let check =
            |last: &SyncState, state: SyncState, expected| assert_eq!(tells_more(last, &state), expected, "{state:?}");
        check(&online, online.clone(), false);
        check(&online, SyncState { last_contact_ms: Some(2), ..online.clone() }, false);
        check(&online, SyncState { head_seq: 8, ..online.clone() }, true);
        check(&online, SyncState { last_contact_ms: Some(2), outbox_events: 1, ..online.clone() }, true);
        // Since when it has been away is shown.
        check(&online, SyncState { last_contact_ms: Some(2), ..offline.clone() }, true);
        check(&offline, SyncState { last_contact_ms: Some(2), ..offline.clone() }, true);
        check(&offline, online.clone(), true);
    }
}
