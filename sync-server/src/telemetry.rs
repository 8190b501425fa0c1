//! The service's noteworthy events: each writes its log line and moves its metric. And the one place where an error is
//! written out with what caused it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use pos_model::{BookHash, BusinessDate, StoreId};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sync_core::server::{Outcome, Overload};

use crate::ledger::{EnrollRefused, Finding, LedgerError, ParkedProgress, PriceDifference, RollUpStep};
use crate::mqtt::Trust;

/// The counters of the ingest. Labels come from small sets; never a store, a sale or a SKU.
#[derive(Debug)]
pub struct Metrics {
    messages: Family<MessageLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    applied: Counter,
    parked: Counter,
    rewinds: Counter,
    forks: Counter,
    commits: Histogram,
    group_events: Histogram,
    commit_failures: Counter,
    tidying_failures: Counter,
    enrolments: Family<EnrolmentLabels, Counter>,
    price_checks: Family<ResultLabels, Counter>,
    dates_compared: Family<ResultLabels, Counter>,
    recalled: Counter,
    restored: Counter,
    rolled_up_events: Counter,
    rolled_up_days: Counter,
    roll_up_failures: Counter,
}

/// What came of pricing a sale again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceCheck {
    /// It costs what its book says.
    Same,
    /// It does not.
    Differs,
    /// The centre has not its book.
    UnknownBook,
    /// It was left out, because more came than could be priced.
    Skipped,
    /// The ledger could not be asked.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Kind {
    #[expect(non_camel_case_types, reason = "it is the label's text")]
    batch,
    #[expect(non_camel_case_types, reason = "it is the label's text")]
    hello,
    #[expect(non_camel_case_types, reason = "it is the label's text")]
    heartbeat,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnrolmentLabels {
    result: &'static str,
}

/// From half a millisecond, which a commit to memory takes, to seconds, which an overloaded disk takes.
const COMMIT_SECONDS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];

const GROUP_EVENTS: [f64; 9] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0];

impl Metrics {
    /// Makes the counters and enters them in a registry.
    /// Counters that nobody reads.
    pub fn unregistered() -> Self {
        Self::new(&mut Registry::default())
    }

