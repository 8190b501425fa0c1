//! How cups move on, and how they are voided.

use pos_model::{CupId, LineId, OperatorId, TillId};
use protocol::latest::kitchen::{CupsView, StepCups};
use rusqlite::{OptionalExtension, Row, params};
use till::kitchen::{CupCode, CupState, Step};
use uuid::Uuid;

use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::kitchen_view::inner_state;
use super::store::Store;

/// Who says it.
#[derive(Debug, Clone, Copy)]
pub struct SaidBy<'a> {
    /// Where.
    pub till_id: &'a TillId,
    /// Who.
    pub operator_id: Option<&'a OperatorId>,
}

/// A cup that is not to be made any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoidedCup {
    /// The cup.
    pub id: CupId,
    /// How far it was: what is queued has used nothing up.
    pub was: CupState,
}

/// A cup as it is stored, as far as a step needs it.
struct CupRow {
    order_no: i64,
    number: u32,
    id: CupId,
    state: CupState,
    changed_at_ms: i64,
}

impl Store {
    /// Voids cups of a line that was sent: `cups_max` of them, or all, those first on which least was done. Within an
    /// operation. The stations go on seeing them, as voided. Cups that the customer has are none of them; a line that was
    /// never sent has none.
    pub fn void_cups(
        &mut self,
        moment: &Moment,
        by: SaidBy<'_>,
        order_id: Uuid,
        line_id: LineId,
        cups_max: Option<u32>,
    ) -> Result<Vec<VoidedCup>, Error> {
        let Some(order_no) = self.order_no(order_id)? else { return Ok(Vec::new()) };
        let mut rows = self.cup_rows("order_no = ?1 AND line_id = ?2", params![order_no, line_id.as_bytes()])?;
        rows.sort_by_key(|row| (row.state, std::cmp::Reverse(row.number)));
        let voided: Vec<(CupRow, CupState)> = rows
            .into_iter()
            .filter_map(|row| row.state.voided().map(|voided| (row, voided)))
            .take(cups_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX)))
            .collect();
        for (row, state) in &voided {
            self.set_state(moment, by, row, *state)?;
        }
        self.moved(moment, order_no, &voided)?;
        Ok(voided.into_iter().map(|(row, _)| VoidedCup { id: row.id, was: row.state }).collect())
    }

    /// The cups of a line for which the customer still waits.
    pub(super) fn live_cups(&self, order_no: i64, line_id: LineId) -> Result<u32, Error> {
        let rows = self.cup_rows("order_no = ?1 AND line_id = ?2", params![order_no, line_id.as_bytes()])?;
        Ok(u32::try_from(rows.iter().filter(|row| row.state.is_live()).count()).unwrap_or(u32::MAX))
    }

    /// Takes one step with a cup, or with the cups of an order. Within an operation.
    pub fn step_cups(&mut self, moment: &Moment, step: Step, which: &StepCups) -> Result<CupsView, Error> {
        let by = SaidBy { till_id: &which.till_id, operator_id: which.operator_id.as_ref() };
        let rows = self.meant(step, which)?;
        let order_no = rows.first().map(|row| row.order_no);
        let mut moved = Vec::with_capacity(rows.len());
        for row in rows {
            let after_ms = moment.at().utc_ms.saturating_sub(row.changed_at_ms);
            let state =
                row.state.after(step, after_ms).map_err(|why| Refused::rule(why.message_key(), why.to_string()))?;
            if state != row.state {
                self.set_state(moment, by, &row, state)?;
            }
            moved.push((row, state));
        }
        if let Some(order_no) = order_no {
            self.moved(moment, order_no, &moved)?;
            let cups = self.view().cups_of(order_no, |number| moved.iter().any(|(row, _)| row.number == number))?;
            return Ok(CupsView { cups, more: false });
        }
        Ok(CupsView { cups: Vec::new(), more: false })
    }

    /// The cups of which a command speaks, all of one order; at least one.
    fn meant(&self, step: Step, which: &StepCups) -> Result<Vec<CupRow>, Error> {
        let unknown = |what: &str| Refused::unknown("cup.unknown", format!("there is no {what} here"));
        let rows = match (which.cup_id, &which.code, which.pickup_no) {
            (Some(cup_id), None, None) => self.cup_rows("cup_id = ?1", params![cup_id.as_bytes()])?,
            (None, Some(code), None) => {
                let code: CupCode = code.parse().map_err(|error| Refused::rule("cup.code", error))?;
                let (first, last) = code.range();
                self.cup_rows("cup_id BETWEEN ?1 AND ?2", params![first.as_bytes(), last.as_bytes()])?
            }
            (None, None, Some(pickup_no)) => return self.meant_of_order(step, which, pickup_no),
            _ => {
                let text = "exactly one of cup_id, code and pickup_no says which cups are meant";
                return Err(Refused::rule("cup.which", text).into());
            }
        };
        let [row] = <[CupRow; 1]>::try_from(rows).map_err(|rows| {
            if rows.is_empty() {
                return unknown("such cup");
            }
            Refused::rule("cup.code", "two cups have this code; use their ids")
        })?;
        if which.from.is_some_and(|from| inner_state(from) != row.state) {
            return Err(overtaken(row.state).into());
        }
        Ok(vec![row])
    }

    fn meant_of_order(&self, step: Step, which: &StepCups, pickup_no: u32) -> Result<Vec<CupRow>, Error> {
        let live_first = step != Step::Recall;
        let order_no: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT ordinal FROM kitchen_order WHERE pickup_no = ?1 ORDER BY ?2 AND live > 0 DESC, ordinal DESC LIMIT 1",
            )
            .and_then(|mut select| select.query_row(params![pickup_no, live_first], |row| row.get(0)).optional())
            .doing("look for a pickup number")?;
        let station = which.station.as_ref().map(|station| station.as_str());
        let rows = match order_no {
            Some(order_no) => {
                self.cup_rows("order_no = ?1 AND (?2 IS NULL OR station = ?2)", params![order_no, station])?
            }
            None => Vec::new(),
        };
        if rows.is_empty() {
            let text = format!("there is no order {pickup_no} here, or nothing of it is made at this station");
            return Err(Refused::unknown("cup.unknown", text).into());
        }
        let states: Vec<CupState> = rows.iter().map(|row| row.state).collect();
        let moving = match which.from.map(inner_state) {
            Some(from) if states.contains(&from) => vec![from],
            Some(_) => return Err(overtaken(states[0]).into()),
            None => step.of_order(&states),
        };
        Ok(rows.into_iter().filter(|row| moving.contains(&row.state)).collect())
    }

    fn cup_rows(&self, condition: &'static str, params: &[&dyn rusqlite::ToSql]) -> Result<Vec<CupRow>, Error> {
        let doing = "read cups";
        let mut select = self
            .connection
            .prepare_cached(&format!(
                "SELECT order_no, number, cup_id, state, changed_at FROM cup WHERE {condition} ORDER BY order_no, number"
            ))
            .doing(doing)?;
        let rows = select.query_map(params, |row| Ok(cup_row(row))).doing(doing)?;
        rows.map(|row| row.doing(doing)?).collect()
    }

    fn set_state(&self, moment: &Moment, by: SaidBy<'_>, row: &CupRow, state: CupState) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "UPDATE cup SET state = ?3, changed_at = ?4, till_id = ?5, operator_id = ?6
                 WHERE order_no = ?1 AND number = ?2",
            )
            .and_then(|mut update| {
                update.execute(params![
                    row.order_no,
                    row.number,
                    state.as_str(),
                    moment.at().utc_ms,
                    by.till_id.as_str(),
                    by.operator_id.map(OperatorId::as_str),
                ])
            })
            .doing("move a cup")
            .map(drop)
    }

    /// Sums the order up anew and tells the screens about the cups that have moved.
    fn moved(&mut self, moment: &Moment, order_no: i64, cups: &[(CupRow, CupState)]) -> Result<(), Error> {
        let numbers: Vec<u32> =
            cups.iter().filter(|(row, state)| row.state != *state).map(|(row, _)| row.number).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "UPDATE kitchen_order SET changed_at = ?2,
                    waiting = (SELECT count(*) FROM cup WHERE order_no = ?1 AND state IN ('queued', 'making')),
                    live = (SELECT count(*) FROM cup WHERE order_no = ?1 AND state IN ('queued', 'making', 'ready'))
                 WHERE ordinal = ?1",
            )
            .and_then(|mut update| update.execute(params![order_no, moment.at().utc_ms]))
            .doing("sum an order of the kitchen up")?;
        self.tell_cups(order_no, |number| numbers.contains(&number))
    }
}

fn overtaken(state: CupState) -> Refused {
    Refused::overtaken("cup.overtaken", format!("somebody else was faster: it is {} already", state.as_str()))
}

fn cup_row(row: &Row<'_>) -> Result<CupRow, Error> {
    let doing = "read cups";
    let state: String = row.get(3).doing(doing)?;
    Ok(CupRow {
        order_no: row.get(0).doing(doing)?,
        number: row.get(1).doing(doing)?,
        id: CupId::new(Uuid::from_bytes(row.get(2).doing(doing)?)),
        state: CupState::parse(&state).ok_or_else(|| Error::Damaged(format!("a cup is {state:?}")))?,
        changed_at_ms: row.get(4).doing(doing)?,
    })
}
