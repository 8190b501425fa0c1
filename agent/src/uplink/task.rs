//! The task that drives `StoreSync`: every event that can wake it is one arm of one loop.
//!
//! It runs beside the till. It reads on read-only connections, and what it writes joins the sales' own commits, so no
//! sale waits for the network.

use std::sync::Arc;
use std::time::Instant as MonotonicClock;

use pos_model::{Epoch, Seq};
use protocol::envelope::{OpenError, open_downlink};
use protocol::latest::local_api::LinkState;
use protocol::latest::{EpochReport, OpenReason};
use protocol::topic::UplinkKind;
use sync_core::store::{self, Effect, Loss, Notice, SendFailure, StoreSync};
use sync_core::{Instant, StoreLimits};
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::link::{Connect, Link, LinkEvent};
use super::perform::{self, PerformError, Present, Speaker};
use super::telemetry;
use crate::readers::{ReadError, Readers};
use crate::writer::{WriteError, Writer};

/// What the task lets others see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkStatus {
    /// The state of the link.
    pub link: LinkState,
    /// When the centre last answered, in milliseconds since 1970 (UTC).
    pub last_contact_ms: Option<i64>,
}

impl LinkStatus {
    /// Before the store is enrolled.
    pub const NOT_ENROLLED: Self = Self { link: LinkState::NotEnrolled, last_contact_ms: None };
}

/// Tells how many bytes are free on the disk of the books, where that is known.
pub type DiskFree = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// What the task works with.
pub struct SyncTask<C: Connect> {
    /// The way to the books for writing.
    pub writer: Writer,
    /// The way to the books for reading.
    pub readers: Readers,
    /// Makes connections.
    pub connect: C,
    /// Who speaks.
    pub speaker: Speaker,
    /// The free space of the disk.
    pub disk_free: DiskFree,
    /// The bounds.
    pub limits: StoreLimits,
    /// For jitter and session numbers.
    pub seed: u64,
    /// Where the state of the link is shown.
    pub status: watch::Sender<LinkStatus>,
}

impl<C: Connect> std::fmt::Debug for SyncTask<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyncTask").field("speaker", &self.speaker).finish_non_exhaustive()
    }
}

/// What can wake the task.
enum Event {
    Link(LinkEvent),
    Deadline,
    Committed,
}

/// How long the task waits before it looks at the books again that it could not read at its start.
const START_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// An operation on the books failed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("read for the centre")]
    Read(#[source] ReadError),
    #[error("make a message for the centre")]
    Perform(#[source] PerformError),
    #[error("write what the centre said")]
    Write(#[source] WriteError),
}

impl<C: Connect> SyncTask<C> {
    /// Runs until `shutdown` changes or its sender is gone.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let drive = async {
            let reports = loop {
                match self.readers.read(|view| view.epochs()).await {
                    Ok(reports) => break reports,
                    Err(error) => telemetry::books_failed(&Trouble::Read(error)),
                }
                tokio::time::sleep(START_AGAIN).await;
            };
            Running::new(self, &reports).drive().await;
        };
        tokio::select! {
            () = drive => {}
            _ = shutdown.changed() => {}
        }
    }
}

struct Running<C: Connect> {
    task: SyncTask<C>,
    sync: StoreSync,
    link: Option<C::Link>,
    started: MonotonicClock,
    head: watch::Receiver<crate::db::Head>,
    unsettled: Unsettled,
}

/// Whether there may be notices that an event settles; after a start nobody knows.
struct Unsettled {
    by_welcome: bool,
    by_draining: bool,
}

impl<C: Connect> Running<C> {
    fn new(task: SyncTask<C>, reports: &[EpochReport]) -> Self {
        let head = task.writer.head();
        let started = MonotonicClock::now();
        let sync = StoreSync::new(reports, task.limits.clone(), task.seed, Instant::from_ms(0));
        Self { task, sync, link: None, started, head, unsettled: Unsettled { by_welcome: true, by_draining: true } }
    }

    async fn drive(&mut self) {
        loop {
            while let Some(effect) = self.sync.poll_effect() {
                self.perform(effect).await;
            }
            self.show();
            self.settle().await;
            let event = self.next_event().await;
            self.handle(event).await;
        }
    }

