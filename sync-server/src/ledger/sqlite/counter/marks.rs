//! Audit marks.

use pos_model::{OperatorId, Tag, TillId};
use protocol::latest::AuditMarked;
use rusqlite::params;

use super::super::apply::Group;
use super::super::fault::Fault;
use super::super::record::{Place, Refusal};

const ADD_MARK: &str = "INSERT INTO audit_marks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

impl<'g> Group<'_, 'g> {
    pub(in super::super) fn audit_marked(
        &mut self,
        place: Place,
        marked: &'g AuditMarked,
    ) -> Result<Option<Refusal>, Fault> {
        let row = params![
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
            marked.subject,
            marked.detail,
            marked.amount_minor.map(|amount| amount.minor()),
        ];
        self.add_row(ADD_MARK, row).map(|()| None)
    }
}
