//! A printer of one test's own: takes jobs, or does what printers do on a bad day.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use printing::{Paper, Profile, interpret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// What this printer's memory holds, in bytes: as little as a real one's.
const MEMORY_BYTES: u32 = 4 * 1024;

/// How it behaves from the next connection on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// Prints what comes.
    Print,
    /// Prints a KiB, then rests for so long.
    PrintSlowly(Duration),
    /// Prints so many bytes, then stands still and keeps the connection.
    Stall(usize),
    /// Prints so many bytes, then breaks the connection.
    BreakOff(usize),
    /// Prints, and answers questions: to `DLE EOT` these two bytes, to `GS r` this one if there is one.
    Answer { ready: [u8; 2], done: Option<u8> },
}

pub(crate) struct Printer {
    pub(crate) address: SocketAddr,
    does: Arc<Mutex<Does>>,
    jobs: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Printer {
    pub(crate) async fn on() -> Self {
        Self::on_at("127.0.0.1:0".parse().expect("an address")).await
    }

    /// An address at which nothing answers, until a printer is switched on there.
    pub(crate) fn off() -> SocketAddr {
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
    }

    pub(crate) async fn on_at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("can be set");
        socket.set_recv_buffer_size(MEMORY_BYTES).expect("can be set");
        socket.bind(address).expect("is free");
        let listener = socket.listen(8).expect("listens");
        let address = listener.local_addr().expect("has one");
        let does = Arc::new(Mutex::new(Does::Print));
        let jobs = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(listener, Arc::clone(&does), Arc::clone(&jobs)));
        Self { address, does, jobs, task }
    }

    pub(crate) fn will(&self, does: Does) {
        *self.does.lock().expect("sound") = does;
    }

    /// What came on each connection, in order; questions included.
    pub(crate) fn jobs(&self) -> Vec<Vec<u8>> {
        self.jobs.lock().expect("sound").clone()
    }

    /// The paper of each job.
    pub(crate) fn papers(&self, profile: &Profile) -> Vec<Paper> {
        self.jobs().iter().map(|bytes| interpret(bytes, profile)).filter(|paper| paper.bitmap.height() > 0).collect()
    }
}

async fn serve(listener: TcpListener, does: Arc<Mutex<Does>>, jobs: Arc<Mutex<Vec<Vec<u8>>>>) {
    // Kept open: a printer that stands still does not hang up.
    let mut still = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        let place = {
            let mut jobs = jobs.lock().expect("sound");
            jobs.push(Vec::new());
            jobs.len() - 1
        };
        let does = *does.lock().expect("sound");
        still.extend(print(stream, does, place, &jobs).await);
    }
}

/// One connection at a time, as real ones do. Gives the connection back if it stands still.
async fn print(mut stream: TcpStream, does: Does, place: usize, jobs: &Mutex<Vec<Vec<u8>>>) -> Option<TcpStream> {
    let mut buffer = [0; 1024];
    loop {
        let so_far = jobs.lock().expect("sound")[place].len();
        let room = match does {
            Does::Stall(bytes) | Does::BreakOff(bytes) => buffer.len().min(bytes.saturating_sub(so_far)),
            Does::Print | Does::PrintSlowly(_) | Does::Answer { .. } => buffer.len(),
        };
        match does {
            Does::Stall(_) if room == 0 => return Some(stream),
            Does::BreakOff(_) if room == 0 => return None,
            Does::PrintSlowly(rest) => tokio::time::sleep(rest).await,
            _ => {}
        }
        let Ok(read) = stream.read(&mut buffer[..room]).await else { return None };
        if read == 0 {
            return None;
        }
        jobs.lock().expect("sound")[place].extend(&buffer[..read]);
        if let Does::Answer { ready, done } = does {
            let answer = {
                let all = jobs.lock().expect("sound");
                answer(&all[place], so_far, ready, done)
            };
            if stream.write_all(&answer).await.is_err() {
                return None;
            }
        }
    }
}

/// Answers the questions that ended behind `so_far`.
fn answer(all: &[u8], so_far: usize, ready: [u8; 2], done: Option<u8>) -> Vec<u8> {
    let ends = |question: &[u8]| (so_far..=all.len()).any(|end| end > so_far && all[..end].ends_with(question));
    let mut answer = Vec::new();
    for (question, byte) in [(2, ready[0]), (4, ready[1])] {
        answer.extend(ends(&[0x10, 0x04, question]).then_some(byte));
    }
    answer.extend(done.filter(|_| ends(&[0x1D, b'r', 1])));
    answer
}
