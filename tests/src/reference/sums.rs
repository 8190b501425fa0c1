//! What a sale comes to, by the rules of the design and in the simplest way.

use std::collections::BTreeMap;

use super::facts::SoldLine;

/// Sums over the sales and refunds of a date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many sales.
    pub sales: i64,
    /// How many lines.
    pub lines: i64,
    /// Of the quantities, in millionths.
    pub quantity_micro: i64,
    /// Of what customers paid.
    pub gross_minor: i64,
    /// Of the tax in it.
    pub tax_minor: i64,
    /// How many refunds.
    pub refunds: i64,
    /// Of what went back.
    pub refund_gross_minor: i64,
    /// Of the tax in it.
    pub refund_tax_minor: i64,
}

impl Sums {
    /// Adds another sum.
    pub fn add(&mut self, other: Self) {
        self.sales += other.sales;
        self.lines += other.lines;
        self.quantity_micro += other.quantity_micro;
        self.gross_minor += other.gross_minor;
        self.tax_minor += other.tax_minor;
        self.refunds += other.refunds;
        self.refund_gross_minor += other.refund_gross_minor;
        self.refund_tax_minor += other.refund_tax_minor;
    }
}

/// The sums of a sale.
pub fn sums_of(lines: &[SoldLine]) -> Sums {
    let mut sums = Sums { sales: 1, lines: lines.len().try_into().expect("a handful"), ..Sums::default() };
    for line in lines {
        sums.gross_minor += line.gross_minor;
        sums.tax_minor += line.tax_minor;
        sums.quantity_micro += line.quantity_micro;
    }
    sums
}

/// What one line of a command comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedLine {
    /// The price of one unit, options included.
    pub unit_minor: i64,
    /// In millionths.
    pub quantity_micro: i64,
    /// All adjustments; zero is none.
    pub adjusted_minor: i64,
    /// The tax group.
    pub tax_group: String,
    /// Its rate.
    pub tax_ppm: i64,
    /// What it takes from stock, in millionths.
    pub used: BTreeMap<String, i64>,
}

/// The lines with their amounts: rounded half away from zero per line, tax per group from the gross, shared out to the
/// lines of the group.
pub fn lines_of(asked: &[AskedLine]) -> Vec<SoldLine> {
    let mut lines: Vec<SoldLine> = asked.iter().map(sold_without_tax).collect();
    let groups: BTreeMap<String, i64> = asked.iter().map(|line| (line.tax_group.clone(), line.tax_ppm)).collect();
    for (group, ppm) in groups {
        let places: Vec<usize> = (0..lines.len()).filter(|&place| lines[place].tax_group == group).collect();
        let gross: Vec<i64> = places.iter().map(|&place| lines[place].gross_minor).collect();
        let tax = half_away(i128::from(gross.iter().sum::<i64>()) * i128::from(ppm), 1_000_000 + i128::from(ppm));
        for (place, tax_minor) in places.into_iter().zip(shared(tax, &gross)) {
            lines[place].tax_minor = tax_minor;
        }
    }
    lines
}

/// What a line costs before the tax in it is known.
pub fn sold_without_tax(asked: &AskedLine) -> SoldLine {
    let list_minor = half_away(i128::from(asked.unit_minor) * i128::from(asked.quantity_micro), 1_000_000);
    SoldLine {
        quantity_micro: asked.quantity_micro,
        gross_minor: list_minor + asked.adjusted_minor,
        tax_minor: 0,
        tax_group: asked.tax_group.clone(),
        tax_ppm: asked.tax_ppm,
        adjusted_minor: asked.adjusted_minor,
        used: asked.used.clone(),
    }
}

/// Shares an amount out: to each place the whole part of its share, and what is left one by one to those that lost most by
/// that, the earlier first. Where nothing has a weight, the first place takes all.
pub fn shared(total: i64, weights: &[i64]) -> Vec<i64> {
    let whole: i128 = weights.iter().copied().map(i128::from).sum();
    if whole == 0 {
        return (0..weights.len()).map(|place| if place == 0 { total } else { 0 }).collect();
    }
    let exact = |place: usize| i128::from(total) * i128::from(weights[place]);
    let mut shares: Vec<i128> = (0..weights.len()).map(|place| exact(place) / whole).collect();
    let mut left = i128::from(total) - shares.iter().sum::<i128>();
    let mut places: Vec<usize> = (0..weights.len()).collect();
    places.sort_by_key(|&place| (-(exact(place) % whole), place));
    for place in places {
        if left > 0 {
            shares[place] += 1;
            left -= 1;
        }
    }
    shares.into_iter().map(narrow).collect()
}

/// The business date of a moment, in days since 1970.
pub fn day_of(utc_ms: i64, offset_s: i32, cut_off_min: i64) -> i32 {
    let local_ms = utc_ms + i64::from(offset_s) * 1000 - cut_off_min * 60_000;
    i32::try_from(local_ms.div_euclid(86_400_000)).expect("the simulation's clocks stay within some thousand years")
}

/// A date as people write it.
pub fn date_text(day: i32) -> String {
    pos_model::BusinessDate::from_days(i64::from(day)).to_string()
}

fn half_away(part: i128, whole: i128) -> i64 {
    let magnitude = (part.abs() * 2 + whole) / (whole * 2);
    narrow(if part < 0 { -magnitude } else { magnitude })
}

fn narrow(wide: i128) -> i64 {
    i64::try_from(wide).expect("the simulation sells small amounts")
}
