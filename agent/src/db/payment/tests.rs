use super::*;
use crate::db::testing::{command, digest, draft, event_id, open_epoch, reopen, sale_id, sell, stamp, store};
use crate::db::{CommandKey, Once, Recorded};
use pos_model::CommandId;
use till::CompleteSale;
use till::payment::Taken;
use uuid::Uuid;

fn attempt_id(number: u64) -> AttemptId {
    AttemptId::new(Uuid::from_u64_pair(0xa, number))
}

fn attempt(number: u64) -> Attempt {
    Attempt {
        attempt_id: attempt_id(number),
        sale_id: sale_id(1),
        till_id: "T1".parse().expect("valid"),
        operator_id: None,
        kind: "card".parse().expect("valid"),
        amount: Money::from_minor(3_600),
        terminal: "front".parse().expect("valid"),
        asked_at: stamp(0),
        state: AttemptState::Asked,
        reversal: None,
        reference: None,
        detail: None,
        odd_answers: 0,
        taken: Taken::Never,
    }
}

fn ready() -> Store {
    let mut store = store();
    open_epoch(&mut store, 1);
    store
}

/// Runs an operation as the command with this number.
fn once(
    store: &mut Store,
    number: u64,
    operation: impl FnOnce(&mut Store, &mut Moment) -> Result<(), Error>,
) -> Result<(), &'static str> {
    let key = CommandKey { id: CommandId::new(Uuid::from_u64_pair(0xc, number)), digest: [1; 32] };
    let mut moment = Moment::new(stamp(0), event_id(number << 20));
    match store.once(key, &mut moment, operation).expect("works") {
        Once::New(()) | Once::Replayed(()) => Ok(()),
        Once::Refused(refused) => Err(refused.message_key),
        Once::Conflict => panic!("the digests are equal"),
    }
}

fn add(store: &mut Store, attempt: &Attempt) -> Result<(), &'static str> {
    let number = attempt.attempt_id.uuid().as_u64_pair().1;
    once(store, number, |store, moment| store.add_attempt(attempt, None, moment))
}

fn approve(store: &mut Store, number: u64) {
    let approved = Attempt { state: AttemptState::Approved, reference: Some("R7".to_owned()), ..attempt(number) };
    assert_eq!(store.keep_attempt(&approved).expect("keeps"), Kept::Changed);
}

fn paid_with(number: u64) -> CompleteSale {
    CompleteSale {
        tenders: vec![Tender {
            kind: "card".parse().expect("valid"),
            amount: Money::from_minor(3_600),
            attempt_id: Some(attempt_id(number)),
            reference: None,
        }],
        ..command(1)
    }
}

/// Records the sale, or says which rule it breaks.
fn record(store: &mut Store, command: CompleteSale) -> Result<(), &'static str> {
    match store.record_sale(draft(command), &digest(1), event_id(77), stamp(0)).expect("works") {
        Recorded::New(_) | Recorded::Replayed(_) => Ok(()),
        Recorded::Refused(refusal) => Err(refusal.message_key()),
        Recorded::NotNow(refused) => Err(refused.message_key),
        Recorded::Conflict => panic!("the digests are equal"),
    }
}

#[test]
fn an_attempt_is_read_as_it_was_kept() {
    let mut store = ready();
    let wanted = Attempt { operator_id: Some("o1".parse().expect("valid")), ..attempt(1) };
    assert_eq!(add(&mut store, &wanted), Ok(()));
    let changed = Attempt {
        state: AttemptState::Approved,
        reversal: Some(ReversalReason::OtherAmount),
        reference: Some("R7".to_owned()),
        detail: Some("odd".to_owned()),
        odd_answers: 2,
        taken: Taken::Forgotten,
        ..wanted
    };
    assert_eq!(store.keep_attempt(&changed).expect("keeps"), Kept::Changed);
    let store = reopen(store);
    let kept = KeptAttempt { attempt: changed, used: false, settled: false };
    assert_eq!(store.view().attempt(attempt_id(1)).expect("reads"), Some(kept.clone()));
    assert_eq!(store.view().attempts_of(sale_id(1)).expect("reads"), std::slice::from_ref(&kept));
    assert_eq!(store.view().unsettled_attempts().expect("reads"), [kept]);
    assert_eq!(store.view().attempt(attempt_id(2)).expect("reads"), None);
}

