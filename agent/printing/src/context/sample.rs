//! Made-up data for each kind of paper: for a preview without a sale, and for checking a template that somebody edited.

use serde_json::{Value, json};

use crate::template::Kind;

/// Data that uses every name of the kind.
pub fn sample(kind: Kind) -> Value {
    match kind {
        Kind::Receipt => receipt(false),
        Kind::Refund => receipt(true),
        Kind::CupLabel => json!({
            "store": store(), "pickup_number": "A127", "cup": 1, "cups": 3,
            "name": "Jasmine Milk Tea 茉莉奶茶",
            "options": ["Large 大杯", "Half sugar 半糖", "Less ice 少冰", "+ Pearls 珍珠"],
            "note": "no straw", "service": "Takeaway", "customer": "Mei", "at": "14:22",
            "qr": "bw:cup:0198c0de:1",
        }),
        Kind::KitchenTicket => json!({
            "station": "Kitchen", "pickup_number": "A127", "table": "Table 4", "service": "Dine in",
            "at": "14:22", "operator": "Lin",
            "lines": [
                { "name": "Beef noodle 牛肉面", "quantity_micro": 2_000_000, "options": ["no coriander 不要香菜"],
                  "note": "one without chilli", "voided": false },
                { "name": "Spring rolls", "quantity_micro": 1_000_000, "options": [], "note": null, "voided": true },
            ],
            "note": "Bring everything together",
        }),
        Kind::Report => report(),
        Kind::Drawer => json!({ "reason": "change for the till", "operator": "Lin", "at": "2026-05-03 14:22" }),
        Kind::Test => json!({
            "currency": currency(), "printer": "counter", "profile": "80mm", "printed_at": "2026-05-03 14:22",
        }),
    }
}

fn currency() -> Value {
    json!({ "code": "CNY", "exponent": 2 })
}

fn store() -> Value {
    json!({ "name": "Harbour Tea 海港茶", "lines": ["12 Pier Road 码头路12号", "Tax 91310000MA1K35"] })
}

fn receipt(refund: bool) -> Value {
    let only_for_refunds = |text: &str| if refund { json!(text) } else { Value::Null };
    json!({
        "currency": currency(), "store": store(),
        "receipt_number": "T1-000482", "pickup_number": "A127", "till": "Till 1", "operator": "Lin",
        "at": "2026-05-03 14:22", "service": "Takeaway 外带",
        "lines": [
            { "name": "Jasmine Milk Tea 茉莉奶茶", "quantity_micro": 2_000_000,
              "options": ["Large 大杯", "Half sugar 半糖", "+ Pearls 珍珠"], "note": null, "amount_minor": 4_400,
              "adjustments": [{ "name": "Second cup half price", "amount_minor": -1_100 }] },
            { "name": "Crème brûlée", "quantity_micro": 1_000_000, "options": [], "note": "warm", "amount_minor": 2_850,
              "adjustments": [] },
            { "name": "Oolong leaves, loose", "quantity_micro": 125_000, "options": [], "note": null,
              "amount_minor": 3_125, "adjustments": [] },
        ],
        "subtotal_minor": 9_275,
        "adjustments": [{ "name": "Member day", "amount_minor": -275 }],
        "taxes": [{ "name": "VAT", "rate": "6%", "base_minor": 8_491, "amount_minor": 509 }],
        "rounding_minor": -2, "total_minor": 8_998,
        "tenders": [
            { "name": "Voucher", "detail": "*7741", "amount_minor": 2_000 },
            { "name": "Cash", "detail": null, "amount_minor": 10_000 },
        ],
        "change_minor": 3_002,
        "qr": "https://breakwater.example/r/T1-000482", "footer": ["Thank you! 谢谢光临", "harbour-tea.example"],
        "drawer": true,
        "of_receipt": only_for_refunds("T1-000480"), "reason": only_for_refunds("wrong drink"),
        "approver": only_for_refunds("Chen"),
    })
}

fn report() -> Value {
    let row = |name: &str, count: Value, amount: Value| json!({ "name": name, "count": count, "amount_minor": amount, "text": null });
    let text = |name: &str, text: &str| json!({ "name": name, "count": null, "amount_minor": null, "text": text });
    json!({
        "currency": currency(), "store": store(), "title": "Z report", "number": "214",
        "business_date": "2026-05-03", "till": "Till 1", "opened_at": "2026-05-03 08:55", "closed_at": "2026-05-03 22:10",
        "operator": "Lin",
        "sections": [
            { "title": "Sales", "total_minor": 1_283_460, "rows": [
                row("Sales", json!(612), json!(1_310_220)), row("Refunds", json!(7), json!(-24_310)),
                row("Promotions", json!(88), json!(-2_450)), row("Voided lines", json!(12), Value::Null) ] },
            { "title": "Tenders", "total_minor": 1_283_460, "rows": [
                row("Cash", json!(140), json!(283_460)), row("Card", json!(201), json!(450_000)),
                row("WeChat Pay 微信支付", json!(264), json!(550_000)) ] },
            { "title": "Drawer", "total_minor": null, "rows": [
                row("Float", Value::Null, json!(50_000)), row("Cash taken", Value::Null, json!(283_460)),
                row("Drops", json!(2), json!(-200_000)), row("Expected", Value::Null, json!(133_460)),
                row("Counted", Value::Null, json!(133_400)), row("Difference", Value::Null, json!(-60)) ] },
            { "title": "Taxes", "total_minor": null, "rows": [row("VAT 6%", Value::Null, json!(72_649))] },
            { "title": "Numbers", "total_minor": null, "rows": [
                text("First receipt", "T1-000001"), text("Last receipt", "T1-000612"),
                row("Grand total", Value::Null, json!(982_004_330)) ] },
        ],
        "hash": "b3:9f2c41d07e55", "printed_at": "2026-05-03 22:11",
    })
}
