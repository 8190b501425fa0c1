//! One printer's task: takes the first job whose turn is here, and sees it through. Drawers and receipts come first, because a
//! customer waits for them; else the oldest comes first.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use printing::encode;
use printing::job::{Outcome, State};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::conversation::{Said, Terms, ask_ready, print};
use super::reach::{Reach, Turned};
use super::wire::{self, Wire};
use super::{Health, Printing, Seen, Unprintable, paper, telemetry};
use crate::config::PrinterConfig;
use crate::db::{Durability, Error, PrintJob, Store, Tried};
use crate::readers::Readers;
use crate::writer::{WriteError, Writer};

/// Between two looks at the queue when nothing is committed: a pause of a job may be over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After the books could not be read or written.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A printer that was not reached is not tried for that long where another one can take the job: fifty labels must not wait
/// fifty times for a printer that is off.
const DOWN_MS: i64 = 10_000;

/// A printer's task.
pub(super) struct Spooler {
    printing: Printing,
    printer: PrinterConfig,
    /// Whether it also fails the jobs that no printer has the role for.
    is_first: bool,
    writer: Writer,
    readers: Readers,
    down_since_ms: Option<i64>,
    reach: Reach,
}

impl Spooler {
    pub(super) fn new(
        printing: Printing,
        printer: PrinterConfig,
        is_first: bool,
        writer: &Writer,
        readers: &Readers,
    ) -> Self {
        let (writer, readers) = (writer.clone(), readers.clone());
        Self { printing, printer, is_first, writer, readers, down_since_ms: None, reach: Reach::default() }
    }

