use proptest::prelude::*;

use super::*;

fn sending() -> Progress {
    let mut job = Progress::queued(0);
    job.begin(0).expect("is due");
    job
}

#[test]
fn a_try_ends_where_its_outcome_says() {
    let check = |outcome: Outcome, expected: State| {
        let mut job = sending();
        job.note(outcome, 2, 5).expect("is sending");
        assert_eq!(job.state, expected, "{outcome:?}");
    };
    check(Outcome::Taken, State::Printed);
    check(Outcome::Confirmed, State::Printed);
    check(Outcome::Unconfirmed, State::MaybePrinted);
    check(Outcome::CutOff, State::MaybePrinted);
    check(Outcome::NotReached, State::Queued);
}

#[test]
fn what_no_printer_could_be_reached_for_goes_round_and_gives_up() {
    let mut job = Progress::queued(0);
    let mut now_ms = 0;
    let mut tried = Vec::new();
    while job.state == State::Queued {
        now_ms = now_ms.max(job.due_ms);
        tried.push((job.printer, now_ms));
        job.note(Outcome::NotReached, 2, now_ms).expect("waits");
    }
    assert_eq!(tried[..6], [(0, 0), (1, 0), (0, 1_000), (1, 1_000), (0, 3_000), (1, 3_000)]);
    assert!(tried.windows(2).all(|pair| pair[1].1 - pair[0].1 <= PAUSE_MS_MAX), "{tried:?}");
    assert_eq!(job.state, State::Failed);
    assert!((GIVE_UP_AFTER_MS..GIVE_UP_AFTER_MS + PAUSE_MS_MAX).contains(&now_ms), "{now_ms}");
    job.retry(now_ms).expect("nothing is on paper");
    assert!(job.is_due(now_ms) && job.printer == 0);
}

#[test]
fn a_clock_set_back_holds_no_job() {
    let mut job = Progress::queued(1_000_000);
    assert!(job.is_due(0));
    job.recover(0);
    assert!(job.due_ms == 0);
}

#[test]
fn a_restart_makes_what_was_being_sent_doubtful() {
    let mut job = sending();
    job.recover(9);
    assert_eq!(job.state, State::MaybePrinted);
    job.resolve(false).expect("is in doubt");
    assert_eq!(job.state, State::NotPrinted);
    assert_eq!(job.retry(9), Err(JobRefusal::State(State::NotPrinted)));
}

#[test]
fn states_have_names_of_their_own() {
    for state in State::ALL {
        assert_eq!(State::named(state.name()), Some(state));
    }
}

proptest! {
    /// Whatever happens in whatever order: once a byte may have reached a printer, the job is never sent again by itself.
    #[test]
    fn nothing_is_sent_twice(steps in proptest::collection::vec((0_u8..9, 0_i64..40_000), 1..60)) {
        let mut job = Progress::queued(0);
        let (mut now_ms, mut reached) = (0, false);
        for (step, pause_ms) in steps {
            now_ms += pause_ms;
            match step {
                0 | 1 => if job.begin(now_ms).is_ok() {
                    prop_assert!(!reached, "begun again");
                },
                2 => if job.note(Outcome::NotReached, 2, now_ms).is_ok() {},
                3 => reached |= job.note(Outcome::CutOff, 2, now_ms).is_ok(),
                4 => reached |= job.note(Outcome::Taken, 2, now_ms).is_ok(),
                5 => reached |= job.note(Outcome::Unconfirmed, 2, now_ms).is_ok(),
                6 => {
                    reached |= job.state == State::Sending;
                    job.recover(now_ms);
                }
                7 => if job.cancel().is_ok() {
                    prop_assert!(!reached, "taken back from the paper");
                },
                _ => if job.retry(now_ms).is_ok() {
                    prop_assert!(!reached, "tried again after it had reached a printer");
                },
            }
        }
    }
}
