//! However messages are split, grouped, doubled and reordered, the ledger ends in the same state.

mod support;

use pos_model::Quantity;
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::latest::{Event, EventBody};
use support::*;
use sync_server::ledger::{Job, Ledger, SqliteLedger};

/// What happens in a store, event by event.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Sale,
    /// The sale before comes once more, at the next place of its epoch. (Over two epochs, the one that arrives first
    /// would be the one that counts.)
    SameSale,
    Poison,
    Restart,
    /// A receipt number is left out.
    Gap,
    /// A sale that uses more of an item than any counter holds.
    Huge,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => Just(Happening::Sale),
        1 => Just(Happening::SameSale),
        1 => Just(Happening::Poison),
        2 => Just(Happening::Restart),
        1 => Just(Happening::Gap),
        1 => Just(Happening::Huge),
    ]
}

/// The epochs of a store after all that happened.
fn histories(store: &str, store_no: u64, happenings: &[Happening]) -> Vec<History> {
    let mut epochs = vec![History::open(store, store_no << 32, None)];
    let (mut id, mut receipt_no) = (u128::from(store_no) << 64, 0);
    let mut repeatable = false;
    for (index, happening) in happenings.iter().enumerate() {
        let epoch = epochs.last_mut().expect("one at least");
        match happening {
            Happening::Gap => receipt_no += 1,
            Happening::Restart => {
                let next = History::open(store, (store_no << 32) + index as u64 + 1, Some(epoch));
                epochs.push(next);
                repeatable = false;
            }
            Happening::Poison => epoch.push_bytes(index.to_be_bytes().to_vec()),
            Happening::Sale | Happening::SameSale | Happening::Huge => {
                receipt_no += 1;
                if !(repeatable && matches!(happening, Happening::SameSale)) {
                    id += 1;
                }
                let date = if index % 2 == 0 { "2026-03-01" } else { "2026-03-02" };
                let huge = matches!(happening, Happening::Huge);
                let lines = if huge { 2 } else { 1 + index % 3 };
                let mut sale = sale(&SaleSpec { id, receipt_no, gross: 100, date, lines, ..SaleSpec::default() });
                if huge {
                    let all = sale.lines.iter_mut().flat_map(|line| &mut line.consumption);
                    all.for_each(|used| used.quantity = Quantity::from_micro(i64::MAX));
                }
                let body = EventBody::SaleCompleted(Box::new(sale));
                epoch.push(&Event { id: event_id(id), at: stamp(), body });
                repeatable = !huge;
            }
        }
    }
    epochs
}

/// Everything but the numbers that the ledger gave in the order of arrival.
fn state(ledger: SqliteLedger) -> Vec<String> {
    let connection = ledger.into_connection();
    let streams = "JOIN streams USING (stream_no) JOIN stores ON stores.store_no = streams.store_no";
    let queries = [
        "SELECT store_id, business_date, currency, sales, lines, quantity_micro, gross_minor, tax_minor, net_minor
            FROM v_day_totals"
            .to_owned(),
        format!("SELECT store_id, epoch, business_date, item_id, used_micro FROM stock_used {streams}"),
        "SELECT store_id, till_id, first_no, last_no FROM receipt_runs JOIN stores USING (store_no)".to_owned(),
        "SELECT store_id, till_id, receipt_no, count(*) FROM duplicate_receipts JOIN stores USING (store_no) GROUP BY 1, 2, 3"
            .to_owned(),
        "SELECT store_id, epoch, applied_seq, hex(applied_hash), hex(base_hash), opened_at_ms, previous_epoch, previous_seq,
            successors, continued_at FROM streams JOIN stores USING (store_no)"
            .to_owned(),
        "SELECT store_id, epoch, seq, sale_id, receipt_no, gross_minor FROM v_sales".to_owned(),
        "SELECT store_id, sale_id, position, sku, gross_minor FROM v_sale_lines".to_owned(),
        "SELECT store_id, epoch, seq, reason, detail FROM v_parked".to_owned(),
        "SELECT store_id, applied_events, applied_sales, parked_events, forked_events FROM store_state JOIN stores
            USING (store_no)"
            .to_owned(),
    ];
    let mut lines = Vec::new();
    for (number, query) in queries.iter().enumerate() {
        let mut statement = connection.prepare(query).expect("a query");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("readable");
        while let Some(row) = rows.next().expect("readable") {
            let cells = (0..columns).map(|column| format!("{:?}", row.get_ref(column).expect("a column")));
            lines.push(format!("{number}: {}", cells.collect::<Vec<_>>().join(" ")));
        }
    }
    lines.sort();
    lines
}

fn straight(stores: &[Vec<History>]) -> Vec<String> {
    let mut ledger = SqliteLedger::in_memory().expect("opens");
    for epoch in stores.iter().flatten() {
        apply_batch(&mut ledger, epoch.all());
    }
    state(ledger)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_messages_does_not_matter(
        happenings in vec(vec(happening(), 0..30), 1..4),
        // Which store, which epoch, from where, how many: taken modulo what there is.
        mess in vec((any::<u8>(), any::<u8>(), any::<u8>(), 1..12usize), 0..60),
        group in 1..6usize,
    ) {
        let names = ["a", "b", "c"];
        let stores: Vec<_> =
            happenings.iter().zip(names).zip(1..).map(|((what, name), number)| histories(name, number, what)).collect();
        let mut ledger = SqliteLedger::in_memory().expect("opens");
        let pick = |(store, epoch, from, count): &(u8, u8, u8, usize)| -> Job {
            let epochs = &stores[usize::from(*store) % stores.len()];
            let epoch = &epochs[usize::from(*epoch) % epochs.len()];
            let from = 1 + usize::from(*from) % epoch.events.len();
            epoch.batch(from, (from + count - 1).min(epoch.events.len()))
        };
        let jobs: Vec<_> = mess.iter().map(pick).collect();
        for jobs in jobs.chunks(group) {
            let outcomes = ledger.apply(jobs, NOW).expect("the database is well");
            prop_assert_eq!(outcomes.len(), jobs.len());
        }
        // The mess ends, and everything comes once more from the beginning.
        for epoch in stores.iter().flatten() {
            let outcome = apply_batch(&mut ledger, epoch.all());
            prop_assert_eq!(outcome.cursor, epoch.mark());
            prop_assert!(!outcome.forked && !outcome.rewind);
        }
        books_balance(&ledger);
        prop_assert_eq!(state(ledger), straight(&stores));
    }
}
