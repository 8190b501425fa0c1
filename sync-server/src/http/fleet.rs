//! The fleet as screens and scrapers see it: read at most once a second, however many look.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::credit::CreditJson;
use super::instances::InstancesView;
use super::problem::ApiError;
use super::readers::Readers;
use super::rollups_wire::RollupsState;
use super::state::is_lately;
use super::to_wire;
use super::wire::{AlertJson, Severity, StoreSummary};
use crate::broker::{BrokerHandle, PRESENT_FOR};
use crate::config::ParkingAlarm;
use crate::ingest::{IngestState, utc_ms};
use crate::instances::InstancesHandle;
use crate::ledger::{AlertKind, LatestDay, Reader, RollUpState, StoreRow};
use crate::mqtt::Router;

/// How old a view may be.
const VIEW_AGE_MAX: Duration = Duration::from_millis(900);

/// Stores in a live view: those that need attention come first, and a screen shows no more.
const LIVE_STORES_MAX: usize = 300;

/// Seconds of which the applied events are remembered, for the curve.
const PACE_SECONDS: usize = 120;

/// A store that was away for longer than this (10 min) needs somebody now.
const AWAY_ALARM_MS: i64 = 600_000;

/// Sales that are older than this (30 min) and not here need somebody now; above two minutes they are worth a look.
const UNSYNCED_ALARM_MS: i64 = 1_800_000;
const UNSYNCED_WARNING_MS: i64 = 120_000;

/// A disk with less room than this (512 MiB) will stop a store.
const DISK_FREE_MIN: i64 = 512 << 20;

/// What views are made of.
#[derive(Debug)]
pub(crate) struct FleetParts {
    pub(crate) readers: Readers,
    pub(crate) router: Router,
    pub(crate) broker: Option<BrokerHandle>,
    pub(crate) ingest: IngestState,
    pub(crate) instances: InstancesHandle,
    pub(crate) parking: ParkingAlarm,
}

/// Makes views.
#[derive(Debug)]
pub struct Fleet {
    readers: Readers,
    router: Router,
    broker: Option<BrokerHandle>,
    ingest: IngestState,
    instances: InstancesHandle,
    parking: ParkingAlarm,
    latest: tokio::sync::Mutex<Option<(Instant, Arc<FleetView>)>>,
    pace: Mutex<Pace>,
}

#[derive(Debug, Default)]
struct Pace {
    applied: u64,
    per_second: VecDeque<u64>,
}

/// The fleet at one moment.
#[derive(Debug)]
pub(super) struct FleetView {
    pub(super) at_ms: i64,
    pub(super) stores: Vec<StoreSummary>,
    pub(super) totals: FleetTotals,
    /// What the parked events of all stores are, if they are an alarm.
    pub(super) parking: Option<AlertJson>,
    /// [`Live`] as JSON.
    pub(super) live: Arc<str>,
}

/// What `GET /api/v1/live` sends every second.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Live {
    /// The server's clock.
    server_time_ms: i64,
    /// The server's version.
    server_version: &'static str,
    /// Sums over the fleet.
    totals: FleetTotals,
    /// Events applied in each of the last seconds, oldest first.
    pace: Vec<u64>,
    /// The stores, those that need attention first; at most 300.
    stores: Vec<LiveStore>,
    /// How many stores are left out.
    more_stores: usize,
}

