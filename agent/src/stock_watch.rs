//! Looking once a day whether the books of stock balance.
//!
//! The counters are computed again from the events that are held. If they differ, people in the store and the log are told;
//! nothing is put right by itself, because nobody knows which of the two is wrong.

use std::time::Duration;

use tokio::sync::watch;

use crate::commands::stock::in_words;
use crate::db::StockCheck;
use crate::readers::Readers;
use crate::telemetry;
use crate::writer::Writer;

/// After the start, when the tills have what they need.
const FIRST_AFTER: Duration = Duration::from_mins(15);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_hours(24);

/// Under which a difference stands in the notices.
const NOTICE: &str = "stock_check";

/// Differences that a notice names; `stock check` tells the others.
const DIFFERENCES_NAMED: usize = 3;

/// Runs until the agent ends.
pub async fn run(writer: Writer, readers: Readers, mut shutdown: watch::Receiver<bool>) {
    let mut pause = FIRST_AFTER;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = shutdown.wait_for(|&ending| ending) => return,
        }
        look(&writer, &readers).await;
        pause = LOOK_EVERY;
    }
}

/// Looks once, and tells what was found.
pub(crate) async fn look(writer: &Writer, readers: &Readers) {
    match readers.read(|view| view.check_stock()).await {
        Ok(found) if found.differences.is_empty() => {
            // Without it the notice stays until the next look.
            let _ = writer.settle_notice(NOTICE.to_owned()).await;
        }
        Ok(found) => {
            telemetry::stock_differs(found.differences_count);
            let shown = StockCheck {
                differences: found.differences.iter().take(DIFFERENCES_NAMED).cloned().collect(),
                ..found
            };
            let text = format!("The books of stock do not balance: {}.", in_words(&shown, None).replace('\n', " "));
            // Without the notice the log still says it.
            let _ = writer.raise_notice(NOTICE.to_owned(), text).await;
        }
        Err(error) => telemetry::stock_not_checked(&error),
    }
}
