//! A store's end against answers made by hand. Loss, restarts and whole lives are the business of the simulation.

use pos_model::ChainHash;
use protocol::latest::Cursor;

use super::*;

const EPOCH: Epoch = Epoch::new(7);
const AT: Instant = Instant::from_ms(1_000);

fn report(epoch: Epoch, head: u64, acked: u64) -> EpochReport {
    let (first_held, hash_before) = (Seq::FIRST, ChainHash::GENESIS);
    EpochReport { epoch, first_held, hash_before, head: Seq::new(head), acked: Seq::new(acked) }
}

fn mark(seq: u64) -> Mark {
    Mark { seq: Seq::new(seq), hash: ChainHash::GENESIS.then(&seq.to_be_bytes()) }
}

fn credit(events: u32, hold_ms: u32) -> Credit {
    Credit { events, hold_ms }
}

fn effects(sync: &mut StoreSync) -> Vec<Effect> {
    std::iter::from_fn(|| sync.poll_effect()).collect()
}

/// A machine that has connected and said hello; returns it with the session.
fn greeting(epochs: &[EpochReport]) -> (StoreSync, u64) {
    let mut sync = StoreSync::new(epochs, StoreLimits::PRODUCTION, 1, AT);
    sync.handle_timeout(AT);
    assert_eq!(effects(&mut sync), [Effect::Connect]);
    sync.handle_connected(AT);
    let asked = effects(&mut sync);
    let [Effect::SayHello { session, .. }] = asked[..] else { panic!("{asked:?}") };
    (sync, session)
}

fn welcome(session: u64, cursors: Vec<(Epoch, u64, u64)>, credit: Credit) -> Downlink {
    let cursor = |(epoch, applied, common)| Cursor { epoch, applied: Seq::new(applied), common: mark(common) };
    Downlink::Welcome(Welcome {
        session,
        server_epoch: 1,
        cursors: cursors.into_iter().map(cursor).collect(),
        credit,
        reconnect_spread_ms: 0,
        receipts: vec![],
        server_time_ms: 0,
    })
}

fn ack(through: u64, cursor: u64) -> Ack {
    Ack {
        server_epoch: 1,
        epoch: EPOCH,
        through: mark(through),
        cursor: mark(cursor),
        parked: vec![],
        rewind: false,
        forked: false,
        credit: credit(500, 0),
        server_time_ms: 0,
    }
}

/// A machine whose centre has agreed up to `acked`.
fn online(head: u64, acked: u64) -> StoreSync {
    let (mut sync, session) = greeting(&[report(EPOCH, head, acked)]);
    sync.handle_downlink(welcome(session, vec![(EPOCH, acked, acked)], credit(500, 0)), AT);
    assert_eq!(effects(&mut sync), [Effect::Confirm { epoch: EPOCH, mark: mark(acked) }]);
    sync.handle_confirmed(EPOCH, mark(acked), Confirmed::Agreed, AT);
    sync
}

fn send(from: u64, events_max: u32) -> Effect {
    Effect::SendBatch { epoch: EPOCH, from: Seq::new(from), events_max }
}

fn sent(first: u64, through: u64) -> Sent {
    Sent { epoch: EPOCH, first: Seq::new(first), through: mark(through) }
}

