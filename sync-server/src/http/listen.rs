//! Connections for the HTTP API: bounded, and with TLS when a certificate is set. A handshake happens in a task of its
//! own, so that a slow one holds nobody up.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Open connections: screens, scrapers and enrolling stores.
const CONNECTIONS_MAX: usize = 512;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after an accept that failed for want of something. A loop without it would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections for axum.
#[derive(Debug)]
pub(crate) struct HttpListener {
    address: SocketAddr,
    accepted: mpsc::Receiver<(HttpStream, SocketAddr)>,
}

impl HttpListener {
    /// Starts accepting on a bound socket. Ends when it is dropped.
    pub(crate) fn start(socket: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let (sender, accepted) = mpsc::channel(1);
        tokio::spawn(accept(socket, tls.map(TlsAcceptor::from), sender));
        Ok(Self { address, accepted })
    }
}

async fn accept(socket: TcpListener, tls: Option<TlsAcceptor>, sender: mpsc::Sender<(HttpStream, SocketAddr)>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
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
            // Fails only while the server stops.
            let _ = sender.send((HttpStream { transport, _permit: permit }, peer)).await;
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

/// A connection, with its place among those that may be open.
#[derive(Debug)]
pub(crate) struct HttpStream {
    transport: Transport,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

impl HttpStream {
    fn transport(self: Pin<&mut Self>) -> &mut Transport {
        &mut self.get_mut().transport
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.transport() {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for HttpStream {
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