/// Sums over the fleet.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct FleetTotals {
    /// Stores that may sell.
    pub(super) stores: usize,
    /// Those of them that are connected.
    pub(super) connected: usize,
    /// Those that have enrolled and are not connected.
    pub(super) offline: usize,
    /// Those that have not enrolled.
    pub(super) not_enrolled: usize,
    /// Stores whose login was taken away.
    pub(super) revoked: usize,
    /// Sales applied.
    pub(super) applied_sales: i64,
    /// Events applied.
    pub(super) applied_events: i64,
    /// Events applied in the last full second.
    pub(super) applied_per_second: u64,
    /// Events that stores hold and that have not arrived, as they reported last: those that are not connected may hold
    /// more.
    pub(super) backlog: i64,
    /// For how long the store was not heard that is away the longest.
    pub(super) away_longest_ms: Option<i64>,
    /// The age of the oldest event of the backlog.
    pub(super) oldest_unsynced_age_ms: Option<i64>,
    /// The store that holds it.
    pub(super) oldest_unsynced_store: Option<String>,
    /// Events that are parked and wait for a person.
    pub(super) parked: i64,
    /// For how long the oldest of them has waited.
    pub(super) parked_oldest_age_ms: Option<i64>,
    /// Whether so many wait, or one for so long, that it is an alarm.
    pub(super) parked_alarm: bool,
    /// Stores that need somebody now.
    pub(super) alarms: usize,
    /// Stores that are worth a look.
    pub(super) warnings: usize,
    /// Messages that wait for the ledger.
    pub(super) queued_messages: usize,
    /// What they occupy in memory.
    pub(super) queued_bytes: usize,
    /// How fast stores may send, and why.
    pub(super) credit: CreditJson,
    /// Whether the last commit succeeded.
    pub(super) ledger_well: bool,
    /// The link to the broker; null where there is none.
    pub(super) broker: Option<BrokerView>,
    /// The servers on this database; null where the ledger is a file.
    pub(super) instances: Option<InstancesView>,
    /// How far the roll-ups are.
    pub(super) rollups: RollupsState,
    /// The newest business date, by currency.
    pub(super) latest_day: Vec<LatestDayJson>,
}

/// The link to the broker.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct BrokerView {
    /// Where the broker is.
    address: String,
    /// Whether everything that comes by it is heard.
    well: bool,
    /// Connections that stand.
    connected: usize,
    /// Connections that are kept.
    connections: usize,
    /// Why one does not stand, in words.
    trouble: Option<String>,
}

impl BrokerView {
    fn of(broker: &BrokerHandle) -> Self {
        let status = broker.status();
        let (well, connected, connections) = (status.is_well(), status.connected, status.connections);
        Self { address: broker.address(), well, connected, connections, trouble: status.trouble }
    }
}

/// What was sold on the newest business date.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct LatestDayJson {
    business_date: String,
    currency: String,
    currency_decimals: u8,
    sales: i64,
    gross_minor: i64,
    refunds: i64,
    refund_gross_minor: i64,
    /// Sales less refunds, tax included.
    turnover_minor: i64,
}

/// A store in the live view.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveStore {
    #[serde(flatten)]
    store: StoreSummary,
    /// `alarm`, `warning`, `ok` or `idle`.
    attention: Attention,
    /// Why, in words, the worst first.
    words: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Attention {
    Alarm,
    Warning,
    Ok,
    Idle,
}

impl Fleet {
    pub(crate) fn new(parts: FleetParts) -> Self {
        let FleetParts { readers, router, broker, ingest, instances, parking } = parts;
        let latest = tokio::sync::Mutex::default();
        Self { readers, router, broker, ingest, instances, parking, latest, pace: Mutex::default() }
    }