    /// Counters that are read by way of a registry.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            messages: Family::default(),
            refused: Family::default(),
            applied: Counter::default(),
            parked: Counter::default(),
            rewinds: Counter::default(),
            forks: Counter::default(),
            commits: Histogram::new(COMMIT_SECONDS),
            group_events: Histogram::new(GROUP_EVENTS),
            commit_failures: Counter::default(),
            tidying_failures: Counter::default(),
            enrolments: Family::default(),
            price_checks: Family::default(),
            dates_compared: Family::default(),
            recalled: Counter::default(),
            restored: Counter::default(),
            rolled_up_events: Counter::default(),
            rolled_up_days: Counter::default(),
            roll_up_failures: Counter::default(),
        };
        let Self { messages, refused, applied, parked, rewinds, forks, .. } = &metrics;
        registry.register("ingest_messages", "Messages of stores that were answered", messages.clone());
        registry.register("ingest_refused_messages", "Messages of stores that were refused", refused.clone());
        registry.register("ingest_applied_events", "Events applied, replays not counted", applied.clone());
        registry.register("ingest_parked_events", "Events parked", parked.clone());
        registry.register("ingest_rewound_batches", "Batches that began beyond the cursor", rewinds.clone());
        registry.register("ingest_forked_batches", "Batches of another history", forks.clone());
        let seconds = || Unit::Seconds;
        registry.register_with_unit("ledger_commit", "Time for one group", seconds(), metrics.commits.clone());
        registry.register("ledger_group_events", "Events in one group", metrics.group_events.clone());
        registry.register("ledger_failed_commits", "Groups that failed", metrics.commit_failures.clone());
        let tidying = "Housekeeping of the ledger that failed";
        registry.register("ledger_failed_housekeeping", tidying, metrics.tidying_failures.clone());
        let checks = metrics.price_checks.clone();
        registry.register("price_checks", "Sales that were priced again, by what came of it", checks);
        let compared = metrics.dates_compared.clone();
        let help = "Business dates of stores that were found to differ, and that were put right";
        registry.register("reconciliation_dates", help, compared);
        let help = "Events that stores were asked for again, because the ledger had lost them";
        registry.register("reconciliation_recalled_events", help, metrics.recalled.clone());
        let help = "Events that got their rows in the ledger again";
        registry.register("reconciliation_restored_events", help, metrics.restored.clone());
        for (name, help, counter) in [
            ("rolled_up_events", "Events added to the roll-ups by this server", &metrics.rolled_up_events),
            ("rolled_up_days", "Dates of stores summed up anew by this server", &metrics.rolled_up_days),
            ("failed_roll_ups", "Steps of the roll-ups that failed", &metrics.roll_up_failures),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register("enrolments", "Enrolments by their result", metrics.enrolments.clone());
        metrics
    }

    /// Events applied since the start.
    pub fn applied_events(&self) -> u64 {
        self.applied.get()
    }

    /// A group is durable.
    pub fn group_committed(&self, outcomes: &[Outcome], events: usize, took: Duration) {
        self.commits.observe(took.as_secs_f64());
        self.group_events.observe(f64::from(u32::try_from(events).unwrap_or(u32::MAX)));
        for outcome in outcomes {
            let kind = match outcome {
                Outcome::Batch(batch) => {
                    self.applied.inc_by(batch.applied);
                    self.parked.inc_by(batch.parked.len() as u64);
                    self.rewinds.inc_by(u64::from(batch.rewind));
                    self.forks.inc_by(u64::from(batch.forked));
                    Kind::batch
                }
                Outcome::Hello(_) => Kind::hello,
                Outcome::Noted => Kind::heartbeat,
            };
            self.messages.get_or_create(&MessageLabels { kind }).inc();
        }
        tracing::debug!(messages = outcomes.len(), events, took_ms = took.as_millis(), "group committed");
    }

    /// A group failed, through no fault of any message in it.
    pub fn group_failed(&self, messages: usize, error: &dyn Error) {
        self.commit_failures.inc();
        tracing::error!(messages, error = chain(error), "group could not be committed; its stores will send again");
    }

    /// What the ledger does between groups failed, for the `in_a_row`th time; it is tried again. The first failure of a row
    /// is said aloud.
    pub fn tidying_failed(&self, error: &dyn Error, in_a_row: u32) {
        self.tidying_failures.inc();
        let (error, what) = (chain(error), "housekeeping of the ledger failed; what was committed stands");
        if in_a_row <= 1 {
            tracing::error!(error, "{what}");
        } else {
            tracing::debug!(error, in_a_row, "{what}");
        }
    }

    /// Events were parked: a person has to look.
    pub fn events_parked(&self, store: &StoreId, events: usize, forked: bool) {
        tracing::warn!(store_id = %store, events, forked, "events parked");
    }

    /// A message was refused for want of room.
    pub fn overloaded(&self, store: &StoreId, overload: Overload) {
        let reason = match overload {
            Overload::Queue => "queue_full",
            Overload::Store => "store_full",
            Overload::Late => "queue_late",
        };
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
        tracing::debug!(store_id = %store, reason, "message refused");
    }

    /// A message cannot be read, or is none that an agent sends.
    pub fn unreadable(&self, store: &StoreId, error: &dyn Error) {
        self.refused.get_or_create(&RefusedLabels { reason: "unreadable" }).inc();
        tracing::warn!(store_id = %store, error = chain(error), "message cannot be read");
    }

    /// A message names another store than its sender's login.
    pub fn wrong_store(&self, store: &StoreId, named: &StoreId) {
        self.refused.get_or_create(&RefusedLabels { reason: "wrong_store" }).inc();
        tracing::warn!(store_id = %store, %named, "message names another store than its login");
    }

    /// A message does not prove that its store made it. Whoever may publish at a broker can write as many of these as he
    /// likes: then it is no more than a counter and a line for whoever looks.
    pub fn unproven(&self, store: &StoreId, has_proof: bool, trust: Trust) {
        self.refused.get_or_create(&RefusedLabels { reason: "unproven" }).inc();
        let what = "message does not prove its store";
        match trust {
            Trust::Login => tracing::warn!(store_id = %store, has_proof, "{what}"),
            Trust::Proof => tracing::debug!(store_id = %store, has_proof, "{what}"),
        }
    }

    /// A message of a store that may say nothing: it is not known here, or its login was taken away, perhaps while the
    /// message was on its way. The line is as loud as that of [`Metrics::unproven`].
    pub fn not_active(&self, store: &StoreId, trust: Trust) {
        self.refused.get_or_create(&RefusedLabels { reason: "not_active" }).inc();
        let what = "message of a store refused that is unknown or revoked";
        match trust {
            Trust::Login => tracing::info!(store_id = %store, "{what}"),
            Trust::Proof => tracing::debug!(store_id = %store, "{what}"),
        }
    }

    /// An answer could not be built.
    pub fn answer_failed(&self, store: &StoreId, error: &dyn Error) {
        tracing::error!(store_id = %store, error = chain(error), "answer could not be built");
    }

    /// Sales were priced again, or left out.
    pub fn prices_checked(&self, result: PriceCheck, sales: usize) {
        let result = match result {
            PriceCheck::Same => "same",
            PriceCheck::Differs => "differs",
            PriceCheck::UnknownBook => "unknown_book",
            PriceCheck::Skipped => "skipped",
            PriceCheck::Failed => "failed",
        };
        self.price_checks.get_or_create(&ResultLabels { result }).inc_by(sales as u64);
    }

    /// A sale does not cost what its book says: a person has to look.
    pub fn price_differs(&self, store: &StoreId, difference: &PriceDifference) {
        let PriceDifference { sale_id, sold, computed, what, .. } = difference;
        let (sold, computed) = (sold.minor(), computed.minor());
        tracing::warn!(store_id = %store, %sale_id, sold, computed, what, "a sale does not cost what its price book says");
    }

    /// Sales come in under a book that the centre has not, so that they cannot be checked.
    pub fn price_book_missing(&self, hash: BookHash) {
        tracing::warn!(%hash, "stores sell by a price book that is not here; price-book add makes their prices checked");
    }

    /// A sale could not be checked; it counts all the same.
    pub fn price_check_failed(&self, error: &dyn Error) {
        tracing::error!(error = chain(error), "a sale's price could not be checked");
    }

    /// A business date is not in the ledger as the store holds it.
    pub fn date_differs(&self, store: &StoreId, business_date: BusinessDate, finding: &Finding) {
        self.dates_compared.get_or_create(&ResultLabels { result: "differs" }).inc();
        let Finding { what, store_facts, ledger_facts, outcome, .. } = finding;
        tracing::warn!(
            store_id = %store, %business_date, what, store_facts, ledger_facts, outcome,
            "a business date differs from what the store holds"
        );
    }

    /// The ledger holds of a business date again what the store holds.
    pub fn date_repaired(&self, store: &StoreId, business_date: BusinessDate) {
        self.dates_compared.get_or_create(&ResultLabels { result: "repaired" }).inc();
        tracing::warn!(store_id = %store, %business_date, "a business date was put right: the ledger had lost a part of it");
    }

    /// A store was asked for events that the ledger had confirmed and does not hold.
    pub fn events_recalled(&self, store: &StoreId, business_date: BusinessDate, events: i64) {
        self.recalled.inc_by(u64::try_from(events).unwrap_or_default());
        tracing::info!(store_id = %store, %business_date, events, "the store is asked for events again");
    }

    /// So many events have their rows again.
    pub fn events_restored(&self, events: i64) {
        self.restored.inc_by(u64::try_from(events).unwrap_or_default());
    }

    /// A business date could not be compared or put right; it is tried again.
    pub fn comparing_failed(&self, store: &StoreId, business_date: BusinessDate, error: &dyn Error) {
        self.dates_compared.get_or_create(&ResultLabels { result: "failed" }).inc();
        tracing::error!(store_id = %store, %business_date, error = chain(error), "a business date could not be compared");
    }

    /// What people want to be compared could not be read or noted.
    pub fn wishes_failed(&self, error: &dyn Error) {
        tracing::error!(error = chain(error), "what is to be compared could not be looked up");
    }

    /// A step of the roll-ups is durable.
    pub fn rolled_up(&self, step: RollUpStep) {
        self.rolled_up_events.inc_by(step.events);
        self.rolled_up_days.inc_by(step.days);
        if step.days_left > 0 {
            let days = step.days_left;
            tracing::warn!(days, "roll-ups of dates of stores stay as they are: messages of these dates were dropped");
        }
    }

    /// A step of the roll-ups failed; it is tried again.
    pub fn roll_up_failed(&self, error: &LedgerError) {
        self.roll_up_failures.inc();
        if error.is_busy() {
            tracing::warn!(error = chain(error), "the roll-ups have to wait for the database");
        } else {
            tracing::error!(error = chain(error), "the roll-ups could not be carried on; it is tried again");
        }
    }

    /// A store has enrolled.
    pub fn enrolled(&self, store: &StoreId) {
        self.enrolments.get_or_create(&EnrolmentLabels { result: "accepted" }).inc();
        tracing::info!(store_id = %store, "store enrolled");
    }

    /// A claim code did not hold.
    pub fn enrolment_refused(&self, store: &StoreId, reason: EnrollRefused) {
        self.enrolments.get_or_create(&EnrolmentLabels { result: "refused" }).inc();
        tracing::warn!(store_id = %store, reason = %reason, "enrolment refused");
    }

    /// Too many claim codes did not hold.
    pub fn enrolment_throttled(&self) {
        self.enrolments.get_or_create(&EnrolmentLabels { result: "throttled" }).inc();
        tracing::debug!("enrolment refused unseen: too many wrong claim codes");
    }
}

/// The broker's password file is like the registry.
pub fn passwords_written(file: &Path, changed: bool, stores: usize) {
    if changed {
        tracing::info!(file = %file.display(), stores, "password file for the broker written");
    }
}

/// The broker's password file is not like the registry: a store that has just enrolled is not let in there.
pub fn passwords_failed(error: &dyn Error) {
    tracing::error!(error = chain(error), "the password file for the broker could not be written");
}

/// Events that an older program had parked are being applied.
pub fn applying_parked(progress: ParkedProgress) {
    let ParkedProgress { looked_at, applied } = progress;
    tracing::info!(looked_at, applied, "applying events that were parked as of an unknown kind");
}

/// Events that an older program had parked are applied, as far as this one knows their kinds.
pub fn applied_parked(done: ParkedProgress) {
    let ParkedProgress { looked_at, applied } = done;
    if applied > 0 {
        tracing::info!(looked_at, applied, "applied events that were parked as of an unknown kind");
    }
    if looked_at > applied {
        tracing::warn!(
            still_parked = looked_at - applied,
            "some events that were parked as of an unknown kind stay parked"
        );
    }
}

/// An error with its causes, as one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, ": {cause}").expect("a string takes all");
        source = cause.source();
    }
    text
}
