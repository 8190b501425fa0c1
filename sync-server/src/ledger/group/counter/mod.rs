//! What happens at the counter beside sales: the rows of each kind of event, and its effects.
//!
//! These events are few beside sales, so their statements are taken from the connection's cache when one comes, and the
//! path of a sale knows nothing of them.

mod effects;
mod marks;
mod refunds;
mod shifts;
mod stock;

use protocol::latest::EventBody;

pub(super) use self::effects::CounterEffects;
pub(in crate::ledger) use self::stock::direction;
use super::Group;
use super::record::{Place, Refusal};
use super::tables::{FactKind, FactPlace, Table, Tables};
use crate::ledger::database::Cell;
use crate::ledger::fault::Fault;

/// A table of facts that have an id and happen once.
struct Facts {
    /// What a row is, in words.
    what: &'static str,
    table: Table,
    kind: FactKind,
    /// The reason of an event that says the same again.
    known: &'static str,
    /// The reason of an event that says something else under the same id.
    conflict: &'static str,
}

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    /// Adds the row of a fact. If its id is known, says why the event is parked; `is_repeated` says whether the event that
    /// is held says the same.
    fn add_fact(
        &mut self,
        facts: &Facts,
        place: Place,
        id: uuid::Uuid,
        row: &[Cell<'_>],
        is_repeated: impl FnOnce(&EventBody) -> bool,
    ) -> Result<Option<Refusal>, Fault> {
        let at = (place.store_no, place.event_no);
        if self.tables.add_fact(facts.kind, facts.table, id.as_bytes(), at, row)? {
            return Ok(None);
        }
        let found = self.tables.fact_place(facts.kind, id.as_bytes())?;
        let FactPlace { store, store_no, epoch, seq, event_no } = found;
        let held = self.held_event(event_no)?;
        let same = store_no == place.store_no && held.is_some_and(|held| is_repeated(&held.body));
        let (reason, which) = if same { (facts.known, "the same") } else { (facts.conflict, "another") };
        Ok(Some((reason, format!("{which} {} with id {id} is event {epoch}/{seq} of store {store}", facts.what))))
    }

    /// Adds a row that needs no id: the cursor lets its event in once.
    fn add_row(&mut self, table: Table, row: &[Cell<'_>]) -> Result<(), Fault> {
        self.tables.add_row(table, row)
    }
}

/// A count as the database holds it. One that leaves 63 bits is the event's fault.
fn count(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::Content(format!("{number} is no count")))
}

/// Items and quantities as a JSON array of pairs; `None` of nothing.
fn items_as_json(items: &[protocol::latest::Consumption]) -> Option<String> {
    let pairs: Vec<_> = items.iter().map(|one| (one.item_id.as_str(), one.quantity.micro())).collect();
    (!pairs.is_empty()).then(|| serde_json::json!(pairs).to_string())
}