#[test]
fn the_centre_decides_where_to_go_on() {
    #[track_caller]
    fn check(head: u64, acked: u64, applied: u64, expected: &[Effect]) {
        let (mut sync, session) = greeting(&[report(EPOCH, head, acked)]);
        let common = applied.min(head);
        sync.handle_downlink(welcome(session, vec![(EPOCH, applied, common)], credit(500, 0)), AT);
        let mut seen = effects(&mut sync);
        assert_eq!(seen.pop(), Some(Effect::Confirm { epoch: EPOCH, mark: mark(common) }));
        sync.handle_confirmed(EPOCH, mark(common), Confirmed::Agreed, AT);
        seen.extend(effects(&mut sync));
        assert_eq!(seen, expected);
    }
    let (epoch, seq) = (EPOCH, Seq::new);
    check(10, 0, 0, &[send(1, 500)]);
    check(10, 4, 4, &[send(5, 500)]);
    check(10, 10, 10, &[]);
    // The centre is ahead of what the store remembers: the ack was lost.
    check(10, 4, 8, &[send(9, 500)]);
    // The centre was restored.
    let notice = Effect::Notify(Notice::CentreWentBack { epoch, acked: seq(8), applied: seq(3) });
    check(10, 8, 3, &[Effect::Rewind { epoch, to: seq(3) }, notice, send(4, 500)]);
    // The store was restored.
    let notice = Effect::Notify(Notice::WentBack { epoch, head: seq(10), applied: seq(15) });
    check(10, 4, 15, &[notice, Effect::OpenEpoch]);
}

#[test]
fn one_batch_at_a_time_and_the_answer_is_durable_first() {
    let mut sync = online(1000, 0);
    assert_eq!(effects(&mut sync), [send(1, 500)]);
    sync.handle_committed(EPOCH, Seq::new(1001), AT);
    sync.handle_sent(sent(1, 500), AT);
    sync.handle_committed(EPOCH, Seq::new(1002), AT);
    assert_eq!(effects(&mut sync), [], "the first batch is not answered");
    sync.handle_downlink(Downlink::Ack(ack(500, 500)), AT);
    assert_eq!(effects(&mut sync), [Effect::Confirm { epoch: EPOCH, mark: mark(500) }]);
    sync.handle_confirmed(EPOCH, mark(500), Confirmed::Agreed, AT);
    assert_eq!(effects(&mut sync), [send(501, 500)]);
    assert_eq!(sync.unconfirmed(), 502);
}

#[test]
fn answers_about_something_else_change_nothing() {
    #[track_caller]
    fn check(ack: Ack) {
        let mut sync = online(10, 0);
        effects(&mut sync);
        sync.handle_sent(sent(1, 10), AT);
        sync.handle_downlink(Downlink::Ack(ack), AT);
        assert_eq!(effects(&mut sync), []);
        assert_eq!(sync.unconfirmed(), 10);
    }
    check(ack(5, 5));
    check(ack(11, 11));
    check(Ack { epoch: Epoch::new(8), ..ack(10, 10) });
    // The same place on the history of another agent.
    let other = Mark { seq: Seq::new(10), hash: ChainHash::GENESIS };
    check(Ack { through: other, cursor: other, ..ack(10, 10) });
}

#[test]
fn a_new_run_of_the_centre_is_asked_anew() {
    let mut sync = online(10, 0);
    effects(&mut sync);
    sync.handle_sent(sent(1, 10), AT);
    sync.handle_downlink(Downlink::Ack(Ack { server_epoch: 2, ..ack(10, 10) }), AT);
    assert!(matches!(effects(&mut sync)[..], [Effect::SayHello { .. }]));
    assert_eq!(sync.unconfirmed(), 10);

    let mut sync = online(10, 10);
    sync.handle_downlink(Downlink::Pulse(Pulse { server_epoch: 1, server_time_ms: 0 }), AT);
    assert_eq!(effects(&mut sync), []);
    sync.handle_downlink(Downlink::Pulse(Pulse { server_epoch: 2, server_time_ms: 0 }), AT);
    assert!(matches!(effects(&mut sync)[..], [Effect::SayHello { .. }]));
}

#[test]
fn silence_leads_to_a_question_and_then_to_a_new_connection() {
    let mut sync = online(10, 0);
    effects(&mut sync);
    sync.handle_sent(sent(1, 10), AT);
    let mut asked = 0;
    loop {
        let (at, _) = sync.poll_timeout().expect("something is always due");
        sync.handle_timeout(at);
        let seen = effects(&mut sync);
        asked += seen.iter().filter(|effect| matches!(effect, Effect::SayHello { .. })).count();
        if seen.contains(&Effect::Disconnect) {
            break;
        }
    }
    assert_eq!(asked, 2);
    assert_eq!(sync.link_state(), LinkState::Offline);
}

