//! The kinds of paper that a store prints.

/// A kind of paper: it has one built-in template, and one shape of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// For the customer.
    Receipt,
    /// For the customer who brought something back.
    Refund,
    /// On one cup.
    CupLabel,
    /// For a station of the kitchen.
    KitchenTicket,
    /// X and Z.
    Report,
    /// Opens the drawer, prints nothing.
    Drawer,
    /// Shows what a printer can do.
    Test,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Receipt, Self::Refund, Self::CupLabel, Self::KitchenTicket, Self::Report, Self::Drawer, Self::Test];

    /// Its name in files, paths and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Refund => "refund",
            Self::CupLabel => "cup_label",
            Self::KitchenTicket => "kitchen_ticket",
            Self::Report => "report",
            Self::Drawer => "drawer",
            Self::Test => "test",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The text of the template that is built in.
    pub fn built_in_source(self) -> &'static str {
        match self {
            Self::Receipt => include_str!("../../templates/receipt.txt"),
            Self::Refund => include_str!("../../templates/refund.txt"),
            Self::CupLabel => include_str!("../../templates/cup_label.txt"),
            Self::KitchenTicket => include_str!("../../templates/kitchen_ticket.txt"),
            Self::Report => include_str!("../../templates/report.txt"),
            Self::Drawer => include_str!("../../templates/drawer.txt"),
            Self::Test => include_str!("../../templates/test.txt"),
        }
    }
}
