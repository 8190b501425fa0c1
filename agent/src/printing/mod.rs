//! Printing: the shell around the crate `printing`, which makes the bytes and says what a job may do.
//!
//! Jobs stand in the books ([`crate::db::NewPrint`]), put there in the database transaction of what they print. Each printer has
//! a task of its own (`spooler`), which takes the oldest job that is its turn: it opens the way to the printer (`wire`), asks
//! how it is, notes in the books that the job is being sent, and only then sends the first byte. So
//!
//! - a printer that stands still holds up neither a sale nor another printer;
//! - a job of which nothing reached a printer goes on to the next one by itself, and waits there through a restart;
//! - a job that was cut off, by a printer or by the end of this program, is `maybe_printed`, and a person looks (T35);
//! - a copy says that it is one, whatever the template says, and opens no drawer (T17).
//!
//! Each till has printers of its own if the configuration says so. What another one prints for it opens no drawer: the
//! drawer on that printer is another till's.
//!
//! A drawer opens at once or not at all: nobody wants it to open by itself half an hour later.

mod conversation;
mod paper;
mod reach;
mod route;
mod spooler;
mod telemetry;
mod templates;
mod wire;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use printing::template::Kind;
use printing::{Document, Paper, Profile, encode, interpret};
use protocol::latest::print::{PrintTemplateView, PrinterView};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::PrinterConfig;
use crate::db::PrintJob;
use crate::readers::Readers;
use crate::watched::Watch;
use crate::writer::{WriteError, Writer};

pub use paper::Unprintable;
use route::Routes;
use templates::Templates;
pub use templates::{TEMPLATES_FOLDER, own_template};

/// What a printer was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Idle,
    Printing,
    Unreachable,
    Doubtful,
}

impl Seen {
    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Printing => "printing",
            Self::Unreachable => "unreachable",
            Self::Doubtful => "doubtful",
        }
    }
}

/// How a printer is, as its task saw it last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Health {
    seen: Seen,
    trouble: String,
    at_ms: i64,
}

/// The printers and templates, as the API sees them. Clones share them.
#[derive(Debug, Clone)]
pub struct Printing {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    routes: Routes,
    templates: Templates,
    health: Mutex<BTreeMap<String, Health>>,
    /// Conversations with printers end soon once it is set.
    ending: AtomicBool,
}

impl Printing {
    /// Reads the templates, makes what was being sent doubtful, and starts a task for each printer.
    pub(crate) async fn start(
        printers: Vec<PrinterConfig>,
        data_dir: &Path,
        writer: &Writer,
        readers: &Readers,
        tasks: &mut JoinSet<()>,
        kept: &Watch,
        ended: &watch::Receiver<bool>,
    ) -> Result<Self, WriteError> {
        let now_ms = writer.clock().now().utc_ms;
        let doubtful =
            writer.run(crate::db::Durability::Promise, move |store| store.recover_prints(None, now_ms)).await?;
        if doubtful > 0 {
            telemetry::doubtful_after_restart(doubtful);
        }
        let shared = Arc::new(Shared {
            routes: Routes::new(printers),
            templates: Templates::new(data_dir),
            health: Mutex::new(BTreeMap::new()),
            ending: AtomicBool::new(false),
        });
        let printing = Self { shared };
        printing.shared.templates.look(writer).await;
        let shared = (printing.clone(), writer.clone(), readers.clone(), ended.clone());
        tasks.spawn(kept.clone().keep("templates", {
            let (printing, writer, _, ended) = shared.clone();
            move || templates::keep(printing.clone(), writer.clone(), ended.clone())
        }));
        for (at, printer) in printing.shared.routes.printers().iter().enumerate() {
            let ((printing, writer, readers, ended), printer) = (shared.clone(), printer.clone());
            tasks.spawn(kept.clone().keep("printing", move || {
                let spooler = spooler::Spooler::new(printing.clone(), printer.clone(), at == 0, &writer, &readers);
                spooler.run(ended.clone())
            }));
        }
        if printing.shared.routes.printers().is_empty() {
            tasks.spawn(kept.clone().keep("printing", {
                let (printing, writer, readers, ended) = shared;
                move || spooler::fail_all(printing.clone(), writer.clone(), readers.clone(), ended.clone())
            }));
        }
        Ok(printing)
    }

    /// Whether any printer can print a job.
    fn prints(&self, job: &PrintJob) -> bool {
        !self.shared.routes.of_job(job).is_empty()
    }

    /// The printer of that name.
    pub fn printer(&self, name: &str) -> Option<&PrinterConfig> {
        self.shared.routes.printers().iter().find(|printer| printer.name.as_str() == name)
    }

    /// Every printer and how it is. `waiting` are the jobs that wait.
    pub fn views(&self, waiting: &[PrintJob]) -> Vec<PrinterView> {
        let health = self.health();
        let view = |printer: &PrinterConfig| {
            let name = printer.name.to_string();
            let seen = health.get(&name);
            let mine = |job: &&PrintJob| self.shared.routes.turn(job).is_some_and(|turn| turn.name == printer.name);
            PrinterView {
                address: printer.address.to_string(),
                profile: printer.profile_name.clone(),
                roles: printer.roles.iter().map(ToString::to_string).collect(),
                tills: printer.tills.clone(),
                fallback: printer.fallback.as_ref().map(ToString::to_string),
                state: seen.map_or(Seen::Idle, |health| health.seen).name().to_owned(),
                trouble: seen.map(|health| health.trouble.clone()).unwrap_or_default(),
                seen_at_ms: seen.map_or(0, |health| health.at_ms),
                waiting: u32::try_from(waiting.iter().filter(mine).count()).unwrap_or(u32::MAX),
                name,
            }
        };
        self.shared.routes.printers().iter().map(view).collect()
    }

    /// Which template each kind of paper has.
    pub fn templates(&self) -> Vec<PrintTemplateView> {
        self.shared.templates.views()
    }

    /// The paper of a job, as its next printer would print it.
    pub fn paper(&self, job: &PrintJob, data: &Value) -> Result<Paper, Unprintable> {
        let document = paper::document(job, data, &self.shared.templates)?;
        Ok(on_paper(&document, &self.shared.routes.turn(job).map_or(Profile::USUAL, |printer| printer.profile)))
    }

    /// The paper of a template with made-up data.
    pub fn sample(&self, kind: Kind, profile: &Profile) -> Result<Paper, Unprintable> {
        let document = self.shared.templates.render(kind, &printing::context::sample(kind))?;
        Ok(on_paper(&document, profile))
    }

    fn health(&self) -> MutexGuard<'_, BTreeMap<String, Health>> {
        self.shared.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the document to a printer of paper and ink that is a picture.
fn on_paper(document: &Document, profile: &Profile) -> Paper {
    interpret(&encode(document, profile), profile)
}
