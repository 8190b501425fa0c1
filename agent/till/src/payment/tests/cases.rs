//! One rule at a time.

use pos_model::{AttemptId, Money};

use super::super::{
    Answer, Attempt, AttemptState, Call, Effect, Input, Moment, Notice, Outcome, Patience, Payment, ReversalReason,
    Standing, may_ask,
};
use super::{AMOUNT, attempt, id};

/// Drives a payment by hand.
struct Script {
    payment: Payment,
    now: Moment,
}

impl Script {
    fn new() -> Self {
        let now = Moment::from_ms(1_000);
        let mut script = Self { payment: Payment::ask(attempt(), Patience::USUAL, now), now };
        assert_eq!(script.effects(), [Effect::Ask(Call::Pay)]);
        script
    }

    fn resumed(attempt: Attempt) -> Self {
        let now = Moment::from_ms(5);
        Self { payment: Payment::resume(attempt, Patience::USUAL, now), now }
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.payment.poll_effect()).collect()
    }

    fn hear(&mut self, input: Input) -> Vec<Effect> {
        self.payment.handle(input, self.now);
        self.effects()
    }

    fn answer(&mut self, call: Call, standing: Standing) -> Vec<Effect> {
        self.answer_of(call, id(1), standing)
    }

    fn answer_of(&mut self, call: Call, attempt_id: AttemptId, standing: Standing) -> Vec<Effect> {
        self.hear(Input::Answered(call, Answer { attempt_id, standing }))
    }

    /// Lets the next deadline pass. Returns what follows, and after how long it came.
    fn wait(&mut self) -> (u64, Vec<Effect>) {
        let (at, _) = self.payment.poll_timeout().expect("something is to come");
        let waited = at.ms() - self.now.ms();
        self.now = at;
        self.payment.handle_timeout(at);
        (waited, self.effects())
    }

    #[track_caller]
    fn is(&self, state: AttemptState) {
        assert_eq!(self.payment.attempt().state, state, "{:?}", self.payment.attempt());
    }
}

fn approved(amount: i64) -> Standing {
    Standing::Approved { amount: Money::from_minor(amount), reference: Some("R7".to_owned()) }
}

const ASK_QUERY: Effect = Effect::Ask(Call::Query);
const ASK_REVERSE: Effect = Effect::Ask(Call::Reverse);

#[test]
fn a_payment_that_goes_well() {
    let mut script = Script::new();
    assert_eq!(script.answer(Call::Pay, approved(AMOUNT.minor())), [Effect::Keep]);
    script.is(AttemptState::Approved);
    assert!(script.payment.attempt().is_usable());
    assert_eq!(script.payment.attempt().reference.as_deref(), Some("R7"));
    assert!(script.payment.is_idle(), "nothing more is asked");
    assert_eq!(script.payment.poll_timeout(), None);
}

#[test]
fn a_declined_payment_is_over() {
    let mut script = Script::new();
    script.answer(Call::Pay, Standing::Declined { reason: Some("no funds".to_owned()) });
    script.is(AttemptState::Declined);
    assert_eq!(script.payment.attempt().detail.as_deref(), Some("no funds"));
    assert!(script.payment.is_idle());
    assert_eq!(script.payment.poll_timeout(), None);
    assert_eq!(script.hear(Input::ReverseWanted(ReversalReason::Person)), []);
}

#[test]
fn t33_a_lost_answer_is_asked_for_and_never_charged_again() {
    let mut script = Script::new();
    assert_eq!(script.hear(Input::NoAnswer(Call::Pay)), [Effect::Keep]);
    script.is(AttemptState::Unknown);
    for waited in [500, 1_000, 2_000, 5_000, 15_000, 30_000, 30_000] {
        assert_eq!(script.wait(), (waited, vec![ASK_QUERY]));
        script.hear(Input::NoAnswer(Call::Query));
    }
    // Meanwhile somebody is told that it hangs.
    assert_eq!(script.wait().1, [ASK_QUERY]);
    script.hear(Input::NoAnswer(Call::Query));
    assert_eq!(script.wait().1, [Effect::Notify(Notice::StillOpen)]);
    assert_eq!(script.wait().1, [ASK_QUERY]);
    assert_eq!(script.answer(Call::Query, approved(AMOUNT.minor())), [Effect::Keep]);
    assert!(script.payment.attempt().is_usable());
}

