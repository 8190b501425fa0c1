//! A terminal that follows a script. No money moves.
//!
//! Each new attempt takes the next step of the script; when the script is over, attempts are approved. Whatever the step
//! does to the first answer, the simulator's own books stay right, so a query tells the truth.

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pos_model::{AttemptId, Money};
use till::payment::{Answer, Standing};

use super::terminal::{PayOrder, Reply, Silence, Terminal};
use crate::config::duration;

/// Attempts that it remembers: some days of a busy till. The oldest go.
const REMEMBERED_MAX: usize = 10_000;

/// What happens to one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is charged, and the answer says so.
    Approve,
    /// It is declined.
    Decline,
    /// The question never arrives.
    LoseQuestion,
    /// It is charged, and the answer is lost.
    LoseAnswer,
    /// It is declined, and the answer is the approval of another order.
    OtherOrder,
    /// One unit too little is charged, and the answer says so.
    OtherAmount,
    /// The customer pays after so many queries.
    StillPaying(u32),
    /// The customer never pays, and so many reversals are answered with that.
    NeverPaid(u32),
}

/// Steps in order, each with how long its first answer takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script(VecDeque<(Step, Duration)>);

impl Script {
    /// Steps that are answered at once.
    pub fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self(steps.into_iter().map(|step| (step, Duration::ZERO)).collect())
    }
}

impl FromStr for Script {
    type Err = String;

    /// Parses steps with commas between them, such as `approve, lose_answer, still_paying:3, approve@5s`.
    fn from_str(text: &str) -> Result<Self, String> {
        let steps = text.split(',').map(str::trim).filter(|step| !step.is_empty());
        steps.map(parse_step).collect::<Result<_, _>>().map(Self)
    }
}

fn parse_step(text: &str) -> Result<(Step, Duration), String> {
    let (what, delay) = match text.split_once('@') {
        Some((what, delay)) => (what, duration(delay)?),
        None => (text, Duration::ZERO),
    };
    let (word, count) = match what.split_once(':') {
        Some((word, count)) => (word, Some(count.parse::<u32>().map_err(|_| format!("{count:?} is no number"))?)),
        None => (what, None),
    };
    let step = match (word, count) {
        ("approve", None) => Step::Approve,
        ("decline", None) => Step::Decline,
        ("lose_question", None) => Step::LoseQuestion,
        ("lose_answer", None) => Step::LoseAnswer,
        ("other_order", None) => Step::OtherOrder,
        ("other_amount", None) => Step::OtherAmount,
        ("still_paying", count) => Step::StillPaying(count.unwrap_or(1)),
        ("never_paid", count) => Step::NeverPaid(count.unwrap_or(0)),
        _ => return Err(format!("{text:?} is no step of a simulator's script")),
    };
    Ok((step, delay))
}

/// The terminal.
#[derive(Debug, Default)]
pub struct Simulator(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    script: Script,
    entries: BTreeMap<AttemptId, Entry>,
    order: VecDeque<AttemptId>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    state: State,
    /// How often money was taken: more than once would be a defect of whoever asked.
    charges: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Paying {
        amount: Money,
        queries_left: Option<u32>,
        reversals_refused: u32,
    },
    Charged(Money),
    Declined,
    Reversed,
    /// It was reversed before it came.
    Closed,
}

impl Simulator {
    /// A terminal with a script.
    pub fn new(script: Script) -> Self {
        Self(Mutex::new(Books { script, ..Books::default() }))
    }

    /// How often it has charged for an attempt.
    pub fn charges(&self, attempt_id: AttemptId) -> u32 {
        self.books().entries.get(&attempt_id).map_or(0, |entry| entry.charges)
    }

    /// What it holds for an attempt: charged, and not reversed.
    pub fn holds(&self, attempt_id: AttemptId) -> Money {
        match self.books().entries.get(&attempt_id).map(|entry| entry.state) {
            Some(State::Charged(amount)) => amount,
            _ => Money::ZERO,
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terminal for Simulator {
    fn pay<'a>(&'a self, order: &'a PayOrder) -> Reply<'a> {
        let (said, delay) = self.books().pay(order);
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            said
        })
    }

    fn query(&self, attempt_id: AttemptId) -> Reply<'_> {
        let standing = self.books().query(attempt_id);
        Box::pin(async move { Ok(Answer { attempt_id, standing }) })
    }

    fn reverse(&self, attempt_id: AttemptId) -> Reply<'_> {
        let standing = self.books().reverse(attempt_id);
        Box::pin(async move { Ok(Answer { attempt_id, standing }) })
    }
}

impl Books {
    fn pay(&mut self, order: &PayOrder) -> (Result<Answer, Silence>, Duration) {
        let attempt_id = order.attempt_id;
        if let Some(entry) = self.entries.get(&attempt_id) {
            return (Ok(Answer { attempt_id, standing: standing(entry.state) }), Duration::ZERO);
        }
        let (step, delay) = self.script.0.pop_front().unwrap_or((Step::Approve, Duration::ZERO));
        let amount = order.amount;
        let less = Money::from_minor(amount.minor().saturating_sub(1));
        let state = match step {
            Step::LoseQuestion => return (Err(Silence::Scripted), delay),
            Step::Approve | Step::LoseAnswer => State::Charged(amount),
            Step::OtherAmount => State::Charged(less),
            Step::Decline | Step::OtherOrder => State::Declined,
            Step::StillPaying(queries) => State::Paying { amount, queries_left: Some(queries), reversals_refused: 0 },
            Step::NeverPaid(reversals_refused) => State::Paying { amount, queries_left: None, reversals_refused },
        };
        self.enter(attempt_id, state);
        let said = match step {
            Step::LoseAnswer => Err(Silence::Scripted),
            Step::OtherOrder => {
                let other = AttemptId::new(uuid::Uuid::from_u128(!attempt_id.uuid().as_u128()));
                Ok(Answer { attempt_id: other, standing: standing(State::Charged(amount)) })
            }
            _ => Ok(Answer { attempt_id, standing: standing(state) }),
        };
        (said, delay)
    }

