//! Every bound of a sale, with its unit and its reason.

use pos_model::Currency;

/// Lines. A large office order has some dozens; the bound keeps one command small enough to price while others wait.
pub const LINES_MAX: usize = 200;

/// Options of one line. A drink has size, sugar, ice, milk and a handful of toppings.
pub const OPTIONS_MAX: usize = 20;

/// Adjustments of one line.
pub const ADJUSTMENTS_MAX: usize = 20;

/// Items that one line takes from stock. The longest recipe, exploded, with cup, lid, straw and bag.
pub const CONSUMPTIONS_MAX: usize = 40;

/// Coupons that a customer brings, tags of a member, and promotions of which is known how often the member has used them.
pub const ORDER_PARTS_MAX: usize = 50;

/// Tenders of one sale. A table that shares the bill.
pub const TENDERS_MAX: usize = 16;

/// Attempts at a terminal for one sale: each of its tenders, tried twice.
pub const ATTEMPTS_MAX: usize = 2 * TENDERS_MAX;

/// Characters of what a terminal says in words: a reference, or why it declined.
pub const TERMINAL_TEXT_CHARS_MAX: usize = 128;

/// Tills that one store has ever had. Each is named in every greeting to the centre, which has to fit into one message.
pub const TILLS_MAX: i64 = 200;

/// Characters of a name on the receipt.
pub const NAME_CHARS_MAX: usize = 128;

/// Characters of a note on a line: what fits on a cup's label.
pub const NOTE_CHARS_MAX: usize = 64;

/// Characters of a member tag, of a promotion's id, of a price book's version, of a source of imported sales, and of a
/// trace context (which has 55).
pub const TAG_CHARS_MAX: usize = 64;

/// Characters of an imported order's key in its source.
pub const REFERENCE_CHARS_MAX: usize = 128;

/// A total, and what one tender hands over, in minor units. A day's sums of thousands of such sales still fit in 64 bits.
pub const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000_000;

/// A line's quantity, and what it takes of one item, in millionths: a thousand million units. All lines and items of a
/// sale at this bound still add up within 64 bits.
pub const QUANTITY_MICRO_MAX: i64 = 1_000_000_000_000_000;

/// Items of one movement of stock. A large delivery; one of more items is said in parts, each of which fits an event.
pub const MOVED_ITEMS_MAX: usize = 200;

/// Items of one count of stock. A store has a hundred or so; one of more is counted in parts, each of which fits an event.
pub const COUNT_ITEMS_MAX: usize = 300;

/// Characters of a note on a movement or count of stock.
pub const STOCK_NOTE_CHARS_MAX: usize = 256;

/// The latest moment an imported sale may name, in milliseconds since 1970 (UTC): the end of the year 9999.
pub const SOLD_AT_MS_MAX: i64 = 253_402_300_799_999;

/// How far an imported sale's local time may lie from UTC, in seconds: a day, which is more than any zone has had.
pub const SOLD_AT_OFFSET_S_MAX: i32 = 86_400;

/// Wrong PINs, one after the other, after which the operator has to wait. Wet fingers miss a key; nobody misses five times.
pub const PIN_TRIES_MAX: u32 = 5;

/// The first wait after too many wrong PINs, in milliseconds; each further wrong one doubles it. Short, because most who
/// wait are the operator themself, with a customer before them.
pub const PIN_LOCK_MS_FIRST: i64 = 30_000;

/// The longest wait, in milliseconds. Whoever guesses gets a hundred tries a day at four digits, and is seen in the audit
/// trail long before; whoever is kept out by somebody's pranks waits a quarter of an hour, or has a new PIN set.
pub const PIN_LOCK_MS_MAX: i64 = 15 * 60_000;

/// How long an approval waits to be used, in milliseconds. The one who gave it stands beside the till.
pub const APPROVAL_MS_MAX: i64 = 2 * 60_000;

/// Operators that a store has ever had. All of them are read for one screen, and a name stays for the trail's sake.
pub const OPERATORS_MAX: i64 = 1000;

/// The most change that a sale gives, in minor units: ten of the largest note that is in daily use. What is more is a slip of
/// the finger, or a bar code that was read into the wrong field. None for currencies whose notes are not listed here; the
/// notes are those that the issuing banks list as in circulation.
pub fn change_minor_max(currency: Currency) -> Option<i64> {
    let note = match currency.as_str() {
        "CNY" | "USD" | "AUD" | "CAD" | "NZD" | "MYR" => 100,
        "EUR" | "TRY" | "AED" | "SAR" | "PLN" | "MXN" => 500,
        "GBP" => 50,
        "BRL" | "ILS" | "ZAR" => 200,
        "CHF" | "SGD" | "HKD" | "THB" | "PHP" | "SEK" | "NOK" | "DKK" | "EGP" => 1_000,
        "INR" => 500,
        "TWD" => 2_000,
        "RUB" | "CZK" | "PKR" | "LKR" => 5_000,
        "JPY" => 10_000,
        "KRW" => 50_000,
        "IDR" | "COP" => 100_000,
        "VND" => 500_000,
        _ => return None,
    };
    let unit = 10_i64.pow(u32::from(currency.decimals()));
    Some(note * unit * 10)
}
