//! Encoded events for a load that is made before the clock starts.

use std::rc::Rc;
use std::sync::Arc;

use pos_model::Seq;
use protocol::latest::SaleCompleted;

use crate::load::{Curve, History, Outbox, Part, Plan, Story, Templates};

/// When every backlog ends: 2026-07-26 at ten in the evening, in UTC.
const DAY_ENDS_MS: i64 = 1_785_024_000_000 + 22 * 3_600_000;

/// How long a store is open, in milliseconds: from nine to ten in the evening.
const OPEN_MS: u64 = 13 * 3_600_000;

/// Makes the backlogs of some stores: an epoch each, with `sales` sales over one day, from templates that an agent has
/// priced.
pub fn outboxes(stores: u64, sales: u64, templates: &[SaleCompleted], seed: u64) -> Vec<Outbox> {
    let templates = Rc::new(Templates::new(templates));
    let plan = Plan { seed, begins_utc_ms: DAY_ENDS_MS, backlog_ms: OPEN_MS };
    let curve = Arc::new(Curve::new(&[], 0));
    let outbox = |number| {
        let curve = Arc::clone(&curve);
        let part = Part { number, backlog: sales, curve, share: 1, clock_off_ms: 0, poison: None };
        let story = Story::new(&plan, part, Rc::clone(&templates));
        let mut outbox = Outbox::new(story.epoch());
        for seq in 1..=History::head(&story).get() {
            outbox.push(story.event(Seq::new(seq)));
        }
        outbox
    };
    (0..stores).map(outbox).collect()
}
