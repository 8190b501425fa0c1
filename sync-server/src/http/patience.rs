//! A connection that is not waited for without end. Whoever is silent would otherwise keep one of the places for
//! connections, and a few hundred of them would keep everybody else out.
//!
//! - A request has a fixed time, from its first byte (or from the connect) to the first byte of its answer. Bytes that
//!   trickle in win no time.
//! - From each byte that leaves until the next one, or until the next request, there is a longer time. A stream of
//!   events goes on for as long as it writes and somebody takes it.
//!
//! It looks at bytes alone, so it stands around any stream and knows no HTTP. What is too late fails with `TimedOut`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From a request's beginning to the beginning of its answer.
    pub(crate) request: Duration,
    /// From one write to the next, or to the next request.
    pub(crate) silence: Duration,
}

/// A stream with its deadline.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    patience: Patience,
    deadline: Instant,
    /// Whether a request has begun that no byte has answered.
    asked: bool,
    /// Rings at the deadline or before it, so that a deadline that moves away with each write costs no timer.
    alarm: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    /// Begins to wait for the first request.
    pub(crate) fn new(stream: S, patience: Patience) -> Self {
        let deadline = Instant::now() + patience.request;
        Self { stream, patience, deadline, asked: true, alarm: Box::pin(sleep_until(deadline)) }
    }

    fn heard(&mut self) {
        if !self.asked {
            self.asked = true;
            self.wait_until(Instant::now() + self.patience.request);
        }
    }

    fn said(&mut self) {
        self.asked = false;
        self.wait_until(Instant::now() + self.patience.silence);
    }

    fn wait_until(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if deadline < self.alarm.deadline() {
            self.alarm.as_mut().reset(deadline);
        }
    }

    /// What the stream says, unless it says to wait and the deadline has passed.
    fn unless_late<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            if Instant::now() >= self.deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(self.deadline);
        }
    }

    fn wrote(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.said();
        }
        self.unless_late(cx, polled)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        if into.filled().len() > before {
            self.heard();
        }
        self.unless_late(cx, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.unless_late(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.unless_late(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{sleep, timeout};

    use super::*;

    const PATIENCE: Patience = Patience { request: Duration::from_millis(300), silence: Duration::from_secs(1) };

    /// Longer than both times together, reached only by a failure.
    const DEADLINE: Duration = Duration::from_secs(20);

    /// A connection, and the end of whoever asks. The pipe holds 16 bytes.
    fn pipe() -> (Patient<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(16);
        (Patient::new(ours, PATIENCE), theirs)
    }

    async fn is_late<T: std::fmt::Debug>(work: impl Future<Output = io::Result<T>>) {
        let ended = timeout(DEADLINE, work).await.expect("it is not waited for without end");
        assert_eq!(ended.expect_err("too late").kind(), io::ErrorKind::TimedOut);
    }

    async fn read_all(connection: &mut Patient<DuplexStream>) -> io::Result<()> {
        let mut bytes = [0; 4];
        while connection.read(&mut bytes).await? > 0 {}
        Ok(())
    }

    #[tokio::test]
    async fn who_never_asks_is_late() {
        let (mut connection, _theirs) = pipe();
        is_late(read_all(&mut connection)).await;
    }

    #[tokio::test]
    async fn a_request_that_trickles_in_is_late() {
        let (mut connection, mut theirs) = pipe();
        let trickle = async {
            while theirs.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = is_late(read_all(&mut connection)) => {}
            () = trickle => {}
        }
    }

    #[tokio::test]
    async fn who_asks_nothing_more_is_late() {
        let (mut connection, mut theirs) = pipe();
        theirs.write_all(b"ask").await.expect("written");
        let mut asked = [0; 3];
        connection.read_exact(&mut asked).await.expect("in time");
        connection.write_all(b"answer").await.expect("written");
        is_late(read_all(&mut connection)).await;
    }

    #[tokio::test]
    async fn who_takes_no_answer_is_late() {
        let (mut connection, _theirs) = pipe();
        is_late(connection.write_all(&[0; 64])).await;
    }

    #[tokio::test]
    async fn a_stream_that_is_taken_goes_on() {
        let (mut connection, mut theirs) = pipe();
        let (mut taken, mut bytes) = (0, [0; 4]);
        let started = Instant::now();
        while started.elapsed() < PATIENCE.silence * 3 {
            connection.write_all(b"tick").await.expect("it goes on");
            // Nothing is asked meanwhile, and the server listens whether it still is there.
            let heard = timeout(Duration::from_millis(50), connection.read(&mut bytes)).await;
            assert!(heard.is_err(), "{heard:?}");
            taken += theirs.read(&mut bytes).await.expect("readable");
        }
        assert!(taken > 0);
    }
}
