//! The description of a file of receipts, read from TOML. `packaging/mappings/` holds examples with every key explained.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pos_model::{InvalidId, Money, MoneyError, Tag, TillId};
use serde::Deserialize;

use super::rows::Dialect;
use super::values::{MoneyFormat, OptionsFormat, TimeFormat};

/// How long `source` may be: the agent's own bound.
const SOURCE_CHARS_MAX: usize = 64;

/// Why a mapping is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum MappingError {
    /// No TOML, or a key is unknown, missing or of the wrong kind. The text names the place.
    #[error("read the mapping: {0}")]
    Toml(#[from] toml::de::Error),
    /// Keys that do not go together.
    #[error("the mapping {0}")]
    Contradiction(&'static str),
    /// No such time zone.
    #[error("`zone`: {0:?} is not a time zone")]
    Zone(String),
    /// Not a date and time.
    #[error("`start`: {0:?} is not a date and time such as \"2020-03-01T09:00:00\"")]
    Start(String),
    /// Not a duration.
    #[error("`step`: {0:?} is not a duration such as \"45s\"")]
    Step(String),
    /// An amount in the mapping itself.
    #[error("{key}")]
    Amount {
        /// Where it stands.
        key: String,
        /// What is wrong with it.
        #[source]
        source: MoneyError,
    },
    /// A till's name in the mapping itself.
    #[error("`till`")]
    Till(#[source] InvalidId),
}

/// How rows make orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Layout {
    /// A row is a line item.
    #[default]
    LinePerRow,
    /// A row is an order, and each of its cells an item.
    BasketPerRow,
}

/// How bytes become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) enum Encoding {
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "latin-1")]
    Latin1,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingToml {
    source: String,
    #[serde(default)]
    file: FileToml,
    order: OrderToml,
    time: TimeToml,
    item: ItemToml,
    money: MoneyFormat,
    catalogue: Option<CatalogueFormat>,
    #[serde(default)]
    prices: BTreeMap<String, String>,
    #[serde(default)]
    leave_out: Vec<Rule>,
    #[serde(default)]
    refuse: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileToml {
    delimiter: char,
    header: bool,
    quotes: bool,
    encoding: Encoding,
    layout: Layout,
}

impl Default for FileToml {
    fn default() -> Self {
        let (encoding, layout) = (Encoding::default(), Layout::default());
        Self { delimiter: ',', header: true, quotes: true, encoding, layout }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderToml {
    #[serde(default)]
    key: Vec<String>,
    till: TillToml,
    operator: Option<TextSource>,
    channel: Option<TextSource>,
    member: Option<TextSource>,
    #[serde(default = "imported")]
    tender: Tag,
}

fn imported() -> Tag {
    Tag::new("imported").expect("a word of small letters is a tag")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeToml {
    zone: String,
    #[serde(default)]
    columns: Vec<String>,
    format: Option<String>,
    start: Option<String>,
    step: Option<String>,
    orders_per_day: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemToml {
    sku: Option<String>,
    name: Option<String>,
    quantity: Option<String>,
    #[serde(default)]
    count_repeats: bool,
    unit_price: Option<String>,
    line_amount: Option<String>,
    fixed_price: Option<String>,
    options: Option<OptionsFormat>,
    tax_group: Option<Tag>,
    #[serde(default)]
    tax_rate_ppm: u32,
}

/// Where a text of the order's head comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum TextSource {
    /// The same for every order.
    Constant(String),
    /// A column.
    Column(ColumnText),
}

/// A column, and what its texts mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnText {
    /// The column.
    pub(super) column: String,
    /// Texts that mean nothing; the empty text always does.
    #[serde(default)]
    pub(super) none: Vec<String>,
    /// Texts that stand for others.
    #[serde(default)]
    pub(super) words: BTreeMap<String, String>,
    /// Written before what the column says.
    #[serde(default)]
    pub(super) prefix: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TillToml {
    Constant(String),
    Spread { spread: Vec<String> },
    Column(ColumnText),
}

/// The till of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TillSource {
    /// Dealt out over these by the order's key, so that the same order always has the same till.
    Spread(Vec<TillId>),
    /// A column.
    Column(ColumnText),
}

/// When an order was sold.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TimeSource {
    /// Columns say so.
    Columns { columns: Vec<String>, format: TimeFormat },
    /// The file does not know: orders are set apart evenly, in the order of the file.
    Even { start: DateTime, step: Duration, orders_per_day: Option<u32>, zone: TimeZone },
}

/// The columns of an item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ItemFormat {
    /// Its SKU; not used where each cell is an item.
    pub(super) sku: Option<String>,
    pub(super) name: Option<String>,
    pub(super) quantity: Option<String>,
    /// Rows of one order that say the same are one line with the sum of their quantities.
    pub(super) count_repeats: bool,
    pub(super) unit_price: Option<String>,
    pub(super) line_amount: Option<String>,
    pub(super) options: Option<OptionsFormat>,
    pub(super) tax_group: Option<Tag>,
    pub(super) tax_rate_ppm: u32,
}

/// A second file with names and prices, joined by the item's SKU. Same dialect and encoding as the receipts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogueFormat {
    /// Its path, from the folder of the receipts.
    pub(super) file: String,
    /// The column that the SKU is looked up in.
    pub(super) key: String,
    /// The column of the name.
    pub(super) name: Option<String>,
    /// The column of the price of one unit.
    pub(super) price: Option<String>,
}