    /// Prints until the agent ends.
    pub(super) async fn run(mut self, mut ended: watch::Receiver<bool>) {
        let mut commits = self.writer.commits();
        let printing = self.printing.clone();
        let mut ending = ended.clone();
        tokio::spawn(async move {
            // An error means that the sender is gone, and with it the agent.
            let _ = ending.wait_for(|&ending| ending).await;
            printing.shared.ending.store(true, Ordering::Relaxed);
        });
        // What a defect of this task has left in the middle is in doubt.
        let (name, now_ms) = (self.printer.name.to_string(), self.now_ms());
        let recover = move |store: &mut Store| store.recover_prints(Some(&name), now_ms);
        if let Err(error) = self.writer.run(Durability::Promise, recover).await {
            telemetry::books_failed(&error);
        }
        while !*ended.borrow() {
            commits.mark_unchanged();
            let pause = match self.turn().await {
                Ok(true) => continue,
                Ok(false) => LOOK_EVERY,
                Err(WriteError::Closed) => return,
                Err(error) => {
                    telemetry::books_failed(&error);
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                changed = commits.changed(), if pause == LOOK_EVERY => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
                _ = ended.wait_for(|&ending| ending) => return,
            }
        }
    }

    /// Does one job, if one is due here.
    async fn turn(&mut self) -> Result<bool, WriteError> {
        let queued = match self.readers.read(|view| view.queued_prints()).await {
            Ok(queued) => queued,
            Err(error) => {
                telemetry::queue_not_read(&error);
                tokio::time::sleep(LOOK_EVERY).await;
                return Ok(false);
            }
        };
        let now_ms = self.now_ms();
        for job in queued {
            match self.printing.shared.routes.turn(&job) {
                None if self.is_first => {
                    fail(&self.writer, &job, "no printer of this till has this role").await?;
                }
                Some(printer) if printer.name == self.printer.name && job.progress.is_due(now_ms) => {
                    let printers = self.printing.shared.routes.of_job(&job).len();
                    if printers > 1 || self.reach.is_worth_a_try(job.progress.since_ms, now_ms) {
                        self.see_through(&job, printers).await?;
                        return Ok(true);
                    }
                    if job.progress.is_too_late(now_ms) {
                        self.pass_on(&job, printers).await?;
                        return Ok(true);
                    }
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Lets a job go on, to another printer or to its end, because this one was not reached a moment ago.
    async fn pass_on(&self, job: &PrintJob, printers: usize) -> Result<(), WriteError> {
        let trouble = self.printing.health().get(self.printer.name.as_str()).map(|health| health.trouble.clone());
        let said = Said { outcome: Outcome::NotReached, trouble: trouble.unwrap_or_default() };
        self.note(job, printers, said).await
    }

    /// Sees a job through that may go to so many printers.
    async fn see_through(&mut self, job: &PrintJob, printers: usize) -> Result<(), WriteError> {
        let now_ms = self.now_ms();
        if printers > 1 && self.down_since_ms.is_some_and(|since_ms| (0..DOWN_MS).contains(&(now_ms - since_ms))) {
            return self.pass_on(job, printers).await;
        }
        let id = job.id;
        let data = match self.readers.read(move |view| view.print_data(id)).await {
            Ok(Some(data)) => data,
            // Nobody removes a job that waits.
            Ok(None) => return Ok(()),
            Err(error) => return fail(&self.writer, job, &crate::telemetry::chain(&error)).await,
        };
        let bytes = match self.bytes(job, data, now_ms).await {
            Ok(bytes) => bytes,
            Err(why) => return fail(&self.writer, job, &why).await,
        };

        self.see(Seen::Printing, "");
        let wire = match self.open().await {
            Ok(wire) => wire,
            Err(trouble) => {
                let said = Said { outcome: Outcome::NotReached, trouble };
                return self.note_try(job, printers, said).await;
            }
        };
        // From here on the books say that it may be on paper, before the first byte can be.
        if let Err(error) = self.begin(job).await {
            self.see(Seen::Idle, "");
            return error.map_or(Ok(()), Err);
        }
        let said = self.converse(wire, bytes).await;
        self.note_try(job, printers, said).await
    }

    /// What is sent; or why there is nothing to send. A defect in the making of one job fails that job alone: if it ended
    /// the task, the job would be the next one's first again.
    async fn bytes(&self, job: &PrintJob, data: Value, now_ms: i64) -> Result<Vec<u8>, String> {
        let (printing, printer, job) = (self.printing.clone(), self.printer.clone(), job.clone());
        let making = spawn_blocking(move || {
            let document = paper::document_now(&job, &data, &printing.shared.templates, &printer, now_ms)?;
            Ok::<_, Unprintable>(encode(&document, &printer.profile))
        });
        match making.await {
            Ok(made) => made.map_err(|error| error.to_string()),
            Err(defect) => Err(format!("a defect of this program: {defect}")),
        }
    }

    async fn open(&self) -> Result<Box<dyn Wire>, String> {
        let (printing, printer) = (self.printing.clone(), self.printer.clone());
        let opened = spawn_blocking(move || {
            let mut wire = wire::open(&printer.address).map_err(|error: io::Error| error.to_string())?;
            ask_ready(&mut *wire, terms(&printer, &printing))?;
            Ok(wire)
        });
        opened.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Notes that it is being sent. `Err(None)`: somebody was quicker and took it back.
    async fn begin(&self, job: &PrintJob) -> Result<(), Option<WriteError>> {
        let (id, name, now_ms) = (job.id, self.printer.name.to_string(), self.now_ms());
        let begun = self.writer.run(Durability::Promise, move |store| match store.begin_print(id, &name, now_ms) {
            Ok(()) => Ok(true),
            Err(Error::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        });
        match begun.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(None),
            Err(error) => Err(Some(error)),
        }
    }

    async fn converse(&self, mut wire: Box<dyn Wire>, bytes: Vec<u8>) -> Said {
        let (printing, printer) = (self.printing.clone(), self.printer.clone());
        let conversation = spawn_blocking(move || print(&mut *wire, &bytes, terms(&printer, &printing)));
        // A defect in the conversation leaves it open how far it came.
        let defect = |error: tokio::task::JoinError| Said { outcome: Outcome::CutOff, trouble: error.to_string() };
        conversation.await.unwrap_or_else(defect)
    }

    /// Notes a try, and what it says of the printer.
    async fn note_try(&mut self, job: &PrintJob, printers: usize, said: Said) -> Result<(), WriteError> {
        let (outcome, now_ms) = (said.outcome, self.now_ms());
        telemetry::tried(job.id.get(), self.printer.name.as_str(), outcome, &said.trouble);
        match self.reach.note(outcome, now_ms) {
            Some(Turned::Lost) => telemetry::printer_lost(self.printer.name.as_str(), &said.trouble),
            Some(Turned::Back { tries }) => telemetry::printer_back(self.printer.name.as_str(), tries),
            None => {}
        }
        self.down_since_ms = (outcome == Outcome::NotReached).then(|| match self.down_since_ms {
            Some(since_ms) if (0..DOWN_MS).contains(&(now_ms - since_ms)) => since_ms,
            _ => now_ms,
        });
        self.see(
            match outcome {
                Outcome::NotReached => Seen::Unreachable,
                Outcome::CutOff | Outcome::Unconfirmed => Seen::Doubtful,
                Outcome::Taken | Outcome::Confirmed => Seen::Idle,
            },
            &said.trouble,
        );
        self.note(job, printers, said).await
    }

    async fn note(&self, job: &PrintJob, printers: usize, said: Said) -> Result<(), WriteError> {
        let Said { outcome, trouble } = said;
        let tried = Tried { outcome, printer: self.printer.name.to_string(), trouble, printers };
        let (id, now_ms) = (job.id, self.now_ms());
        self.writer.run(Durability::Hint, move |store| refused_is_done(store.note_print(id, &tried, now_ms))).await
    }

    fn see(&self, seen: Seen, trouble: &str) {
        let health = Health { seen, trouble: trouble.to_owned(), at_ms: self.now_ms() };
        self.printing.health().insert(self.printer.name.to_string(), health);
    }

    fn now_ms(&self) -> i64 {
        self.writer.clock().now().utc_ms
    }
}

fn terms<'a>(printer: &PrinterConfig, printing: &'a Printing) -> Terms<'a> {
    Terms { answers: printer.answers, patience: printer.patience, ending: &printing.shared.ending }
}

/// A person was quicker and took the job back: nothing is left to note.
fn refused_is_done(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::Refused(_)) => Ok(()),
        done => done,
    }
}

async fn fail(writer: &Writer, job: &PrintJob, why: &str) -> Result<(), WriteError> {
    telemetry::unprintable(job.id.get(), why);
    let (id, why, now_ms) = (job.id, why.to_owned(), writer.clock().now().utc_ms);
    writer.run(Durability::Hint, move |store| refused_is_done(store.fail_print(id, &why, now_ms))).await
}

/// Where there is no printer at all, every job fails, and says why.
pub(super) async fn fail_all(printing: Printing, writer: Writer, readers: Readers, mut ended: watch::Receiver<bool>) {
    let mut commits = writer.commits();
    loop {
        commits.mark_unchanged();
        let queued = match readers.read(|view| view.queued_prints()).await {
            Ok(queued) => queued,
            Err(error) => {
                telemetry::queue_not_read(&error);
                Vec::new()
            }
        };
        for job in queued.iter().filter(|job| job.progress.state == State::Queued && !printing.prints(job)) {
            if let Err(error) = fail(&writer, job, "the store has no printer").await {
                telemetry::books_failed(&error);
            }
        }
        tokio::select! {
            changed = commits.changed() => if changed.is_err() { return },
            _ = ended.wait_for(|&ending| ending) => return,
        }
    }
}