#[test]
fn the_centre_paces() {
    let (mut sync, session) = greeting(&[report(EPOCH, 100, 0)]);
    sync.handle_downlink(welcome(session, vec![(EPOCH, 0, 0)], credit(20, 300)), AT);
    effects(&mut sync);
    sync.handle_confirmed(EPOCH, mark(0), Confirmed::Agreed, AT);
    assert_eq!(effects(&mut sync), [], "the hold");
    assert_eq!(sync.poll_timeout().map(|(at, _)| at), Some(AT.after_ms(300)));
    sync.handle_timeout(AT.after_ms(300));
    assert_eq!(effects(&mut sync), [send(1, 20)]);
}

#[test]
fn no_credit_is_a_pause_and_a_question_after_it() {
    let (mut sync, session) = greeting(&[report(EPOCH, 100, 0)]);
    sync.handle_downlink(welcome(session, vec![(EPOCH, 0, 0)], credit(0, 0)), AT);
    effects(&mut sync);
    sync.handle_confirmed(EPOCH, mark(0), Confirmed::Agreed, AT);
    assert_eq!(sync.link_state(), LinkState::Paused);
    sync.handle_timeout(AT.after_ms(1_000));
    assert!(matches!(effects(&mut sync)[..], [Effect::SayHello { .. }]));
}

#[test]
fn a_turn_ends_the_pause_and_nothing_else() {
    let turn = |server_epoch| Downlink::Turn(Turn { server_epoch, credit: credit(100, 0) });
    let told_to_pause = || {
        let (mut sync, session) = greeting(&[report(EPOCH, 100, 0)]);
        sync.handle_downlink(welcome(session, vec![(EPOCH, 0, 0)], credit(0, 60_000)), AT);
        effects(&mut sync);
        (sync, session)
    };
    let (mut sync, _) = told_to_pause();
    sync.handle_confirmed(EPOCH, mark(0), Confirmed::Agreed, AT);
    assert_eq!(sync.link_state(), LinkState::Paused);
    // Of another run of the centre: where that one is, this store does not know yet.
    sync.handle_downlink(turn(2), AT);
    assert_eq!(effects(&mut sync), []);
    sync.handle_downlink(turn(1), AT);
    assert_eq!(effects(&mut sync), [send(1, 100)]);
    // Said twice, it sends nothing twice.
    sync.handle_downlink(turn(1), AT);
    assert_eq!(effects(&mut sync), []);

    // It may come while the outbox still compares what the answer before it said.
    let (mut sync, _) = told_to_pause();
    sync.handle_downlink(turn(1), AT);
    assert_eq!(effects(&mut sync), []);
    sync.handle_confirmed(EPOCH, mark(0), Confirmed::Agreed, AT);
    assert_eq!(effects(&mut sync), [send(1, 100)]);
}

#[test]
fn another_agent_in_the_same_epoch_makes_this_one_leave_it() {
    let mut sync = online(10, 4);
    effects(&mut sync);
    sync.handle_sent(sent(5, 10), AT);
    sync.handle_downlink(Downlink::Ack(Ack { forked: true, ..ack(10, 4) }), AT);
    let notice = Effect::Notify(Notice::Forked { epoch: EPOCH });
    let confirm = Effect::Confirm { epoch: EPOCH, mark: mark(10) };
    assert_eq!(effects(&mut sync), [confirm, notice, Effect::OpenEpoch]);
    sync.handle_confirmed(EPOCH, mark(10), Confirmed::Agreed, AT);
    let opened = Epoch::new(8);
    sync.handle_held(&[report(EPOCH, 10, 10), report(opened, 1, 0)], AT);
    let [Effect::SayHello { ref epochs, .. }] = effects(&mut sync)[..] else { panic!("it asks about the new epoch") };
    assert_eq!(epochs, &[opened]);
}