/// Rows that are not sold, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// The column that is looked at; the item's if left out.
    pub(super) column: Option<String>,
    /// Its texts.
    pub(super) equals: Vec<String>,
    /// For the report.
    pub(super) reason: String,
}

/// A checked mapping.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mapping {
    /// Written on every sale, and part of its id.
    pub(super) source: String,
    pub(super) dialect: Dialect,
    pub(super) header: bool,
    pub(super) encoding: Encoding,
    pub(super) layout: Layout,
    /// The columns whose texts together name an order. Empty where a row is an order: then it is the row's number.
    pub(super) key: Vec<String>,
    pub(super) till: TillSource,
    pub(super) operator: Option<TextSource>,
    pub(super) channel: Option<TextSource>,
    pub(super) member: Option<TextSource>,
    pub(super) tender: Tag,
    pub(super) time: TimeSource,
    pub(super) item: ItemFormat,
    pub(super) money: MoneyFormat,
    pub(super) catalogue: Option<CatalogueFormat>,
    /// Prices of single items, where neither the row nor the catalogue has one.
    pub(super) prices: BTreeMap<String, Money>,
    /// The price of every other item.
    pub(super) fixed_price: Option<Money>,
    /// Rows that are known not to be goods: counted, not sold.
    pub(super) leave_out: Vec<Rule>,
    /// Rows that a person has to look at: listed among the refused, not sold.
    pub(super) refuse: Vec<Rule>,
}

impl Mapping {
    /// Parses and checks a mapping.
    pub(super) fn parse(text: &str) -> Result<Self, MappingError> {
        let toml: MappingToml = toml::from_str(text)?;
        check_shape(&toml)?;
        let amount =
            |key: String, text: &str| toml.money.parse(text).map_err(|source| MappingError::Amount { key, source });
        let prices = toml
            .prices
            .iter()
            .map(|(item, text)| Ok((item.clone(), amount(format!("`prices`: {item:?}"), text)?)))
            .collect::<Result<_, MappingError>>()?;
        let fixed = toml.item.fixed_price.as_deref();
        let fixed_price = fixed.map(|text| amount("`fixed_price`".to_owned(), text)).transpose()?;
        Ok(Self {
            source: toml.source,
            dialect: Dialect { delimiter: toml.file.delimiter, quotes: toml.file.quotes },
            header: toml.file.header,
            encoding: toml.file.encoding,
            layout: toml.file.layout,
            key: toml.order.key,
            till: till(toml.order.till)?,
            operator: toml.order.operator,
            channel: toml.order.channel,
            member: toml.order.member,
            tender: toml.order.tender,
            time: time(toml.time)?,
            item: ItemFormat {
                sku: toml.item.sku,
                name: toml.item.name,
                quantity: toml.item.quantity,
                count_repeats: toml.item.count_repeats,
                unit_price: toml.item.unit_price,
                line_amount: toml.item.line_amount,
                options: toml.item.options,
                tax_group: toml.item.tax_group,
                tax_rate_ppm: toml.item.tax_rate_ppm,
            },
            money: toml.money,
            catalogue: toml.catalogue,
            prices,
            fixed_price,
            leave_out: toml.leave_out,
            refuse: toml.refuse,
        })
    }
}

fn check_shape(toml: &MappingToml) -> Result<(), MappingError> {
    let wrong = |text| Err(MappingError::Contradiction(text));
    if toml.source.is_empty() || toml.source.chars().count() > SOURCE_CHARS_MAX {
        return wrong("needs a `source` of 1 to 64 characters");
    }
    if matches!(toml.file.delimiter, '"' | '\n' | '\r') {
        return wrong("cannot have a quote or a line end as `delimiter`");
    }
    let item = &toml.item;
    match toml.file.layout {
        Layout::LinePerRow if toml.order.key.is_empty() => wrong("needs `order.key`: the columns that name an order"),
        Layout::LinePerRow if item.sku.is_none() => wrong("needs `item.sku`: the column of the item"),
        Layout::BasketPerRow if toml.file.header => wrong("has `header = true`, and a basket per row has no header"),
        Layout::BasketPerRow
            if !toml.order.key.is_empty()
                || !toml.time.columns.is_empty()
                || item.sku.is_some()
                || item.name.is_some()
                || item.quantity.is_some()
                || item.unit_price.is_some()
                || item.line_amount.is_some()
                || item.options.is_some() =>
        {
            wrong("names columns, and in a basket per row every cell is an item")
        }
        _ => Ok(()),
    }
}

