//! Business dates, by a clock that a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use agent::clock::Clock;
use serde_json::{Value, json};

use crate::api_support::Store;
use crate::kit::{cash, id, sale_of};

/// A clock that shows what it was set to.
struct SetClock(AtomicI64);

impl SetClock {
    fn at(moment: &str) -> Arc<Self> {
        let clock = Self(AtomicI64::new(0));
        clock.set(moment);
        Arc::new(clock)
    }

    fn set(&self, moment: &str) {
        let moment: jiff::Timestamp = moment.parse().expect("a moment");
        self.0.store(moment.as_millisecond(), Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn utc_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

async fn store_at(clock: &Arc<SetClock>, zone: &str) -> Store {
    let folder = tempfile::tempdir().expect("a folder");
    Store::open_with(folder, Arc::clone(clock) as Arc<dyn Clock>, &[("store.time_zone", zone)]).await
}

/// Others: days split at midnight UTC, and till clock against server clock. The day turns over at four in the morning.
#[tokio::test]
async fn t36_a_sale_belongs_to_the_business_date_of_the_stores_own_time() {
    let clock = SetClock::at("2026-03-01T00:00:00Z");
    let shanghai = store_at(&clock, "Asia/Shanghai").await;
    let new_york = store_at(&clock, "America/New_York").await;
    let check = async |store: &Store, moment: &str, date: &str| {
        clock.set(moment);
        assert_eq!(store.buy("T1", 1).await.business_date.to_string(), date, "{moment}");
    };
    // 23:59, 00:01, 03:59 and 04:01 in Shanghai.
    check(&shanghai, "2026-03-01T15:59:00Z", "2026-03-01").await;
    check(&shanghai, "2026-03-01T16:01:00Z", "2026-03-01").await;
    check(&shanghai, "2026-03-01T19:59:00Z", "2026-03-01").await;
    check(&shanghai, "2026-03-01T20:01:00Z", "2026-03-02").await;
    // The night of 8 March 2026, in which clocks in New York jump from two to three.
    check(&new_york, "2026-03-08T06:59:00Z", "2026-03-07").await;
    check(&new_york, "2026-03-08T07:01:00Z", "2026-03-07").await;
    check(&new_york, "2026-03-08T07:59:00Z", "2026-03-07").await;
    check(&new_york, "2026-03-08T08:01:00Z", "2026-03-08").await;
    // The night of 1 November 2026, in which the hour from one to two comes twice.
    check(&new_york, "2026-11-01T05:30:00Z", "2026-10-31").await;
    check(&new_york, "2026-11-01T06:30:00Z", "2026-10-31").await;
    check(&new_york, "2026-11-01T08:59:00Z", "2026-10-31").await;
    check(&new_york, "2026-11-01T09:01:00Z", "2026-11-01").await;
}

#[tokio::test]
async fn t36_a_clock_that_is_set_back_does_not_sell_into_the_day_before() {
    // 04:30 on 2 March in Shanghai.
    let clock = SetClock::at("2026-03-01T20:30:00Z");
    let store = store_at(&clock, "Asia/Shanghai").await;
    let shift = store.open_shift("T1", 0).await;
    assert_eq!(store.buy("T1", 1).await.business_date.to_string(), "2026-03-02");
    clock.set("2026-03-01T18:30:00Z");
    assert_eq!(store.buy("T1", 1).await.business_date.to_string(), "2026-03-02", "the shift's own date holds");
    assert_eq!(
        store.buy("T2", 1).await.business_date.to_string(),
        "2026-03-01",
        "a till without shifts has the clock only"
    );
    // A clock that had been years ahead when the shift was opened is not believed for ever.
    clock.set("2026-02-20T12:00:00Z");
    assert_eq!(store.buy("T1", 1).await.business_date.to_string(), "2026-02-20");
    clock.set("2026-03-02T02:00:00Z");
    let z = store.close_shift("T1", &shift, 5400).await;
    assert_eq!(
        (&z["business_date"], &z["sales"]["count"]),
        (&json!("2026-03-02"), &json!(3)),
        "one report holds them all"
    );
}

#[tokio::test]
async fn a_shift_over_the_cut_off_sells_into_the_next_day_and_closes_as_one() {
    let clock = SetClock::at("2026-03-01T19:00:00Z");
    let store = store_at(&clock, "Asia/Shanghai").await;
    let shift = store.open_shift("T1", 0).await;
    store.buy("T1", 1).await;
    clock.set("2026-03-01T20:10:00Z");
    assert_eq!(store.buy("T1", 1).await.business_date.to_string(), "2026-03-02");
    let close = json!({"command_id": id(), "till_id": "T1", "business_date": "2026-03-01"});
    store.refused("/v1/days/close", &close, 422, "day.shift_open").await;
    store.close_shift("T1", &shift, 3600).await;
    let day: Value = store.act("/v1/days/close", &close).await;
    assert_eq!((&day["sales"]["count"], &day["shifts"]), (&json!(1), &json!([["T1", 1]])));
    let mut late = sale_of("T1", 1, cash(1800));
    late["till_id"] = json!("T9");
    clock.set("2026-03-01T19:30:00Z");
    store.sell(&late).await;
    let day: Value = store.read("/v1/days/2026-03-01").await;
    assert_eq!(day["amendments"], 1, "a clock that is set back sells into a closed day, and the day says so");
}
