//! Tests of what is sold out.

use pos_model::{CommandId, Money};
use protocol::latest::EventBody;
use protocol::latest::local_api::{Change, QuantityJson};
use protocol::latest::sold_out::{SetSoldOut, SoldOutKind, SoldOutState, SoldOutUntil, SoldOutView};
use till::Refusal;
use till::sold_out::{Needs, in_words};
use uuid::Uuid;

use super::testing::{command, digest, draft, event_id, open_epoch, reopen, stamp, store};
use super::{CommandKey, Durability, Error, Moment, Once, Recorded, Refused, Store};

const DAY_MS: i64 = 24 * 3_600_000;

fn moment(after_ms: i64) -> Moment {
    Moment::new(stamp(after_ms), event_id(1 << 40))
}

fn opened() -> Store {
    let mut store = store();
    open_epoch(&mut store, 1);
    store
}

fn said(what: SoldOutKind, code: &str, state: SoldOutState) -> SetSoldOut {
    SetSoldOut {
        command_id: CommandId::new(Uuid::from_u128(1)),
        till_id: "T1".parse().expect("valid"),
        operator_id: None,
        what,
        code: code.to_owned(),
        state,
        remaining: None,
        until: SoldOutUntil::NextDay,
        version: None,
    }
}

fn tea(state: SoldOutState) -> SetSoldOut {
    said(SoldOutKind::Sku, "milk-tea", state)
}

fn count(units: i64) -> SetSoldOut {
    SetSoldOut { remaining: Some(QuantityJson::Whole(units)), ..tea(SoldOutState::Countdown) }
}

fn set_at(store: &mut Store, after_ms: i64, said: &SetSoldOut) -> Result<SoldOutView, Refused> {
    // Each is a command of its own: the head tells them apart.
    let number = store.head().expect("open").place.seq.get() + (1 << 50);
    let digest = *blake3::hash(format!("{said:?}").as_bytes()).as_bytes();
    let number = number ^ u64::from_be_bytes(digest[..8].try_into().expect("eight bytes"));
    let key = CommandKey { id: CommandId::new(Uuid::from_u64_pair(0xd, number)), digest };
    match store.once(key, &mut moment(after_ms), |store, moment| store.set_sold_out(moment, said, true)) {
        Ok(Once::New(view)) => Ok(view),
        Ok(Once::Refused(refused)) => Err(refused),
        other => panic!("{other:?}"),
    }
}

fn set(store: &mut Store, said: &SetSoldOut) -> SoldOutView {
    set_at(store, 0, said).expect("holds")
}

/// Sells two milk teas, and says what is missing instead if it is refused.
fn try_sell(store: &mut Store, number: u64, after_ms: i64) -> Option<String> {
    match store.record_sale(draft(command(number)), &digest(1), event_id(number), stamp(after_ms)).expect("works") {
        Recorded::New(_) => None,
        Recorded::Refused(Refusal::SoldOut { missing }) => Some(in_words(&missing)),
        other => panic!("{other:?}"),
    }
}

/// What is kept, as "code left" of each, on a day.
fn listed(store: &Store, after_ms: i64) -> Vec<String> {
    let today = pos_model::BusinessDate::of(stamp(after_ms), store.rules().cut_off);
    let entries = store.view().sold_out(today).expect("reads").entries;
    let left = |entry: &SoldOutView| match &entry.remaining {
        Some(QuantityJson::Whole(units)) => units.to_string(),
        Some(QuantityJson::Decimal(text)) => text.clone(),
        None => "sold out".to_owned(),
    };
    entries.iter().map(|entry| format!("{} {}", entry.code, left(entry))).collect()
}

