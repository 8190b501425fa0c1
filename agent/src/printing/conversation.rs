//! What is said to a printer, from the first question to the last answer, and what can be known afterwards.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use printing::job::Outcome;
use printing::status::{ASK_DONE, ASK_READY, DONE_BYTES, READY_BYTES, Ready, done, ready};

use super::wire::Wire;

/// Between two looks at whether the agent ends.
const SLICE: Duration = Duration::from_millis(100);

/// For an answer to a question before the job. Slow printers take eight seconds.
const ANSWER: Duration = Duration::from_secs(10);

/// After the last byte, for a printer that does not answer to say that the connection broke.
const FAREWELL: Duration = Duration::from_secs(2);

/// One job, in all: no paper takes as long.
const WHOLE: Duration = Duration::from_secs(15 * 60);

/// What is left for a job that is being sent when the agent ends.
const ENDING: Duration = Duration::from_millis(700);

/// How to talk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// Whether it answers.
    pub(super) answers: bool,
    /// How long it may stand still.
    pub(super) patience: Duration,
    /// Set when the agent ends.
    pub(super) ending: &'a AtomicBool,
}

/// What came of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) outcome: Outcome,
    /// What went wrong, in words; empty if nothing did.
    pub(super) trouble: String,
}

impl Said {
    fn good(outcome: Outcome) -> Self {
        Self { outcome, trouble: String::new() }
    }

    fn bad(outcome: Outcome, trouble: impl Into<String>) -> Self {
        Self { outcome, trouble: trouble.into() }
    }
}

/// Asks before a job whether the printer can print; says why not.
pub(super) fn ask_ready(wire: &mut dyn Wire, terms: Terms<'_>) -> Result<(), String> {
    if !terms.answers {
        return Ok(());
    }
    let started = Instant::now();
    let limits = Limits { started, patience: terms.patience.min(ANSWER), ending: terms.ending };
    let asked = limits.send(wire, &ASK_READY);
    if let Some(trouble) = asked.trouble {
        return Err(trouble);
    }
    let mut answer = [0; READY_BYTES];
    limits.receive(wire, &mut answer)?;
    match ready(answer) {
        Ready::Yes => Ok(()),
        Ready::CoverOpen => Err("its cover is open".to_owned()),
        Ready::PaperOut => Err("it has no paper".to_owned()),
        Ready::Fault => Err("it reports a fault".to_owned()),
        Ready::Unclear => Err("its answer cannot be understood; if it does not answer, set answers = false".to_owned()),
    }
}

/// Sends a job and finds out what can be known.
pub(super) fn print(wire: &mut dyn Wire, bytes: &[u8], terms: Terms<'_>) -> Said {
    let limits = Limits { started: Instant::now(), patience: terms.patience, ending: terms.ending };
    let sent = limits.send(wire, bytes);
    if let Some(trouble) = sent.trouble {
        let text = format!("{trouble}, after {} of {} bytes", sent.bytes, bytes.len());
        let outcome = if sent.bytes == 0 { Outcome::NotReached } else { Outcome::CutOff };
        return Said::bad(outcome, text);
    }
    if !terms.answers {
        return match wire.finish(FAREWELL) {
            Ok(()) => Said::good(Outcome::Taken),
            Err(error) => Said::bad(Outcome::Unconfirmed, format!("it broke off at the end: {error}")),
        };
    }
    let asked = limits.send(wire, &ASK_DONE);
    let mut answer = [0; DONE_BYTES];
    let heard = match asked.trouble {
        Some(trouble) => Err(trouble),
        None => limits.receive(wire, &mut answer),
    };
    match heard {
        Ok(()) if done(answer[0]) => Said::good(Outcome::Confirmed),
        Ok(()) => Said::bad(Outcome::Unconfirmed, "its paper ended"),
        Err(trouble) => Said::bad(Outcome::Unconfirmed, format!("it did not say that all is on paper: {trouble}")),
    }
}

struct Sent {
    bytes: usize,
    trouble: Option<String>,
}

struct Limits<'a> {
    started: Instant,
    patience: Duration,
    ending: &'a AtomicBool,
}

impl Limits<'_> {
    fn send(&self, wire: &mut dyn Wire, bytes: &[u8]) -> Sent {
        let mut waits = Waits::new(self);
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match wire.send(rest, SLICE) {
                Ok(0) => {}
                Ok(more) => {
                    sent += more;
                    waits.moved();
                }
                Err(error) => return Sent { bytes: sent, trouble: Some(in_words(&error)) },
            }
            if let Some(trouble) = waits.over() {
                return Sent { bytes: sent, trouble: Some(trouble) };
            }
        }
        Sent { bytes: sent, trouble: None }
    }

    fn receive(&self, wire: &mut dyn Wire, answer: &mut [u8]) -> Result<(), String> {
        let mut waits = Waits::new(self);
        let mut received = 0;
        while let Some(rest) = answer.get_mut(received..).filter(|rest| !rest.is_empty()) {
            received += wire.receive(rest, SLICE).map_err(|error| in_words(&error))?;
            if received < answer.len()
                && let Some(trouble) = waits.over()
            {
                return Err(trouble);
            }
        }
        Ok(())
    }
}