    /// Notes the pace. To be called once a second with the events applied since the start.
    pub(crate) fn tick(&self, applied: u64) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let since = applied.saturating_sub(pace.applied);
        pace.applied = applied;
        pace.per_second.push_back(since);
        if pace.per_second.len() > PACE_SECONDS {
            pace.per_second.pop_front();
        }
    }

    /// What the service knows by itself.
    pub(super) fn ingest(&self) -> &IngestState {
        &self.ingest
    }

    /// The view, at most [`VIEW_AGE_MAX`] old. Who comes while it is being made waits for the same one.
    pub(super) async fn view(&self) -> Result<Arc<FleetView>, ApiError> {
        let mut latest = self.latest.lock().await;
        if let Some((made, view)) = &*latest
            && made.elapsed() < VIEW_AGE_MAX
        {
            return Ok(Arc::clone(view));
        }
        let now_ms = utc_ms();
        let read = move |books: &dyn Reader| Ok((books.stores()?, (books.latest_day(now_ms)?, books.roll_up_state()?)));
        let (rows, day) = self.readers.read(read).await?;
        let mut connected: HashSet<_> = self.router.connected_stores().into_iter().collect();
        if let Some(broker) = &self.broker {
            connected.extend(broker.presence().heard_within(PRESENT_FOR, Instant::now()));
        }
        let others_live = self.instances.others_live();
        let is_connected =
            |row: &StoreRow| connected.contains(&row.store) || (others_live && is_lately(row.last_contact_ms, now_ms));
        let stores: Vec<_> =
            rows.iter().map(|row| to_wire::store(row, is_connected(row), now_ms, self.parking)).collect();
        let oldest_parked_ms = rows.iter().filter_map(|row| row.oldest_parked_ms).min();
        let oldest_parked_age_ms = oldest_parked_ms.map(|oldest_ms| now_ms.saturating_sub(oldest_ms).max(0));
        let view = Arc::new(self.make(stores, day, oldest_parked_age_ms, now_ms));
        *latest = Some((Instant::now(), Arc::clone(&view)));
        Ok(view)
    }

    fn make(
        &self,
        stores: Vec<StoreSummary>,
        day: (Vec<LatestDay>, RollUpState),
        parked_oldest_age_ms: Option<i64>,
        now_ms: i64,
    ) -> FleetView {
        let pace: Vec<u64> =
            self.pace.lock().unwrap_or_else(PoisonError::into_inner).per_second.iter().copied().collect();
        let mut live: Vec<_> = stores.iter().map(|store| live_store(store.clone(), now_ms)).collect();
        let mut totals = self.totals(&live, day, pace.last().copied().unwrap_or_default(), now_ms);
        totals.parked_oldest_age_ms = parked_oldest_age_ms;
        totals.parked_alarm = self.parking.is_due(totals.parked, parked_oldest_age_ms);
        let parking = totals.parked_alarm.then(|| parking_alert(totals.parked, parked_oldest_age_ms));
        live.sort_by(|a, b| {
            let rank = |one: &LiveStore| (one.attention, std::cmp::Reverse(one.store.oldest_unsynced_age_ms));
            rank(a).cmp(&rank(b)).then_with(|| a.store.store_id.cmp(&b.store.store_id))
        });
        let more_stores = live.len().saturating_sub(LIVE_STORES_MAX);
        live.truncate(LIVE_STORES_MAX);
        let live = Live {
            server_time_ms: now_ms,
            server_version: env!("CARGO_PKG_VERSION"),
            totals: totals.clone(),
            pace,
            stores: live,
            more_stores,
        };
        let live = serde_json::to_string(&live).expect("text and numbers").into();
        FleetView { at_ms: now_ms, stores, totals, parking, live }
    }

    fn totals(
        &self,
        live: &[LiveStore],
        (day, roll_ups): (Vec<LatestDay>, RollUpState),
        applied_per_second: u64,
        now_ms: i64,
    ) -> FleetTotals {
        let active = || live.iter().filter(|one| one.store.status == "active");
        let count = |matches: fn(&LiveStore) -> bool| live.iter().filter(|one| matches(one)).count();
        // What one store reports must not stop the view of all, so a sum stays at the largest number.
        let sum =
            |value: fn(&StoreSummary) -> i64| live.iter().map(|one| value(&one.store)).fold(0, i64::saturating_add);
        let oldest = live.iter().filter_map(|one| Some((one.store.oldest_unsynced_age_ms?, &one.store.store_id))).max();
        let (queued_messages, queued_bytes) = self.ingest.queued();
        FleetTotals {
            stores: active().count(),
            connected: active().filter(|one| one.store.connected).count(),
            offline: active().filter(|one| one.store.enrolled && !one.store.connected).count(),
            not_enrolled: active().filter(|one| !one.store.enrolled && !one.store.connected).count(),
            revoked: count(|one| one.store.status != "active"),
            applied_sales: sum(|store| store.applied_sales),
            applied_events: sum(|store| store.applied_events),
            applied_per_second,
            backlog: sum(|store| store.backlog),
            away_longest_ms: active()
                .filter(|one| one.store.enrolled && !one.store.connected)
                .filter_map(|one| one.store.last_contact_ms)
                .min()
                .map(|contact| now_ms.saturating_sub(contact).max(0)),
            oldest_unsynced_age_ms: oldest.map(|(age, _)| age),
            oldest_unsynced_store: oldest.map(|(_, store)| store.clone()),
            parked: sum(|store| store.parked),
            parked_oldest_age_ms: None,
            parked_alarm: false,
            alarms: count(|one| one.attention == Attention::Alarm),
            warnings: count(|one| one.attention == Attention::Warning),
            queued_messages,
            queued_bytes,
            credit: self.ingest.credit().into(),
            ledger_well: self.ingest.ledger_well(),
            broker: self.broker.as_ref().map(BrokerView::of),
            instances: InstancesView::of(&self.instances.status(), self.broker.is_some()),
            rollups: RollupsState::of(&roll_ups, now_ms),
            latest_day: day.into_iter().map(latest_day).collect(),
        }
    }
}

