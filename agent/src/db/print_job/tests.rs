use serde_json::json;

use super::*;
use crate::db::testing::{NOON_MS, open_epoch, reopen, stamp, store};

fn receipt(number: u32) -> NewPrint {
    NewPrint {
        kind: Kind::Receipt,
        role: "receipt".to_owned(),
        till_id: None,
        subject: format!("sale-{number}"),
        data: json!({ "receipt_number": number }),
    }
}

fn states(store: &Store) -> Vec<&'static str> {
    let mut jobs = store.view().newest_prints(100).expect("reads");
    jobs.reverse();
    jobs.iter().map(|job| job.progress.state.name()).collect()
}

fn tried(outcome: Outcome) -> Tried {
    Tried { outcome, printer: "counter".to_owned(), trouble: String::new(), printers: 2 }
}

#[track_caller]
fn refusal(error: Result<PrintJob, Error>) -> &'static str {
    match error {
        Err(Error::Refused(refused)) => refused.message_key,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_job_is_kept_through_a_restart_and_what_was_being_sent_is_in_doubt() {
    let mut store = store();
    open_epoch(&mut store, 1);
    let first = store.enqueue_print(receipt(1), stamp(0)).expect("keeps");
    let second = store.enqueue_print(receipt(2), stamp(0)).expect("keeps");
    let third = store.enqueue_print(receipt(3), stamp(0)).expect("keeps");
    for id in [first, second] {
        store.begin_print(id, "counter", NOON_MS).expect("is due");
    }
    store.note_print(first, &tried(Outcome::Taken), NOON_MS).expect("notes");
    let mut store = reopen(store);
    assert_eq!(store.recover_prints(None, NOON_MS + 1).expect("works"), 1);
    assert_eq!(states(&store), ["printed", "maybe_printed", "queued"]);
    let waiting = store.view().queued_prints().expect("reads");
    assert_eq!(waiting.iter().map(|job| job.id).collect::<Vec<_>>(), [third]);
    let doubtful = store.view().print_job(second).expect("reads").expect("is there");
    assert_eq!((doubtful.printer.as_str(), doubtful.progress.tries), ("counter", 0));
    assert!(doubtful.trouble.contains("while it was being sent"));
    assert_eq!(store.view().print_data(third).expect("reads"), Some(json!({ "receipt_number": 3 })));
}

#[test]
fn copies_are_counted_and_say_of_what() {
    // T17: a copy says which one it is.
    let mut store = store();
    let first = store.enqueue_print(receipt(1), stamp(0)).expect("keeps");
    assert_eq!(refusal(store.reprint(first, stamp(1))), "print.not_printed_yet");
    store.begin_print(first, "counter", NOON_MS).expect("is due");
    assert_eq!(refusal(store.reprint(first, stamp(1))), "print.not_printed_yet");
    store.note_print(first, &tried(Outcome::Confirmed), NOON_MS).expect("notes");
    let copy = store.reprint(first, stamp(1)).expect("works");
    assert_eq!((copy.copy, copy.original, copy.subject.as_str()), (1, Some(first), "sale-1"));
    store.begin_print(copy.id, "counter", NOON_MS + 1).expect("is due");
    store.note_print(copy.id, &tried(Outcome::Confirmed), NOON_MS + 1).expect("notes");
    let of_copy = store.reprint(copy.id, stamp(2)).expect("works");
    assert_eq!((of_copy.copy, of_copy.original), (2, Some(first)));
    assert_eq!(store.reprint(first, stamp(3)).expect("works").copy, 3);
    assert_eq!(store.view().prints_of("sale-1").expect("reads").len(), 4);
    assert_eq!(store.view().prints_of("").expect("reads"), []);
}

#[test]
fn a_person_settles_what_is_in_doubt() {
    let mut store = store();
    let doubtful = |store: &mut Store| {
        let id = store.enqueue_print(receipt(1), stamp(0)).expect("keeps");
        store.begin_print(id, "counter", NOON_MS).expect("is due");
        store.note_print(id, &tried(Outcome::CutOff), NOON_MS).expect("notes");
        id
    };
    let there = doubtful(&mut store);
    assert_eq!(store.resolve_print(there, true, NOON_MS).expect("works").progress.state, State::Printed);
    assert_eq!(refusal(store.resolve_print(there, true, NOON_MS)), "print.state");
    let half = doubtful(&mut store);
    assert_eq!(refusal(store.retry_print(half, NOON_MS)), "print.state");
    assert_eq!(refusal(store.cancel_print(half, NOON_MS)), "print.state");
    assert_eq!(store.reprint(half, stamp(0)).expect("works").copy, 1);
    assert_eq!(states(&store), ["printed", "not_printed", "queued"]);
    assert_eq!(refusal(store.cancel_print(PrintJobId::new(99), NOON_MS)), "print.unknown_job");
}

#[test]
fn a_drawer_has_no_copy() {
    let mut store = store();
    let drawer = NewPrint { kind: Kind::Drawer, ..receipt(1) };
    let id = store.enqueue_print(drawer, stamp(0)).expect("keeps");
    store.begin_print(id, "counter", NOON_MS).expect("is due");
    store.note_print(id, &tried(Outcome::Taken), NOON_MS).expect("notes");
    assert_eq!(refusal(store.reprint(id, stamp(0))), "print.no_paper");
}

#[test]
fn what_waits_and_what_is_kept_has_a_limit() {
    let mut store = store();
    store.begin(Durability::Promise).expect("begins");
    for number in 0..=u32::try_from(WAITING_MAX).expect("small") {
        store.enqueue_print(receipt(number), stamp(0)).expect("never fails");
    }
    let jobs = store.view().newest_prints(2).expect("reads");
    assert_eq!((jobs[0].progress.state, jobs[1].progress.state), (State::Failed, State::Queued));
    assert!(jobs[0].trouble.contains("too many"));
    let large = NewPrint { data: json!("x".repeat(DATA_BYTES_MAX)), ..receipt(0) };
    let id = store.enqueue_print(large, stamp(0)).expect("never fails");
    assert!(store.view().print_job(id).expect("reads").expect("is there").trouble.contains("too large"));
    for number in 0..KEPT {
        store.enqueue_print(receipt(u32::try_from(number).expect("small")), stamp(0)).expect("never fails");
    }
    store.commit().expect("commits");
    assert_eq!(store.view().queued_prints().expect("reads").len(), usize::try_from(WAITING_MAX).expect("small"));
    let all = store.view().newest_prints(20_000).expect("reads").len();
    assert_eq!(all, usize::try_from(WAITING_MAX + KEPT + 1).expect("small"));
}

#[test]
fn screens_are_told_of_each_step() {
    let mut store = store();
    let id = store.enqueue_print(receipt(1), stamp(0)).expect("keeps");
    store.begin_print(id, "counter", NOON_MS).expect("is due");
    let told: Vec<String> = store
        .take_changes()
        .into_iter()
        .map(|change| match change {
            Change::PrintJob(view) => view.state,
            other => panic!("{other:?}"),
        })
        .collect();
    // Outside of a group each operation is one, and what nobody took before it is forgotten.
    assert_eq!(told, ["sending"]);
}

#[test]
fn a_drawer_opens_soon_after_it_was_asked_for_or_not_at_all() {
    let mut store = store();
    let id = store.enqueue_print(receipt(1), stamp(0)).expect("keeps");
    let first = store.view().print_job(id).expect("reads").expect("is there");
    let check = |job: &PrintJob, drawer: bool, after_ms: i64, expected: bool| {
        assert_eq!(job.opens_drawer(&json!({ "drawer": drawer }), NOON_MS + after_ms), expected, "{after_ms}");
    };
    check(&first, true, 0, true);
    check(&first, true, 30_000, true);
    check(&first, true, 30_001, false);
    check(&first, false, 0, false);
    check(&PrintJob { copy: 1, ..first.clone() }, true, 0, false);
    check(&PrintJob { kind: Kind::Drawer, ..first.clone() }, false, 0, true);
    // A clock that was set back by an hour makes it no earlier.
    check(&first, true, -3_600_000, false);
    // Asking again does not make it young again.
    store.fail_print(id, "no printer", NOON_MS).expect("fails");
    let again = store.retry_print(id, NOON_MS + 60_000).expect("works");
    assert_eq!(again.progress.since_ms, NOON_MS + 60_000);
    check(&again, true, 60_000, false);
}

#[test]
fn labels_that_nobody_prints_leave_receipts_their_room_and_people_are_told() {
    let mut store = store();
    let label = || NewPrint { kind: Kind::CupLabel, role: "label".to_owned(), ..receipt(0) };
    store.begin(Durability::Promise).expect("begins");
    for _ in 0..=WAITING_MAX {
        store.enqueue_print(label(), stamp(0)).expect("never fails");
    }
    store.commit().expect("commits");
    let full: Vec<String> = store.view().notices().expect("reads").into_iter().map(|notice| notice.key).collect();
    assert_eq!(full, ["print_full.label"]);
    let receipt = store.enqueue_print(receipt(1), stamp(0)).expect("keeps");
    let drawer = store.enqueue_print(NewPrint { kind: Kind::Drawer, ..self::receipt(2) }, stamp(0)).expect("keeps");
    let queued = store.view().queued_prints().expect("reads");
    assert_eq!(queued.len(), usize::try_from(WAITING_MAX).expect("small") + 2);
    assert_eq!([queued[0].id, queued[1].id], [drawer, receipt], "a customer waits for these");
    // Somebody puts a roll in.
    for job in queued.iter().filter(|job| job.role == "label").take(300) {
        store.begin_print(job.id, "bar", NOON_MS).expect("is due");
        store.note_print(job.id, &tried(Outcome::Taken), NOON_MS).expect("notes");
    }
    assert_eq!(store.view().notices().expect("reads"), [], "no further sale is needed");
}

#[test]
fn the_task_of_one_printer_doubts_what_it_was_sending_itself() {
    let mut store = store();
    for (number, printer) in [(1, "counter"), (2, "bar")] {
        let id = store.enqueue_print(receipt(number), stamp(0)).expect("keeps");
        store.begin_print(id, printer, NOON_MS).expect("is due");
    }
    store.enqueue_print(receipt(3), stamp(0)).expect("keeps");
    assert_eq!(store.recover_prints(Some("bar"), NOON_MS).expect("works"), 1);
    assert_eq!(states(&store), ["sending", "maybe_printed", "queued"]);
}

#[test]
fn a_start_tells_of_what_is_in_doubt_alone_however_much_waits() {
    let mut store = store();
    store.begin(Durability::Promise).expect("begins");
    for number in 0..100 {
        let id = store.enqueue_print(receipt(number), stamp(0)).expect("keeps");
        store.note_print(id, &tried(Outcome::NotReached), NOON_MS).expect("notes");
        store.note_print(id, &tried(Outcome::NotReached), NOON_MS).expect("notes");
    }
    let sending = store.enqueue_print(receipt(100), stamp(0)).expect("keeps");
    store.begin_print(sending, "counter", NOON_MS).expect("is due");
    store.commit().expect("commits");
    let due = |store: &Store| store.view().queued_prints().expect("reads").iter().map(|job| job.progress.due_ms).max();
    assert!(due(&store) > Some(NOON_MS + 1), "they pause");
    assert_eq!(store.recover_prints(None, NOON_MS + 1).expect("works"), 1);
    // A till that starts with the agent reads the queue; it is not sent each job of it.
    assert_eq!(store.take_changes().len(), 1);
    assert_eq!(due(&store), Some(NOON_MS + 1));
}

#[test]
fn a_notice_of_a_full_queue_that_is_not_full_any_more_goes_with_the_next_start() {
    let mut store = store();
    let notice = |role: &str| Notice { key: full_key(role), at_ms: NOON_MS, text: "full".to_owned() };
    store.raise_notice(&notice("label")).expect("keeps");
    store.raise_notice(&notice("receipt")).expect("keeps");
    for number in 0..WAITING_MAX {
        store.enqueue_print(receipt(u32::try_from(number).expect("small")), stamp(0)).expect("keeps");
    }
    store.recover_prints(None, NOON_MS).expect("works");
    let notices = store.view().notices().expect("reads");
    assert_eq!(notices.iter().map(|notice| notice.key.as_str()).collect::<Vec<_>>(), ["print_full.receipt"]);
}
