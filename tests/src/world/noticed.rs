//! What is worth seeing in what tills ask for: what came of it, why it was refused, and where an agent died over it.

use super::World;
use super::counter::{Command, Kind};
use crate::reference::What;
use crate::reference::asked::{Asked, Wanted};

impl World {
    /// What is rarer than a sale dies more often, so that it is seen to.
    pub(super) fn dies_over(&mut self, group: &[usize]) -> bool {
        let is_rare = self.kinds(group).iter().any(|kind| *kind != Kind::Sale);
        self.permyriad(self.plan.store_step_crash * if is_rare { 10 } else { 1 })
    }

    pub(super) fn saw_death(&mut self, group: &[usize], step: Step) {
        for kind in self.kinds(group) {
            self.coverage.saw(death(step, kind));
        }
    }

    pub(super) fn kinds(&self, group: &[usize]) -> Vec<Kind> {
        group.iter().filter_map(|&till| self.tills[till].pending.as_ref()).map(Command::kind).collect()
    }
}

/// Where in a command an agent dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    BeforeCommit,
    WithinGroup,
    BeforeAnswer,
}

fn death(step: Step, kind: Kind) -> &'static str {
    match (step, kind) {
        (Step::BeforeCommit, Kind::Sale) => "crash: store, before a sale's commit",
        (Step::BeforeCommit, Kind::Refund) => "crash: store, before a refund's commit",
        (Step::BeforeCommit, Kind::Drawer) => "crash: store, before a drawer's commit",
        (Step::BeforeCommit, Kind::Close) => "crash: store, before a close's commit",
        (Step::BeforeCommit, Kind::Stock) => "crash: store, before the commit of stock",
        (Step::WithinGroup, Kind::Sale) => "crash: store, within a group",
        (Step::WithinGroup, Kind::Refund) => "crash: store, within a group with a refund",
        (Step::WithinGroup, Kind::Drawer) => "crash: store, within a group with a drawer",
        (Step::WithinGroup, Kind::Close) => "crash: store, within a group with a close",
        (Step::WithinGroup, Kind::Stock) => "crash: store, within a group with stock",
        (Step::BeforeAnswer, Kind::Sale) => "crash: store, after a sale's commit and before its answer",
        (Step::BeforeAnswer, Kind::Refund) => "crash: store, after a refund's commit and before its answer",
        (Step::BeforeAnswer, Kind::Drawer) => "crash: store, after a drawer's commit and before its answer",
        (Step::BeforeAnswer, Kind::Close) => "crash: store, after a close's commit and before its answer",
        (Step::BeforeAnswer, Kind::Stock) => "crash: store, after the commit of stock and before its answer",
    }
}

/// Refusals that are worth seeing.
const REFUSALS: [(&str, &str); 16] = [
    ("day.closed", "day: closed before refused"),
    ("day.shift_open", "day: close with an open shift refused"),
    ("shift.open", "shift: amendment of an open shift refused"),
    ("refund.of_refund", "refund: of a refund refused"),
    ("refund.nothing_left", "refund: nothing left"),
    ("refund.too_many", "refund: too many units refused"),
    ("refund.returned_before", "refund: unit returned before refused"),
    ("refund.sale_trimmed", "refund: sale let go long ago"),
    ("refund.sale_unknown", "refund: sale unknown refused"),
    ("void.partly_refunded", "refund: void of a partly refunded sale refused"),
    ("void.too_late", "refund: void too late refused"),
    ("void.other_till", "refund: void at another till refused"),
    ("till.closed", "shift: closed till refused"),
    ("shift.more_than_drawer", "shift: more cash than is in the drawer refused"),
    ("stock.item_counted_since", "count: overtaken by another one"),
    ("stock.count_item_not_begun", "count: item not begun refused"),
];

/// What a refusal shows.
pub(super) fn refusal_seen(key: &str) -> Option<&'static str> {
    REFUSALS.iter().find(|(refusal, _)| *refusal == key).map(|(_, seen)| *seen)
}

/// What is worth seeing in what was done.
pub(super) fn seen(asked: &Asked, written: Option<&What>) -> Vec<&'static str> {
    let mut seen = Vec::new();
    match (&asked.what, written) {
        (Wanted::BeginCount { .. }, _) => seen.push("count: began"),
        (_, Some(What::Refund(refund))) => {
            seen.push(if refund.void { "refund: void" } else { "refund: part of a sale" });
            seen.extend(refund.shift_id.is_none().then_some("refund: without a shift"));
            seen.extend(
                refund.lines.iter().any(|line| !line.restocked.is_empty()).then_some("refund: goods restocked"),
            );
            seen.extend(refund.paid_back.contains_key("wallet").then_some("refund: by another means than cash"));
        }
        (_, Some(What::ShiftClosed(report))) => {
            seen.push("shift: closed");
            seen.extend((report.refunds.count > 0).then_some("shift: closed with refunds"));
            seen.extend((report.z_no > 1).then_some("shift: second report of a till"));
            seen.extend(
                (report.drawer.opened_without_sale > 0).then_some("shift: closed with a drawer opened for nothing"),
            );
        }
        (_, Some(What::Amended(_))) => seen.push("shift: amended"),
        (_, Some(What::DayClosed(_))) => seen.push("day: closed"),
        (_, Some(What::Cash(_))) => seen.push("shift: cash moved"),
        (_, Some(What::Stock(moved))) => seen.push(match moved.kind.name() {
            "received" => "stock: received",
            "wasted" => "stock: wasted",
            "transferred_in" => "stock: transferred in",
            _ => "stock: transferred out",
        }),
        (_, Some(What::Count(counted))) => {
            seen.push("count: finished");
            let expected = counted.items.values().any(|(_, expected)| expected.is_some());
            seen.extend(expected.then_some("count: finished against an earlier one"));
        }
        _ => {}
    }
    seen
}
