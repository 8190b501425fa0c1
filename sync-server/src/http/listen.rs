//! Connections for the HTTP API: bounded in number and in silence, and with TLS when a certificate is set. A handshake
//! happens in a task of its own, so that a slow one holds nobody up.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::patience::{Patience, Patient};

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpLimits {
    /// How many may be open. Whoever comes after that waits in the system's queue.
    connections_max: usize,
    /// How long each is waited for.
    patience: Patience,
}

impl HttpLimits {
    /// For screens, scrapers and enrolling stores. A scraper comes once a minute and keeps its connection; answers take
    /// seconds at the most.
    pub(crate) const STANDARD: Self = Self {
        connections_max: 512,
        patience: Patience { request: Duration::from_secs(30), silence: Duration::from_secs(90) },
    };
}

/// Connections that wait for the accepting task in the system's queue.
const BACKLOG: u32 = 1_024;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after an accept that failed for want of something. A loop without it would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the address. Connections inherit that the system asks after a peer that is silent for hours.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that is started again takes its address back at once.
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections for axum.
#[derive(Debug)]
pub(crate) struct HttpListener {
    address: SocketAddr,
    accepted: mpsc::Receiver<(HttpStream, SocketAddr)>,
}

impl HttpListener {
    /// Starts accepting on a bound socket. Ends when it is dropped.
    pub(crate) fn start(
        socket: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        limits: HttpLimits,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let (sender, accepted) = mpsc::channel(1);
        tokio::spawn(accept(socket, tls.map(TlsAcceptor::from), limits, sender));
        Ok(Self { address, accepted })
    }
}

async fn accept(
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    limits: HttpLimits,
    sender: mpsc::Sender<(HttpStream, SocketAddr)>,
) {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = socket.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (sender, tls) = (sender.clone(), tls.clone());
        tokio::spawn(async move {
            let transport = match tls {
                None => Transport::Plain(stream),
                Some(tls) => match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => Transport::Tls(Box::new(stream)),
                    // A scanner, or somebody who speaks plain HTTP here.
                    Ok(Err(_)) | Err(_) => return,
                },
            };
            let stream = Patient::new(Connection { transport, _permit: permit }, limits.patience);
            // Fails only while the server stops.
            let _ = sender.send((stream, peer)).await;
        });
    }
}

impl axum::serve::Listener for HttpListener {
    type Io = HttpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (HttpStream, SocketAddr) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The accepting task has ended, which it does only when the runtime does.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A connection that is not waited for without end.
pub(crate) type HttpStream = Patient<Connection>;

/// A connection, with its place among those that may be open.
#[derive(Debug)]
pub(crate) struct Connection {
    transport: Transport,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

impl Connection {
    fn transport(self: Pin<&mut Self>) -> &mut Transport {
        &mut self.get_mut().transport
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.transport() {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.transport() {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.transport() {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.transport() {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMITS: HttpLimits = HttpLimits {
        connections_max: 2,
        patience: Patience { request: Duration::from_millis(200), silence: Duration::from_millis(200) },
    };

    fn listening() -> (TcpListener, SocketAddr) {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = socket.local_addr().expect("bound");
        (socket, address)
    }

    #[tokio::test]
    async fn who_is_silent_makes_room() {
        let (socket, address) = listening();
        let listener = HttpListener::start(socket, None, LIMITS).expect("starts");
        let router = axum::Router::new().route("/", get(async || "here"));
        let server = tokio::spawn(async { axum::serve(listener, router).await });
        let mut silent = Vec::new();
        for _ in 0..LIMITS.connections_max {
            silent.push(TcpStream::connect(address).await.expect("connects"));
        }
        let asked = async {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
            let mut answer = String::new();
            // It is kept for the next request, and ended when none comes.
            stream.read_to_string(&mut answer).await.expect("text");
            answer
        };
        let answer = timeout(Duration::from_secs(20), asked).await.expect("in time");
        assert!(answer.ends_with("here"), "{answer}");
        server.abort();
    }

    #[tokio::test]
    async fn connections_are_kept_alive() {
        let (socket, address) = listening();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), socket.accept());
        let (stream, _) = accepted.expect("accepted");
        let stream = TcpSocket::from_std_stream(stream.into_std().expect("of the runtime"));
        assert!(stream.keepalive().expect("known"));
        drop(client);
    }
}
