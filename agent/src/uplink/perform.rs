//! What the machine asks for, done on the books. Synchronous and without a link, so that the simulation runs the same.

use pos_model::{BusinessDate, Epoch, Seq, Stamp, StoreId};
use protocol::envelope::{PLAIN_BYTES_MAX, SealError, WIRE_BYTES_TARGET, seal_uplink};
use protocol::latest::{
    DIGEST_DATES_MAX, Digests, EpochReport, Heartbeat, Hello, Mark, Recall, Recalled, StoreHealth, Uplink, VERSION,
};
use sync_core::store::{Confirmed, Notice, Sent};

use crate::db;

/// Events of a batch before they are packed: what a receiver unpacks at the most, less room for the envelope.
const BATCH_PLAIN_BYTES_MAX: usize = PLAIN_BYTES_MAX - 64 * 1024;

/// A message could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PerformError {
    /// The books could not be read or written.
    #[error("read the outbox")]
    Books(#[source] db::Error),
    /// The message could not be wrapped.
    #[error("wrap the message")]
    Seal(#[source] SealError),
}

/// Who speaks.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// The store.
    pub store_id: StoreId,
    /// The program's version.
    pub agent_version: String,
}

/// What the books do not know: the present.
#[derive(Debug, Clone, Copy)]
pub struct Present {
    /// The store's clock.
    pub clock: Stamp,
    /// Free bytes on the disk that holds the books, where that is known.
    pub disk_free_bytes: Option<u64>,
}

/// Makes a `Hello` about some epochs. Those that are no longer held are left out.
pub fn hello(
    view: db::View<'_>,
    speaker: &Speaker,
    present: Present,
    session: u64,
    asked: &[Epoch],
) -> Result<Vec<u8>, PerformError> {
    let mut epochs = view.epochs().map_err(PerformError::Books)?;
    let health = health(view, speaker, present, &epochs)?;
    epochs.retain(|report| asked.contains(&report.epoch));
    let hello = Hello { session, version: VERSION, epochs, health };
    seal_uplink(&speaker.store_id, &Uplink::Hello(hello)).map_err(PerformError::Seal)
}

/// Makes a `Heartbeat`.
pub fn heartbeat(view: db::View<'_>, speaker: &Speaker, present: Present) -> Result<Vec<u8>, PerformError> {
    let epochs = view.epochs().map_err(PerformError::Books)?;
    let health = health(view, speaker, present, &epochs)?;
    seal_uplink(&speaker.store_id, &Uplink::Heartbeat(Heartbeat { health })).map_err(PerformError::Seal)
}

fn health(
    view: db::View<'_>,
    speaker: &Speaker,
    present: Present,
    epochs: &[EpochReport],
) -> Result<StoreHealth, PerformError> {
    let depth = view.outbox_depth().map_err(PerformError::Books)?;
    let newest = epochs.last();
    Ok(StoreHealth {
        clock: present.clock,
        agent_version: speaker.agent_version.clone(),
        epoch: newest.map_or(Epoch::new(0), |report| report.epoch),
        head: newest.map_or(Seq::ZERO, |report| report.head),
        outbox_events: depth.events,
        outbox_oldest_ms: depth.oldest_ms,
        disk_free_bytes: present.disk_free_bytes,
        receipts: view.receipt_heads().map_err(PerformError::Books)?,
    })
}

/// Makes a batch that fits the wire, or none if the outbox holds nothing from there on.
pub fn batch(
    view: db::View<'_>,
    speaker: &Speaker,
    epoch: Epoch,
    from: Seq,
    events_max: u32,
) -> Result<Option<(Vec<u8>, Sent)>, PerformError> {
    let mut events_max = events_max;
    loop {
        let batch = view.take_batch(epoch, from, events_max, BATCH_PLAIN_BYTES_MAX).map_err(PerformError::Books)?;
        let Some(batch) = batch else { return Ok(None) };
        let hash = batch.events.iter().fold(batch.prev_hash, |hash, event| hash.then(event));
        let through = Mark { seq: batch.last_seq(), hash };
        let events = batch.events.len();
        let message = seal_uplink(&speaker.store_id, &Uplink::Batch(batch)).map_err(PerformError::Seal)?;
        if message.len() <= WIRE_BYTES_TARGET || events == 1 {
            return Ok(Some((message, Sent { epoch, first: from, through })));
        }
        // A tenth less than the share that would fit, because the compression is not even over the events.
        let fitting = (events * WIRE_BYTES_TARGET / message.len() * 9 / 10).clamp(1, events - 1);
        events_max = u32::try_from(fitting).unwrap_or(1);
    }
}

/// The most events that are sent again in one message.
const AGAIN_EVENTS_MAX: u32 = 500;

