//! Print jobs. They are kept before anything is sent, so that a power cut forgets none of them and prints none of them twice.
//!
//! What a job may do next is decided by [`printing::job`]; here it is kept. A job is put in within the database transaction
//! of what it prints: a sale that is recorded has its receipt in the queue.

use pos_model::{Stamp, TillId};
use printing::job::{JobRefusal, Outcome, Progress, State};
use printing::template::Kind;
use protocol::latest::local_api::Change;
use protocol::latest::print::PrintJobView;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::command::Refused;
use super::error::{Doing, Error};
use super::notice::Notice;
use super::store::{Durability, Store};
use super::view::View;

/// Jobs of one role that wait: an hour of labels of the busiest store. One more is kept as failed, for nobody waits for paper
/// that long. Labels that nobody prints leave receipts their room.
const WAITING_MAX: i64 = 500;

/// Jobs that wait, of all roles: as many roles as a store of sixteen printers has. What is behind them waits for its turn.
const QUEUE_SEEN_MAX: i64 = 16 * WAITING_MAX;

/// Jobs that are kept once they are over: the receipts and labels of a day or two, for a person who asks for a copy.
const KEPT: i64 = 5_000;

/// Jobs that are kept while a person has not said what became of them.
const DOUBTFUL_KEPT: i64 = 20_000;

/// The data of one job: a receipt of the largest sale is a fraction of it.
const DATA_BYTES_MAX: usize = 512 * 1024;

/// How late a drawer may open, in milliseconds. After that nobody stands before it.
const DRAWER_LATE_MS: u64 = 30_000;

/// The number of a print job in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrintJobId(i64);

impl PrintJobId {
    /// The job of that number, whether there is one or not.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// Something to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPrint {
    /// The kind of paper.
    pub kind: Kind,
    /// Whose printer: a role such as `receipt`, or `@` and the name of a printer.
    pub role: String,
    /// The till that it is printed for; none if it is the whole store's.
    pub till_id: Option<TillId>,
    /// What it belongs to: the id of a sale or shift, or nothing.
    pub subject: String,
    /// What the template is filled with: one of [`printing::context`].
    pub data: Value,
}

/// A job without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintJob {
    /// Its number.
    pub id: PrintJobId,
    /// The kind of paper.
    pub kind: Kind,
    /// Whose printer.
    pub role: String,
    /// The till that it is printed for.
    pub till_id: Option<TillId>,
    /// What it belongs to.
    pub subject: String,
    /// 0 for the first print.
    pub copy: u32,
    /// The first print, if this is a copy.
    pub original: Option<PrintJobId>,
    /// Where it is on its way.
    pub progress: Progress,
    /// The printer of the last try.
    pub printer: String,
    /// What went wrong there.
    pub trouble: String,
    /// When it was put in.
    pub created_at_ms: i64,
    /// When its state changed last.
    pub changed_at_ms: i64,
}

impl PrintJob {
    /// Whether it opens a drawer when it is printed at a moment, filled with these data. A copy does not, nor does what comes
    /// late: since it was put in, whoever asks for it again. After a clock was set back nobody can say how late it is.
    pub fn opens_drawer(&self, data: &Value, now_ms: i64) -> bool {
        let asked = self.kind == Kind::Drawer || data.get("drawer").and_then(Value::as_bool) == Some(true);
        asked && self.copy == 0 && now_ms.abs_diff(self.created_at_ms) <= DRAWER_LATE_MS
    }

    /// What a screen is told.
    pub fn view(&self) -> PrintJobView {
        PrintJobView {
            job_id: self.id.get(),
            kind: self.kind.name().to_owned(),
            role: self.role.clone(),
            till_id: self.till_id.clone(),
            subject: self.subject.clone(),
            copy: self.copy,
            original: self.original.map(PrintJobId::get),
            state: self.progress.state.name().to_owned(),
            tries: self.progress.tries,
            printer: self.printer.clone(),
            trouble: self.trouble.clone(),
            created_at_ms: self.created_at_ms,
            changed_at_ms: self.changed_at_ms,
        }
    }
}

