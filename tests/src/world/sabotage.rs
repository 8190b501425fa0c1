//! Deliberate defects, put between the real parts of a world, to see that its checks notice them.
//! `tests/tests/simulation.rs` runs each and names the rule that catches it.

/// A defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The centre answers before it commits.
    AckBeforeCommit,
    /// The centre applies a batch again that it holds already.
    DedupeOff,
    /// The centre forgets what it parked of a fork.
    ForkForgotten,
    /// The centre adds a sale to its totals twice.
    EffectsTwice,
    /// The centre parks what it could have applied.
    ParkedAtWill,
    /// A store takes the link's word for the centre's.
    TrustPuback,
    /// A store goes on from its own memory after a reconnect.
    ResumeFromMemory,
    /// A store does not move its receipt numbers after it was put back.
    ReceiptsNotRaised,
    /// A store answers a till before it commits.
    AnswerBeforeCommit,
    /// A store trims what is not confirmed.
    TrimUnconfirmed,
    /// A byte changes in a store's outbox.
    OutboxDamaged,
    /// A store forgets which sale ids it has answered.
    SaleIdForgotten,
    /// A store forgets which other commands it has answered.
    CommandForgotten,
    /// A store forgets which units came back.
    ReturnsForgotten,
    /// A store leaves a sale out of its shift.
    SaleOutsideShift,
    /// A store takes what there is at a count's end for what there was at its beginning.
    FrontierAtEnd,
    /// The centre counts a refund's money twice.
    RefundTwice,
    /// The centre takes what went to waste twice.
    WasteTwice,
    /// The centre puts the count of a Z report right.
    ReportPutRight,
}
