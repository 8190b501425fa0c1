//! The leases in a real database: several servers claim, renew, give back and die.

mod support;

use std::time::{Duration, Instant};

use support::{History, NOW, postgres};
use sync_server::ledger::{
    BrokerLink, InstanceCard, InstanceId, InstanceView, Instances, Ledger, LedgerError, PostgresInstances,
};
use sync_server::partitions::PartitionSet;
use test_postgres::{Durability, TestServer};

const LONG: Duration = Duration::from_secs(30);

fn tables(url: &str) -> PostgresInstances {
    PostgresInstances::open(&url.parse().expect("a connection string")).expect("opens")
}

fn card(number: u64) -> InstanceCard {
    InstanceCard { id: InstanceId::new(number), name: format!("server {number}"), broker: BrokerLink::Up }
}

fn held(view: &InstanceView, number: u64) -> PartitionSet {
    let held = (0..).zip(&view.leases);
    let held = held.filter(|(_, lease)| lease.holder_at(view.now_ms) == Some(InstanceId::new(number)));
    held.map(|(partition, _)| partition).collect()
}

fn fences(view: &InstanceView) -> Vec<i64> {
    view.leases.iter().map(|lease| lease.fence).collect()
}

#[test]
fn leases_are_claimed_renewed_given_back_and_inherited() {
    let server = TestServer::start(Durability::None).expect("PostgreSQL starts");
    let url = server.database();
    let settings = url.parse().expect("a connection string");
    assert!(matches!(PostgresInstances::open(&settings), Err(LedgerError::NoLedger)));
    drop(postgres(&url));
    let (first, second) = (tables(&url), tables(&url));
    // Ids beyond the middle of their range are negative in the database.
    let (one, two) = (card(1), card(u64::MAX - 1));
    let short = Duration::from_millis(300);
    let low = PartitionSet::ALL.first(10);

    let view = first.renew(&one, LONG).expect("renewed");
    assert_eq!((view.instances.len(), held(&view, 1), fences(&view)), (1, PartitionSet::NONE, vec![0; 64]));
    assert_eq!(first.claim(one.id, PartitionSet::ALL, LONG).expect("claimed"), PartitionSet::ALL);
    let view = second.renew(&two, LONG).expect("renewed");
    assert_eq!(
        (held(&view, 1), view.instances.iter().map(|row| row.id).collect::<Vec<_>>()),
        (PartitionSet::ALL, vec![one.id, two.id])
    );
    assert_eq!(second.claim(two.id, PartitionSet::ALL, LONG).expect("asked"), PartitionSet::NONE);
    // What is given back is free at once, and nobody gives back what is another's.
    first.release(one.id, low).expect("given back");
    second.release(two.id, PartitionSet::ALL).expect("asked");
    assert_eq!(second.claim(two.id, PartitionSet::ALL, short).expect("claimed"), low);
    let view = first.renew(&one, LONG).expect("renewed");
    assert_eq!((held(&view, 1), held(&view, u64::MAX - 1)), (PartitionSet::ALL.without(low), low));
    assert!((0..).zip(fences(&view)).all(|(partition, fence)| fence == if low.contains(partition) { 2 } else { 1 }));

    // The second dies; its time goes by on the database's clock.
    let deadline = Instant::now() + LONG;
    let inherited = loop {
        let claimed = first.claim(one.id, PartitionSet::ALL, LONG).expect("asked");
        if !claimed.is_empty() {
            break claimed;
        }
        assert!(Instant::now() < deadline, "its time is never over");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(inherited, low);
    // What is another's is not renewed.
    let view = second.renew(&two, LONG).expect("renewed");
    assert_eq!((held(&view, 1), held(&view, u64::MAX - 1)), (PartitionSet::ALL, PartitionSet::NONE));
    assert_eq!((view.leases[3].fence, view.leases[3].holder), (3, Some(one.id)));

    first.leave(one.id).expect("left");
    let view = second.renew(&two, LONG).expect("renewed");
    assert_eq!((view.instances.len(), held(&view, 1)), (1, PartitionSet::NONE));
    // A lease that ends in a far future is none: the clock was set back.
    server.query(&url, "UPDATE partition_leases SET holder = 5, expires_at_ms = clock_ms() + 1000000000");
    assert_eq!(second.claim(two.id, PartitionSet::ALL, LONG).expect("claimed"), PartitionSet::ALL);
}

#[test]
fn of_many_who_claim_at_once_one_gets_each_partition() {
    let server = TestServer::start(Durability::None).expect("PostgreSQL starts");
    let url = server.database();
    drop(postgres(&url));
    let got: Vec<PartitionSet> = std::thread::scope(|scope| {
        let url = &url;
        let claims: Vec<_> = (1..=4)
            .map(|number| {
                scope.spawn(move || {
                    let tables = tables(url);
                    let card = card(number);
                    let mut got = PartitionSet::NONE;
                    for _ in 0..30 {
                        tables.renew(&card, LONG).expect("renewed");
                        got = got.union(tables.claim(card.id, PartitionSet::ALL, LONG).expect("claimed"));
                    }
                    got
                })
            })
            .collect();
        claims.into_iter().map(|claim| claim.join().expect("ends")).collect()
    });
    assert_eq!(got.iter().map(|got| got.len()).sum::<usize>(), 64, "{got:?}");
    let view = tables(&url).renew(&card(9), LONG).expect("renewed");
    assert_eq!(fences(&view), vec![1; 64]);
    assert!((1..).zip(&got).all(|(number, got)| held(&view, number) == *got));
}

#[test]
fn a_server_that_finds_an_older_copy_tells_the_others() {
    let server = TestServer::start(Durability::None).expect("PostgreSQL starts");
    let url = server.database();
    let mut ledger = postgres(&url);
    let mut store = History::open("s", 1, None);
    store.sell_many(1, 30);
    ledger.apply(&[store.batch(1, 11)], NOW).expect("applies");
    let others = tables(&url);
    let before = others.renew(&card(1), LONG).expect("renewed").incarnation;
    assert_eq!(others.renew(&card(1), LONG).expect("renewed").incarnation, before);
    // As if the commit had never been there, seen by a new connection.
    server.query(&url, "UPDATE streams SET applied_seq = 3");
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%ingest'";
    server.query(&url, cut);
    let deadline = Instant::now() + LONG;
    while ledger.apply(&[store.heartbeat(0)], NOW).is_err() {
        assert!(Instant::now() < deadline, "the ledger finds its database again");
    }
    assert!(ledger.went_back());
    assert_ne!(others.renew(&card(1), LONG).expect("renewed").incarnation, before);
}
