//! Rows of a file become orders. An order's rows may lie anywhere in the file, so all of it is read before the first
//! order is known: a few million rows fit in memory.
//!
//! Each row ends in exactly one place: sold in an order, not picked (`--where`), left out by a rule of the mapping, or
//! refused with a reason.

use std::collections::{BTreeMap, HashMap};

use pos_model::{Money, MoneyError, OperatorId, Quantity, Sku, Stamp, Tag, TillId};

use super::catalogue::Catalogue;
use super::columns::{ColumnError, Columns, Text};
use super::mapping::{Encoding, Layout, Mapping, Rule, TillSource, TimeSource};
use super::refusal::{RowNote, RowRefusal};
use super::rows::{Row, Rows, RowsError};
use super::values::stamp;

/// Why a file cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReceiptsError {
    /// Another encoding than the mapping says.
    #[error("line {line}: is not UTF-8 (`encoding = \"latin-1\"` in the mapping reads older files)")]
    NotUtf8 {
        /// Where the first such byte is.
        line: u64,
    },
    /// UTF-16 by its mark.
    #[error("line 1: is UTF-16; save the file as UTF-8")]
    Utf16,
    /// Nothing in it.
    #[error("has no row")]
    Empty,
    /// Quotes.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// A column that the mapping or `--where` names.
    #[error(transparent)]
    Column(#[from] ColumnError),
    /// A row of the catalogue.
    #[error("line {line} of the catalogue has {cells} cells, and its header {columns}")]
    CatalogueCells {
        /// Where.
        line: u64,
        /// In the row.
        cells: usize,
        /// In the header.
        columns: usize,
    },
    /// A price in the catalogue.
    #[error("line {line} of the catalogue")]
    CataloguePrice {
        /// Where.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: MoneyError,
    },
    /// An item of the catalogue.
    #[error("line {line} of the catalogue names {key:?} again")]
    CatalogueTwice {
        /// Where.
        line: u64,
        /// The item.
        key: String,
    },
    /// Times made up for so many orders leave the calendar.
    #[error("the made-up time of order {0} lies outside the calendar")]
    MadeUpTime(u64),
}

/// Which rows to pick: for each column named, the texts that it may have.
pub(super) type Picked = BTreeMap<String, Vec<String>>;

/// An order as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// What names it; never empty.
    pub(super) key: Box<[String]>,
    pub(super) sold_at: Stamp,
    pub(super) till: Option<TillId>,
    pub(super) operator: Option<OperatorId>,
    pub(super) channel: Option<Tag>,
    pub(super) member: Option<String>,
    pub(super) lines: Vec<OrderLine>,
    /// The lines of the file that its rows start on; never empty.
    pub(super) rows: Vec<u64>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderLine {
    pub(super) sku: Sku,
    pub(super) name: Option<String>,
    pub(super) quantity: Quantity,
    /// At least one of these two is there.
    pub(super) unit_price: Option<Money>,
    pub(super) amount: Option<Money>,
    pub(super) options: Vec<Sku>,
}

/// All that a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Receipts {
    /// In order of time; at the same time, of the file.
    pub(super) orders: Vec<Order>,
    pub(super) rows_read: u64,
    pub(super) rows_not_picked: u64,
    /// Rows of which a rule left out everything, with its reason.
    pub(super) left_out: Vec<RowNote>,
    pub(super) refused: Vec<RowNote>,
    /// Orders of which nothing was left.
    pub(super) orders_empty: u64,
}

/// Bytes become text; a byte order mark is dropped.
pub(super) fn decode(bytes: Vec<u8>, encoding: Encoding) -> Result<String, ReceiptsError> {
    match encoding {
        Encoding::Latin1 => Ok(bytes.into_iter().map(char::from).collect()),
        Encoding::Utf8 if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) => {
            Err(ReceiptsError::Utf16)
        }
        Encoding::Utf8 => match String::from_utf8(bytes) {
            Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
            Err(error) => {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let ends = good.iter().filter(|&&byte| byte == b'\n').count();
                Err(ReceiptsError::NotUtf8 { line: u64::try_from(ends).unwrap_or(u64::MAX).saturating_add(1) })
            }
        },
    }
}

/// Reads all orders. `file` is the name for error messages.
pub(super) fn read(
    file: &str,
    text: &str,
    mapping: &Mapping,
    catalogue: &Catalogue,
    picked: &Picked,
) -> Result<Receipts, ReceiptsError> {
    let mut rows = Rows::new(text, mapping.dialect).peekable();
    let first = match rows.peek() {
        None => return Err(ReceiptsError::Empty),
        Some(Err(error)) => return Err(error.clone().into()),
        Some(Ok(row)) => row,
    };
    let columns = if mapping.header { Columns::of_header(file, first) } else { Columns::numbered(file, first) };
    if mapping.header {
        rows.next();
    }
    let reader = Reader::new(mapping, catalogue, picked, &columns)?;
    let mut collected = Collected::default();
    for row in rows {
        reader.take(&row?, &mut collected)?;
    }
    Ok(collected.finish())
}