/// What the centre hears of it: "code sold out", "code n", "code on sale".
fn heard(store: &Store) -> Vec<String> {
    let rows = store.view().events(None, false, 1000).expect("reads");
    let events = rows.iter().filter_map(|row| match row.event().expect("decodes").body {
        EventBody::SoldOutChanged(changed) => Some(match (changed.sold_out, changed.remaining) {
            (true, _) => format!("{} sold out", changed.code),
            (false, Some(remaining)) => format!("{} {remaining}", changed.code),
            (false, None) => format!("{} on sale", changed.code),
        }),
        _ => None,
    });
    events.collect()
}

#[test]
fn t31_what_is_sold_out_is_refused_before_anything_is_recorded() {
    #[track_caller]
    fn check(what: SoldOutKind, code: &str, expected: Option<&str>) {
        let mut store = opened();
        set(&mut store, &said(what, code, SoldOutState::SoldOut));
        let head = store.head();
        let refused = try_sell(&mut store, 1, 0);
        assert_eq!(refused.as_deref(), expected, "{code}");
        assert_eq!(store.head() == head, expected.is_some(), "{code}");
        set(&mut store, &said(what, code, SoldOutState::OnSale));
        if expected.is_some() {
            assert_eq!(try_sell(&mut store, 1, 0), None, "the same sale may be made later");
            let receipt = store.view().sale(super::testing::sale_id(1)).expect("reads").expect("is there").receipt;
            assert_eq!((receipt.receipt_no, receipt.pickup_no), (1, 1), "a refused sale has taken no number");
        }
    }
    check(SoldOutKind::Sku, "milk-tea", Some("Milk tea of the 1st line"));
    check(SoldOutKind::Item, "milk", Some("milk of the 1st line"));
    check(SoldOutKind::Sku, "milk", None);
    check(SoldOutKind::Option, "milk-tea", None);
}

#[test]
fn t31_an_option_blocks_every_line_that_has_it() {
    let mut store = opened();
    let mut with_pearls = command(1);
    with_pearls.lines[0].options = vec![till::ChosenOption {
        code: "pearls".parse().expect("valid"),
        name: "Pearls".to_owned(),
        price: Money::ZERO,
    }];
    set(&mut store, &said(SoldOutKind::Option, "pearls", SoldOutState::SoldOut));
    let refused = store.record_sale(draft(with_pearls), &digest(1), event_id(1), stamp(0)).expect("works");
    let Recorded::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!(
        (refusal.message_key(), refusal.to_string().as_str()),
        ("sold_out.option", "sold out: Pearls of the 1st line")
    );
    assert_eq!(try_sell(&mut store, 1, 0), None, "without them it is sold");
}

#[test]
fn a_countdown_ends_in_sold_out_and_says_so() {
    let mut store = opened();
    set(&mut store, &count(5));
    store.take_changes();
    assert_eq!(try_sell(&mut store, 1, 0), None);
    let told = store.take_changes();
    assert!(
        told.iter()
            .any(|change| matches!(change, Change::SoldOut(view) if view.remaining == Some(QuantityJson::Whole(3))))
    );
    assert_eq!((try_sell(&mut store, 2, 0), listed(&store, 0)), (None, vec!["milk-tea 1".to_owned()]));
    assert_eq!(try_sell(&mut store, 3, 0).as_deref(), Some("Milk tea of the 1st line (1 left)"));
    assert_eq!(heard(&store), ["milk-tea 5"], "the centre counts sales itself");
    // What is paid already is noted, whatever is left.
    let needs: Vec<Needs> = command(4).lines.iter().map(Needs::from).collect();
    let noted = store.once(key(4), &mut moment(0), |store, moment| store.note_sold(moment, &needs));
    assert_eq!(noted.expect("works"), Once::New(()));
    assert_eq!(
        (listed(&store, 0), heard(&store)),
        (vec!["milk-tea sold out".to_owned()], vec!["milk-tea 5".to_owned(), "milk-tea sold out".to_owned()])
    );
    // And is refused to whoever asks before.
    let taken = store.once(key(5), &mut moment(0), |store, moment| store.take_sold_out(moment, &needs));
    assert!(matches!(taken, Ok(Once::Refused(Refused { message_key: "sold_out.sku", .. }))), "{taken:?}");
    let mut store = reopen(store);
    open_epoch(&mut store, 2);
    assert!(try_sell(&mut store, 5, 0).is_some(), "the next run knows it");
    assert!(store.view().verify().expect("reads").is_ok());
}

