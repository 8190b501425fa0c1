//! A tea chain's customers, made up from a seed: a menu with sizes, sugar, ice and toppings, orders as a till sends them,
//! and a day by a load model. For the demo, the tests and the measurements; the same seed gives the same customers.
//!
//! Amounts are integers, computed here apart from the product's own arithmetic: the agent is told the total, and
//! refuses a sale if it comes to another.

mod by_the_book;
mod day;
mod draw;
pub mod menu;
mod order;

use std::path::{Path, PathBuf};

use pricing::book::PriceBook;
use protocol::latest::local_api::CompleteSale;
use sync_core::Random;

pub use by_the_book::BookOrder;
pub use day::{Arrival, Day, DayPlan, LoadModel, Promo, store_id};
pub use menu::Menu;
pub use order::Offer;

/// The moment in the id of the first of [`sale`]'s sales: the first of May 2024.
const FIRST_ID_MS: u64 = 1_714_521_600_000;

/// Sale number `n` of a seed, without the ones before it. Ids grow with `n`, a millisecond each, as a busy store's do.
pub fn sale(seed: u64, n: u64) -> CompleteSale {
    // Two numbers become one start: the first output of the seed's own sequence is moved along by `n`.
    let start = Random::new(seed).next_u64() ^ n.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    order::order(&mut Random::new(start), FIRST_ID_MS.wrapping_add(n), &Offer::ordinary())
}

/// Order number `n` of a seed from a price book's menu, as [`sale`] makes sales.
pub fn book_order(seed: u64, n: u64, book: &PriceBook) -> BookOrder {
    let start = Random::new(seed).next_u64() ^ n.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    BookOrder::new(&mut Random::new(start), FIRST_ID_MS.wrapping_add(n), book)
}

/// The sample chain's price book, which is part of the project.
pub fn tea_book_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/price-books/tea.json")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn sales_follow_from_seed_and_number() {
        assert_eq!(sale(1, 5), sale(1, 5));
        assert_ne!(sale(1, 5), sale(1, 6));
        assert_ne!(sale(1, 5), sale(2, 5));
        let ids: BTreeSet<_> = (0..10_000).map(|n| sale(1, n).sale_id).collect();
        assert_eq!(ids.len(), 10_000);
        assert!((0..100).all(|n| sale(1, n).sale_id < sale(1, n + 1).sale_id));
        assert_eq!(sale(1, 1).sale_id.uuid().get_version_num(), 7);
    }

    #[test]
    fn the_menu_has_forty_drinks_that_all_sell() {
        let menu = Menu::tea();
        let skus: BTreeSet<_> = menu.drinks.iter().map(|drink| &drink.sku).collect();
        assert_eq!((skus.len(), menu.drinks.len()), (40, 40));
        let sold: BTreeSet<_> = (0..5_000).flat_map(|n| sale(3, n).lines).map(|line| line.sku).collect();
        assert_eq!(sold.len(), 40);
    }

    /// The agent's own rules and arithmetic agree with the generator's, total included.
    #[test]
    fn every_sale_obeys_the_rules_of_the_counter() {
        for n in 0..5_000 {
            let sale = sale(9, n);
            let expected = sale.expected_total_minor.expect("told");
            let (command, _) = agent::http::from_wire::sale_of_lines(sale).expect("obeys the rules");
            assert_eq!(command.gross, expected);
        }
    }
}
