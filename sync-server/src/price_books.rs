//! `price` and `price-book check`: a price book looked at and tried out, without a ledger.

pub(crate) mod of_sale;
mod wire;

use std::io::Read;
use std::path::Path;

use anyhow::Context as _;
use pricing::book::{Finding, PriceBook, Severity};
use pricing::{PricedBasket, Quote, Rules, explain};
use serde_json::{Value, json};

/// Reads a book.
pub fn read_book(path: &Path) -> anyhow::Result<PriceBook> {
    let json = read_file(path)?;
    PriceBook::from_json(&json).with_context(|| format!("{}", path.display()))
}

/// Reads a basket with its circumstances and prices it.
pub fn price_file(book: PriceBook, basket: &Path) -> anyhow::Result<(PricedBasket, Rules)> {
    let json = read_file(basket)?;
    let order = wire::read_order(&json).with_context(|| format!("read the basket {}", basket.display()))?;
    let (basket, context) = order.into_basket()?;
    let rules = Rules::new(book);
    Ok((pricing::price(&basket, &rules, &context), rules))
}

/// A priced basket as text: what is asked and answered at the counter.
pub fn as_text(basket: &PricedBasket, rules: &Rules, explained: bool) -> String {
    let currency = rules.book().currency;
    if explained {
        return explain(basket, currency).trim_end().to_owned();
    }
    let lines = basket.lines.iter().map(|line| {
        let name = if line.name.is_empty() { line.sku.as_str() } else { &line.name };
        format!("{:>12}  {} x {name}\n", line.gross.display(currency).to_string(), line.quantity)
    });
    let text: String = lines.collect();
    format!("{text}{:>12}  total", basket.gross.display(currency).to_string())
}

/// A priced basket as JSON.
pub fn as_json(basket: &PricedBasket, rules: &Rules) -> Value {
    serde_json::to_value(Quote::new(basket, rules)).expect("text and numbers always encode")
}

/// The JSON Schema of a price book.
pub fn schema() -> String {
    serde_json::to_string_pretty(&PriceBook::json_schema()).expect("a schema always encodes")
}

/// Findings as JSON.
pub fn findings_as_json(book: &PriceBook, findings: &[Finding]) -> Value {
    let finding = |finding: &Finding| json!({ "severity": severity(finding.severity), "path": finding.path, "problem": finding.problem });
    json!({
        "version": book.version,
        "hash": book.hash().to_string(),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// A finding as a line of text.
pub fn finding_as_text(finding: &Finding) -> String {
    format!("{}: {}: {}", severity(finding.severity), finding.path, finding.problem)
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Reads a file; "-" is standard input.
pub(crate) fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("read standard input")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}
