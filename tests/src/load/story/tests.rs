use super::*;
use crate::bench::sales;
use crate::load::curve::Point;
use crate::load::outbox::Outbox;

fn story(backlog: u64, poison: Option<Poison>) -> Story {
    let plan = Plan { seed: 7, begins_utc_ms: 1_785_024_000_000, backlog_ms: 86_400_000 };
    let points = [Point { at_ms: 0, milli_per_s: 5_000 }, Point { at_ms: 60_000, milli_per_s: 40_000 }];
    let curve = Arc::new(Curve::new(&points, 60_000));
    let part = Part { number: 3, backlog, curve, share: 4, clock_off_ms: 0, poison };
    let templates = Templates::new(&sales::templates(1).expect("an agent records them")[..50]);
    Story::new(&plan, part, Rc::new(templates))
}

#[test]
fn sales_happen_in_order_at_their_moments() {
    let mut story = story(10, None);
    assert_eq!((story.sales(), story.moment_ms(0), story.next_sale_ms().is_some()), (10, -86_400_000, true));
    let mut before = -86_400_000;
    while let Some(next) = story.next_sale_ms() {
        assert_eq!(story.advance(next.saturating_sub(1)), 0, "none before {next}");
        let made = story.advance(next);
        assert!(made >= 1, "one at {next}");
        for sale in story.sales() - made..story.sales() {
            assert!(story.moment_ms(sale) >= before && story.moment_ms(sale) <= i64::try_from(next).expect("small"));
            before = story.moment_ms(sale);
        }
    }
    // A quarter of (5 + 40) / 2 a second for a minute, give or take one sale.
    assert!((336..=338).contains(&(story.sales() - 10)), "{}", story.sales());
    assert_eq!(story.advance(1_000_000), 0);
}

#[test]
fn what_is_made_again_is_the_same_history() {
    let mut told = story(40, None);
    told.advance(30_000);
    let mut held = Outbox::new(told.epoch());
    for seq in 1..=History::head(&told).get() {
        held.push(told.event(Seq::new(seq)));
    }
    let mut mark = BEFORE_ALL;
    let mut sizes = [1, 7, 500, 3, 20].into_iter().cycle();
    while mark.seq < held.head() {
        let (from, most) = (mark.seq.next(), sizes.next().expect("endless"));
        let batch = told.batch(from, most).expect("there is more");
        assert_eq!(Some(&batch), held.batch(from, most).as_ref());
        assert_eq!(Some(&batch), told.batch(from, most).as_ref(), "sent again");
        // Half of it is confirmed first, as an ack of the centre's cursor would.
        for seq in [Seq::new(from.get().midpoint(batch.last_seq().get())), batch.last_seq()] {
            mark = Mark { seq, hash: held.hash_at(seq).expect("held") };
            assert_eq!(told.hash_at(seq), Some(mark.hash));
            assert!(told.confirm(mark));
        }
    }
    assert!(told.batch(mark.seq.next(), 1).is_none());
    assert!(!told.confirm(Mark { seq: Seq::new(5), hash: mark.hash }));
    told.rewind(Seq::new(9));
    assert_eq!(told.batch(Seq::new(10), 5), held.batch(Seq::new(10), 5));
    assert_eq!(told.hash_at(held.head().next()), None);
}

#[test]
fn receipts_have_no_gaps() {
    let mut story = story(7, None);
    story.advance(20_000);
    let mut heads = std::collections::BTreeMap::new();
    for sale in 0..story.sales() {
        let event = protocol::latest::decode_event(&story.event(Seq::new(sale + 2))).expect("an event");
        let EventBody::SaleCompleted(body) = event.body else { panic!("a sale") };
        let head = heads.entry(body.till_id.clone()).or_insert(0);
        *head += 1;
        assert_eq!(body.receipt_no, *head);
        assert_eq!(body.totals.gross_minor.minor(), story.gross_minor(sale));
    }
    let reported = story.health(0).receipts.into_iter().map(|head| (head.till_id, head.receipt_no));
    assert_eq!(reported.collect::<std::collections::BTreeMap<_, _>>(), heads);
}

#[test]
fn poison_is_no_sale() {
    let story = story(40, Some(Poison { every: 10 }));
    let readable = |sale: u64| {
        let event = protocol::latest::decode_event(&story.event(Seq::new(sale + 2)));
        event.is_ok_and(|event| matches!(event.body, EventBody::SaleCompleted(_)))
    };
    for sale in 0..40 {
        assert_eq!(readable(sale), !story.is_poison(sale), "{sale}");
    }
    assert_eq!((0..40).filter(|sale| story.is_poison(*sale)).count(), 4);
}