/// How long nothing has moved.
struct Waits<'a> {
    limits: &'a Limits<'a>,
    moved: Instant,
    ending: Option<Instant>,
}

impl<'a> Waits<'a> {
    fn new(limits: &'a Limits<'a>) -> Self {
        Self { limits, moved: Instant::now(), ending: None }
    }

    fn moved(&mut self) {
        self.moved = Instant::now();
    }

    /// Why to wait no longer.
    fn over(&mut self) -> Option<String> {
        if self.limits.ending.load(Ordering::Relaxed) {
            let since = *self.ending.get_or_insert_with(Instant::now);
            if since.elapsed() >= ENDING {
                return Some("the agent ended".to_owned());
            }
        }
        let patience = self.limits.patience;
        if self.moved.elapsed() >= patience {
            return Some(format!("it stood still for {} s", seconds(patience)));
        }
        (self.limits.started.elapsed() >= WHOLE).then(|| "it took too long".to_owned())
    }
}

/// A duration in seconds for people, to a tenth.
fn seconds(duration: Duration) -> String {
    match duration.subsec_millis() / 100 {
        0 => duration.as_secs().to_string(),
        tenths => format!("{}.{tenths}", duration.as_secs()),
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => format!("the connection broke: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then stands still or breaks; answers with these bytes.
    struct Scripted {
        takes: usize,
        breaks: bool,
        answers: Vec<u8>,
    }

    impl Wire for Scripted {
        fn send(&mut self, bytes: &[u8], _: Duration) -> io::Result<usize> {
            let taken = bytes.len().min(self.takes).min(7);
            self.takes -= taken;
            if taken == 0 && self.breaks { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(taken) }
        }

        fn receive(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
            if self.answers.is_empty() {
                return Ok(0);
            }
            buffer[0] = self.answers.remove(0);
            Ok(1)
        }

        fn finish(&mut self, _: Duration) -> io::Result<()> {
            if self.breaks { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
        }
    }

    fn terms(answers: bool, ending: &AtomicBool) -> Terms<'_> {
        Terms { answers, patience: Duration::from_millis(20), ending }
    }

    #[test]
    fn what_is_known_afterwards_is_what_the_printer_told() {
        let never = AtomicBool::new(false);
        let check = |takes: usize, breaks: bool, answers: Option<&[u8]>, expected: Outcome, part: &str| {
            let mut wire = Scripted { takes, breaks, answers: answers.unwrap_or_default().to_vec() };
            let said = print(&mut wire, &[b'x'; 100], terms(answers.is_some(), &never));
            assert_eq!(said.outcome, expected, "{said:?}");
            assert!(said.trouble.contains(part) && said.trouble.is_empty() == part.is_empty(), "{said:?}");
        };
        check(1_000, false, None, Outcome::Taken, "");
        check(1_000, true, None, Outcome::Unconfirmed, "broke off at the end");
        check(0, false, None, Outcome::NotReached, "stood still");
        check(0, true, None, Outcome::NotReached, "broke");
        check(1, false, None, Outcome::CutOff, "after 1 of 100 bytes");
        check(99, true, None, Outcome::CutOff, "after 99 of 100 bytes");
        check(1_000, false, Some(&[0]), Outcome::Confirmed, "");
        check(1_000, false, Some(&[0x0C]), Outcome::Unconfirmed, "paper ended");
        check(1_000, false, Some(&[]), Outcome::Unconfirmed, "did not say");
        check(101, false, Some(&[0]), Outcome::Unconfirmed, "did not say");
    }

    #[test]
    fn a_printer_that_answers_is_asked_before() {
        let never = AtomicBool::new(false);
        let check = |answers: &[u8], expected: Result<(), &str>| {
            let mut wire = Scripted { takes: 100, breaks: false, answers: answers.to_vec() };
            let asked = ask_ready(&mut wire, terms(true, &never));
            match (&asked, expected) {
                (Ok(()), Ok(())) => {}
                (Err(said), Err(part)) if said.contains(part) => {}
                _ => panic!("{asked:?}, expected {expected:?}"),
            }
        };
        check(&[0x12, 0x12], Ok(()));
        check(&[0x16, 0x12], Err("cover"));
        check(&[0x12, 0x72], Err("no paper"));
        check(&[0x00, 0x00], Err("answers = false"));
        check(&[], Err("stood still for 0 s"));
    }

    #[test]
    fn the_end_of_the_agent_leaves_a_moment_and_no_more() {
        let ending = AtomicBool::new(true);
        let mut wire = Scripted { takes: 1, breaks: false, answers: Vec::new() };
        let terms = Terms { answers: false, patience: Duration::from_secs(600), ending: &ending };
        let started = Instant::now();
        let said = print(&mut wire, b"xx", terms);
        assert_eq!((said.outcome, said.trouble.as_str()), (Outcome::CutOff, "the agent ended, after 1 of 2 bytes"));
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
