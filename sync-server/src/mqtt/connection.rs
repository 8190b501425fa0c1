//! One connection, from the handshake to the last byte: moves bytes between the socket, the [`Session`], the service and
//! the mailbox. The only waits are for the socket, the mailbox and the clock.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, DisconnectReasonCode, PubackReasonCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::acl::Kind;
use super::budget::Budget;
use super::limits::{Limits, MESSAGE_OVERHEAD_BYTES};
use super::login::{Authenticator, Login, LoginRefused, Trust, Verified};
use super::mailbox::{Answer, DownlinkQos, Mailbox};
use super::router::{Goodbye, NoRoom, Registration, Router};
use super::session::{Action, Fault, Session};
use super::stats::{Counted, ListenerStats};
use super::telemetry;
use super::uplink::{Permits, Receipt, Uplinked};

/// One read takes at most this much.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Messages are added to one write up to about this size.
const WRITE_BYTES: usize = 64 * 1024;
/// An idle connection keeps at most this much of its write buffer.
const IDLE_BUFFER_BYTES: usize = 4 * 1024;
/// How long, and for how many bytes, a connection that was told goodbye may go on talking. Closing a socket with unread
/// input resets it, and the client might lose the last packet with its reason.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

thread_local! {
    /// Read into here and parsed at once: ten thousand idle connections need no read buffers of their own.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
}

/// What all connections share.
pub(crate) struct Context {
    pub(crate) limits: Limits,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) ingress: mpsc::Sender<Uplinked>,
    pub(crate) router: Router,
    pub(crate) stats: Arc<ListenerStats>,
    pub(crate) uplink_budget: Arc<Budget>,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("the client said goodbye")]
    Left,
    #[error("the client closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(std::io::Error),
    #[error("the TLS handshake failed: {0}")]
    Tls(std::io::Error),
    #[error("no complete CONNECT in time")]
    ConnectTimeout,
    #[error("{0}")]
    LoginRefused(LoginRefused),
    #[error("the store has too many connections")]
    StoreFull,
    #[error("{0}")]
    Fault(Fault),
    #[error("the client was silent for one and a half keep-alives")]
    KeepAlive,
    #[error("the client reads too slowly")]
    SlowReader,
    #[error("the server ended it: {0:?}")]
    Goodbye(Goodbye),
    #[error("the service has stopped")]
    ServiceGone,
    #[error("the server is stopping")]
    Closing,
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, context: Arc<Context>, connecting: Counted) {
    let started = Instant::now();
    let Some(acceptor) = &context.tls else {
        return converse(stream, peer, &context, connecting, started).await;
    };
    match timeout(context.limits.connect_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => converse(Box::new(stream), peer, &context, connecting, started).await,
        Ok(Err(error)) => telemetry::ended(&context.stats, peer, None, &End::Tls(error)),
        Err(_) => telemetry::ended(&context.stats, peer, None, &End::ConnectTimeout),
    }
}

async fn converse<S>(mut stream: S, peer: SocketAddr, context: &Context, connecting: Counted, started: Instant)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut talk = Talk { context, peer, session: Session::new(&context.limits), open: None };
    let patience = context.limits.connect_timeout.saturating_sub(started.elapsed());
    let end = match timeout(patience, log_in(&mut stream, &mut talk)).await {
        Err(_) => End::ConnectTimeout,
        Ok(Err(end)) => end,
        Ok(Ok((mailbox, keep_alive))) => {
            drop(connecting);
            carry(&mut stream, &mut talk, &mailbox, keep_alive).await
        }
    };
    let mailbox = talk.open.as_ref().map(|open| Arc::clone(&open.registration.mailbox));
    telemetry::ended(&context.stats, peer, mailbox.as_deref(), &end);
    talk.say_goodbye(&end);
    part(&mut stream, talk.session.out(), &end).await;
}

/// What a connection has once its store is known.
#[derive(Debug)]
struct Open {
    registration: Registration,
    trust: Trust,
    keep_alive: Duration,
}

struct Talk<'a> {
    context: &'a Context,
    peer: SocketAddr,
    session: Session,
    open: Option<Open>,
}

async fn log_in<S>(stream: &mut S, talk: &mut Talk<'_>) -> Result<(Arc<Mailbox>, Duration), End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        read(stream, |bytes| talk.receive(bytes)).await?;
        if let Some(open) = &talk.open {
            return Ok((Arc::clone(&open.registration.mailbox), open.keep_alive));
        }
    }
}

