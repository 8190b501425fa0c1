//! Opening a drawer without a sale: who allowed it, the mark, what stands in the shift, and the job that opens it. Whichever
//! way somebody asks for it, all of that happens in one database transaction, or none of it.

use pos_model::{Money, OperatorId, Tag, TillId};
use printing::context::Drawer;
use printing::template::Kind;
use protocol::latest::print::{OpenDrawer, PrintJobView};
use protocol::latest::shift_api::{CashKind, MoveCash};
use till::people::Action;

use super::audit::{Noteworthy, word};
use super::command::Moment;
use super::error::Error;
use super::paper::RECEIPT;
use super::print_job::NewPrint;
use super::store::Store;
use crate::wall_clock::local_time;

impl Store {
    /// Opens the drawer at a printer without a sale. Within a command. It stands in the till's open shift; a till without one
    /// has the mark alone.
    pub fn open_drawer(
        &mut self,
        moment: &mut Moment,
        command: OpenDrawer,
        printer: &str,
    ) -> Result<PrintJobView, Error> {
        let OpenDrawer { command_id, till_id, operator_id, approval_id, reason } = command;
        let (operator, subject) = (operator_id.as_ref(), till_id.as_str());
        let permit = self.permit(moment, &till_id, operator, approval_id, Action::NoSale, subject)?;
        let note = format!("at printer {printer}");
        match self.shift_of(&till_id)?.flatten() {
            Some(shift) => {
                let (till_id, reason) = (till_id.clone(), reason.clone());
                let (kind, amount_minor) = (CashKind::NoSale, Money::ZERO);
                let cash = MoveCash { command_id, till_id, operator_id, approval_id, kind, amount_minor, reason, note };
                self.note_cash(moment, &shift, &permit, cash)?;
                self.tell_of_shift(shift.shift_id)?;
            }
            None => {
                let opened = Noteworthy::new(word::DRAWER_OPENED).at(&till_id).permitted(&permit);
                self.mark(moment, opened.because(Some(reason.clone())).saying(note))?;
            }
        }
        let id = self.put_drawer(moment, format!("@{printer}"), till_id, permit.operator.as_ref(), &reason)?;
        Ok(self.known_print(id)?.view())
    }

    /// Has the drawer of a till open, if it has one: cash is about to be moved. Within the operation that notes why.
    pub(super) fn ask_for_drawer(
        &mut self,
        moment: &Moment,
        till_id: &TillId,
        operator_id: Option<&OperatorId>,
        reason: &Tag,
    ) -> Result<(), Error> {
        if self.paper.is_training || !self.paper.prints(RECEIPT, till_id) {
            return Ok(());
        }
        self.put_drawer(moment, RECEIPT.to_owned(), till_id.clone(), operator_id, reason).map(drop)
    }

    fn put_drawer(
        &mut self,
        moment: &Moment,
        role: String,
        till_id: TillId,
        operator_id: Option<&OperatorId>,
        reason: &Tag,
    ) -> Result<super::PrintJobId, Error> {
        let operator = operator_id.map(ToString::to_string).unwrap_or_default();
        let drawer = Drawer { reason: reason.to_string(), operator, at: local_time(moment.at()) };
        let data = serde_json::to_value(drawer).expect("text always encodes");
        let (kind, subject) = (Kind::Drawer, String::new());
        self.enqueue_print(NewPrint { kind, role, till_id: Some(till_id), subject, data }, moment.at())
    }
}
