//! What the roll-ups have to hear of.

use super::Group;
use super::record::{Place, Received};
use super::tables::Tables;
use crate::ledger::fault::Fault;
use crate::ledger::read::rollups;

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    /// To be called for each event that is applied otherwise than as a fresh one of its message: later, because it was parked,
    /// with other content, or put back in its old place. The roll-ups follow the events' numbers, and may be past it.
    pub(super) fn roll_up_anew(&mut self, place: Place, received: &Received) -> Result<(), Fault> {
        let date = received.as_ref().ok().and_then(|event| rollups::date_of(&event.body));
        match date {
            Some(date) => self.tables.roll_up_anew(place.store_no, date, place.event_no),
            None => Ok(()),
        }
    }
}