    fn query(&mut self, attempt_id: AttemptId) -> Standing {
        let Some(entry) = self.entries.get_mut(&attempt_id) else { return Standing::NotFound };
        match &mut entry.state {
            State::Paying { queries_left: Some(left), .. } if *left > 0 => *left -= 1,
            State::Paying { amount, queries_left: Some(_), .. } => {
                entry.state = State::Charged(*amount);
                entry.charges += 1;
            }
            _ => {}
        }
        standing(entry.state)
    }

    fn reverse(&mut self, attempt_id: AttemptId) -> Standing {
        let Some(entry) = self.entries.get_mut(&attempt_id) else {
            self.enter(attempt_id, State::Closed);
            return Standing::NotFound;
        };
        match &mut entry.state {
            State::Paying { reversals_refused, .. } if *reversals_refused > 0 => *reversals_refused -= 1,
            State::Paying { .. } => entry.state = State::Declined,
            State::Charged(_) => entry.state = State::Reversed,
            State::Declined | State::Reversed | State::Closed => {}
        }
        standing(entry.state)
    }

    fn enter(&mut self, attempt_id: AttemptId, state: State) {
        if self.order.len() == REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.order.push_back(attempt_id);
        let charges = u32::from(matches!(state, State::Charged(_)));
        self.entries.insert(attempt_id, Entry { state, charges });
    }
}

fn standing(state: State) -> Standing {
    match state {
        State::Paying { .. } => Standing::StillPaying,
        State::Charged(amount) => Standing::Approved { amount, reference: Some("simulated".to_owned()) },
        State::Declined | State::Closed => Standing::Declined { reason: Some("the simulator declines".to_owned()) },
        State::Reversed => Standing::Reversed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pos_model::{Currency, SaleId};
    use uuid::Uuid;

    fn order(number: u128) -> PayOrder {
        PayOrder {
            attempt_id: AttemptId::new(Uuid::from_u128(number)),
            sale_id: SaleId::new(Uuid::from_u128(1)),
            till_id: "T1".parse().expect("valid"),
            kind: "card".parse().expect("valid"),
            amount: Money::from_minor(1_800),
            currency: Currency::CNY,
            code: None,
        }
    }

    #[test]
    fn scripts_from_text() {
        let script: Script = "approve, lose_answer@250ms,still_paying:3, never_paid,".parse().expect("a script");
        let at_once = Duration::ZERO;
        let expected = [
            (Step::Approve, at_once),
            (Step::LoseAnswer, Duration::from_millis(250)),
            (Step::StillPaying(3), at_once),
            (Step::NeverPaid(0), at_once),
        ];
        assert_eq!(script.0, expected);
        assert_eq!("".parse::<Script>(), Ok(Script::default()));
        for wrong in ["pay", "approve:1", "approve@", "still_paying:x", "decline@5"] {
            assert!(wrong.parse::<Script>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn each_step_does_what_it_says() {
        let script = "lose_question, lose_answer, other_order, still_paying:1, never_paid:1, decline";
        let simulator = Simulator::new(script.parse().expect("a script"));
        let id = |number| order(number).attempt_id;
        let approved =
            |amount| Standing::Approved { amount: Money::from_minor(amount), reference: Some("simulated".to_owned()) };
        let query = async |number| simulator.query(id(number)).await.expect("answers").standing;
        let reverse = async |number| simulator.reverse(id(number)).await.expect("answers").standing;

        assert!(simulator.pay(&order(1)).await.is_err());
        assert_eq!(query(1).await, Standing::NotFound);
        assert_eq!(reverse(1).await, Standing::NotFound);
        assert!(matches!(simulator.pay(&order(1)).await.expect("answers").standing, Standing::Declined { .. }));

        assert!(simulator.pay(&order(2)).await.is_err());
        assert_eq!(query(2).await, approved(1_800));
        assert_eq!(simulator.pay(&order(2)).await.expect("answers").standing, approved(1_800));
        assert_eq!((simulator.charges(id(2)), simulator.holds(id(2)).minor()), (1, 1_800));
        assert_eq!(reverse(2).await, Standing::Reversed);
        assert_eq!(simulator.holds(id(2)), Money::ZERO);

        assert_ne!(simulator.pay(&order(3)).await.expect("answers").attempt_id, id(3));
        assert_eq!(simulator.charges(id(3)), 0);

        assert_eq!(simulator.pay(&order(4)).await.expect("answers").standing, Standing::StillPaying);
        assert_eq!(query(4).await, Standing::StillPaying);
        assert_eq!(query(4).await, approved(1_800));

        assert_eq!(simulator.pay(&order(5)).await.expect("answers").standing, Standing::StillPaying);
        assert_eq!(reverse(5).await, Standing::StillPaying);
        assert!(matches!(reverse(5).await, Standing::Declined { .. }));

        assert!(matches!(simulator.pay(&order(6)).await.expect("answers").standing, Standing::Declined { .. }));
        assert_eq!(simulator.pay(&order(7)).await.expect("answers").standing, approved(1_800));
    }
}
