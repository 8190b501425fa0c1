//! However messages are split, grouped, doubled and reordered, the ledger ends in the same state.

mod support;

use pos_model::Quantity;
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::latest::{Event, EventBody, StockMovement};
use support::counter::*;
use support::*;
use sync_server::ledger::{Job, Ledger, SqliteLedger, apply_all_parked};

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
    /// Something of a sale comes back: of the newest one, of the first, or of one that is made later.
    Refund(u8),
    /// The refund before comes once more.
    SameRefund,
    /// A till is closed; `true` leaves a number out.
    Close(bool),
    /// Stock comes in, or goes to waste.
    Stock(bool),
    /// Something without effects is noted.
    Mark,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => Just(Happening::Sale),
        1 => Just(Happening::SameSale),
        1 => Just(Happening::Poison),
        2 => Just(Happening::Restart),
        1 => Just(Happening::Gap),
        1 => Just(Happening::Huge),
        3 => (0..3u8).prop_map(Happening::Refund),
        1 => Just(Happening::SameRefund),
        2 => any::<bool>().prop_map(Happening::Close),
        2 => any::<bool>().prop_map(Happening::Stock),
        1 => Just(Happening::Mark),
    ]
}

/// The epochs of a store after all that happened.
fn histories(store: &str, store_no: u64, happenings: &[Happening]) -> Vec<History> {
    let mut epochs = vec![History::open(store, store_no << 32, None)];
    let (mut id, mut receipt_no) = (u128::from(store_no) << 64, 0);
    let (mut repeatable, mut last_refund, mut z_no) = (false, None, 0);
    let first_sale = id + 1;
    for (index, happening) in happenings.iter().enumerate() {
        let epoch = epochs.last_mut().expect("one at least");
        match happening {
            Happening::Gap => receipt_no += 1,
            Happening::Restart => {
                let next = History::open(store, (store_no << 32) + index as u64 + 1, Some(epoch));
                epochs.push(next);
                (repeatable, last_refund) = (false, None);
            }
            Happening::Refund(which) => {
                receipt_no += 1;
                let sale = [id.max(first_sale), first_sale, id + 2][usize::from(*which)];
                let id = u128::from(store_no) << 64 | 1 << 40 | index as u128;
                let gross = 20 + i64::from(*which) * 15;
                let spec = RefundSpec { id, sale, receipt_no, gross, units: 1, ..RefundSpec::default() };
                last_refund = Some(refund(&spec));
                epoch.record(refund(&spec));
            }
            Happening::SameRefund => {
                if let Some(refund) = &mut last_refund {
                    receipt_no += 1;
                    refund.receipt_no = receipt_no;
                    epoch.record(refund.clone());
                }
            }
            Happening::Close(gap) => {
                z_no += 1 + u64::from(*gap);
                epoch.record(shift_closed(u128::from(store_no) << 64 | index as u128, z_no));
            }
            Happening::Stock(received) => {
                let kind = if *received { StockMovement::Received } else { StockMovement::Wasted };
                epoch.record(stock_moved(u128::from(store_no) << 64 | index as u128, kind));
            }
            Happening::Mark => epoch.record(audit_marked("drawer_opened")),
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
        "SELECT store_id, business_date, currency, sales, lines, quantity_micro, gross_minor, tax_minor, net_minor, refunds,
            refund_gross_minor, refund_tax_minor FROM v_day_totals"
            .to_owned(),
        format!("SELECT store_id, epoch, business_date, item_id, used_micro FROM stock_used {streams}"),
        format!("SELECT store_id, epoch, business_date, item_id, added_micro FROM stock_added {streams}"),
        "SELECT store_id, refund_id, sale_id, sale_is_known, gross_minor, epoch, seq FROM v_refunds".to_owned(),
        "SELECT store_id, refund_id, position, sku, gross_minor FROM v_refund_lines".to_owned(),
        "SELECT store_id, hex(sale_id), refunds, gross_minor, sale_event_no IS NULL, is_over FROM refunded_sales
            JOIN stores USING (store_no)"
            .to_owned(),
        "SELECT store_id, shift_id, z_no, counted_minor FROM v_shifts".to_owned(),
        "SELECT store_id, till_id, first_no, last_no FROM z_runs JOIN stores USING (store_no)".to_owned(),
        "SELECT store_id, movement_id, item_id, quantity_micro FROM v_stock_movements".to_owned(),
        "SELECT store_id, epoch, seq, action FROM v_audit".to_owned(),
        "SELECT store_id, till_id, first_no, last_no FROM receipt_runs JOIN stores USING (store_no)".to_owned(),
        "SELECT store_id, till_id, receipt_no, count(*) FROM duplicate_receipts JOIN stores USING (store_no) GROUP BY 1, 2, 3"
            .to_owned(),
        "SELECT store_id, epoch, applied_seq, hex(applied_hash), hex(base_hash), opened_at_ms, previous_epoch, previous_seq,
            successors, continued_at FROM streams JOIN stores USING (store_no)"
            .to_owned(),
        "SELECT store_id, epoch, seq, sale_id, receipt_no, gross_minor FROM v_sales".to_owned(),
        "SELECT store_id, sale_id, position, sku, gross_minor FROM v_sale_lines".to_owned(),
        "SELECT store_id, epoch, seq, reason, detail FROM v_parked".to_owned(),
        "SELECT store_id, applied_events, applied_sales, parked_events, forked_events, refunds_waiting FROM store_state JOIN stores
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
        // Whether the mess arrives at an older program.
        older in any::<bool>(),
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
        let arrives = |job: Job| if older { as_known_by_older(job, SALES_ONLY) } else { job };
        let jobs: Vec<_> = mess.iter().map(pick).map(arrives).collect();
        for jobs in jobs.chunks(group) {
            let outcomes = ledger.apply(jobs, NOW).expect("the database is well");
            prop_assert_eq!(outcomes.len(), jobs.len());
        }
        books_balance(&ledger);
        apply_all_parked(&mut ledger, || NOW, |_| {}).expect("the database is well");
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
