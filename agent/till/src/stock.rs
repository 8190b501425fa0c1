//! The arithmetic of stock.
//!
//! What was added to stock and what was used of it are counters that only grow, one pair for each business date, item and
//! epoch of the agent ([`Counters`]). A report of counters may come late, twice, or after a newer one: merging takes the
//! larger of both, so none of that matters.
//!
//! A count says how much there was at its *frontier*, the newest event that it has seen. It remembers the sums of the
//! counters there, so what is on hand is the count, and what the sums have grown by since ([`on_hand`]): no history is
//! walked, and an event belongs to the count exactly if it stood in the history when the count began, whatever business
//! date it names.
//!
//! Nothing here refuses a sale. Stock below zero is flagged, because then the books are wrong, and not the shelf.

mod counter;
mod cover;
mod movement;
mod on_hand;

pub use counter::{CounterKey, Counters, Totals};
pub use cover::{Cover, CoverRule, RecentUse, StockFlag, cover, flags};
pub use movement::{
    Counted, Moved, Movement, MovementKind, StockRefusal, check_count_scope, check_counted, check_movement,
};
pub use on_hand::{CountedAt, on_hand};