fn key(number: u64) -> CommandKey {
    CommandKey { id: CommandId::new(Uuid::from_u64_pair(0xc, number)), digest: digest(1) }
}

#[test]
fn an_imported_sale_takes_nothing_and_is_not_refused() {
    let mut store = opened();
    set(&mut store, &count(1));
    let mut command = command(1);
    command.imported =
        Some(till::Imported { source: "file".to_owned(), reference: "1".to_owned(), sold_at: stamp(-DAY_MS) });
    let recorded = store.record_sale(draft(command), &digest(1), event_id(1), stamp(0));
    assert!(matches!(recorded, Ok(Recorded::New(_))));
    assert_eq!(listed(&store, 0), ["milk-tea 1"]);
}

#[test]
fn concurrent_changes_resolve_to_sold_out() {
    let mut store = opened();
    let seen = set(&mut store, &count(9)).version;
    // One till says sold out; another one, which has not heard of it, starts a new countdown, and a third ends it.
    set(&mut store, &tea(SoldOutState::SoldOut));
    for late in [count(20), tea(SoldOutState::OnSale)] {
        let refused = set_at(&mut store, 0, &SetSoldOut { version: Some(seen), ..late }).expect_err("is late");
        assert_eq!(refused.message_key, "sold_out.overtaken");
    }
    assert_eq!(listed(&store, 0), ["milk-tea sold out"]);
    // The other way round, sold out needs no version.
    let version = set(&mut store, &tea(SoldOutState::SoldOut)).version;
    set(&mut store, &SetSoldOut { version: Some(version), ..count(20) });
    set(&mut store, &SetSoldOut { version: Some(version), ..tea(SoldOutState::SoldOut) });
    assert_eq!(listed(&store, 0), ["milk-tea sold out"]);
    // Who has seen nothing there, and has heard of nothing since, is late as well.
    let refused = set_at(&mut store, 0, &SetSoldOut { version: Some(0), ..count(3) }).expect_err("is late");
    assert_eq!(refused.message_key, "sold_out.overtaken");
    // A sale in between is no change of what somebody said.
    let version = set(&mut store, &count(9)).version;
    assert_eq!(try_sell(&mut store, 1, 0), None);
    let view = set(&mut store, &SetSoldOut { version: Some(version), ..tea(SoldOutState::OnSale) });
    assert_eq!((view.state, view.version, listed(&store, 0).len()), (SoldOutState::OnSale, 0, 0));
}

#[test]
fn what_cannot_be_said() {
    let mut store = opened();
    let remaining = |remaining: QuantityJson| SetSoldOut { remaining: Some(remaining), ..tea(SoldOutState::Countdown) };
    for (said, key) in [
        (said(SoldOutKind::Sku, "", SoldOutState::SoldOut), "sold_out.code"),
        (said(SoldOutKind::Item, "a\nb", SoldOutState::SoldOut), "sold_out.code"),
        (tea(SoldOutState::Countdown), "sold_out.remaining"),
        (remaining(QuantityJson::Whole(0)), "sold_out.remaining"),
        (remaining(QuantityJson::Whole(-1)), "sold_out.remaining"),
        (remaining(QuantityJson::Whole(i64::MAX)), "sold_out.remaining"),
        (remaining(QuantityJson::Decimal("x".to_owned())), "sold_out.remaining"),
        (SetSoldOut { state: SoldOutState::SoldOut, ..count(1) }, "sold_out.remaining"),
    ] {
        assert_eq!(set_at(&mut store, 0, &said).expect_err("is wrong").message_key, key, "{said:?}");
    }
    let unknown = store
        .once(key(1), &mut moment(0), |store, moment| store.set_sold_out(moment, &tea(SoldOutState::SoldOut), false));
    assert!(matches!(unknown, Ok(Once::Refused(Refused { message_key: "sold_out.unknown", .. }))));
    assert_eq!((heard(&store).len(), listed(&store, 0).len()), (0, 0));
}