#[test]
fn t33_the_answer_of_another_order_approves_nothing() {
    let mut script = Script::new();
    script.answer_of(Call::Pay, id(2), approved(AMOUNT.minor()));
    script.is(AttemptState::Unknown);
    assert_eq!(script.payment.attempt().odd_answers, 1);
    assert_eq!(script.wait().1, [ASK_QUERY]);
    script.answer_of(Call::Query, id(2), approved(AMOUNT.minor()));
    script.is(AttemptState::Unknown);
    assert_eq!(script.wait().1, [ASK_QUERY]);
    script.answer(Call::Query, Standing::Declined { reason: None });
    script.is(AttemptState::Declined);
    assert_eq!(script.payment.attempt().odd_answers, 2);
}

#[test]
fn another_amount_approves_nothing_and_goes_back() {
    let mut script = Script::new();
    script.answer(Call::Pay, approved(1_799));
    script.is(AttemptState::Unknown);
    assert_eq!(script.wait(), (500, vec![ASK_QUERY]));
    script.answer(Call::Query, approved(1_799));
    assert_eq!(script.payment.attempt().reversal, Some(ReversalReason::OtherAmount));
    // Fifteen seconds since the question to pay, of which half a second is over.
    assert_eq!(script.wait(), (14_500, vec![ASK_REVERSE]));
    script.answer(Call::Reverse, Standing::Reversed);
    script.is(AttemptState::Reversed);
}

#[test]
fn t33_a_terminal_that_forgets_what_it_took_settles_nothing() {
    let mut script = Script::new();
    script.answer(Call::Pay, approved(AMOUNT.minor()));
    script.hear(Input::ReverseWanted(ReversalReason::Person));
    // The agent is started again, and the terminal has lost its memory.
    let mut script = Script::resumed(script.payment.attempt().clone());
    assert_eq!(script.effects(), [Effect::Keep, ASK_QUERY]);
    assert_eq!(script.answer(Call::Query, Standing::NotFound), [Effect::Keep, Effect::Notify(Notice::Forgotten)]);
    script.is(AttemptState::Unknown);
    // It is still asked to give the money back, and what it says of an attempt that it does not know proves nothing.
    for standing in [Standing::NotFound, Standing::Declined { reason: None }] {
        let (waited, effects) = script.wait();
        assert!(effects.contains(&ASK_REVERSE), "{waited} {effects:?}");
        script.answer(Call::Reverse, standing);
        script.is(AttemptState::Unknown);
        assert!(script.payment.attempt().is_open());
    }
    // A restart changes nothing of that.
    let mut script = Script::resumed(script.payment.attempt().clone());
    script.effects();
    script.answer(Call::Query, Standing::Declined { reason: None });
    script.is(AttemptState::Unknown);
    // That it went back would be believed, and so is a person.
    let attempt = script.payment.attempt().clone();
    script.answer(Call::Query, Standing::Reversed);
    script.is(AttemptState::Reversed);
    let mut script = Script::resumed(attempt);
    script.effects();
    assert_eq!(script.hear(Input::Settled(Outcome::GivenBack)), [Effect::Keep]);
    script.is(AttemptState::Reversed);
}

#[test]
fn an_approval_that_a_terminal_forgets_for_a_moment_pays_again() {
    let mut script = Script::new();
    script.answer(Call::Pay, approved(AMOUNT.minor()));
    script.hear(Input::QueryWanted);
    script.answer(Call::Query, Standing::NotFound);
    script.is(AttemptState::Unknown);
    assert_eq!(script.wait(), (500, vec![ASK_QUERY]));
    script.answer(Call::Query, approved(AMOUNT.minor()));
    assert!(script.payment.attempt().is_usable());
}

