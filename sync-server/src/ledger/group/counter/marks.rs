//! Audit marks.

use pos_model::{OperatorId, Tag, TillId};
use protocol::latest::AuditMarked;

use super::super::Group;
use super::super::record::{Place, Refusal};
use super::super::tables::{Table, Tables};
use crate::ledger::database::cells;
use crate::ledger::fault::Fault;

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    pub(in super::super) fn audit_marked(
        &mut self,
        place: Place,
        marked: &'g AuditMarked,
    ) -> Result<Option<Refusal>, Fault> {
        let row = cells![
            place.event_no,
            place.store_no,
            place.stream_no,
            place.seq.to_sql(),
            marked.marked_at.utc_ms,
            marked.marked_at.offset_s,
            marked.action.as_str(),
            marked.till_id.as_ref().map(TillId::as_str),
            marked.operator_id.as_ref().map(OperatorId::as_str),
            marked.approver_id.as_ref().map(OperatorId::as_str),
            marked.reason.as_ref().map(Tag::as_str),
            &marked.subject,
            &marked.detail,
            marked.amount_minor.map(|amount| amount.minor()),
        ];
        self.add_row(Table::AuditMarks, row).map(|()| None)
    }
}
