//! Who may do what at the counter, and how often a PIN may be tried.
//!
//! Three roles, each of which may do what the one below it may. What a role does not suffice for needs the PIN of
//! somebody whose role does: an approval, for one action on one subject.
//!
//! A PIN of four digits falls to ten thousand tries, so tries are counted per operator, and the wait after too many of
//! them grows. Time comes from a wall clock that may jump: a clock that was set back makes a wait start anew, and never
//! last for ever.

use std::fmt;
use std::str::FromStr;

use crate::limits::{PIN_LOCK_MS_FIRST, PIN_LOCK_MS_MAX, PIN_TRIES_MAX};
use crate::word::UnknownWord;

/// What somebody is in the store. Ordered: a later one may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sells.
    Cashier,
    /// Leads a shift: voids, refunds, cash movements, counts.
    ShiftLead,
    /// Answers for the store: people, tills, corrections of what was closed.
    Manager,
}

impl Role {
    /// All of them, from the least to the greatest.
    pub const ALL: [Self; 3] = [Self::Cashier, Self::ShiftLead, Self::Manager];

    /// The word for it, in commands and in the books.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cashier => "cashier",
            Self::ShiftLead => "shift_lead",
            Self::Manager => "manager",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownWord)
    }
}

/// Defines [`Action`]: each with its word and the least role that may do it.
macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal => $role:ident,)+) => {
        /// Something at the counter that not everybody may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Action {
            $($(#[$doc])* $name,)+
        }

        impl Action {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word for it, in commands and in the audit trail.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// The least role that may do it without anybody's approval.
            pub const fn least_role(self) -> Role {
                match self {
                    $(Self::$name => Role::$role,)+
                }
            }
        }
    };
}

actions! {
    /// Sells, holds and recalls baskets, takes tenders.
    Sell = "sell" => Cashier,
    /// Opens a shift of one's own with its float.
    OpenShift = "open_shift" => Cashier,
    /// Counts the drawer and closes a shift.
    CloseShift = "close_shift" => Cashier,
    /// Puts cash from the drawer into the safe.
    Drop = "drop" => Cashier,
    /// Prints a receipt again, marked as a copy.
    Reprint = "reprint" => Cashier,
    /// Says that something is sold out, or is there again.
    SetSoldOut = "set_sold_out" => Cashier,
    /// Takes a line away that the kitchen has already got.
    VoidSentLine = "void_sent_line" => ShiftLead,
    /// Takes a whole sale back.
    VoidSale = "void_sale" => ShiftLead,
    /// Gives money back for lines of a sale.
    Refund = "refund" => ShiftLead,
    /// Gives money back in another way than it came, such as cash for what was paid by card.
    RefundOtherTender = "refund_other_tender" => ShiftLead,
    /// Sells at another price than the book's.
    PriceOverride = "price_override" => ShiftLead,
    /// Says, after a look at the terminal, that a payment of unknown outcome has taken nothing, and asks for money again.
    SettlePayment = "settle_payment" => ShiftLead,
    /// Gives the money of another till's payment back, or never takes it.
    ReverseOthersPayment = "reverse_others_payment" => ShiftLead,
    /// Sees what should be in a drawer that is not counted yet.
    ReadDrawer = "read_drawer" => ShiftLead,
    /// Opens the drawer without a sale.
    NoSale = "no_sale" => ShiftLead,
    /// Puts cash into the drawer that no sale brought.
    PaidIn = "paid_in" => ShiftLead,
    /// Takes cash out of the drawer for an expense.
    PaidOut = "paid_out" => ShiftLead,
    /// Closes another operator's shift, or one that is open at another till.
    CloseOthersShift = "close_others_shift" => ShiftLead,
    /// Closes the business day.
    CloseDay = "close_day" => ShiftLead,
    /// Books goods in or out, or as waste.
    StockMovement = "stock_movement" => ShiftLead,
    /// Counts the stock.
    StockCount = "stock_count" => ShiftLead,
    /// Corrects a shift that is closed.
    AmendShift = "amend_shift" => Manager,
    /// Adds, changes and removes operators.
    ManageOperators = "manage_operators" => Manager,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text).ok_or(UnknownWord)
    }
}

/// Whether somebody may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They may.
    Allowed,
    /// Somebody of at least this role has to approve.
    NeedsApproval(Role),
}

/// Decides whether somebody of a role may do something.
pub fn may(role: Role, action: Action) -> Decision {
    let least = action.least_role();
    if role >= least { Decision::Allowed } else { Decision::NeedsApproval(least) }
}

/// The wrong PINs of one operator since the last right one. It is kept with the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// How many, one after the other.
    pub failed: u32,
    /// When the last of them was, in milliseconds since 1970 (UTC). Means nothing if there was none.
    pub last_failed_ms: i64,
}

impl Attempts {
    /// None. So it is after a right PIN.
    pub const NONE: Self = Self { failed: 0, last_failed_ms: 0 };

    /// The same, seen at a moment. A last try that lies ahead means that the clock was set back since: then it counts as
    /// made at this moment, so that the wait is at most its whole length again.
    #[must_use]
    pub fn seen_at(self, now_ms: i64) -> Self {
        Self { last_failed_ms: self.last_failed_ms.min(now_ms), ..self }
    }