#[test]
fn a_terminal_that_has_forgotten_is_asked_less_and_less_often() {
    let mut script = Script::new();
    script.answer(Call::Pay, approved(AMOUNT.minor()));
    script.hear(Input::QueryWanted);
    let waits = [500, 1_000, 2_000, 5_000, 15_000, 30_000, 30_000].map(|_| {
        script.answer(Call::Query, Standing::NotFound);
        let began = script.now.ms();
        while script.wait().1 != [ASK_QUERY] {}
        script.now.ms() - began
    });
    assert_eq!(waits, [500, 1_000, 2_000, 5_000, 15_000, 30_000, 30_000]);
}

#[test]
fn t33_declined_is_no_word_for_money_that_was_to_go_back() {
    // The terminal is exchanged between an approval and its reversal, and the new one closes what it does not know.
    let mut script = Script::new();
    script.answer(Call::Pay, approved(AMOUNT.minor()));
    script.hear(Input::ReverseWanted(ReversalReason::Person));
    assert_eq!(script.wait().1, [ASK_REVERSE]);
    let declined = || Standing::Declined { reason: None };
    assert_eq!(script.answer(Call::Reverse, declined()), [Effect::Keep, Effect::Notify(Notice::Forgotten)]);
    script.is(AttemptState::Unknown);
    // The same where the answer to the reversal was lost, and a query says it.
    let mut script = Script::new();
    script.answer(Call::Pay, approved(AMOUNT.minor()));
    script.hear(Input::ReverseWanted(ReversalReason::Person));
    script.wait();
    script.hear(Input::NoAnswer(Call::Reverse));
    assert_eq!(script.wait().1, [ASK_QUERY]);
    assert!(script.answer(Call::Query, declined()).contains(&Effect::Notify(Notice::Forgotten)));
    script.is(AttemptState::Unknown);
}

#[test]
fn what_the_terminal_takes_after_a_person_has_settled_it_goes_back() {
    let unanswered = || {
        let mut script = Script::new();
        script.hear(Input::ReverseWanted(ReversalReason::Person));
        script.wait();
        script.hear(Input::NoAnswer(Call::Reverse));
        script.is(AttemptState::Unknown);
        script
    };
    // The terminal is still asked to pay, and the customer pays after all.
    let mut script = unanswered();
    assert_eq!(script.hear(Input::Settled(Outcome::NothingTaken)), [Effect::Keep, ASK_REVERSE]);
    script.is(AttemptState::Declined);
    script.hear(Input::NoAnswer(Call::Reverse));
    assert!(!script.payment.is_idle(), "the answer to the question to pay is waited for");
    assert_eq!(script.answer(Call::Pay, approved(AMOUNT.minor())), [Effect::Keep, ASK_REVERSE]);
    script.is(AttemptState::Approved);
    assert!(script.payment.attempt().is_open(), "it is to go back");
    script.answer(Call::Reverse, Standing::Reversed);
    script.is(AttemptState::Reversed);
    // It says that the customer is at it: it stays closed, and the terminal is told so until it listens.
    let mut script = unanswered();
    script.hear(Input::Settled(Outcome::NothingTaken));
    script.answer(Call::Reverse, Standing::StillPaying);
    script.is(AttemptState::Declined);
    assert_eq!(script.wait(), (60_000, vec![ASK_REVERSE]));
    script.answer(Call::Reverse, Standing::Declined { reason: None });
    script.is(AttemptState::Declined);
    // What a person has given back goes back once.
    let mut script = unanswered();
    assert_eq!(script.hear(Input::Settled(Outcome::GivenBack)), [Effect::Keep]);
    script.answer(Call::Pay, approved(AMOUNT.minor()));
    script.is(AttemptState::Reversed);
    assert!(script.payment.is_idle());
}