async fn carry<S>(stream: &mut S, talk: &mut Talk<'_>, mailbox: &Mailbox, keep_alive: Duration) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A connection is late when no packet came for one and a half keep-alives. The timer is set again only when it
    // fires, not for every packet.
    let patience = keep_alive + keep_alive / 2;
    let mut heard_at = Instant::now();
    let mut heard = talk.session.packets();
    let mut timer = pin!(sleep_until(heard_at + patience));
    loop {
        loop {
            let more = match talk.collect(mailbox) {
                Ok(more) => more,
                Err(end) => return end,
            };
            if let Err(end) = write(stream, talk.session.out(), talk.context).await {
                return end;
            }
            if !more {
                break;
            }
        }
        tokio::select! {
            () = mailbox.wake.notified() => {}
            result = read(stream, |bytes| talk.receive(bytes)) => {
                if let Err(end) = result {
                    return end;
                }
                if talk.session.packets() != heard {
                    heard = talk.session.packets();
                    heard_at = Instant::now();
                }
            }
            () = &mut timer => {
                if heard_at.elapsed() >= patience {
                    return End::KeepAlive;
                }
                timer.as_mut().reset(heard_at + patience);
            }
        }
    }
}

impl Talk<'_> {
    fn receive(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        self.context.stats.bytes_in.add(bytes.len() as u64);
        while let Some(action) = self.session.receive(&mut bytes)? {
            match action {
                Action::Login(login) => self.log_in(login)?,
                Action::Publish { packet_id, kind, payload } => self.uplink(packet_id, kind, payload)?,
                Action::Denied { packet_id } => {
                    self.context.stats.acl_denied.one();
                    self.answer(packet_id, PubackReasonCode::NotAuthorized);
                }
                Action::Subscriptions { denied } => {
                    self.context.stats.acl_denied.add(denied);
                    if let Some(open) = &self.open {
                        open.registration.mailbox.lock().set_subscriptions(self.session.subscriptions());
                    }
                }
                Action::Nothing => {}
                Action::Left => return Err(End::Left),
            }
        }
        Ok(())
    }

    fn log_in(&mut self, login: Login) -> Result<(), End> {
        let verified = login.verify(&*self.context.authenticator);
        let verified = verified.map_err(|refused| {
            telemetry::login_refused(self.peer, login.username.as_deref(), refused);
            self.session.refuse(refused.code());
            End::LoginRefused(refused)
        })?;
        let assigned = login.client_id.is_empty().then(|| self.context.router.new_client_id());
        let client_id = assigned.clone().unwrap_or(login.client_id);
        let Verified { store, trust } = verified;
        let registration = self.context.router.register(store, client_id).map_err(|no_room| match no_room {
            NoRoom::Store => {
                self.session.refuse(ConnectReasonCode::QuotaExceeded);
                End::StoreFull
            }
            NoRoom::Closing => {
                self.session.refuse(ConnectReasonCode::ServerUnavailable);
                End::Closing
            }
        })?;
        let seconds = self.session.accept(&registration.mailbox.store, assigned.as_deref())?;
        telemetry::logged_in(&self.context.stats, self.peer, &registration.mailbox);
        self.open = Some(Open { registration, trust, keep_alive: Duration::from_secs(seconds.into()) });
        Ok(())
    }

    fn uplink(&mut self, packet_id: Option<u16>, kind: Kind, payload: Bytes) -> Result<(), End> {
        let Some(open) = &self.open else { return Err(End::Fault(Fault::Ended)) };
        let mailbox = &open.registration.mailbox;
        let Some(bytes) = self.context.uplink_budget.take(payload.len() + MESSAGE_OVERHEAD_BYTES) else {
            self.refuse_for_overload(packet_id);
            return Ok(());
        };
        let unconfirmed = if packet_id.is_none() { mailbox.open_unconfirmed() } else { None };
        if packet_id.is_none() && unconfirmed.is_none() {
            self.context.stats.overload.one();
            return Ok(());
        }
        match self.context.ingress.try_reserve() {
            Ok(place) => {
                let slot = packet_id.map(|packet_id| mailbox.open_slot(packet_id));
                let permits = Permits { _bytes: bytes, _unconfirmed: unconfirmed };
                let receipt = Receipt::new(Arc::clone(mailbox), self.context.router.clone(), slot, permits);
                let store = mailbox.store.clone();
                place.send(Uplinked { connection: mailbox.id, store, kind, payload, trust: open.trust, receipt });
                self.context.stats.messages_in.one();
                Ok(())
            }
            Err(TrySendError::Full(())) => {
                self.refuse_for_overload(packet_id);
                Ok(())
            }
            Err(TrySendError::Closed(())) => Err(End::ServiceGone),
        }
    }

    fn refuse_for_overload(&self, packet_id: Option<u16>) {
        self.context.stats.overload.one();
        self.answer(packet_id, PubackReasonCode::QuotaExceeded);
    }

    fn answer(&self, packet_id: Option<u16>, code: PubackReasonCode) {
        if let (Some(packet_id), Some(open)) = (packet_id, &self.open) {
            open.registration.mailbox.answer(packet_id, code);
        }
    }

    /// Turns what waits in the mailbox into bytes, up to one write's worth. `true`: there is more.
    fn collect(&mut self, mailbox: &Mailbox) -> Result<bool, End> {
        let mut contents = mailbox.lock();
        while let Some(answer) = contents.next_answer() {
            match answer {
                Answer::Puback { packet_id, code } => self.session.puback(packet_id, code)?,
                Answer::None => self.session.abandon()?,
            }
        }
        while let Some(qos) = contents.next_qos() {
            if qos == DownlinkQos::AtLeastOnce && self.session.room() == 0 {
                break;
            }
            if self.session.out().len() >= WRITE_BYTES {
                return Ok(true);
            }
            let Some(message) = contents.take_next() else { break };
            let sent = self.session.publish(&message.topic, &message.payload, message.qos)?;
            let counter = if sent { &self.context.stats.messages_out } else { &self.context.stats.downlink_dropped };
            counter.one();
        }
        match contents.goodbye() {
            Some(goodbye) => Err(End::Goodbye(goodbye)),
            None => Ok(false),
        }
    }

    /// Ends that the session does not know of itself get their last packet here.
    fn say_goodbye(&mut self, end: &End) {
        let code = match end {
            End::KeepAlive => DisconnectReasonCode::KeepAliveTimeout,
            End::ServiceGone | End::Goodbye(Goodbye::ShuttingDown) => DisconnectReasonCode::ServerShuttingDown,
            End::Goodbye(Goodbye::TakenOver) => DisconnectReasonCode::SessionTakenOver,
            End::Goodbye(Goodbye::Revoked) => DisconnectReasonCode::NotAuthorized,
            End::Goodbye(Goodbye::Administrative) => DisconnectReasonCode::AdministrativeAction,
            End::Goodbye(Goodbye::TooSlow) => DisconnectReasonCode::QuotaExceeded,
            _ => return,
        };
        self.session.disconnect(code);
    }
}