/// A rule, found.
#[derive(Debug)]
struct RuleAt<'a> {
    /// `None`: the item.
    place: Option<usize>,
    rule: &'a Rule,
}

/// The mapping with its columns found.
#[derive(Debug)]
struct Reader<'a> {
    mapping: &'a Mapping,
    catalogue: &'a Catalogue,
    columns: usize,
    picked: Vec<(usize, &'a [String])>,
    key: Vec<usize>,
    time: Vec<usize>,
    till: Option<Text>,
    operator: Option<Text>,
    channel: Option<Text>,
    member: Option<Text>,
    sku: Option<usize>,
    name: Option<usize>,
    quantity: Option<usize>,
    unit_price: Option<usize>,
    line_amount: Option<usize>,
    options: Option<usize>,
    leave_out: Vec<RuleAt<'a>>,
    refuse: Vec<RuleAt<'a>>,
}

/// An order that rows are still added to.
#[derive(Debug)]
struct Draft {
    order: Order,
    /// The first of its rows that was refused.
    broken_by: Option<u64>,
}

#[derive(Debug, Default)]
struct Collected {
    receipts: Receipts,
    /// Orders by their key, with the number of the order in the whole file, from zero.
    seen: HashMap<Box<[String]>, Seen>,
    drafts: Vec<Option<Draft>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    number: u64,
    draft: usize,
}

/// What became of a row's items.
enum Items {
    Lines(Vec<OrderLine>),
    LeftOut(String),
    Refused(RowRefusal),
    RefusedByRule(String),
}

impl<'a> Reader<'a> {
    fn new(
        mapping: &'a Mapping,
        catalogue: &'a Catalogue,
        picked: &'a Picked,
        columns: &Columns,
    ) -> Result<Self, ColumnError> {
        let rule = |rule: &'a Rule| Ok(RuleAt { place: columns.optional(rule.column.as_ref())?, rule });
        let rules = |rules: &'a [Rule]| rules.iter().map(rule).collect::<Result<_, ColumnError>>();
        let text = |source: Option<_>| source.map(|source| columns.text(source)).transpose();
        let item = &mapping.item;
        Ok(Self {
            mapping,
            catalogue,
            columns: columns.count(),
            picked: picked
                .iter()
                .map(|(column, texts)| Ok((columns.place(column)?, texts.as_slice())))
                .collect::<Result<_, ColumnError>>()?,
            key: columns.places(&mapping.key)?,
            time: match &mapping.time {
                TimeSource::Columns { columns: names, .. } => columns.places(names)?,
                TimeSource::Even { .. } => Vec::new(),
            },
            till: match &mapping.till {
                TillSource::Spread(_) => None,
                TillSource::Column(column) => Some(columns.column_text(column)?),
            },
            operator: text(mapping.operator.as_ref())?,
            channel: text(mapping.channel.as_ref())?,
            member: text(mapping.member.as_ref())?,
            sku: columns.optional(item.sku.as_ref())?,
            name: columns.optional(item.name.as_ref())?,
            quantity: columns.optional(item.quantity.as_ref())?,
            unit_price: columns.optional(item.unit_price.as_ref())?,
            line_amount: columns.optional(item.line_amount.as_ref())?,
            options: columns.optional(item.options.as_ref().map(|options| &options.column))?,
            leave_out: rules(&mapping.leave_out)?,
            refuse: rules(&mapping.refuse)?,
        })
    }