#[test]
fn a_history_that_differs_is_sent_whole() {
    let (mut sync, session) = greeting(&[report(EPOCH, 10, 6)]);
    sync.handle_downlink(welcome(session, vec![(EPOCH, 9, 9)], credit(500, 0)), AT);
    effects(&mut sync);
    sync.handle_confirmed(EPOCH, mark(9), Confirmed::Differs, AT);
    assert_eq!(
        effects(&mut sync),
        [Effect::Notify(Notice::Forked { epoch: EPOCH }), Effect::OpenEpoch, send(1, 500)],
        "and sales go on in another epoch"
    );
}

#[test]
fn an_epoch_that_could_not_be_left_is_left_at_the_next_sign() {
    let fork = |sync: &mut StoreSync, through| {
        sync.handle_sent(sent(through, through), AT);
        sync.handle_downlink(Downlink::Ack(Ack { forked: true, ..ack(through, 4) }), AT);
        let asked = effects(sync).into_iter().filter(|effect| *effect == Effect::OpenEpoch).count();
        sync.handle_confirmed(EPOCH, mark(through), Confirmed::Agreed, AT);
        asked
    };
    let mut sync = online(10, 4);
    effects(&mut sync);
    assert_eq!(fork(&mut sync, 5), 1);
    effects(&mut sync);
    assert_eq!(fork(&mut sync, 6), 0, "what came of it is not known yet");
    // There was no room for a new epoch.
    sync.handle_held(&[report(EPOCH, 10, 6)], AT);
    effects(&mut sync);
    assert_eq!(fork(&mut sync, 7), 1);
    sync.handle_held(&[report(EPOCH, 10, 7), report(Epoch::new(8), 1, 0)], AT);
    effects(&mut sync);
    assert_eq!(fork(&mut sync, 8), 0);
}

#[test]
fn what_the_outbox_holds_is_sent_whoever_forgot_to_tell() {
    let mut sync = online(10, 10);
    // Two more events, and then a new epoch, of which only the newest event was told.
    sync.handle_committed(Epoch::new(8), Seq::FIRST, AT);
    assert_eq!(effects(&mut sync), []);
    sync.handle_held(&[report(EPOCH, 12, 10), report(Epoch::new(8), 1, 0)], AT);
    assert_eq!(effects(&mut sync), [send(11, 500)]);
    assert_eq!(sync.unconfirmed(), 3);
}

#[test]
fn a_history_that_differs_goes_on_where_this_run_of_the_centre_has_it() {
    /// The centre, in a run, answers the question that waits; its history differs from ours. Returns what is sent next.
    fn ask_again(sync: &mut StoreSync, session: u64, run: u64) -> Vec<Effect> {
        let mut answer = welcome(session, vec![(EPOCH, 3, 3)], credit(4, 0));
        if let Downlink::Welcome(welcome) = &mut answer {
            welcome.server_epoch = run;
        }
        sync.handle_downlink(answer, AT);
        effects(sync);
        sync.handle_confirmed(EPOCH, mark(3), Confirmed::Differs, AT);
        effects(sync).into_iter().filter(|effect| matches!(effect, Effect::SendBatch { .. })).collect()
    }
    /// Nobody answers what was sent; returns the session of the next question.
    fn silence(sync: &mut StoreSync) -> u64 {
        let (at, _) = sync.poll_timeout().expect("something is due");
        sync.handle_timeout(at);
        let asked = effects(sync);
        let [Effect::SayHello { session, .. }] = asked[..] else { panic!("{asked:?}") };
        session
    }
    let (mut sync, session) = greeting(&[report(EPOCH, 10, 3)]);
    assert_eq!(ask_again(&mut sync, session, 1), [send(1, 4)]);
    sync.handle_sent(sent(1, 4), AT);
    sync.handle_downlink(Downlink::Ack(Ack { forked: true, credit: credit(4, 0), ..ack(4, 3) }), AT);
    effects(&mut sync);
    sync.handle_confirmed(EPOCH, mark(4), Confirmed::Agreed, AT);
    assert_eq!(effects(&mut sync), [send(5, 4)]);
    sync.handle_sent(sent(5, 8), AT);
    let session = silence(&mut sync);
    assert_eq!(ask_again(&mut sync, session, 1), [send(5, 4)], "the same run has the first four");
    sync.handle_sent(sent(5, 8), AT);
    let session = silence(&mut sync);
    assert_eq!(ask_again(&mut sync, session, 2), [send(1, 4)], "another run may have been restored");

    // The centre cannot join what it was sent to anything.
    sync.handle_sent(sent(1, 4), AT);
    sync.handle_downlink(Downlink::Ack(Ack { server_epoch: 2, forked: true, credit: credit(4, 0), ..ack(4, 3) }), AT);
    sync.handle_confirmed(EPOCH, mark(4), Confirmed::Agreed, AT);
    effects(&mut sync);
    sync.handle_sent(sent(5, 8), AT);
    sync.handle_downlink(Downlink::Ack(Ack { server_epoch: 2, rewind: true, ..ack(3, 3) }), AT);
    let session = silence(&mut sync);
    assert_eq!(ask_again(&mut sync, session, 2), [send(1, 4)]);
}

