//! Whatever happens, in any order.

use proptest::prelude::*;

use super::super::{AttemptState, Call, Effect, Patience, Taken};
use super::terminal::{Entry, Fate, Happening, World};

fn fate() -> impl Strategy<Value = Fate> {
    prop::sample::select(vec![
        Fate::Answered,
        Fate::Answered,
        Fate::AnswerLost,
        Fate::Lost,
        Fate::Delayed,
        Fate::OtherAttempt,
        Fate::OtherAmountSaid,
        Fate::Waits,
    ])
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0u16..20_000).prop_map(Happening::TimePasses),
        4 => prop::sample::select(vec![
            Happening::CustomerPays,
            Happening::CustomerPays,
            Happening::CustomerPaysAnotherAmount,
            Happening::CustomerDeclines,
            Happening::DelayedArrives,
            Happening::PayAnswers,
        ]),
        1 => prop::sample::select(vec![Happening::CashierGivesUp, Happening::CashierAsks, Happening::AgentCrashes]),
    ]
}

/// The same, at a terminal that can lose its memory.
fn happening_or_forgetting() -> impl Strategy<Value = Happening> {
    prop_oneof![
        9 => happening(),
        1 => Just(Happening::TerminalForgets),
    ]
}

/// What holds at every moment, for what is on disk.
fn check(world: &World) -> Result<(), TestCaseError> {
    prop_assert!(world.pays <= 1, "the terminal is asked to pay once");
    prop_assert!(world.charges <= 1, "and charges once");
    let kept = &world.kept;
    if kept.is_usable() {
        prop_assert_eq!(world.entry, Entry::Charged(kept.amount), "approved means that the terminal has the money");
    }
    if matches!(kept.state, AttemptState::Declined | AttemptState::Reversed) {
        let none = matches!(world.entry, Entry::Declined | Entry::Closed | Entry::Reversed);
        prop_assert!(none, "nothing is taken, and nothing can be: {:?}", world.entry);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn money_is_taken_once_or_not_at_all_and_the_books_say_which(
        charges_at_once: bool,
        fates in prop::collection::vec(fate(), 0..12),
        happenings in prop::collection::vec(happening(), 0..40),
        crash_before in prop::option::weighted(
            0.2,
            prop::sample::select(vec![Effect::Keep, Effect::Ask(Call::Pay), Effect::Ask(Call::Query)]),
        ),
    ) {
        let mut world = World::new();
        world.charge_at_terminal = charges_at_once;
        let mut fates = fates.into_iter();
        world.perform(&mut fates, crash_before);
        check(&world)?;
        for happening in happenings {
            world.happen(happening);
            world.perform(&mut fates, crash_before.filter(|_| happening == Happening::CustomerPays));
            check(&world)?;
        }
        let first = world.reversals.first().copied().unwrap_or(u64::MAX);
        prop_assert!(first >= Patience::USUAL.reverse_not_before_ms, "not reversed before its time: {first}");

        // When the faults end, what became of the money becomes known.
        world.settle(1_000_000);
        check(&world)?;
        let kept = &world.kept;
        // A terminal that said that it had taken money, and then that it had never heard of it, leaves it to people.
        let is_left_to_people = kept.taken == Taken::Forgotten && world.told_forgotten;
        prop_assert!(!kept.is_open() || is_left_to_people, "{kept:?}");
        if kept.state == AttemptState::Approved {
            prop_assert!(kept.is_usable());
        }
        if !kept.is_usable() {
            prop_assert!(!matches!(world.entry, Entry::Charged(_) | Entry::Paying), "no money stays where nobody knows");
        }
    }

    #[test]
    fn what_was_taken_is_never_over_because_the_terminal_forgot(
        charges_at_once: bool,
        fates in prop::collection::vec(fate(), 0..6),
        happenings in prop::collection::vec(happening_or_forgetting(), 0..40),
    ) {
        let mut world = World::new();
        world.charge_at_terminal = charges_at_once;
        let mut fates = fates.into_iter();
        world.perform(&mut fates, None);
        let mut was_taken = false;
        for happening in happenings {
            let knew = world.kept.taken != Taken::Never && world.kept.is_open() | world.kept.is_usable();
            let forgot = world.forgot;
            world.happen(happening);
            world.perform(&mut fates, None);
            was_taken |= world.kept.taken != Taken::Never;
            prop_assert!(world.kept.taken != Taken::Never || !was_taken, "what was said is not unsaid");
            if knew && forgot && world.kept.taken == Taken::Forgotten {
                prop_assert_ne!(world.kept.state, AttemptState::Declined);
            }
        }
        world.settle(1_000_000);
        if world.kept.taken == Taken::Forgotten && world.kept.state != AttemptState::Reversed {
            prop_assert!(world.kept.is_open(), "it stays with people: {:?}", world.kept);
            prop_assert!(world.told_forgotten, "who are told");
        }
    }
}