#[test]
fn t33_what_the_terminal_takes_back_is_not_approved_any_more() {
    let mut script = Script::new();
    script.answer(Call::Pay, approved(AMOUNT.minor()));
    assert_eq!(script.hear(Input::QueryWanted), [ASK_QUERY]);
    // The capture has failed. Once could be an error of the answer, so it is asked again.
    script.answer(Call::Query, Standing::Declined { reason: None });
    script.is(AttemptState::Unknown);
    assert_eq!(script.wait().1, [ASK_QUERY]);
    script.answer(Call::Query, Standing::Declined { reason: None });
    script.is(AttemptState::Declined);
}

#[test]
fn an_attempt_that_never_arrived_is_closed_before_it_counts_as_declined() {
    let mut script = Script::new();
    script.hear(Input::NoAnswer(Call::Pay));
    assert_eq!(script.wait().1, [ASK_QUERY]);
    script.answer(Call::Query, Standing::NotFound);
    script.is(AttemptState::Unknown);
    assert_eq!(script.wait().1, [ASK_REVERSE]);
    script.answer(Call::Reverse, Standing::NotFound);
    script.is(AttemptState::Declined);
    assert!(script.payment.is_idle());
}

#[test]
fn t33_a_wallet_that_is_not_paid_in_thirty_seconds_is_reversed() {
    let mut script = Script::new();
    script.answer(Call::Pay, Standing::StillPaying);
    script.is(AttemptState::Asked);
    let mut waited_ms = 0;
    while script.payment.attempt().reversal.is_none() {
        let (waited, effects) = script.wait();
        assert_eq!((waited, effects), (2_000, vec![ASK_QUERY]));
        waited_ms += waited;
        // A poll that is lost changes nothing but the pace.
        script.answer(Call::Query, Standing::StillPaying);
        assert!(waited_ms <= 30_000, "given up in time");
    }
    assert_eq!(waited_ms, 30_000);
    assert_eq!(script.payment.attempt().reversal, Some(ReversalReason::Unpaid));
    assert_eq!(script.payment.attempt().state, AttemptState::Asked);
}

#[test]
fn a_reversal_that_meets_a_customer_who_is_paying_is_tried_again() {
    let mut script = Script::new();
    script.answer(Call::Pay, Standing::StillPaying);
    assert_eq!(script.hear(Input::ReverseWanted(ReversalReason::SaleGivenUp)), [Effect::Keep]);
    assert_eq!(script.wait(), (15_000, vec![ASK_REVERSE]), "never sooner than 15 s after the question to pay");
    script.answer(Call::Reverse, Standing::StillPaying);
    assert_eq!(script.wait(), (5_000, vec![ASK_REVERSE]));
    script.answer(Call::Reverse, Standing::Reversed);
    script.is(AttemptState::Reversed);
}

#[test]
fn an_approval_that_is_not_wanted_any_more_pays_for_nothing_and_goes_back() {
    let mut script = Script::new();
    script.hear(Input::ReverseWanted(ReversalReason::SaleGivenUp));
    script.answer(Call::Pay, approved(AMOUNT.minor()));
    script.is(AttemptState::Approved);
    assert!(!script.payment.attempt().is_usable());
    assert_eq!(script.wait(), (15_000, vec![ASK_REVERSE]));
    // The answer is lost: whether the money is back is asked before the reversal is tried again.
    script.hear(Input::NoAnswer(Call::Reverse));
    script.is(AttemptState::Unknown);
    assert_eq!(script.wait(), (500, vec![ASK_QUERY]));
    script.answer(Call::Query, Standing::Reversed);
    script.is(AttemptState::Reversed);
}

#[test]
fn a_question_to_pay_that_hangs_can_be_ended() {
    let mut script = Script::new();
    script.hear(Input::ReverseWanted(ReversalReason::Person));
    assert_eq!(script.wait(), (15_000, vec![ASK_REVERSE]));
    assert!(script.answer(Call::Reverse, Standing::NotFound).contains(&Effect::Keep));
    script.is(AttemptState::Declined);
    assert!(!script.payment.is_idle(), "the question to pay is still under way");
    script.answer(Call::Pay, Standing::Declined { reason: None });
    assert!(script.payment.is_idle());
}

