//! What happens at the counter beside sales: the rows of each kind of event, and its effects.
//!
//! These events are few beside sales, so their statements are taken from the connection's cache when one comes, and the
//! path of a sale knows nothing of them.

pub(super) mod books;
mod effects;
mod marks;
mod refunds;
mod shifts;
mod stock;

use protocol::latest::EventBody;
use rusqlite::{OptionalExtension, ToSql};

pub(super) use self::effects::CounterEffects;
pub(super) use self::stock::{Direction, direction};
use super::apply::Group;
use super::fault::{During, Fault, is_known_key};
use super::record::{Place, Refusal};
use super::rows::FactPlace;
use crate::ledger::LedgerError;

/// A table of facts that have an id and happen once.
struct Facts {
    /// What a row is, in words.
    what: &'static str,
    /// Inserts a row.
    insert: &'static str,
    /// Finds store, epoch, number there, number of the event and number of the store, by the id.
    find: &'static str,
    /// The reason of an event that says the same again.
    known: &'static str,
    /// The reason of an event that says something else under the same id.
    conflict: &'static str,
}

/// The query by which [`Facts`] are found.
macro_rules! find_fact {
    ($table:literal, $id:literal) => {
        concat!(
            "SELECT stores.store_id, streams.epoch, seq, event_no, ",
            $table,
            ".store_no FROM ",
            $table,
            " JOIN stores USING (store_no) JOIN streams USING (stream_no) WHERE ",
            $id,
            " = ?1"
        )
    };
}
use find_fact;

impl Group<'_, '_> {
    /// Adds the row of a fact. If its id is known, says why the event is parked; `is_repeated` says whether the event that
    /// is held says the same.
    fn add_fact(
        &mut self,
        facts: &Facts,
        place: Place,
        id: uuid::Uuid,
        row: &[&dyn ToSql],
        is_repeated: impl FnOnce(&EventBody) -> bool,
    ) -> Result<Option<Refusal>, Fault> {
        let doing = "insert what happened at the counter";
        match self.connection.prepare_cached(facts.insert).during(doing)?.execute(row) {
            Err(error) if is_known_key(&error) => {}
            added => {
                added.during(doing)?;
                return Ok(None);
            }
        }
        let doing = "read the fact with this id";
        let mut find = self.connection.prepare_cached(facts.find).during(doing)?;
        let found = find.query_row([id.as_bytes()], FactPlace::read).optional().during(doing)?;
        let found = found.ok_or(LedgerError::Damaged { what: "index of ids" })?;
        let FactPlace { store, store_no, epoch, seq, event_no } = found;
        let held = self.held_event(event_no)?;
        let same = store_no == place.store_no && held.is_some_and(|held| is_repeated(&held.body));
        let (reason, which) = if same { (facts.known, "the same") } else { (facts.conflict, "another") };
        Ok(Some((reason, format!("{which} {} with id {id} is event {epoch}/{seq} of store {store}", facts.what))))
    }

    /// Adds a row that needs no id: the cursor lets its event in once.
    fn add_row(&self, insert: &'static str, row: &[&dyn ToSql]) -> Result<(), Fault> {
        let doing = "insert what happened at the counter";
        self.connection.prepare_cached(insert).during(doing)?.execute(row).during(doing)?;
        Ok(())
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