/// How the keys of the notices about full queues begin.
const FULL: &str = "print_full.";

/// Under which a role whose queue is full stands in the notices.
fn full_key(role: &str) -> String {
    format!("{FULL}{role}")
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// What can be known of it.
    pub outcome: Outcome,
    /// The printer.
    pub printer: String,
    /// What went wrong, in words; empty if nothing did.
    pub trouble: String,
    /// How many printers the job's role has.
    pub printers: usize,
}

const COLUMNS: &str =
    "job_id, kind, role, subject, copy, original, state, tries, place, due_at, since, printer, trouble,
    created_at, changed_at, till_id";

impl Store {
    /// Puts a job in. Within the operation whose paper it is, or by itself.
    ///
    /// It never fails for what is asked: when too many wait, or the data are too large, the job is kept as failed, and a
    /// person sees it. No sale is refused for its receipt.
    pub fn enqueue_print(&mut self, new: NewPrint, at: Stamp) -> Result<PrintJobId, Error> {
        self.insert_print(new, at.utc_ms, 0, None)
    }

    fn insert_print(
        &mut self,
        new: NewPrint,
        now_ms: i64,
        copy: u32,
        original: Option<PrintJobId>,
    ) -> Result<PrintJobId, Error> {
        self.atomically(Durability::Promise, |store| {
            let doing = "keep a print job";
            let waiting = store.waiting_prints(&new.role)?;
            let mut data = new.data.to_string();
            let mut progress = Progress::queued(now_ms);
            let mut trouble = "";
            if waiting >= WAITING_MAX {
                trouble = "too many jobs wait already";
                store.tell_of_full_role(&new.role, now_ms)?;
            }
            if data.len() > DATA_BYTES_MAX {
                trouble = "too large to be printed";
                data = Value::Null.to_string();
            }
            if !trouble.is_empty() {
                progress.state = State::Failed;
            }
            store
                .connection
                .prepare_cached(
                    "INSERT INTO print_job (kind, role, subject, data, copy, original, state, tries, place, due_at, since,
                        created_at, changed_at, printer, trouble, till_id)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, ?8, ?8, ?8, ?8, '', ?9, ?10)",
                )
                .and_then(|mut insert| {
                    insert.execute(params![
                        new.kind.name(),
                        new.role,
                        new.subject,
                        data,
                        copy,
                        original.map(PrintJobId::get),
                        progress.state.name(),
                        now_ms,
                        trouble,
                        new.till_id.as_ref().map_or("", |till_id| till_id.as_str())
                    ])
                })
                .doing(doing)?;
            let id = PrintJobId(store.connection.last_insert_rowid());
            store.trim_prints(id)?;
            store.tell_print(id)?;
            Ok(id)
        })
    }

    fn tell_of_full_role(&mut self, role: &str, now_ms: i64) -> Result<(), Error> {
        let text = format!(
            "{WAITING_MAX} print jobs wait for the printers of {role}; what comes is not printed. Look at those printers. \
             What failed is listed under /v1/print-jobs?state=failed and can be asked for again."
        );
        self.raise_notice(&Notice { key: full_key(role), at_ms: now_ms, text })
    }

    /// Takes the notice of a full role back once half of the queue is free, so that it does not come and go with each job.
    fn settle_full_role(&mut self, role: &str) -> Result<(), Error> {
        if self.has_notice(&full_key(role))? && self.waiting_prints(role)? < WAITING_MAX / 2 {
            self.settle_notice(&full_key(role))?;
        }
        Ok(())
    }

    fn waiting_prints(&self, role: &str) -> Result<i64, Error> {
        self.connection
            .prepare_cached("SELECT count(*) FROM print_job WHERE state = 'queued' AND role = ?1")
            .and_then(|mut select| select.query_row([role], |row| row.get(0)))
            .doing("count the print jobs that wait")
    }

    /// Lets old jobs go. Those that wait stay: there are at most [`WAITING_MAX`] of them for each role.
    fn trim_prints(&self, newest: PrintJobId) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "DELETE FROM print_job WHERE job_id < ?1 AND state NOT IN ('queued', 'sending')
                    AND (state <> 'maybe_printed' OR job_id < ?2)",
            )
            .and_then(|mut delete| delete.execute([newest.get() - KEPT, newest.get() - DOUBTFUL_KEPT]))
            .doing("let old print jobs go")
            .map(drop)
    }

    /// The first byte of a job comes next, at this printer. It has to be on disk before that byte is sent.
    pub fn begin_print(&mut self, id: PrintJobId, printer: &str, now_ms: i64) -> Result<(), Error> {
        self.advance_print(Durability::Promise, id, Some((printer, "")), now_ms, |progress| progress.begin(now_ms))
    }

    /// What became of a try.
    pub fn note_print(&mut self, id: PrintJobId, tried: &Tried, now_ms: i64) -> Result<(), Error> {
        let last = Some((tried.printer.as_str(), tried.trouble.as_str()));
        self.advance_print(Durability::Hint, id, last, now_ms, |progress| {
            progress.note(tried.outcome, tried.printers, now_ms)
        })
    }

    /// A job that cannot be printed at all: its template does not fit its data, or no printer has its role.
    pub fn fail_print(&mut self, id: PrintJobId, trouble: &str, now_ms: i64) -> Result<(), Error> {
        self.advance_print(Durability::Hint, id, Some(("", trouble)), now_ms, |progress| {
            progress.cancel().map(|()| progress.state = State::Failed)
        })
    }

    /// The program starts, or the task of one printer: what was being sent when it ended is in doubt. Answers how many jobs
    /// that are. When the program starts, what waits for its next try is due at once, and a notice of a full queue that is
    /// not full any more goes.
    ///
    /// It is one step for all jobs that wait: a start may find as many as a queue holds, and tills wait for it.
    pub fn recover_prints(&mut self, printer: Option<&str>, now_ms: i64) -> Result<usize, Error> {
        self.atomically(Durability::Promise, |store| {
            if printer.is_none() {
                store
                    .connection
                    .execute("UPDATE print_job SET due_at = ?1 WHERE state = 'queued' AND due_at > ?1", [now_ms])
                    .doing("let the print jobs that wait be due")?;
                for notice in store.view().notices()? {
                    if let Some(role) = notice.key.strip_prefix(FULL) {
                        store.settle_full_role(role)?;
                    }
                }
            }
            let sending = "WHERE state = 'sending' ORDER BY job_id LIMIT ?1";
            let mut sending = select(&store.connection, sending, QUEUE_SEEN_MAX)?;
            sending.retain(|job| printer.is_none_or(|printer| job.printer == printer));
            for job in &sending {
                let last = Some((job.printer.as_str(), "the agent ended while it was being sent"));
                store.advance_print(Durability::Promise, job.id, last, now_ms, |progress| {
                    progress.recover(now_ms);
                    Ok(())
                })?;
            }
            Ok(sending.len())
        })
    }

    /// A person looked at the paper of a job in doubt.
    pub fn resolve_print(&mut self, id: PrintJobId, is_on_paper: bool, now_ms: i64) -> Result<PrintJob, Error> {
        self.advance_print(Durability::Promise, id, None, now_ms, |progress| progress.resolve(is_on_paper))?;
        self.known_print(id)
    }

    /// A person takes a job back that waits.
    pub fn cancel_print(&mut self, id: PrintJobId, now_ms: i64) -> Result<PrintJob, Error> {
        self.advance_print(Durability::Promise, id, None, now_ms, Progress::cancel)?;
        self.known_print(id)
    }

    /// What a job that waits would print is not so any more; `why` is kept with it.
    pub(super) fn drop_print(&mut self, id: PrintJobId, why: &str, now_ms: i64) -> Result<(), Error> {
        self.advance_print(Durability::Promise, id, Some(("", why)), now_ms, Progress::cancel)
    }

    /// A person asks again for a job of which nothing has reached a printer.
    pub fn retry_print(&mut self, id: PrintJobId, now_ms: i64) -> Result<PrintJob, Error> {
        self.advance_print(Durability::Promise, id, None, now_ms, |progress| progress.retry(now_ms))?;
        self.known_print(id)
    }

    /// A person asks for a copy: a job of its own, whose paper says so (T17). A job in doubt counts as not printed from
    /// then on: whoever asks for a copy has looked.
    pub fn reprint(&mut self, id: PrintJobId, at: Stamp) -> Result<PrintJob, Error> {
        self.atomically(Durability::Promise, |store| {
            let job = store.known_print(id)?;
            let refused = |text: &str| Err(Refused::overtaken("print.not_printed_yet", text).into());
            match job.progress.state {
                State::Printed | State::NotPrinted => {}
                State::MaybePrinted => drop(store.resolve_print(id, false, at.utc_ms)?),
                State::Queued | State::Sending => return refused("the job is on its way; there is nothing to copy"),
                State::Failed | State::Cancelled => {
                    return refused("nothing of the job is on paper; ask for it again instead of a copy");
                }
            }
            if job.kind == Kind::Drawer {
                return Err(Refused::rule("print.no_paper", "opening a drawer leaves no paper to copy").into());
            }
            let original = job.original.unwrap_or(id);
            let last: u32 = store
                .connection
                .query_row(
                    "SELECT coalesce(max(copy), 0) FROM print_job WHERE original = ?1",
                    [original.get()],
                    |row| row.get(0),
                )
                .doing("count the copies of a print job")?;
            let data = store.view().print_data(id)?.unwrap_or(Value::Null);
            let new = NewPrint { kind: job.kind, role: job.role, till_id: job.till_id, subject: job.subject, data };
            let copy = last.max(job.copy).saturating_add(1);
            let id = store.insert_print(new, at.utc_ms, copy, Some(original))?;
            store.known_print(id)
        })
    }

    /// A job; refused if it is not kept.
    pub fn known_print(&self, id: PrintJobId) -> Result<PrintJob, Error> {
        let job = self.view().print_job(id)?;
        job.ok_or_else(|| {
            Refused::unknown("print.unknown_job", format!("print job {} is not kept here", id.get())).into()
        })
    }

    fn advance_print(
        &mut self,
        durability: Durability,
        id: PrintJobId,
        last: Option<(&str, &str)>,
        now_ms: i64,
        step: impl FnOnce(&mut Progress) -> Result<(), JobRefusal>,
    ) -> Result<(), Error> {
        self.atomically(durability, |store| {
            let job = store.known_print(id)?;
            let mut progress = job.progress;
            step(&mut progress).map_err(|refusal| Refused::overtaken("print.state", refusal))?;
            let (printer, trouble) = last.unwrap_or((&job.printer, &job.trouble));
            store
                .connection
                .prepare_cached(
                    "UPDATE print_job SET state = ?2, tries = ?3, place = ?4, due_at = ?5, since = ?6, changed_at = ?7,
                        printer = ?8, trouble = ?9 WHERE job_id = ?1",
                )
                .and_then(|mut update| {
                    update.execute(params![
                        id.get(),
                        progress.state.name(),
                        progress.tries,
                        i64::try_from(progress.printer).unwrap_or(0),
                        progress.due_ms,
                        progress.since_ms,
                        now_ms,
                        printer,
                        trouble
                    ])
                })
                .doing("note what became of a print job")?;
            if job.progress.state == State::Queued && progress.state != State::Queued {
                store.settle_full_role(&job.role)?;
            }
            store.tell_print(id)
        })
    }

    fn tell_print(&mut self, id: PrintJobId) -> Result<(), Error> {
        let view = self.known_print(id)?.view();
        self.changed(Change::PrintJob(view));
        Ok(())
    }
}

