//! What an agent has written into its history, in the plain numbers of the reference.

use std::collections::BTreeMap;

use protocol::latest::{
    CashMoved, CashMovement, Consumption, CountAndAmount, EventBody, RefundCompleted, RefundKind, RefundLine,
    ReturnedGoods, SaleCompleted, SaleLine, ShiftClosed, StockMovement,
};

use crate::reference::What;
use crate::reference::facts::{
    Amended, CashKind, CashMoved as Cash, Counted, DayClosed, Marked, Refunded, RefundedLine, ShiftOpened, Sold,
    SoldLine, StockKind, StockMoved,
};
use crate::reference::shift::{Drawer, Report, Turnover};

/// What an event says; none if the reference has no word for it.
pub(super) fn what_of(body: EventBody) -> Option<What> {
    Some(match body {
        EventBody::EpochOpened(_) => What::Opened,
        EventBody::SaleCompleted(sale) => What::Sale(sold(*sale)),
        EventBody::RefundCompleted(refund) => What::Refund(refunded(*refund)),
        EventBody::ShiftOpened(opened) => What::ShiftOpened(ShiftOpened {
            shift_id: opened.shift_id.uuid(),
            till_id: opened.till_id.clone(),
            day: opened.business_date.days(),
            float_minor: opened.float_minor.minor(),
        }),
        EventBody::CashMoved(moved) => What::Cash(cash(&moved)?),
        EventBody::ShiftClosed(closed) => What::ShiftClosed(report(*closed)),
        EventBody::StockMoved(moved) => What::Stock(StockMoved {
            movement_id: moved.movement_id.uuid(),
            kind: stock_kind(moved.kind)?,
            till_id: moved.till_id.clone(),
            day: moved.business_date.days(),
            items: moved.items.iter().map(|item| (item.item_id.to_string(), item.quantity.micro())).collect(),
        }),
        EventBody::StockCounted(counted) => {
            let items = counted.items.iter().map(|item| {
                (item.item_id.to_string(), (item.counted.micro(), item.expected.map(|expected| expected.micro())))
            });
            What::Count(Counted {
                count_id: counted.movement_id.uuid(),
                till_id: counted.till_id.clone(),
                day: counted.business_date.days(),
                frontier: counted.frontier,
                items: items.collect(),
            })
        }
        EventBody::AuditMarked(marked) => {
            What::Mark(Marked { action: marked.action.to_string(), subject: marked.subject.clone() })
        }
        EventBody::ShiftAmended(amended) => What::Amended(Amended {
            movement_id: amended.movement_id.uuid(),
            shift_id: amended.shift_id.uuid(),
            till_id: amended.till_id.clone(),
            z_no: amended.z_no,
            counted_minor: amended.counted_minor.map(|counted| counted.minor()),
        }),
        EventBody::DayClosed(closed) => What::DayClosed(DayClosed {
            day: closed.business_date.days(),
            reports: closed.shifts.iter().map(|(till, z_no)| (till.to_string(), *z_no)).collect(),
            sales: turnover(closed.sales),
            refunds: turnover(closed.refunds),
        }),
        EventBody::SoldOutChanged(_) => return None,
    })
}

fn sold(sale: SaleCompleted) -> Sold {
    let mut paid: BTreeMap<String, i64> =
        sale.tenders.iter().map(|tender| (tender.kind.to_string(), tender.amount_minor.minor())).collect();
    if sale.change_minor.minor() != 0 {
        *paid.entry("cash".to_owned()).or_default() -= sale.change_minor.minor();
    }
    Sold {
        sale_id: sale.sale_id.uuid(),
        till_id: sale.till_id,
        receipt_no: sale.receipt_no,
        pickup_no: sale.pickup_no,
        day: sale.business_date.days(),
        shift_id: sale.shift_id.map(|shift| shift.uuid()),
        lines: sale.lines.iter().map(sold_line).collect(),
        paid,
    }
}

fn sold_line(line: &SaleLine) -> SoldLine {
    SoldLine {
        quantity_micro: line.quantity.micro(),
        gross_minor: line.gross_minor.minor(),
        tax_minor: line.tax_minor.minor(),
        tax_group: line.tax_group.to_string(),
        tax_ppm: i64::from(line.tax_rate_ppm),
        adjusted_minor: line.adjustments.iter().map(|one| one.amount_minor.minor()).sum(),
        used: items(&line.consumption),
    }
}