    fn take(&self, row: &Row<'_>, collected: &mut Collected) -> Result<(), ReceiptsError> {
        collected.receipts.rows_read += 1;
        let number = collected.receipts.rows_read;
        let key: Box<[String]> = match self.mapping.layout {
            Layout::LinePerRow => self.key.iter().map(|&place| row.cell(place).to_owned()).collect(),
            Layout::BasketPerRow => [format!("row {number}")].into(),
        };
        // Made-up times count every order of the file, so that a sale is the same whichever rows are picked.
        let next = u64::try_from(collected.seen.len()).unwrap_or(u64::MAX);
        let seen = *collected.seen.entry(key.clone()).or_insert_with(|| {
            collected.drafts.push(None);
            Seen { number: next, draft: collected.drafts.len() - 1 }
        });
        // A row out of shape is refused whatever rows are picked: the cell that would tell may be the missing one.
        let (cells, columns) = (row.cells.len(), self.columns);
        if self.mapping.layout == Layout::LinePerRow && cells != columns {
            collected.touch(seen, &key).broken_by.get_or_insert(row.line);
            collected.refuse(row.line, &RowRefusal::Cells { cells, columns });
            return Ok(());
        }
        if !self.picked.iter().all(|(place, texts)| texts.iter().any(|text| text == row.cell(*place))) {
            collected.receipts.rows_not_picked += 1;
            return Ok(());
        }
        let head = match self.items(row) {
            // An order with no other row than this one has no goods, and needs no head.
            Items::LeftOut(reason) => {
                collected.touch(seen, &key);
                collected.receipts.left_out.push(RowNote { line: row.line, reason });
                return Ok(());
            }
            Items::RefusedByRule(reason) => {
                collected.touch(seen, &key);
                collected.refuse(row.line, &RowRefusal::Rule(reason));
                return Ok(());
            }
            Items::Refused(reason) => Err(reason),
            Items::Lines(lines) => self.head(row, seen.number)?.map(|head| (head, lines)),
        };
        let draft = collected.touch(seen, &key);
        match head {
            Ok((head, lines)) => draft.add(row.line, head, lines),
            Err(reason) => {
                draft.broken_by.get_or_insert(row.line);
                collected.refuse(row.line, &reason);
            }
        }
        Ok(())
    }