impl View<'_> {
    /// A job.
    pub fn print_job(&self, id: PrintJobId) -> Result<Option<PrintJob>, Error> {
        let jobs = select(self.connection, "WHERE job_id = ?1", id.get())?;
        Ok(jobs.into_iter().next())
    }

    /// What a job's template is filled with.
    pub fn print_data(&self, id: PrintJobId) -> Result<Option<Value>, Error> {
        let text: Option<String> = self
            .connection
            .prepare_cached("SELECT data FROM print_job WHERE job_id = ?1")
            .and_then(|mut select| select.query_row([id.get()], |row| row.get(0)).optional())
            .doing("read the data of a print job")?;
        text.map(|text| {
            serde_json::from_str(&text).map_err(|error| Error::Damaged(format!("print job {}: {error}", id.get())))
        })
        .transpose()
    }

    /// The jobs that are not over, the oldest first: those that wait, are being sent, or are in doubt.
    pub fn open_prints(&self) -> Result<Vec<PrintJob>, Error> {
        let open = "WHERE state IN ('queued', 'sending', 'maybe_printed') ORDER BY job_id LIMIT ?1";
        select(self.connection, open, QUEUE_SEEN_MAX + DOUBTFUL_KEPT)
    }

    /// The jobs that wait, as they are to be printed: drawers, then receipts, for which a customer waits, then the others;
    /// the oldest first.
    pub fn queued_prints(&self) -> Result<Vec<PrintJob>, Error> {
        let queued = "WHERE state = 'queued' ORDER BY kind <> 'drawer', role <> 'receipt', job_id LIMIT ?1";
        select(self.connection, queued, QUEUE_SEEN_MAX)
    }

    /// The newest jobs, at most `rows_max`.
    pub fn newest_prints(&self, rows_max: u32) -> Result<Vec<PrintJob>, Error> {
        select(self.connection, "ORDER BY job_id DESC LIMIT ?1", i64::from(rows_max))
    }

    /// The newest jobs of a sale or shift, at most 500.
    pub fn prints_of(&self, subject: &str) -> Result<Vec<PrintJob>, Error> {
        let of = "WHERE subject = ?1 AND subject <> '' ORDER BY job_id DESC LIMIT 500";
        select(self.connection, of, subject)
    }
}

