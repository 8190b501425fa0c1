//! Values with an invariant, shared by every crate of Breakwater.
//!
//! A value of a type in this crate is valid by construction: text is parsed at the edge and never checked again.
//! The crate knows no clock, no randomness, no file and no network; time and ids come in as arguments.
//! The text and the serde form of these types are part of the wire contract, so both are tested here.
//! How values are joined into messages is the business of the crate `protocol`.

#![forbid(unsafe_code)]

mod business_date;
mod chain;
mod hash;
mod ids;
mod money;
mod nth;
mod place;
mod quantity;
mod schema;
mod stamp;

pub use business_date::{BusinessDate, DayCutOff};
pub use chain::ChainHash;
pub use hash::{BookHash, FactsHash};
pub use ids::{
    ApprovalId, AttemptId, BasketId, CommandId, CupId, EventId, InvalidId, ItemId, LineId, MovementId, OperatorId,
    RefundId, SaleId, ShiftId, Sku, StoreId, Tag, TillId,
};
pub use money::{Currency, Money, MoneyError};
pub use nth::Nth;
pub use place::{Epoch, Place, Seq};
pub use quantity::{Quantity, QuantityError};
pub use stamp::Stamp;