#[test]
fn a_gap_at_the_centre_leads_back_to_a_question() {
    let mut sync = online(10, 4);
    effects(&mut sync);
    sync.handle_sent(sent(5, 10), AT);
    sync.handle_downlink(Downlink::Ack(Ack { rewind: true, ..ack(2, 2) }), AT);
    let (at, _) = sync.poll_timeout().expect("a pause has an end");
    sync.handle_timeout(at);
    assert!(matches!(effects(&mut sync)[..], [Effect::SayHello { .. }]));
}

#[test]
fn refusals_of_the_link() {
    let mut sync = online(10, 0);
    effects(&mut sync);
    sync.handle_sent(sent(1, 10), AT);
    sync.handle_refused(Refusal::TooLarge, AT);
    assert_eq!(effects(&mut sync), [send(1, 5)]);

    // An overloaded centre gets half as much, soon; what it then takes is doubled again.
    sync.handle_sent(sent(1, 5), AT);
    sync.handle_refused(Refusal::Overloaded, AT);
    let (at, _) = sync.poll_timeout().expect("it tries again");
    assert!(at <= AT.after_ms(StoreLimits::PRODUCTION.refusal_backoff_cap_ms));
    sync.handle_timeout(at);
    assert_eq!(effects(&mut sync), [send(1, 2)]);
    sync.handle_sent(sent(1, 2), at);
    sync.handle_downlink(Downlink::Ack(ack(2, 2)), at);
    sync.handle_confirmed(EPOCH, mark(2), Confirmed::Agreed, at);
    assert_eq!(effects(&mut sync)[1..], [send(3, 4)]);

    // What the centre cannot read is sent again as if it were overloaded, and a person hears of it.
    sync.handle_sent(sent(3, 6), at);
    sync.handle_refused(Refusal::Unreadable, at);
    assert_eq!(effects(&mut sync), [Effect::Notify(Notice::Unreadable)]);
    let (at, _) = sync.poll_timeout().expect("it tries again");
    sync.handle_timeout(at);
    assert_eq!(effects(&mut sync), [send(3, 2)]);

    sync.handle_sent(sent(3, 4), AT);
    sync.handle_refused(Refusal::NotAuthorized, AT);
    assert_eq!(effects(&mut sync), [Effect::Disconnect, Effect::Notify(Notice::Refused)]);
}

#[test]
fn a_person_hears_of_a_login_that_is_refused_again() {
    let mut sync = StoreSync::new(&[report(EPOCH, 1, 0)], StoreLimits::PRODUCTION, 1, AT);
    let mut now = AT;
    for notices in [0, 1, 1] {
        sync.handle_timeout(now);
        sync.handle_connection_lost(Loss::LoginRefused, now);
        let told = effects(&mut sync).into_iter().filter(|effect| *effect == Effect::Notify(Notice::Refused)).count();
        assert_eq!(told, notices);
        (now, _) = sync.poll_timeout().expect("it tries again");
    }
}