#[test]
fn t33_a_further_attempt_waits_until_the_one_before_is_known() {
    let mut store = ready();
    assert_eq!(add(&mut store, &attempt(1)), Ok(()));
    assert_eq!(add(&mut store, &attempt(1)), Ok(()), "the same again is the same");
    assert_eq!(add(&mut store, &attempt(2)), Err("payment.other_attempt_open"));
    let other_sale = Attempt { sale_id: sale_id(2), ..attempt(3) };
    assert_eq!(add(&mut store, &other_sale), Ok(()));

    // A person may know better, and answers for it.
    let head = store.head().expect("is open").place.seq;
    let again = Some(AskAgain { approval: None });
    assert_eq!(once(&mut store, 4, |store, moment| store.add_attempt(&attempt(4), again, moment)), Ok(()));
    assert!(store.head().expect("is open").place.seq > head, "it stands in the history");
    for number in [1, 4] {
        let declined = Attempt { state: AttemptState::Declined, ..attempt(number) };
        store.keep_attempt(&declined).expect("keeps");
    }
    assert_eq!(add(&mut store, &attempt(2)), Ok(()));
}

#[test]
fn nothing_is_asked_for_a_sale_that_is_recorded() {
    let mut store = ready();
    sell(&mut store, 1);
    assert_eq!(add(&mut store, &attempt(1)), Err("payment.sale_recorded"));
}

#[test]
fn a_store_has_so_many_unsettled_attempts() {
    let mut store = ready();
    let of = |number: u64| Attempt { sale_id: sale_id(number), ..attempt(number) };
    for number in 1..=ATTEMPTS_UNSETTLED_MAX as u64 {
        assert_eq!(add(&mut store, &of(number)), Ok(()));
    }
    assert_eq!(add(&mut store, &of(1_000)), Err("payment.too_many_open"));
    store.keep_attempt(&Attempt { state: AttemptState::Declined, ..of(1) }).expect("keeps");
    assert_eq!(add(&mut store, &of(1_000)), Ok(()));
}

#[test]
fn a_sale_takes_the_attempt_that_pays_for_it() {
    let mut store = ready();
    add(&mut store, &attempt(1)).expect("is kept");
    approve(&mut store, 1);
    store.take_changes();
    assert_eq!(record(&mut store, paid_with(1)), Ok(()));
    let kept = store.view().attempt(attempt_id(1)).expect("reads").expect("is kept");
    assert!(kept.used && !kept.view().usable);
    assert_eq!(store.view().unsettled_attempts().expect("reads"), []);
    let sale = store.view().sale(sale_id(1)).expect("reads").expect("is recorded").sale.expect("is held");
    assert_eq!(sale.tenders[0].attempt_id, Some(attempt_id(1)));
    assert_eq!(sale.tenders[0].reference.as_deref(), Some("R7"));
    assert!(store.take_changes().iter().any(|change| matches!(change, Change::Payment(view) if view.used)));

    // The same sale again is the same, and nothing changes the attempt any more.
    assert_eq!(record(&mut store, paid_with(1)), Ok(()));
    let odd = Attempt { state: AttemptState::Declined, ..attempt(1) };
    assert_eq!(store.keep_attempt(&odd).expect("works"), Kept::Used);
    let till_id = "T1".parse().expect("valid");
    let wanted = once(&mut store, 9, |store, moment| {
        store.want_reversal(attempt_id(1), &asks(&till_id), ReversalReason::Person, moment)
    });
    assert_eq!(wanted, Err("payment.used"));
}

#[test]
fn what_does_not_pay_for_a_sale() {
    #[track_caller]
    fn check(prepare: impl FnOnce(&mut Store, &mut CompleteSale), key: &str) {
        let mut store = ready();
        add(&mut store, &attempt(1)).expect("is kept");
        let mut command = paid_with(1);
        prepare(&mut store, &mut command);
        let before = store.view().attempt(attempt_id(1)).expect("reads");
        assert_eq!(record(&mut store, command), Err(key));
        assert_eq!(store.view().attempt(attempt_id(1)).expect("reads"), before, "a refused sale takes nothing");
    }
    check(|_, _| {}, "payment.not_approved");
    let keep = |store: &mut Store, state, reversal| {
        store.keep_attempt(&Attempt { state, reversal, ..attempt(1) }).expect("keeps");
    };
    check(|store, _| keep(store, AttemptState::Unknown, None), "payment.not_approved");
    check(|store, _| keep(store, AttemptState::Declined, None), "payment.not_approved");
    check(|store, _| keep(store, AttemptState::Approved, Some(ReversalReason::Person)), "payment.to_be_reversed");
    check(
        |store, command| {
            approve(store, 1);
            command.tenders[0].kind = "wallet".parse().expect("valid");
        },
        "payment.other_kind",
    );
    check(
        |store, command| {
            approve(store, 1);
            command.tenders[0].amount = Money::from_minor(3_500);
            let cash = Tender { kind: "cash".parse().expect("valid"), attempt_id: None, ..command.tenders[0].clone() };
            command.tenders.push(cash);
        },
        "payment.other_amount",
    );
    check(
        |store, command| {
            approve(store, 1);
            command.sale_id = sale_id(2);
        },
        "payment.other_sale",
    );
    check(
        |store, command| {
            approve(store, 1);
            command.lines.push(command.lines[0].clone());
            command.tenders.push(command.tenders[0].clone());
        },
        "payment.named_twice",
    );
    check(|_, command| command.tenders[0].attempt_id = Some(attempt_id(9)), "payment.unknown_attempt");
}

