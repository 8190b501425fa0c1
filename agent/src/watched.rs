//! Tasks that have to run for as long as the agent does.
//!
//! A till goes on selling whatever becomes of a printer, a template or a clock. So a task that a defect ends is started again,
//! and people hear of it; nothing of that ends the agent.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::telemetry;
use crate::writer::Writer;

/// Before a task is started again: a defect that comes at once must not fill the log.
const AFTER_DEFECT: Duration = Duration::from_secs(5);

/// Looks after tasks. Clones share what they tell people by.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    writer: Writer,
    ended: watch::Receiver<bool>,
    pause: Duration,
}

impl Watch {
    pub(crate) fn new(writer: Writer, ended: watch::Receiver<bool>) -> Self {
        Self { writer, ended, pause: AFTER_DEFECT }
    }

    /// Runs a task until it ends by itself, and starts it again when it panics, until the agent ends. `name` is for people and
    /// for the key of the notice. The first one is made at the call, not when this first runs.
    pub(crate) fn keep<F>(
        self,
        name: &'static str,
        mut start: impl FnMut() -> F + Send + 'static,
    ) -> impl Future<Output = ()> + Send
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let first = start();
        self.go_on(name, first, start)
    }

    async fn go_on<F>(mut self, name: &'static str, first: F, mut start: impl FnMut() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut next = Some(first);
        loop {
            // A set of one: it ends its task when this future is dropped.
            let mut task = JoinSet::new();
            task.spawn(next.take().unwrap_or_else(&mut start));
            let Some(Err(error)) = task.join_next().await else { return };
            if !error.is_panic() {
                return;
            }
            let text = format!(
                "A part of the agent ({name}) was ended by a defect of this program and is started again. Selling goes on. \
                 Report what its log says."
            );
            let raised = self.writer.raise_notice(format!("defect.{name}"), text).await;
            telemetry::part_failed(name, raised.err().as_ref());
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                _ = self.ended.wait_for(|&ending| ending) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Changes;
    use crate::clock::{StoreClock, SystemClock};
    use crate::db::Durability;
    use crate::db::testing::{open_epoch, store};
    use jiff::tz::TimeZone;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_and_people_hear_of_it() {
        let mut books = store();
        let head = open_epoch(&mut books, 1);
        let clock = StoreClock::new(Arc::new(SystemClock), TimeZone::UTC);
        let (writer, _thread) = Writer::start(books, head, clock, Changes::new(head.place.epoch)).expect("starts");
        let (ending, ended) = watch::channel(false);
        let watch = Watch { pause: Duration::from_millis(1), ..Watch::new(writer.clone(), ended.clone()) };
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        let (third, begun) = tokio::sync::oneshot::channel();
        let mut third = Some(third);
        let kept = tokio::spawn(watch.keep("test", move || {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            let third = if number == 2 { third.take() } else { None };
            let mut ended = ended.clone();
            async move {
                let tell = third.expect("a test's own defect, twice");
                tell.send(()).expect("is waited for");
                let _ = ended.wait_for(|&ending| ending).await;
            }
        }));
        tokio::time::timeout(Duration::from_secs(20), begun).await.expect("in time").expect("begins");
        ending.send_replace(true);
        tokio::time::timeout(Duration::from_secs(20), kept).await.expect("in time").expect("ends in order");
        assert_eq!(starts.load(Ordering::Relaxed), 3, "what ends in order is not started again");
        let notices = writer.run(Durability::Hint, |store| store.view().notices()).await.expect("reads");
        assert_eq!(notices.iter().map(|notice| notice.key.as_str()).collect::<Vec<_>>(), ["defect.test"]);
    }
}