/// Makes `Digests` of so many of the newest business dates and of named ones, or none if there is nothing to compare.
pub fn digests(
    view: db::View<'_>,
    speaker: &Speaker,
    newest: usize,
    named: &[BusinessDate],
) -> Result<Option<Vec<u8>>, PerformError> {
    let mut dates = view.day_digests(newest, named).map_err(PerformError::Books)?;
    dates.truncate(DIGEST_DATES_MAX);
    loop {
        if dates.is_empty() {
            return Ok(None);
        }
        let message = Uplink::Digests(Digests { dates: dates.clone() });
        let message = seal_uplink(&speaker.store_id, &message).map_err(PerformError::Seal)?;
        if message.len() <= WIRE_BYTES_TARGET || dates.len() == 1 {
            return Ok(Some(message));
        }
        // The newest are those that matter most.
        dates.remove(0);
    }
}

/// Makes `Recalled`, with as many of the events as one message holds.
pub fn again(view: db::View<'_>, speaker: &Speaker, recall: &Recall) -> Result<Vec<u8>, PerformError> {
    let wanted = recall.to.since(recall.from).saturating_add(1);
    let mut events_max = u32::try_from(wanted).unwrap_or(u32::MAX).min(AGAIN_EVENTS_MAX);
    loop {
        let batch = view.take_batch(recall.epoch, recall.from, events_max, BATCH_PLAIN_BYTES_MAX);
        let batch = batch.map_err(PerformError::Books)?;
        let events = batch.as_ref().map_or(0, |batch| batch.events.len());
        let message = Uplink::Recalled(Recalled { request: recall.request, batch });
        let message = seal_uplink(&speaker.store_id, &message).map_err(PerformError::Seal)?;
        if message.len() <= WIRE_BYTES_TARGET || events <= 1 {
            return Ok(message);
        }
        let fitting = (events * WIRE_BYTES_TARGET / message.len() * 9 / 10).clamp(1, events - 1);
        events_max = u32::try_from(fitting).unwrap_or(1);
    }
}

/// What the comparison of a mark with the books means for the machine.
pub fn agreed(confirmed: db::Confirmed) -> Confirmed {
    match confirmed {
        db::Confirmed::Moved | db::Confirmed::Already => Confirmed::Agreed,
        db::Confirmed::NotOurs | db::Confirmed::Beyond | db::Confirmed::BeforeHeld | db::Confirmed::UnknownEpoch => {
            Confirmed::Differs
        }
    }
}

/// A notice in words, with the key under which a newer one takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The key.
    pub key: String,
    /// The words.
    pub text: String,
}

/// Notices that a welcome of the centre settles.
pub const SETTLED_BY_WELCOME: [&str; 3] = [REFUSED, UNREADABLE, UPLINK_ENDED];

/// Notices that are settled when everything has been sent again.
pub const CENTRE_WENT_BACK: &str = "centre_went_back";

/// The task itself ended, which is a defect of the program.
pub const UPLINK_ENDED: &str = "uplink_ended";

const REFUSED: &str = "refused";
const UNREADABLE: &str = "unreadable";

/// Puts a notice of the machine into words for the people in the store.
pub fn words(notice: Notice) -> Words {
    let (key, text) = match notice {
        Notice::WentBack { epoch, head, applied } => (
            format!("went_back.{epoch}"),
            format!(
                "This store's data folder was put back to an older state: the centre holds events {} to {applied} of run \
                 {epoch}, this folder does not. Those sales are safe at the centre, but missing here.",
                head.next()
            ),
        ),
        Notice::CentreWentBack { epoch, acked, applied } => (
            format!("{CENTRE_WENT_BACK}.{epoch}"),
            format!(
                "The centre was put back to an older state: of run {epoch} it held events up to {acked} before and holds \
                 them up to {applied}. They are being sent again; nothing is lost."
            ),
        ),
        Notice::Forked { epoch } => (
            format!("forked.{epoch}"),
            format!(
                "Another box works on a copy of this store's data folder (run {epoch}). Sales of both are kept. Shut one \
                 of them down and enroll it as a store of its own."
            ),
        ),
        Notice::Refused => (
            REFUSED.to_owned(),
            "The centre refuses this store's login. Enroll it again with a new claim code. Sales are kept until then."
                .to_owned(),
        ),
        Notice::Unreadable => (
            UNREADABLE.to_owned(),
            "The centre cannot read what this store sends. Nothing is lost; compare the versions of both programs."
                .to_owned(),
        ),
        Notice::TooLarge { epoch, seq } => (
            format!("too_large.{epoch}.{seq}"),
            format!(
                "Event {seq} of run {epoch} is too large for the connection to the centre and holds up those after it."
            ),
        ),
    };
    Words { key, text }
}