#[test]
fn a_day_that_begins_brings_back_what_was_sold_out_for_a_day() {
    let mut store = opened();
    set(&mut store, &tea(SoldOutState::SoldOut));
    let for_good =
        SetSoldOut { until: SoldOutUntil::Cleared, ..said(SoldOutKind::Item, "cream", SoldOutState::SoldOut) };
    set(&mut store, &for_good);
    let turn = |store: &mut Store, after_ms| store.turn_sold_out(&mut moment(after_ms)).expect("works");
    assert_eq!(turn(&mut store, 0), 0);
    // 18:00 and nine hours are three in the night, which is still the day before.
    assert!(try_sell(&mut store, 1, 9 * 3_600_000).is_some());
    // An hour later it is on sale, before anybody has turned the day.
    assert_eq!(try_sell(&mut store, 1, 10 * 3_600_000), None);
    assert_eq!(listed(&store, 10 * 3_600_000), ["cream sold out"]);
    store.take_changes();
    assert_eq!(turn(&mut store, 10 * 3_600_000), 1);
    assert!(matches!(&store.take_changes()[..], [Change::SoldOut(view)] if view.state == SoldOutState::OnSale));
    assert_eq!(heard(&store), ["milk-tea sold out", "cream sold out", "milk-tea on sale"]);
    assert_eq!((turn(&mut store, 10 * 3_600_000), turn(&mut store, 0), turn(&mut store, 99 * DAY_MS)), (0, 0, 0));
    assert_eq!(listed(&store, 99 * DAY_MS), ["cream sold out"], "that is for a person to take back");
}

#[test]
fn a_clock_that_is_set_back_brings_nothing_back() {
    let mut store = opened();
    // Said while the clock was a month ahead.
    set_at(&mut store, 30 * DAY_MS, &tea(SoldOutState::SoldOut)).expect("holds");
    let turn = |store: &mut Store, after_ms| store.turn_sold_out(&mut moment(after_ms)).expect("works");
    assert!(try_sell(&mut store, 1, 0).is_some(), "it is still sold out");
    assert_eq!(turn(&mut store, 0), 0);
    assert!(try_sell(&mut store, 1, 0).is_some());
    // It ends with the day that is lived, and not in a month.
    assert_eq!(turn(&mut store, DAY_MS), 1);
    assert_eq!(try_sell(&mut store, 1, DAY_MS), None);
}

#[test]
fn a_group_that_is_undone_has_counted_nothing() {
    let mut store = opened();
    set(&mut store, &count(4));
    store.begin(Durability::Promise).expect("begins");
    assert_eq!((try_sell(&mut store, 1, 0), try_sell(&mut store, 2, 0)), (None, None));
    assert!(try_sell(&mut store, 3, 0).is_some());
    store.rollback();
    assert_eq!(listed(&store, 0), ["milk-tea 4"]);
    store.begin(Durability::Promise).expect("begins");
    // An operation that fails alone gives back what it took.
    let needs: Vec<Needs> = command(1).lines.iter().map(Needs::from).collect();
    let failed = store.once(key(1), &mut moment(0), |store, moment| {
        store.take_sold_out(moment, &needs)?;
        Err::<(), Error>(Refused::rule("drawer.closed", "closed").into())
    });
    assert!(matches!(failed, Ok(Once::Refused(_))));
    assert_eq!((try_sell(&mut store, 1, 0), try_sell(&mut store, 2, 0)), (None, None));
    store.commit().expect("commits");
    assert_eq!(listed(&store, 0), ["milk-tea sold out"]);
}