#[test]
fn an_answer_counts_although_a_copy_of_the_batch_was_refused() {
    let mut sync = online(20, 0);
    assert_eq!(effects(&mut sync), [send(1, 500)]);
    sync.handle_sent(sent(1, 10), AT);
    for _ in 0..9 {
        sync.handle_refused(Refusal::Overloaded, AT);
    }
    sync.handle_committed(EPOCH, Seq::new(21), AT);
    assert_eq!(effects(&mut sync), [], "it waits before it sends again");
    sync.handle_downlink(Downlink::Ack(ack(9, 9)), AT);
    assert_eq!(effects(&mut sync), [], "an answer to something else");
    sync.handle_downlink(Downlink::Ack(ack(10, 10)), AT);
    assert_eq!(effects(&mut sync), [Effect::Confirm { epoch: EPOCH, mark: mark(10) }]);
    sync.handle_confirmed(EPOCH, mark(10), Confirmed::Agreed, AT);
    assert_eq!(effects(&mut sync), [send(11, 10)], "half of ten after nine refusals, doubled by the answer");
    assert_eq!(sync.unconfirmed(), 11);
}

#[test]
fn more_epochs_than_one_question_holds_are_asked_about_in_turn() {
    let limits = StoreLimits { hello_epochs_max: 2, ..StoreLimits::PRODUCTION };
    let reports: Vec<_> = (1..=5).map(|epoch| report(Epoch::new(epoch), 3, 3)).collect();
    let mut sync = StoreSync::new(&reports, limits, 1, AT);
    sync.handle_timeout(AT);
    sync.handle_connected(AT);
    let mut asked = Vec::new();
    loop {
        let mut session_of_question = None;
        let mut confirms = Vec::new();
        for effect in effects(&mut sync) {
            match effect {
                Effect::SayHello { session, epochs } => session_of_question = Some((session, epochs)),
                Effect::Confirm { epoch, mark } => confirms.push((epoch, mark)),
                _ => {}
            }
        }
        confirms.iter().for_each(|(epoch, mark)| sync.handle_confirmed(*epoch, *mark, Confirmed::Agreed, AT));
        if let Some((session, epochs)) = session_of_question {
            let cursors = epochs.iter().map(|epoch| (*epoch, 3, 3)).collect();
            asked.push(epochs.len());
            sync.handle_downlink(welcome(session, cursors, credit(500, 0)), AT);
        } else if confirms.is_empty() {
            break;
        }
    }
    assert_eq!(asked, [2, 2, 1]);
}

#[test]
fn a_login_that_is_refused_is_tried_again_soon_at_first() {
    let mut sync = StoreSync::new(&[report(EPOCH, 1, 0)], StoreLimits::PRODUCTION, 1, AT);
    let mut now = AT;
    let mut waits_ms = Vec::new();
    for _ in 0..200 {
        sync.handle_timeout(now);
        sync.handle_connection_lost(Loss::LoginRefused, now);
        let (at, _) = sync.poll_timeout().expect("it tries again");
        waits_ms.push(at.ms() - now.ms());
        now = at;
    }
    let limits = StoreLimits::PRODUCTION;
    assert!(waits_ms[0] <= limits.refused_backoff_first_ms, "{waits_ms:?}");
    assert!(waits_ms[1] <= 2 * limits.refused_backoff_first_ms, "{waits_ms:?}");
    let late = &waits_ms[10..];
    assert!(late.iter().all(|wait_ms| *wait_ms <= limits.refused_backoff_ms), "{waits_ms:?}");
    assert!(late.iter().sum::<u64>() / late.len() as u64 > limits.refused_backoff_ms / 3, "{waits_ms:?}");
}

fn compare(newest: u8, every_ms: u32) -> Downlink {
    let dates = vec!["2026-07-26".parse().expect("a date")];
    Downlink::Compare(Compare { dates, newest, every_ms })
}

