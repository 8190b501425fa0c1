//! Cases that a merchandiser can read: `tests/cases/*.cases`, a line each, priced by the sample book.
//!
//! `basket | circumstances | gross | promotions`, where a basket is `2 sku +option +option, 1 sku`, the circumstances
//! are words such as `wed 10:30 gold coupon:free-cup`, and promotions are what had an effect, with what each took off.
//! After `!` stand promotions that must be refused, with the reason.

use std::path::Path;

use pricing::WhyNot;

use crate::support::{circumstances, parse_basket, tea};

fn check_file(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    let text = std::fs::read_to_string(&path).expect("the cases are part of the project");
    let rules = tea();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(columns.len(), 4, "{name}:{number}: a case has four columns");
        let (basket, words, gross, promotions) = (columns[0], columns[1], columns[2], columns[3]);
        let (expected, refused) = promotions.split_once('!').unwrap_or((promotions, ""));
        let priced = pricing::price(&parse_basket(basket), &rules, &circumstances(words));
        let applied: Vec<String> = priced
            .applied
            .iter()
            .map(|one| match -one.amount.minor() {
                0 => one.promotion.to_string(),
                off => format!("{} {}", one.promotion, decimal(off)),
            })
            .collect();
        let problems = if priced.problems.is_empty() { String::new() } else { format!(" {:?}", priced.problems) };
        let found = format!("{} | {}{problems}", decimal(priced.gross.minor()), applied.join(", "));
        if found != format!("{gross} | {}", expected.trim()) {
            wrong.push(format!(
                "{name}:{number}: {basket} | {words}\n  expected {gross} | {expected}\n  found    {found}"
            ));
        }
        for wanted in refused.split(',').map(str::trim).filter(|wanted| !wanted.is_empty()) {
            let reasons: Vec<String> =
                priced.not_applied.iter().map(|one| format!("{} {}", one.promotion, why_not(&one.why))).collect();
            if !reasons.iter().any(|reason| reason.starts_with(wanted)) {
                wrong.push(format!("{name}:{number}: {wanted} is not among {reasons:#?}"));
            }
        }
        crate::support::adds_up(&priced);
        checked += 1;
    }
    assert!(checked > 0, "{name} has no case");
    assert!(wrong.is_empty(), "{} of {checked} cases:\n{}", wrong.len(), wrong.join("\n"));
}

fn why_not(why: &WhyNot) -> String {
    match why {
        WhyNot::OutOfScope => "out of scope".to_owned(),
        WhyNot::Condition => "condition".to_owned(),
        WhyNot::MembersOnly => "members only".to_owned(),
        WhyNot::AmountMissing { missing_minor } => format!("{} more", decimal(missing_minor.minor())),
        WhyNot::UnitsMissing { missing_units } => format!("{missing_units} units more"),
        WhyNot::CouponMissing => "no coupon".to_owned(),
        WhyNot::QuotaSpent => "quota spent".to_owned(),
        WhyNot::MemberCap => "member cap".to_owned(),
        WhyNot::GroupLost { to } => format!("less than {to}"),
        WhyNot::Excluded { by } => format!("excluded by {by}"),
        WhyNot::NoEffect => "no effect".to_owned(),
    }
}

fn decimal(minor: i64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

#[test]
fn menu() {
    check_file("menu.cases");
}

#[test]
fn promotions() {
    check_file("promotions.cases");
}

#[test]
fn together() {
    check_file("together.cases");
}