    async fn next_event(&mut self) -> Event {
        let until = self.sync.poll_timeout().map(|(at, _)| self.started + std::time::Duration::from_millis(at.ms()));
        let deadline = async {
            match until {
                Some(until) => sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        let link = async {
            match &mut self.link {
                Some(link) => link.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = link => Event::Link(event),
            () = deadline => Event::Deadline,
            changed = self.head.changed() => match changed {
                Ok(()) => Event::Committed,
                // The writer has ended, so the agent is going down; nothing more will happen here.
                Err(_) => std::future::pending().await,
            },
        }
    }

    async fn handle(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Deadline => {
                self.look_at_outbox().await;
                self.sync.handle_timeout(now);
            }
            Event::Committed => {
                let place = self.head.borrow_and_update().place;
                self.sync.handle_committed(place.epoch, place.seq, now);
            }
            Event::Link(LinkEvent::Connected) => {
                telemetry::connected();
                self.sync.handle_connected(now);
            }
            Event::Link(LinkEvent::Message(bytes)) => self.hear(&bytes, now),
            Event::Link(LinkEvent::Refused(refusal)) => {
                telemetry::refused(refusal);
                self.sync.handle_refused(refusal, now);
            }
            Event::Link(LinkEvent::Lost(loss, cause)) => {
                telemetry::lost(loss, &cause);
                self.lose(loss, now);
            }
        }
    }

    fn hear(&mut self, bytes: &[u8], now: Instant) {
        match open_downlink(bytes) {
            Ok((store, message)) if store == self.task.speaker.store_id => {
                let at_ms = self.task.writer.clock().now().utc_ms;
                self.task.status.send_if_modified(|status| status.last_contact_ms.replace(at_ms) != Some(at_ms));
                self.sync.handle_downlink(message, now);
            }
            Ok((store, _)) => telemetry::message_ignored(&format!("it names store {store}")),
            // A newer centre may say things that this program does not know.
            Err(error @ OpenError::UnknownKind(_)) => telemetry::message_skipped(&error),
            Err(error) => telemetry::message_ignored(&error.to_string()),
        }
    }

    fn lose(&mut self, loss: Loss, now: Instant) {
        self.link = None;
        self.sync.handle_connection_lost(loss, now);
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Connect => self.link = Some(self.task.connect.connect()),
            Effect::Disconnect => self.link = None,
            Effect::SayHello { session, epochs } => {
                let (speaker, present) = (self.task.speaker.clone(), self.present());
                let made = self.read(move |view| perform::hello(view, &speaker, present, session, &epochs)).await;
                self.send_question(UplinkKind::Hello, made);
            }
            Effect::SendHeartbeat => {
                let (speaker, present) = (self.task.speaker.clone(), self.present());
                let made = self.read(move |view| perform::heartbeat(view, &speaker, present)).await;
                self.send_question(UplinkKind::Heartbeat, made);
            }
            Effect::SendBatch { epoch, from, events_max } => self.send_batch(epoch, from, events_max).await,
            Effect::Confirm { epoch, mark } => {
                let written = self.task.writer.confirm(epoch, mark).await;
                let now = self.now();
                match written {
                    Ok(confirmed) => self.sync.handle_confirmed(epoch, mark, perform::agreed(confirmed), now),
                    Err(error) => {
                        // What the centre said is not kept. The next connection asks it again.
                        telemetry::books_failed(&Trouble::Write(error));
                        self.lose(Loss::Network, now);
                    }
                }
            }
            Effect::Rewind { epoch, to } => {
                let written = self.task.writer.rewind(epoch, to).await;
                self.note(written.map(drop));
            }
            Effect::RaiseReceipts(heads) => {
                let written = self.task.writer.raise_receipts(heads).await;
                self.note(written);
            }
            Effect::OpenEpoch => self.open_epoch().await,
            Effect::SendDigests { newest, dates } => {
                let speaker = self.task.speaker.clone();
                let made = self.read(move |view| perform::digests(view, &speaker, newest, &dates)).await;
                if let Some(made) = made.transpose() {
                    self.send_question(UplinkKind::Digests, made);
                }
            }
            Effect::SendAgain(recall) => {
                telemetry::sending_again(&recall);
                let speaker = self.task.speaker.clone();
                let made = self.read(move |view| perform::again(view, &speaker, &recall)).await;
                self.send_question(UplinkKind::Recalled, made);
            }
            Effect::Notify(notice) => self.notify(notice).await,
        }
    }

    async fn send_batch(&mut self, epoch: Epoch, from: Seq, events_max: u32) {
        let speaker = self.task.speaker.clone();
        let made = self.read(move |view| perform::batch(view, &speaker, epoch, from, events_max)).await;
        let now = self.now();
        let failure = match (made, &mut self.link) {
            (Ok(None), _) => SendFailure::NothingThere,
            (Ok(Some((message, sent))), Some(link)) => match link.publish(UplinkKind::Batch, message) {
                Ok(()) => {
                    telemetry::batch_sent(&sent);
                    self.sync.handle_sent(sent, now);
                    return;
                }
                Err(error) => {
                    telemetry::message_ignored(&error.to_string());
                    SendFailure::Later
                }
            },
            (Ok(Some(_)), None) => SendFailure::Later,
            (Err(trouble), _) => {
                telemetry::books_failed(&trouble);
                SendFailure::Later
            }
        };
        self.sync.handle_send_failed(failure, now);
    }

    /// Sends what needs no answer, or is asked again when none comes.
    fn send_question(&mut self, kind: UplinkKind, made: Result<Vec<u8>, Trouble>) {
        match made {
            Ok(message) => {
                if let Some(link) = &mut self.link
                    && let Err(error) = link.publish(kind, message)
                {
                    telemetry::message_ignored(&error.to_string());
                }
            }
            Err(trouble) => telemetry::books_failed(&trouble),
        }
    }

    async fn open_epoch(&mut self) {
        if let Err(error) = self.task.writer.open_epoch(OpenReason::Fork).await {
            telemetry::books_failed(&Trouble::Write(error));
        }
        self.look_at_outbox().await;
    }

    /// Takes back notices whose cause is over.
    async fn settle(&mut self) {
        if self.sync.link_state() != store::LinkState::Online {
            return;
        }
        if std::mem::take(&mut self.unsettled.by_welcome) {
            for key in perform::SETTLED_BY_WELCOME {
                let written = self.task.writer.settle_notice(key.to_owned()).await;
                self.note(written.map(drop));
            }
        }
        if self.sync.unconfirmed() == 0 && std::mem::take(&mut self.unsettled.by_draining) {
            let written = self.task.writer.settle_notice(perform::CENTRE_WENT_BACK.to_owned()).await;
            self.note(written.map(drop));
        }
    }

    async fn notify(&mut self, notice: Notice) {
        match notice {
            Notice::Refused | Notice::Unreadable => self.unsettled.by_welcome = true,
            Notice::CentreWentBack { .. } => self.unsettled.by_draining = true,
            Notice::WentBack { .. } | Notice::Forked { .. } | Notice::TooLarge { .. } => {}
        }
        let words = perform::words(notice);
        telemetry::notice(&words.text);
        let written = self.task.writer.raise_notice(words.key, words.text).await;
        self.note(written);
    }

    /// Housekeeping trims the outbox behind our back, and of several events committed together only the newest is told.
    async fn look_at_outbox(&mut self) {
        let reports = self.task.readers.read(|view| view.epochs()).await;
        let now = self.now();
        match reports {
            Ok(reports) => self.sync.handle_held(&reports, now),
            Err(error) => telemetry::books_failed(&Trouble::Read(error)),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(crate::db::View<'_>) -> Result<T, PerformError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let looked = self.task.readers.read(move |view| Ok(look(view))).await;
        looked.map_err(Trouble::Read)?.map_err(Trouble::Perform)
    }

    fn note(&self, written: Result<(), WriteError>) {
        if let Err(error) = written {
            telemetry::books_failed(&Trouble::Write(error));
        }
    }

    fn show(&self) {
        let link = match self.sync.link_state() {
            store::LinkState::Offline => LinkState::Offline,
            store::LinkState::Greeting => LinkState::Greeting,
            store::LinkState::Online => LinkState::Online,
            store::LinkState::Paused => LinkState::Paused,
        };
        self.task.status.send_if_modified(|status| std::mem::replace(&mut status.link, link) != link);
    }

    fn present(&self) -> Present {
        Present { clock: self.task.writer.clock().now(), disk_free_bytes: (self.task.disk_free)() }
    }

    fn now(&self) -> Instant {
        Instant::from_ms(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