#[test]
fn a_reversal_is_wanted_once_stands_in_the_history_and_is_never_taken_back() {
    let mut store = ready();
    add(&mut store, &attempt(1)).expect("is kept");
    approve(&mut store, 1);
    let head = |store: &Store| store.head().expect("is open").place.seq;
    let before = head(&store);
    let till_id: TillId = "T2".parse().expect("valid");
    for number in [9, 9, 10] {
        let wanted = once(&mut store, number, |store, moment| {
            store.want_reversal(attempt_id(1), &asks(&till_id), ReversalReason::SaleGivenUp, moment)
        });
        assert_eq!(wanted, Ok(()));
    }
    assert_eq!(head(&store).get(), before.get() + 1);
    // Whoever drives the attempt may not have heard of it yet.
    approve(&mut store, 1);
    let kept = store.view().attempt(attempt_id(1)).expect("reads").expect("is kept");
    assert_eq!(kept.attempt.reversal, Some(ReversalReason::SaleGivenUp));
    assert_eq!(record(&mut store, paid_with(1)), Err("payment.to_be_reversed"));
    let unknown = once(&mut store, 11, |store, moment| {
        store.want_reversal(attempt_id(5), &asks(&till_id), ReversalReason::Person, moment)
    });
    assert_eq!(unknown, Err("payment.unknown_attempt"));
}

fn asks(till_id: &TillId) -> AskReversal {
    AskReversal { till_id: till_id.clone(), operator_id: None, approval: None }
}

#[test]
fn what_was_taken_for_a_sale_that_is_paid_otherwise_goes_back() {
    let mut store = ready();
    for number in [1, 2] {
        let again = Some(AskAgain { approval: None });
        let added = once(&mut store, number, |store, moment| store.add_attempt(&attempt(number), again, moment));
        assert_eq!(added, Ok(()));
    }
    let unknown = Attempt { state: AttemptState::Unknown, ..attempt(1) };
    store.keep_attempt(&unknown).expect("keeps");
    approve(&mut store, 2);
    store.take_changes();
    let receipt = sell(&mut store, 1);
    for (number, state) in [(1, AttemptState::Unknown), (2, AttemptState::Approved)] {
        let kept = store.view().attempt(attempt_id(number)).expect("reads").expect("is kept");
        assert_eq!((kept.attempt.state, kept.attempt.reversal), (state, Some(ReversalReason::PaidOtherwise)));
        assert!(!kept.view().usable && !kept.used);
    }
    let told = store.take_changes().into_iter().filter(|change| matches!(change, Change::Payment(_))).count();
    assert_eq!(told, 2, "the tills hear of it with the sale");
    let notices = store.view().notices().expect("reads");
    assert!(notices.len() == 2 && notices[0].text.contains(&receipt.sale_id.to_string()), "{notices:?}");
    // Whoever asks about the first one has not heard of it; its approval pays for nothing, and goes back too.
    approve(&mut store, 1);
    let kept = store.view().attempt(attempt_id(1)).expect("reads").expect("is kept");
    assert!(kept.attempt.is_open() && !kept.attempt.is_usable());
    for number in [1, 2] {
        let reversed = Attempt { state: AttemptState::Reversed, ..attempt(number) };
        store.keep_attempt(&reversed).expect("keeps");
    }
    assert_eq!(store.view().notices().expect("reads"), []);
    assert!(store.view().verify().expect("reads").is_ok());
}

#[test]
fn a_person_settles_what_no_terminal_does_and_has_the_last_word() {
    let mut store = ready();
    add(&mut store, &attempt(1)).expect("is kept");
    let till_id: TillId = "T2".parse().expect("valid");
    let settle = |store: &mut Store, number, outcome| {
        once(store, number, |store, moment| store.settle_attempt(attempt_id(1), &asks(&till_id), outcome, moment))
    };
    assert_eq!(settle(&mut store, 20, Outcome::GivenBack), Err("payment.at_work"));
    approve(&mut store, 1);
    assert_eq!(settle(&mut store, 21, Outcome::GivenBack), Err("payment.not_open"), "its sale may be paid with it");
    let forgotten = Attempt { state: AttemptState::Unknown, taken: Taken::Forgotten, ..attempt(1) };
    store.keep_attempt(&forgotten).expect("keeps");
    let notice = Notice { key: notice_key(attempt_id(1)), at_ms: 1, text: "look".to_owned() };
    store.raise_notice_of_attempt(attempt_id(1), &notice).expect("keeps");
    let before = store.head().expect("is open").place.seq.get();
    assert_eq!(settle(&mut store, 22, Outcome::GivenBack), Ok(()));
    assert_eq!(store.head().expect("is open").place.seq.get(), before + 1, "it stands in the history");
    assert_eq!(store.view().notices().expect("reads"), []);
    assert_eq!(store.view().unsettled_attempts().expect("reads"), []);
    // Whoever drives it comes too late.
    assert_eq!(store.keep_attempt(&forgotten).expect("works"), Kept::Settled(Outcome::GivenBack));
    // What a person has given back goes back once, whatever the terminal says.
    let approved = Attempt { state: AttemptState::Approved, taken: Taken::Said, ..attempt(1) };
    assert_eq!(store.keep_attempt(&approved).expect("works"), Kept::Settled(Outcome::GivenBack));
    let kept = store.view().attempt(attempt_id(1)).expect("reads").expect("is kept");
    assert_eq!(kept.attempt.state, AttemptState::Reversed);
    assert_eq!(settle(&mut store, 23, Outcome::NothingTaken), Err("payment.not_open"));
    assert_eq!(record(&mut store, paid_with(1)), Err("payment.not_approved"));
}

