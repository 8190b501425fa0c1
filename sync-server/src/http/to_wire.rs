//! From the ledger's rows to the API's JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pos_model::{BusinessDate, Quantity};
use protocol::latest::{SaleCompleted, SaleLine, decode_event, decode_identity};

use super::fleet::duration;
use super::wire::{
    AdjustmentJson, AlertJson, ConsumptionJson, DuplicateReceiptJson, EpochJson, ImportedJson, LineJson, MissingRun,
    OptionJson, ParkedActionJson, ParkedJson, PlaceJson, PriceDifferenceJson, SaleJson, Severity, StoreSummary,
    TenderJson, Totals, TotalsRow, TotalsSum,
};
use crate::config::ParkingAlarm;
use crate::ledger::{
    Alert, AlertKind, DayTotals, DuplicateReceipt, EpochRow, HealthRow, ParkedAction, ParkedEvent, PriceDifference,
    ReceiptGap, SaleRecord, StoreRow, TotalsFilter,
};

pub(crate) fn store(row: &StoreRow, connected: bool, now_ms: i64, parking: ParkingAlarm) -> StoreSummary {
    let health = row.health.as_ref();
    let of = |read: fn(&HealthRow) -> i64| health.map(read);
    let oldest_unsynced_ms = health.and_then(|health| health.outbox_oldest_ms);
    // The store's clock said when; its error is known and taken out.
    let ahead_ms = of(|health| health.clock_ahead_ms).unwrap_or_default();
    let age_ms = oldest_unsynced_ms.map(|oldest| now_ms.saturating_add(ahead_ms).saturating_sub(oldest).max(0));
    StoreSummary {
        store_id: row.store.to_string(),
        name: row.name.clone(),
        status: row.status.as_str(),
        enrolled: row.enrolled,
        connected,
        last_contact_ms: row.last_contact_ms,
        last_sale_at_ms: row.last_sale_at_ms,
        applied_sales: row.applied_sales,
        applied_events: row.applied_events,
        backlog: of(|health| health.backlog_events).unwrap_or_default(),
        backlog_reported: of(|health| health.outbox_events).unwrap_or_default(),
        reported_at_ms: of(|health| health.at_ms),
        oldest_unsynced_ms,
        oldest_unsynced_age_ms: age_ms,
        epoch: health.map(|health| health.epoch.to_string()),
        head: health.map(|health| health.head.get()),
        agent_version: health.map(|health| health.agent_version.clone()),
        protocol_version: health.and_then(|health| health.protocol_version),
        clock_skew_ms: of(|health| health.clock_ahead_ms),
        disk_free_bytes: health.and_then(|health| health.disk_free_bytes),
        parked: row.parked_events,
        alert_count: row.alerts.len(),
        alerts: row.alerts.iter().map(|one| alert(one, row, now_ms, parking)).collect(),
    }
}

fn alert(alert: &Alert, row: &StoreRow, now_ms: i64, parking: ParkingAlarm) -> AlertJson {
    let (mut text, mut is_grave) = (alert.text.clone(), alert.kind.is_grave());
    if alert.kind == AlertKind::Parked {
        let oldest_age_ms = row.oldest_parked_ms.map(|oldest_ms| now_ms.saturating_sub(oldest_ms).max(0));
        is_grave = parking.is_due(row.parked_events, oldest_age_ms);
        if let Some(age_ms) = oldest_age_ms {
            text.push_str(&format!(", the oldest for {}", duration(age_ms)));
        }
    }
    AlertJson {
        kind: alert.kind.as_str(),
        count: alert.count,
        text,
        severity: if is_grave { Severity::Alarm } else { Severity::Warning },
        advice: alert.kind.advice(),
    }
}

pub(crate) fn epoch(row: &EpochRow, current: Option<&str>) -> EpochJson {
    let epoch = row.epoch.to_string();
    EpochJson {
        current: current == Some(epoch.as_str()),
        epoch,
        applied: row.applied.get(),
        applied_hash: row.applied_hash.to_string(),
        reported_head: row.reported_head.get(),
        first_seen_ms: row.first_seen_ms,
        opened_at_ms: row.opened_at_ms,
        opened_why: row.opened_why.clone(),
        previous: row.previous.map(|(epoch, seq)| PlaceJson { epoch: epoch.to_string(), seq: seq.get() }),
        successors: row.successors,
    }
}