/// How many digests of the newest dates are due within a time, and when the first of them is.
fn digests_due(sync: &mut StoreSync, within_ms: u64) -> (usize, Option<Instant>) {
    let (mut count, mut first) = (0, None);
    let end = AT.after_ms(within_ms);
    while let Some((at, _)) = sync.poll_timeout().filter(|(at, _)| *at <= end) {
        sync.handle_timeout(at);
        for effect in effects(sync) {
            if matches!(effect, Effect::SendDigests { newest, .. } if newest > 0) {
                count += 1;
                first.get_or_insert(at);
            }
        }
    }
    (count, first)
}

#[test]
fn digests_are_sent_when_the_centre_asks_and_again_and_again() {
    let (mut sync, session) = greeting(&[report(EPOCH, 5, 5)]);
    sync.handle_downlink(welcome(session, vec![(EPOCH, 5, 5)], credit(100, 0)), AT);
    sync.handle_confirmed(EPOCH, mark(5), Confirmed::Agreed, AT);
    effects(&mut sync);
    sync.handle_downlink(compare(7, 60_000), AT);
    let asked = effects(&mut sync);
    assert!(matches!(&asked[..], [Effect::SendDigests { newest: 0, dates }] if dates.len() == 1), "{asked:?}");
    let (count, first) = digests_due(&mut sync, 10 * 60_000);
    assert!(first.is_some_and(|first| first <= AT.after_ms(60_000)), "{first:?}");
    assert!((9..=10).contains(&count), "{count}");
    sync.handle_connection_lost(Loss::Network, AT);
    effects(&mut sync);
    assert_eq!(sync.poll_timeout().map(|(_, why)| why), Some("connect"), "the next connection begins anew");
}

#[test]
fn a_store_that_greets_again_and_again_sends_its_digests_all_the_same() {
    let (mut sync, session) = greeting(&[report(EPOCH, 5, 5)]);
    sync.handle_downlink(welcome(session, vec![(EPOCH, 5, 5)], credit(100, 0)), AT);
    sync.handle_confirmed(EPOCH, mark(5), Confirmed::Agreed, AT);
    effects(&mut sync);
    sync.handle_downlink(compare(7, 600_000), AT);
    let due = |sync: &StoreSync| sync.comparing.map(Comparing::next_at);
    let first = due(&sync);
    for minute in 1..60 {
        sync.handle_downlink(compare(7, 600_000), AT.after_ms(minute * 1_000));
        assert!(due(&sync) <= first, "{:?} is later than {first:?}", due(&sync));
    }
}

#[test]
fn nothing_is_compared_before_the_centre_asks_and_not_more_often_than_a_store_can_do() {
    let (mut sync, session) = greeting(&[report(EPOCH, 5, 5)]);
    sync.handle_downlink(welcome(session, vec![(EPOCH, 5, 5)], credit(100, 0)), AT);
    sync.handle_confirmed(EPOCH, mark(5), Confirmed::Agreed, AT);
    effects(&mut sync);
    assert_eq!(digests_due(&mut sync, 3_600_000).0, 0);
    sync.handle_downlink(compare(255, 0), AT);
    effects(&mut sync);
    assert!(digests_due(&mut sync, 60_000).0 <= 61);
}

#[test]
fn events_are_sent_again_only_where_the_question_makes_sense() {
    let recall = |from, to| Recall { request: 1, epoch: EPOCH, from: Seq::new(from), to: Seq::new(to) };
    let (mut sync, _) = greeting(&[report(EPOCH, 5, 5)]);
    for (from, to, answered) in [(1, 5, true), (5, 5, true), (5, 4, false), (0, 4, false)] {
        sync.handle_downlink(Downlink::Recall(recall(from, to)), AT);
        let expected = if answered { vec![Effect::SendAgain(recall(from, to))] } else { vec![] };
        assert_eq!(effects(&mut sync), expected, "{from}..={to}");
    }
}