#[test]
fn money_that_a_terminal_has_after_all_opens_what_a_person_has_settled() {
    let mut store = ready();
    add(&mut store, &attempt(1)).expect("is kept");
    let unknown = Attempt { state: AttemptState::Unknown, ..attempt(1) };
    store.keep_attempt(&unknown).expect("keeps");
    let settle = |store: &mut Store, moment: &mut Moment| {
        let till_id: TillId = "T2".parse().expect("valid");
        store.settle_attempt(attempt_id(1), &asks(&till_id), Outcome::NothingTaken, moment)
    };
    once(&mut store, 20, settle).expect("may settle");
    let odd = Attempt { odd_answers: 1, ..unknown };
    assert_eq!(store.keep_attempt(&odd).expect("works"), Kept::Settled(Outcome::NothingTaken));
    // The answer was on its way when the person said so, and a second attempt may have paid since.
    let approved = Attempt { state: AttemptState::Approved, taken: Taken::Said, ..attempt(1) };
    assert_eq!(store.keep_attempt(&approved).expect("works"), Kept::Reopened);
    let kept = store.view().attempt(attempt_id(1)).expect("reads").expect("is kept");
    assert_eq!((kept.attempt.reversal, kept.settled), (Some(ReversalReason::Late), false));
    assert!(kept.attempt.is_open());
    assert_eq!(record(&mut store, paid_with(1)), Err("payment.to_be_reversed"));
    let reversed = Attempt { state: AttemptState::Reversed, taken: Taken::Said, ..attempt(1) };
    assert_eq!(store.keep_attempt(&reversed).expect("works"), Kept::Changed);
}

#[test]
fn a_tender_that_leaves_its_attempt_unnamed_is_refused_and_gives_nothing_back() {
    let mut store = ready();
    add(&mut store, &attempt(1)).expect("is kept");
    approve(&mut store, 1);
    let mut sale = paid_with(1);
    sale.tenders.iter_mut().for_each(|tender| tender.attempt_id = None);
    assert_eq!(record(&mut store, sale), Err("payment.attempt_needed"));
    assert!(store.view().attempt(attempt_id(1)).expect("reads").expect("is kept").attempt.is_usable());
    assert!(record(&mut store, paid_with(1)).is_ok());
}

#[test]
fn what_an_older_copy_does_not_know_is_not_unsaid() {
    let mut store = ready();
    add(&mut store, &attempt(1)).expect("is kept");
    let approved = Attempt { state: AttemptState::Approved, taken: Taken::Said, ..attempt(1) };
    store.keep_attempt(&approved).expect("keeps");
    let notice = Notice { key: notice_key(attempt_id(1)), at_ms: 1, text: "goes back".to_owned() };
    let stale = Attempt { state: AttemptState::Unknown, ..attempt(1) };
    store.keep_attempt(&stale).expect("keeps");
    let kept = store.view().attempt(attempt_id(1)).expect("reads").expect("is kept");
    assert_eq!(kept.attempt.taken, Taken::Said);
    // The sale was paid otherwise while the terminal was at work; it approves, and its driver does not know of the sale yet.
    let wants = AskReversal { till_id: "T1".parse().expect("valid"), operator_id: None, approval: None };
    let want = |store: &mut Store, moment: &mut Moment| {
        store.want_reversal(attempt_id(1), &wants, ReversalReason::PaidOtherwise, moment)
    };
    once(&mut store, 30, want).expect("may be wanted");
    store.raise_notice_of_attempt(attempt_id(1), &notice).expect("keeps");
    assert_eq!(store.keep_attempt(&approved).expect("works"), Kept::Changed);
    assert_eq!(store.view().notices().expect("reads").len(), 1, "it is still to go back");
}
