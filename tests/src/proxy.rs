//! A TCP proxy that misbehaves on command, to stand between real processes.
//!
//! It listens on a port of its own and forwards to a target that may move (a restarted server gets a new port). What it
//! does to connections is one [`Mode`] that can be changed at any moment; connections that stand feel it at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forwards everything.
    Pass,
    /// Closes every connection, and each new one at once.
    Cut,
    /// Keeps connections open and forwards nothing either way: the peer looks alive and is not.
    Stall,
    /// Forwards only from the target to the client: what the client says is lost.
    DeafToClient,
    /// Forwards everything after a delay.
    Delay(Duration),
}

/// A running proxy. Dropping it closes everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: Arc<watch::Sender<(Mode, SocketAddr)>>,
    forwarded_bytes: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts on a free port of the loopback address.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the proxy")?;
        let address = listener.local_addr().context("read the proxy's address")?;
        let (sender, _) = watch::channel((Mode::Pass, target));
        let control = Arc::new(sender);
        let forwarded_bytes = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, Arc::clone(&control), Arc::clone(&forwarded_bytes)));
        Ok(Self { address, control, forwarded_bytes, task })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens to connections.
    pub fn set_mode(&self, mode: Mode) {
        self.control.send_modify(|(current, _)| *current = mode);
    }

    /// What happens to connections at present.
    pub fn mode(&self) -> Mode {
        self.control.borrow().0
    }

    /// Changes where new connections go.
    pub fn set_target(&self, target: SocketAddr) {
        self.control.send_modify(|(_, current)| *current = target);
    }

    /// Bytes forwarded in both directions since the start.
    pub fn forwarded_bytes(&self) -> u64 {
        self.forwarded_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.set_mode(Mode::Cut);
    }
}

async fn accept(
    listener: TcpListener,
    control: Arc<watch::Sender<(Mode, SocketAddr)>>,
    forwarded_bytes: Arc<AtomicU64>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of file descriptors or the like: later may be better.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (mode, target) = *control.borrow();
        if mode == Mode::Cut {
            continue;
        }
        let control = control.subscribe();
        let forwarded_bytes = Arc::clone(&forwarded_bytes);
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let up = forward(from_client, to_server, control.clone(), Direction::Up, &forwarded_bytes);
            let down = forward(from_server, to_client, control, Direction::Down, &forwarded_bytes);
            // One direction that ends takes the other with it, as a closed connection does.
            tokio::select! { () = up => {}, () = down => {} }
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut control: watch::Receiver<(Mode, SocketAddr)>,
    direction: Direction,
    forwarded_bytes: &AtomicU64,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let mode = control.borrow_and_update().0;
        match mode {
            Mode::Cut => return,
            Mode::Stall => {
                if control.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Mode::Pass | Mode::DeafToClient | Mode::Delay(_) => {}
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = control.changed() => {
                if changed.is_err() { return }
                continue;
            }
        };
        let length = match read {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        match mode {
            Mode::DeafToClient if direction == Direction::Up => continue,
            Mode::Delay(delay) => tokio::time::sleep(delay).await,
            _ => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        forwarded_bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo server; returns its address.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn answers(stream: &mut TcpStream, patience: Duration) -> bool {
        let mut byte = [0];
        stream.write_all(b"x").await.is_ok()
            && matches!(tokio::time::timeout(patience, stream.read_exact(&mut byte)).await, Ok(Ok(_)))
    }

    #[tokio::test]
    async fn modes() {
        let proxy = Proxy::start(echo().await).await.expect("starts");
        let long = Duration::from_secs(10);
        let short = Duration::from_millis(100);
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connects");
        assert!(answers(&mut stream, long).await);
        proxy.set_mode(Mode::Stall);
        assert!(!answers(&mut stream, short).await);
        proxy.set_mode(Mode::Pass);
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("what was stalled arrives");
        proxy.set_mode(Mode::DeafToClient);
        assert!(!answers(&mut stream, short).await);
        proxy.set_mode(Mode::Cut);
        assert!(matches!(tokio::time::timeout(long, stream.read(&mut byte)).await, Ok(Ok(0) | Err(_))));
        proxy.set_mode(Mode::Delay(Duration::from_millis(5)));
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connects");
        assert!(answers(&mut stream, long).await);
        assert!(proxy.forwarded_bytes() >= 4);
    }
}