/// One read; its bytes are parsed before anything else happens on this thread.
async fn read<S>(stream: &mut S, mut receive: impl FnMut(&[u8]) -> Result<(), End>) -> Result<(), End>
where
    S: AsyncRead + Unpin,
{
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)).map_err(End::Io)?;
            let bytes = buffer.filled();
            Poll::Ready(if bytes.is_empty() { Err(End::Closed) } else { receive(bytes) })
        })
    })
    .await
}

/// Writes everything, or ends: a client that does not read holds up nobody else.
async fn write<S>(stream: &mut S, out: &mut BytesMut, context: &Context) -> Result<(), End>
where
    S: AsyncWrite + Unpin,
{
    if out.is_empty() {
        return Ok(());
    }
    let written = timeout(context.limits.write_timeout, async {
        stream.write_all(out).await?;
        stream.flush().await
    });
    match written.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(End::Io(error)),
        Err(_) => {
            out.clear();
            return Err(End::SlowReader);
        }
    }
    context.stats.bytes_out.add(out.len() as u64);
    if out.capacity() > IDLE_BUFFER_BYTES {
        *out = BytesMut::new();
    } else {
        out.clear();
    }
    Ok(())
}

/// Writes the last packet, if there is one, and closes so that it arrives.
async fn part<S>(stream: &mut S, out: &mut BytesMut, end: &End)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if out.is_empty() || matches!(end, End::Closed | End::Io(_) | End::SlowReader) {
        return;
    }
    let linger = async {
        stream.write_all(out).await?;
        stream.shutdown().await?;
        let mut discarded = 0;
        let mut sink = [0; 1024];
        while discarded < LINGER_BYTES_MAX {
            match stream.read(&mut sink).await? {
                0 => break,
                n => discarded += n,
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Whether the client still hears is its own affair.
    let _ = timeout(LINGER, linger).await;
}