    /// The order's head as this row has it. The outer error is the file's, the inner one the row's.
    fn head(&self, row: &Row<'_>, number: u64) -> Result<Result<Order, RowRefusal>, ReceiptsError> {
        let sold_at = match self.sold_at(row, number) {
            Ok(sold_at) => sold_at,
            Err(RowRefusal::Overflow) => return Err(ReceiptsError::MadeUpTime(number)),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let text = |source: &Option<Text>| source.as_ref().and_then(|source| source.read(row));
        let head = || {
            Ok(Order {
                key: [].into(),
                sold_at,
                till: self.till.as_ref().map(|till| TillId::new(till.read(row).unwrap_or_default())).transpose()?,
                operator: text(&self.operator).map(OperatorId::new).transpose()?,
                channel: text(&self.channel).map(Tag::new).transpose()?,
                member: text(&self.member),
                lines: Vec::new(),
                rows: Vec::new(),
            })
        };
        Ok(head())
    }

    fn sold_at(&self, row: &Row<'_>, number: u64) -> Result<Stamp, RowRefusal> {
        match &self.mapping.time {
            TimeSource::Columns { format, .. } => {
                let cells: Vec<&str> = self.time.iter().map(|&place| row.cell(place)).collect();
                let text = cells.join(" ");
                format.parse(&text).map_err(|error| RowRefusal::Time { text, problem: error.to_string() })
            }
            TimeSource::Even { start, step, orders_per_day, zone } => {
                let per_day = orders_per_day.map_or(u64::MAX, u64::from);
                let (day, place) = (number / per_day, number % per_day);
                let local = || {
                    let days = jiff::Span::new().try_days(i64::try_from(day).ok()?).ok()?;
                    let since = step.checked_mul(u32::try_from(place).ok()?)?;
                    start.checked_add(days).ok()?.checked_add(since).ok()?.to_zoned(zone.clone()).ok()
                };
                local().map(|zoned| stamp(&zoned)).ok_or(RowRefusal::Overflow)
            }
        }
    }

    fn items(&self, row: &Row<'_>) -> Items {
        if self.mapping.layout == Layout::BasketPerRow {
            return self.basket(row);
        }
        let sku = self.sku.map_or("", |place| row.cell(place));
        if let Some(reason) = broken(&self.leave_out, row, sku) {
            return Items::LeftOut(reason);
        }
        if let Some(reason) = broken(&self.refuse, row, sku) {
            return Items::RefusedByRule(reason);
        }
        match self.line(row, sku) {
            Ok(line) => Items::Lines(vec![line]),
            Err(reason) => Items::Refused(reason),
        }
    }

    /// A basket is sold without the items that a rule names. If no other is left, it is the rule's.
    fn basket(&self, row: &Row<'_>) -> Items {
        let (mut lines, mut left_out, mut refused) = (Vec::new(), None, None);
        for sku in (0..row.cells.len()).map(|place| row.cell(place)).filter(|cell| !cell.is_empty()) {
            if let Some(reason) = broken(&self.leave_out, row, sku) {
                left_out = Some(reason);
            } else if let Some(reason) = broken(&self.refuse, row, sku) {
                refused = Some(reason);
            } else {
                match self.line(row, sku) {
                    Ok(line) => lines.push(line),
                    Err(reason) => return Items::Refused(reason),
                }
            }
        }
        match (lines.is_empty(), refused, left_out) {
            (false, ..) => Items::Lines(lines),
            (true, Some(reason), _) => Items::RefusedByRule(reason),
            (true, None, Some(reason)) => Items::LeftOut(reason),
            (true, None, None) => Items::Refused(RowRefusal::NoItem),
        }
    }

    fn line(&self, row: &Row<'_>, sku: &str) -> Result<OrderLine, RowRefusal> {
        if sku.is_empty() {
            return Err(RowRefusal::NoItem);
        }
        let quantity = match self.quantity.map(|place| row.cell(place)) {
            None => Quantity::ONE,
            Some(text) => {
                let quantity = self.mapping.money.parse_quantity(text).map_err(RowRefusal::Quantity)?;
                if quantity <= Quantity::ZERO {
                    return Err(RowRefusal::QuantityNotPositive(text.to_owned()));
                }
                quantity
            }
        };
        let amount = self.money(row, self.line_amount, self.mapping.item.line_amount.as_ref())?;
        let mut unit_price = self.money(row, self.unit_price, self.mapping.item.unit_price.as_ref())?;
        let article = self.catalogue.article(sku);
        if amount.is_none() && unit_price.is_none() {
            let known = article.and_then(|article| article.price).or_else(|| self.mapping.prices.get(sku).copied());
            unit_price = known.or(self.mapping.fixed_price);
            if unit_price.is_none() {
                return Err(RowRefusal::NoPrice(sku.to_owned()));
            }
        }
        let name = self.name.map(|place| row.cell(place).to_owned()).filter(|name| !name.is_empty());
        let options = match (self.options, &self.mapping.item.options) {
            (Some(place), Some(format)) => format.parse(row.cell(place))?,
            _ => Vec::new(),
        };
        Ok(OrderLine {
            sku: Sku::new(sku)?,
            name: name.or_else(|| article.and_then(|article| article.name.clone())),
            quantity,
            unit_price,
            amount,
            options: options.into_iter().map(Sku::new).collect::<Result<_, _>>()?,
        })
    }

    fn money(&self, row: &Row<'_>, at: Option<usize>, column: Option<&String>) -> Result<Option<Money>, RowRefusal> {
        let (Some(place), Some(column)) = (at, column) else { return Ok(None) };
        let text = row.cell(place);
        if text.is_empty() {
            return Ok(None);
        }
        match self.mapping.money.parse(text) {
            Ok(money) if money.is_negative() => {
                Err(RowRefusal::Negative { column: column.clone(), text: text.to_owned() })
            }
            Ok(money) => Ok(Some(money)),
            Err(source) => Err(RowRefusal::Money { column: column.clone(), source }),
        }
    }
}

/// The reason of the first rule that the row falls under.
fn broken(rules: &[RuleAt<'_>], row: &Row<'_>, sku: &str) -> Option<String> {
    let applies = |at: &&RuleAt<'_>| {
        let cell = at.place.map_or(sku, |place| row.cell(place));
        at.rule.equals.iter().any(|text| text == cell)
    };
    rules.iter().find(applies).map(|at| at.rule.reason.clone())
}

impl Draft {
    /// The head is the first row's, only the time is that of the earliest.
    fn add(&mut self, line: u64, head: Order, lines: Vec<OrderLine>) {
        let order = &mut self.order;
        if order.rows.is_empty() {
            let key = std::mem::take(&mut order.key);
            *order = Order { key, ..head };
        } else {
            order.sold_at = order.sold_at.min(head.sold_at);
        }
        order.rows.push(line);
        order.lines.extend(lines);
    }
}

impl Collected {
    /// The order of a row that was picked.
    fn touch(&mut self, seen: Seen, key: &[String]) -> &mut Draft {
        self.drafts[seen.draft].get_or_insert_with(|| Draft {
            order: Order {
                key: key.into(),
                sold_at: Stamp { utc_ms: 0, offset_s: 0 },
                till: None,
                operator: None,
                channel: None,
                member: None,
                lines: Vec::new(),
                rows: Vec::new(),
            },
            broken_by: None,
        })
    }

    fn refuse(&mut self, line: u64, reason: &RowRefusal) {
        self.receipts.refused.push(RowNote { line, reason: reason.to_string() });
    }

    fn finish(mut self) -> Receipts {
        for Draft { order, broken_by } in std::mem::take(&mut self.drafts).into_iter().flatten() {
            match broken_by {
                Some(line) => {
                    for row in order.rows {
                        self.refuse(row, &RowRefusal::SameOrder(line));
                    }
                }
                None if order.rows.is_empty() => self.receipts.orders_empty += 1,
                None => self.receipts.orders.push(order),
            }
        }
        self.receipts.refused.sort_by_key(|note| note.line);
        self.receipts.orders.sort_by_key(|order| (order.sold_at.utc_ms, order.rows.first().copied()));
        self.receipts
    }
}

#[cfg(test)]
#[path = "receipts_tests.rs"]
mod tests;