#[test]
fn an_approval_after_all_goes_back() {
    let mut script = Script::new();
    script.hear(Input::ReverseWanted(ReversalReason::Person));
    script.wait();
    script.answer(Call::Reverse, Standing::Declined { reason: None });
    script.is(AttemptState::Declined);
    assert_eq!(script.answer(Call::Pay, approved(AMOUNT.minor())), [Effect::Keep, ASK_REVERSE]);
    assert!(!script.payment.attempt().is_usable());
    script.answer(Call::Reverse, Standing::Reversed);
    script.is(AttemptState::Reversed);
}

#[test]
fn money_that_cannot_go_back_is_told_and_tried_again() {
    let mut script = Script::new();
    script.answer(Call::Pay, approved(AMOUNT.minor()));
    script.hear(Input::ReverseWanted(ReversalReason::Person));
    assert_eq!(script.wait(), (15_000, vec![ASK_REVERSE]));
    assert_eq!(script.answer(Call::Reverse, approved(AMOUNT.minor())), [Effect::Notify(Notice::NotReversible)]);
    assert!(!script.payment.attempt().is_usable());
    assert_eq!(script.wait(), (60_000, vec![ASK_REVERSE]));
}

#[test]
fn after_a_restart_it_is_asked_about_and_not_paid_again() {
    #[track_caller]
    fn check(state: AttemptState, reversal: Option<ReversalReason>, expected: &[Effect]) {
        let mut script = Script::resumed(Attempt { state, reversal, ..attempt() });
        assert_eq!(script.effects(), expected, "{state}");
    }
    check(AttemptState::Asked, None, &[Effect::Keep, ASK_QUERY]);
    check(AttemptState::Unknown, None, &[ASK_QUERY]);
    check(AttemptState::Approved, None, &[]);
    check(AttemptState::Approved, Some(ReversalReason::Person), &[Effect::Keep, ASK_QUERY]);
    check(AttemptState::Declined, None, &[]);
    check(AttemptState::Reversed, Some(ReversalReason::Person), &[]);
}

#[test]
fn a_further_attempt_waits_for_the_one_before() {
    let wanted = Attempt { attempt_id: id(9), ..attempt() };
    let check = |other: Attempt, key: Option<&str>| {
        let answer = may_ask(&wanted, [&other], false);
        assert_eq!(answer.err().map(|refusal| refusal.message_key()), key, "{other:?}");
        assert_eq!(may_ask(&wanted, [&other], true), Ok(()));
    };
    for state in AttemptState::ALL {
        let open = matches!(state, AttemptState::Asked | AttemptState::Unknown);
        check(Attempt { state, ..attempt() }, open.then_some("payment.other_attempt_open"));
    }
    let going_back = Attempt { state: AttemptState::Approved, reversal: Some(ReversalReason::Unpaid), ..attempt() };
    check(going_back, Some("payment.other_attempt_open"));
}

#[test]
fn what_no_terminal_is_asked_for() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Attempt), key: &str) {
        let mut wanted = attempt();
        change(&mut wanted);
        assert_eq!(may_ask(&wanted, [], false).expect_err("must be refused").message_key(), key);
    }
    check(|attempt| attempt.kind = "cash".parse().expect("valid"), "payment.cash");
    for amount in [0, -1, i64::MIN, i64::MAX] {
        check(|attempt| attempt.amount = Money::from_minor(amount), "payment.amount");
    }
    let many = vec![Attempt { state: AttemptState::Declined, ..attempt() }; crate::limits::ATTEMPTS_MAX];
    assert!(may_ask(&attempt(), &many[1..], false).is_ok());
    assert_eq!(may_ask(&attempt(), &many, false).expect_err("too many").message_key(), "payment.attempt_count");
}

#[test]
fn words_are_read_as_they_are_written() {
    for state in AttemptState::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    for reason in ReversalReason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(reason));
    }
    assert!("paid".parse::<AttemptState>().is_err());
}