/// The alarm of the parked events of all stores.
fn parking_alert(open: i64, oldest_age_ms: Option<i64>) -> AlertJson {
    let events = if open == 1 { "1 event waits".to_owned() } else { format!("{open} events wait") };
    let oldest = oldest_age_ms.map(|age_ms| format!(", the oldest for {}", duration(age_ms))).unwrap_or_default();
    AlertJson {
        kind: AlertKind::Parked.as_str(),
        count: open,
        text: format!("{events} for a person over all stores{oldest}"),
        severity: Severity::Alarm,
        advice: AlertKind::Parked.advice(),
    }
}

fn latest_day(day: LatestDay) -> LatestDayJson {
    let decimals = day.currency.parse::<pos_model::Currency>().map_or(2, |currency| currency.decimals());
    LatestDayJson {
        business_date: day.business_date.to_string(),
        currency: day.currency,
        currency_decimals: decimals,
        sales: day.sales,
        gross_minor: day.gross_minor,
        refunds: day.refunds,
        refund_gross_minor: day.refund_gross_minor,
        turnover_minor: day.gross_minor.saturating_sub(day.refund_gross_minor),
    }
}

/// Judges what a store needs, and says it in words.
fn live_store(store: StoreSummary, now_ms: i64) -> LiveStore {
    let mut found: Vec<(Attention, String)> = Vec::new();
    if store.status != "active" {
        return LiveStore { store, attention: Attention::Idle, words: vec!["its login was revoked".to_owned()] };
    }
    for alert in &store.alerts {
        let attention = match alert.severity {
            Severity::Alarm => Attention::Alarm,
            Severity::Warning => Attention::Warning,
        };
        found.push((attention, format!("{}: {}", alert.kind, alert.text)));
    }
    if !store.connected {
        match store.last_contact_ms {
            Some(contact) if store.enrolled => {
                let away_ms = now_ms.saturating_sub(contact).max(0);
                let attention = if away_ms > AWAY_ALARM_MS { Attention::Alarm } else { Attention::Warning };
                found.push((attention, format!("not connected, last heard {} ago", duration(away_ms))));
            }
            None if store.enrolled => found.push((Attention::Warning, "enrolled and never heard since".to_owned())),
            Some(_) | None => found.push((Attention::Idle, "not enrolled yet".to_owned())),
        }
    }
    if let Some(age_ms) = store.oldest_unsynced_age_ms
        && age_ms > UNSYNCED_WARNING_MS
    {
        let attention = if age_ms > UNSYNCED_ALARM_MS { Attention::Alarm } else { Attention::Warning };
        let said = if store.connected { "" } else { " when it was heard last" };
        let events = if store.backlog == 1 { "1 event".to_owned() } else { format!("{} events", store.backlog) };
        found.push((attention, format!("{events} not here yet{said}, the oldest {} old", duration(age_ms))));
    }
    if store.disk_free_bytes.is_some_and(|free| free < DISK_FREE_MIN) {
        let free = store.disk_free_bytes.unwrap_or_default() >> 20;
        found.push((Attention::Warning, format!("only {free} MiB free on its disk")));
    }
    found.sort_by_key(|(attention, _)| *attention);
    let attention = found.first().map_or(Attention::Ok, |(attention, _)| *attention);
    LiveStore { store, attention, words: found.into_iter().map(|(_, words)| words).collect() }
}

pub(super) fn duration(ms: i64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
