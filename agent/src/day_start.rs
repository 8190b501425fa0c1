//! What happens when a business date begins: what was sold out for a day is on sale again.
//!
//! Sales and prices go by the date itself, so nobody waits for this. It cleans up, tells the screens, and tells the centre.

use std::time::Duration;

use pos_model::{BusinessDate, DayCutOff};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::telemetry;
use crate::writer::{WriteError, Writer};

/// Between two looks at the date: how late a screen may learn that a day has begun.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs until the agent ends.
pub async fn run(writer: Writer, cut_off: DayCutOff, mut shutdown: watch::Receiver<bool>) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = shutdown.wait_for(|&ending| ending) => return,
        }
        let today = BusinessDate::of(writer.clock().now(), cut_off);
        // A disk that has failed is known, and is not asked again every second.
        if writer.stopped().is_none() && writer.sold_out().is_to_turn(today) {
            match writer.turn_sold_out().await {
                Ok(_) | Err(WriteError::Closed) => {}
                Err(error) => telemetry::day_start_failed(&error),
            }
        }
    }
}