fn refunded(refund: RefundCompleted) -> Refunded {
    Refunded {
        refund_id: refund.refund_id.uuid(),
        sale_id: refund.sale_id.uuid(),
        void: refund.kind == RefundKind::Void,
        till_id: refund.till_id,
        receipt_no: refund.receipt_no,
        day: refund.business_date.days(),
        shift_id: refund.shift_id.map(|shift| shift.uuid()),
        lines: refund.lines.iter().map(refunded_line).collect(),
        paid_back: refund.tenders.iter().map(|one| (one.kind.to_string(), one.amount_minor.minor())).collect(),
    }
}

fn refunded_line(line: &RefundLine) -> RefundedLine {
    RefundedLine {
        line: usize::try_from(line.line).unwrap_or(usize::MAX),
        units: line.units.iter().copied().collect(),
        quantity_micro: line.quantity.micro(),
        gross_minor: line.gross_minor.minor(),
        tax_minor: line.tax_minor.minor(),
        tax_group: line.tax_group.to_string(),
        tax_ppm: i64::from(line.tax_rate_ppm),
        is_restocked: line.goods == ReturnedGoods::Restocked,
        restocked: items(&line.restocked),
    }
}

fn items(consumption: &[Consumption]) -> BTreeMap<String, i64> {
    let items = consumption.iter().map(|one| (one.item_id.to_string(), one.quantity.micro()));
    items.filter(|(_, micro)| *micro != 0).collect()
}

fn cash(moved: &CashMoved) -> Option<Cash> {
    let kind = match moved.kind {
        CashMovement::PaidIn => CashKind::PaidIn,
        CashMovement::PaidOut => CashKind::PaidOut,
        CashMovement::Drop => CashKind::Drop,
        CashMovement::Other => return None,
    };
    Some(Cash {
        movement_id: moved.movement_id.uuid(),
        shift_id: moved.shift_id.uuid(),
        till_id: moved.till_id.clone(),
        kind,
        amount_minor: moved.amount_minor.minor(),
        day: moved.business_date.days(),
    })
}

fn stock_kind(kind: StockMovement) -> Option<StockKind> {
    match kind {
        StockMovement::Received => Some(StockKind::Received),
        StockMovement::TransferredIn => Some(StockKind::TransferredIn),
        StockMovement::Wasted => Some(StockKind::Wasted),
        StockMovement::TransferredOut => Some(StockKind::TransferredOut),
        StockMovement::Other => None,
    }
}

fn report(closed: ShiftClosed) -> Report {
    let ShiftClosed { shift_id, report, .. } = closed;
    let drawer = &report.drawer;
    Report {
        shift_id: shift_id.uuid(),
        till_id: report.till_id.clone(),
        z_no: report.z_no,
        day: report.business_date.days(),
        sales: turnover(report.sales),
        refunds: turnover(report.refunds),
        quantity_micro: report.quantity.micro(),
        taxes: report
            .taxes
            .iter()
            .map(|sum| {
                let key = (sum.tax_group.to_string(), i64::from(sum.tax_rate_ppm));
                (key, (sum.gross_minor.minor(), sum.tax_minor.minor()))
            })
            .collect(),
        tenders: report
            .tenders
            .iter()
            .map(|sum| (sum.kind.to_string(), (sum.count, sum.amount_minor.minor())))
            .collect(),
        adjusted: report
            .adjustments
            .iter()
            .fold((0, 0), |sum, one| (sum.0 + one.count, sum.1 + one.amount_minor.minor())),
        drawer: Drawer {
            float: drawer.float_minor.minor(),
            sales: drawer.sales_minor.minor(),
            refunds: drawer.refunds_minor.minor(),
            paid_in: drawer.paid_in_minor.minor(),
            paid_out: drawer.paid_out_minor.minor(),
            drops: drawer.drops_minor.minor(),
            expected: drawer.expected_minor.minor(),
            counted: drawer.counted_minor.minor(),
            difference: drawer.difference_minor.minor(),
            opened_without_sale: drawer.opened_without_sale,
        },
        receipts: (report.receipt_no_first, report.receipt_no_last),
        grand_total_minor: (report.grand_total_before_minor.minor(), report.grand_total_after_minor.minor()),
        history: report.history,
    }
}

fn turnover(sum: CountAndAmount) -> Turnover {
    Turnover { count: sum.count, gross_minor: sum.gross_minor.minor(), tax_minor: sum.tax_minor.minor() }
}