fn till(toml: TillToml) -> Result<TillSource, MappingError> {
    let names = match toml {
        TillToml::Column(column) => return Ok(TillSource::Column(column)),
        TillToml::Constant(name) => vec![name],
        TillToml::Spread { spread } => spread,
    };
    if names.is_empty() {
        return Err(MappingError::Contradiction("spreads orders over no till"));
    }
    let tills: Result<_, _> = names.into_iter().map(TillId::new).collect();
    Ok(TillSource::Spread(tills.map_err(MappingError::Till)?))
}

fn time(toml: TimeToml) -> Result<TimeSource, MappingError> {
    let zone = TimeZone::get(&toml.zone).map_err(|_| MappingError::Zone(toml.zone.clone()))?;
    match (toml.columns.is_empty(), toml.format, toml.start, toml.step) {
        (false, Some(format), None, None) if toml.orders_per_day.is_none() => {
            Ok(TimeSource::Columns { columns: toml.columns, format: TimeFormat { format, zone } })
        }
        (true, None, Some(start), Some(step)) => {
            let step = parse_duration(&step).ok_or(MappingError::Step(step))?;
            let start = start.parse().map_err(|_| MappingError::Start(start))?;
            if toml.orders_per_day == Some(0) {
                return Err(MappingError::Contradiction("has `orders_per_day = 0`"));
            }
            Ok(TimeSource::Even { start, step, orders_per_day: toml.orders_per_day, zone })
        }
        _ => Err(MappingError::Contradiction(
            "needs in `time` either `columns` and `format`, or `start` and `step` (and then, if wanted, `orders_per_day`)",
        )),
    }
}

/// A duration as people write it: `45s`, `1m 30s`, `250ms`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let signed: jiff::SignedDuration = text.parse().ok()?;
    signed.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"
        source = "test"
        [order]
        key = ["order"]
        till = "T1"
        [time]
        zone = "UTC"
        columns = ["date"]
        format = "%Y-%m-%d"
        [item]
        sku = "item"
        [money]
        currency = "USD"
    "#;

    #[test]
    fn what_is_refused() {
        #[track_caller]
        fn check(from: &str, to: &str, expected: &str) {
            assert!(LINES.contains(from), "{from}");
            let answer = Mapping::parse(&LINES.replacen(from, to, 1));
            let text = answer.err().map_or(String::new(), |error| error.to_string());
            assert!(text.contains(expected) && text.is_empty() == expected.is_empty(), "{to}: {text:?}");
        }
        check("\"test\"", "\"test\"", "");
        check("\"test\"", "\"\"", "needs a `source`");
        check("key = [\"order\"]", "", "needs `order.key`");
        check("sku = \"item\"", "", "needs `item.sku`");
        check("sku = \"item\"", "sku = \"item\"\nqantity = \"n\"", "unknown field `qantity`");
        check("\"USD\"", "\"dollar\"", "not a currency code");
        check("\"UTC\"", "\"Mars/Base\"", "not a time zone");
        check("format = \"%Y-%m-%d\"", "", "needs in `time`");
        check("format = \"%Y-%m-%d\"", "format = \"%Y\"\nstart = \"2020-01-01T00:00:00\"", "needs in `time`");
        check("till = \"T1\"", "till = \"T 1\"", "`till`");
        check("till = \"T1\"", "till = { spread = [] }", "no till");
        check("till = \"T1\"", "till = { spread = [\"T1\", \"T2\"] }", "");
        check("till = \"T1\"", "till = { column = \"t\" }", "");
        check("sku = \"item\"", "sku = \"item\"\nfixed_price = \"2.505\"", "`fixed_price`");
        check("[money]", "[prices]\nTea = \"x\"\n[money]", "`prices`: \"Tea\"");
        check("[order]", "[file]\nlayout = \"basket_per_row\"\n[order]", "has no header");
        check("[order]", "[file]\nlayout = \"basket_per_row\"\nheader = false\n[order]", "every cell is an item");
        check("[order]", "[file]\ndelimiter = \"::\"\n[order]", "delimiter");
        check("[order]", "[file]\ndelimiter = '\"'\n[order]", "`delimiter`");
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("45s"), Some(Duration::from_secs(45)));
        assert_eq!(parse_duration("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for text in ["", "5", "-5s", "soon"] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_mappings_of_the_project() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/mappings");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("listed").path();
            let text = std::fs::read_to_string(&path).expect("text");
            Mapping::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
        }
        names.sort();
        assert_eq!(names, ["breadbasket", "chipotle", "coffee-3-stores", "groceries"]);
    }
}