    /// One more wrong PIN.
    #[must_use]
    pub fn failed_at(self, now_ms: i64) -> Self {
        Self { failed: self.failed.saturating_add(1), last_failed_ms: now_ms }
    }

    /// Until when no PIN is looked at, in milliseconds since 1970 (UTC). None if there were few wrong ones.
    pub fn locked_until_ms(self) -> Option<i64> {
        let beyond = self.failed.checked_sub(PIN_TRIES_MAX)?;
        let doubled = 1i64.checked_shl(beyond).filter(|factor| *factor > 0).unwrap_or(i64::MAX);
        Some(self.last_failed_ms.saturating_add(PIN_LOCK_MS_FIRST.saturating_mul(doubled).min(PIN_LOCK_MS_MAX)))
    }

    /// For how long no PIN is looked at, from a moment on, in milliseconds; none if one is looked at.
    pub fn locked_for_ms(self, now_ms: i64) -> Option<i64> {
        let left = self.seen_at(now_ms).locked_until_ms()?.saturating_sub(now_ms);
        (left > 0).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What each role may do, written out: `y` alone, `a` with approval; cashier, shift lead, manager.
    const TABLE: &[(&str, &str)] = &[
        ("sell", "yyy"),
        ("open_shift", "yyy"),
        ("close_shift", "yyy"),
        ("drop", "yyy"),
        ("reprint", "yyy"),
        ("set_sold_out", "yyy"),
        ("void_sent_line", "ayy"),
        ("void_sale", "ayy"),
        ("refund", "ayy"),
        ("refund_other_tender", "ayy"),
        ("price_override", "ayy"),
        ("settle_payment", "ayy"),
        ("reverse_others_payment", "ayy"),
        ("read_drawer", "ayy"),
        ("no_sale", "ayy"),
        ("paid_in", "ayy"),
        ("paid_out", "ayy"),
        ("close_others_shift", "ayy"),
        ("close_day", "ayy"),
        ("stock_movement", "ayy"),
        ("stock_count", "ayy"),
        ("amend_shift", "aay"),
        ("manage_operators", "aay"),
    ];

    #[test]
    fn what_each_role_may_do() {
        for (word, expected) in TABLE {
            let action: Action = word.parse().expect("a known action");
            let found: String = Role::ALL
                .into_iter()
                .map(|role| match may(role, action) {
                    Decision::Allowed => 'y',
                    Decision::NeedsApproval(least) => {
                        assert!(least > role && may(least, action) == Decision::Allowed, "{role} {word}");
                        'a'
                    }
                })
                .collect();
            assert_eq!(found, *expected, "{word}");
        }
        assert_eq!(TABLE.len(), Action::ALL.len(), "the table names every action");
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        for &action in Action::ALL {
            assert_eq!(action.to_string().parse(), Ok(action));
            assert!(pos_model::Tag::new(action.as_str()).is_ok(), "{action} fits where tags are");
        }
        assert_eq!("owner".parse::<Role>(), Err(UnknownWord));
        assert_eq!("Refund".parse::<Action>(), Err(UnknownWord));
    }

    fn after(failed: u32, at_ms: i64) -> Attempts {
        (0..failed).fold(Attempts::NONE, |attempts, _| attempts.failed_at(at_ms))
    }

    #[test]
    fn the_wait_grows_with_wrong_pins() {
        #[track_caller]
        fn check(failed: u32, locked_s: Option<i64>) {
            let attempts = after(failed, 1_000_000);
            assert_eq!(attempts.locked_for_ms(1_000_000).map(|ms| ms / 1000), locked_s, "{failed}");
            if let Some(seconds) = locked_s {
                assert_eq!(attempts.locked_for_ms(1_000_000 + seconds * 1000 - 1), Some(1));
                assert_eq!(attempts.locked_for_ms(1_000_000 + seconds * 1000), None);
            }
        }
        check(0, None);
        check(4, None);
        check(5, Some(30));
        check(6, Some(60));
        check(7, Some(120));
        check(9, Some(480));
        check(10, Some(900));
        check(40, Some(900));
        check(100, Some(900));
    }

    #[test]
    fn a_clock_set_back_does_not_lock_for_ever() {
        let year_ms = 365 * 86_400_000;
        let attempts = after(5, 2 * year_ms);
        assert_eq!(attempts.locked_for_ms(year_ms), Some(PIN_LOCK_MS_FIRST), "its whole length again");
        let seen = attempts.seen_at(year_ms);
        assert_eq!(seen.locked_for_ms(year_ms + PIN_LOCK_MS_FIRST), None);
        assert_eq!(seen.failed, 5, "the wrong ones still count");
        assert_eq!(attempts.seen_at(3 * year_ms), attempts, "ahead it changes nothing");
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_longest(failed in any::<u32>(), last in any::<i64>(), now in any::<i64>()) {
            let attempts = Attempts { failed, last_failed_ms: last };
            let left = attempts.locked_for_ms(now);
            prop_assert!(left.is_none_or(|left| left > 0 && left <= PIN_LOCK_MS_MAX), "{left:?}");
            if failed < PIN_TRIES_MAX {
                prop_assert_eq!(left, None);
            }
        }
    }
}