pub(crate) fn duplicate_receipt(row: DuplicateReceipt) -> DuplicateReceiptJson {
    DuplicateReceiptJson {
        till_id: row.till_id,
        receipt_no: row.receipt_no,
        sale_id: row.sale_id.map(|sale| sale.to_string()),
        refund_id: row.refund_id.map(|refund| refund.to_string()),
    }
}

pub(crate) fn price_difference(row: PriceDifference) -> PriceDifferenceJson {
    PriceDifferenceJson {
        sale_id: row.sale_id.to_string(),
        found_at_ms: row.found_at_ms,
        sold_minor: row.sold.minor(),
        computed_minor: row.computed.minor(),
        what: row.what,
    }
}

pub(crate) fn missing_run(gap: ReceiptGap) -> MissingRun {
    MissingRun { till_id: gap.till_id, first_no: gap.first_no, last_no: gap.last_no }
}

pub(crate) fn sale(record: SaleRecord) -> SaleJson {
    let SaleRecord { store, epoch, seq, event_id, hash, received_at_ms, sale } = record;
    let SaleCompleted {
        sale_id,
        till_id,
        shift_id,
        basket_id,
        label,
        operator_id,
        channel,
        member_tag,
        receipt_no,
        pickup_no,
        sold_at,
        business_date,
        currency,
        lines,
        tenders,
        change_minor,
        cash_rounding_minor,
        totals,
        price_book_version,
        pricing,
        imported,
        traceparent,
    } = sale;
    let tenders = tenders.into_iter();
    SaleJson {
        sale_id: sale_id.to_string(),
        store_id: store.to_string(),
        epoch: epoch.to_string(),
        seq: seq.get(),
        event_id: event_id.to_string(),
        hash: hash.to_string(),
        received_at_ms,
        sold_at_ms: sold_at.utc_ms,
        sold_offset_s: sold_at.offset_s,
        business_date: business_date.to_string(),
        till_id: till_id.to_string(),
        shift_id: shift_id.map(|shift| shift.to_string()),
        basket_id: basket_id.map(|basket| basket.to_string()),
        label,
        operator_id: operator_id.map(|operator| operator.to_string()),
        channel: channel.to_string(),
        member_tag,
        receipt_no,
        pickup_no,
        currency: currency.to_string(),
        lines: lines.into_iter().map(line).collect(),
        tenders: tenders
            .map(|tender| TenderJson {
                kind: tender.kind.to_string(),
                amount_minor: tender.amount_minor.minor(),
                attempt_id: tender.attempt_id.map(|attempt| attempt.to_string()),
                reference: tender.reference,
            })
            .collect(),
        change_minor: change_minor.minor(),
        cash_rounding_minor: cash_rounding_minor.minor(),
        gross_minor: totals.gross_minor.minor(),
        tax_minor: totals.tax_minor.minor(),
        net_minor: totals.net_minor.minor(),
        price_book_version,
        pricing,
        imported: imported.map(|imported| ImportedJson { source: imported.source, reference: imported.reference }),
        traceparent,
    }
}

fn line(line: SaleLine) -> LineJson {
    let (options, adjustments) = (line.options.into_iter(), line.adjustments.into_iter());
    LineJson {
        sku: line.sku.to_string(),
        name: line.name,
        note: line.note,
        quantity: line.quantity.into(),
        unit_price_minor: line.unit_price_minor.minor(),
        options: options
            .map(|option| OptionJson {
                code: option.code.to_string(),
                name: option.name,
                price_minor: option.price_minor.minor(),
            })
            .collect(),
        adjustments: adjustments
            .map(|adjustment| AdjustmentJson {
                reason: adjustment.reason.to_string(),
                promotion_id: adjustment.promotion_id,
                amount_minor: adjustment.amount_minor.minor(),
            })
            .collect(),
        gross_minor: line.gross_minor.minor(),
        tax_minor: line.tax_minor.minor(),
        tax_group: line.tax_group.to_string(),
        tax_rate_ppm: line.tax_rate_ppm,
        tax_on_top: line.tax_on_top,
        unit_gross_minor: line.unit_gross_minor.iter().map(|amount| amount.minor()).collect(),
        consumption: line
            .consumption
            .into_iter()
            .map(|used| ConsumptionJson { item_id: used.item_id.to_string(), quantity: used.quantity.into() })
            .collect(),
    }
}