fn select(connection: &Connection, which: &str, value: impl rusqlite::ToSql) -> Result<Vec<PrintJob>, Error> {
    let doing = "read print jobs";
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM print_job {which}")).doing(doing)?;
    let mut rows = statement.query([value]).doing(doing)?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        jobs.push(read(row)?);
    }
    Ok(jobs)
}

fn read(row: &Row<'_>) -> Result<PrintJob, Error> {
    let doing = "read a print job";
    let text = |at: usize| row.get::<_, String>(at).doing(doing);
    let number = |at: usize| row.get::<_, i64>(at).doing(doing);
    let id = PrintJobId(number(0)?);
    let (kind, state) = (text(1)?, text(6)?);
    let damaged = |what: &str| Error::Damaged(format!("print job {}: {what:?} is none of ours", id.get()));
    let till_id = text(15)?;
    Ok(PrintJob {
        id,
        kind: Kind::named(&kind).ok_or_else(|| damaged(&kind))?,
        role: text(2)?,
        till_id: match till_id.as_str() {
            "" => None,
            till_id => Some(till_id.parse().map_err(|_| damaged(till_id))?),
        },
        subject: text(3)?,
        copy: row.get(4).doing(doing)?,
        original: row.get::<_, Option<i64>>(5).doing(doing)?.map(PrintJobId),
        progress: Progress {
            state: State::named(&state).ok_or_else(|| damaged(&state))?,
            tries: row.get(7).doing(doing)?,
            printer: usize::try_from(number(8)?).unwrap_or(0),
            due_ms: number(9)?,
            since_ms: number(10)?,
        },
        printer: text(11)?,
        trouble: text(12)?,
        created_at_ms: number(13)?,
        changed_at_ms: number(14)?,
    })
}

#[cfg(test)]
mod tests;