pub(crate) fn totals(filter: &TotalsFilter, days: Vec<DayTotals>) -> Totals {
    // Sums over many stores and years stay inside 64 bits by far; one that does not is held at the end.
    let mut sums: BTreeMap<String, [i64; 9]> = BTreeMap::new();
    let mut rows = Vec::with_capacity(days.len());
    for day in days {
        let values = [
            day.sales,
            day.lines,
            day.quantity_micro,
            day.gross_minor,
            day.tax_minor,
            day.net_minor,
            day.refunds,
            day.refund_gross_minor,
            day.refund_tax_minor,
        ];
        let sum = sums.entry(day.currency.clone()).or_default();
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum = sum.saturating_add(value);
        }
        let business_date = day.business_date.to_string();
        rows.push(TotalsRow { store_id: day.store, business_date, sum: totals_sum(day.currency, values) });
    }
    let sums = sums.into_iter().map(|(currency, values)| totals_sum(currency, values)).collect();
    let text = |date: Option<BusinessDate>| date.map(|date| date.to_string());
    Totals { from: text(filter.from), to: text(filter.to), rows, sums }
}

fn totals_sum(currency: String, values: [i64; 9]) -> TotalsSum {
    let [
        sales,
        lines,
        quantity_micro,
        gross_minor,
        tax_minor,
        net_minor,
        refunds,
        refund_gross_minor,
        refund_tax_minor,
    ] = values;
    TotalsSum {
        currency,
        sales,
        lines,
        units: Quantity::from_micro(quantity_micro).into(),
        gross_minor,
        tax_minor,
        net_minor,
        refunds,
        refund_gross_minor,
        refund_tax_minor,
        turnover_minor: gross_minor.saturating_sub(refund_gross_minor),
    }
}

pub(crate) fn parked(event: &ParkedEvent) -> ParkedJson {
    ParkedJson {
        parked_no: event.parked_no,
        store_id: event.store.clone(),
        epoch: event.epoch.to_string(),
        seq: event.seq.get(),
        hash: event.hash.to_string(),
        parked_at_ms: event.parked_at_ms,
        state: event.state.as_str(),
        reason: event.reason.clone(),
        detail: event.detail.clone(),
        size: event.bytes.len(),
        bytes_hex: hex(&event.bytes),
        event_id: None,
        recorded_at: None,
        kind: event.kind.clone(),
        event: None,
        fixed_event: None,
        history: None,
    }
}

/// One parked event with what it says, quantities in millionths and amounts in minor units, and with what people did.
pub(crate) fn parked_in_full(event: &ParkedEvent, actions: Vec<ParkedAction>) -> ParkedJson {
    let said = |bytes: &[u8]| decode_event(bytes).ok().and_then(|event| serde_json::to_value(event.body).ok());
    let identity = decode_identity(&event.bytes);
    let history = actions.into_iter().map(|action| ParkedActionJson {
        at_ms: action.at_ms,
        what: action.what.as_str(),
        by: action.who,
        why: action.why,
        reason: action.reason,
        detail: action.detail,
    });
    ParkedJson {
        event_id: identity.as_ref().and_then(|identity| identity.id).map(|id| id.to_string()),
        recorded_at: identity.and_then(|identity| identity.at),
        event: said(&event.bytes),
        fixed_event: event.fixed.as_deref().and_then(said),
        history: Some(history.collect()),
        ..parked(event)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}
