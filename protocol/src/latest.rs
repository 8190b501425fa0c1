//! The version of the messages in force. Programs name types through this module, so that a new version is a change
//! of one file here and of the places that really differ.

pub use crate::v1::VERSION;
pub use crate::v1::audit::AuditMarked;
pub use crate::v1::basket_api;
pub use crate::v1::event::{
    DecodeError, EVENT_BYTES_MAX, EncodeError, EpochOpened, Event, EventBody, EventIdentity, OpenReason, Predecessor,
    decode_event, decode_identity, encode_event,
};
pub use crate::v1::kitchen;
pub use crate::v1::local_api;
pub use crate::v1::order;
pub use crate::v1::payment;
pub use crate::v1::people;
pub use crate::v1::print;
pub use crate::v1::reconcile::{
    Compare, DIGEST_DATES_MAX, DIGEST_RUNS_MAX, DayDigest, Digests, FactSums, Recall, Recalled, RunOfDay,
};
pub use crate::v1::refund::{RefundCompleted, RefundKind, RefundLine, ReturnedGoods};
pub use crate::v1::refund_api;
pub use crate::v1::sale::{
    Adjustment, ChosenOption, Consumption, ImportedFrom, Pricing, PricingMember, SaleCompleted, SaleLine, SaleTotals,
    Tender,
};
pub use crate::v1::shift::{
    AdjustmentSum, CashMoved, CashMovement, CountAndAmount, DayClosed, DrawerSum, ShiftAmended, ShiftClosed,
    ShiftOpened, TaxSum, TenderSum, ZReport,
};
pub use crate::v1::shift_api;
pub use crate::v1::sold_out;
pub use crate::v1::state;
pub use crate::v1::stock::{CountedItem, MovedItem, SoldOutChanged, StockCounted, StockMoved, StockMovement};
pub use crate::v1::stock_api;
pub use crate::v1::sync::{
    Ack, Batch, Credit, Cursor, Downlink, EpochReport, Heartbeat, Hello, Mark, Pulse, ReceiptHead, StoreHealth, Turn,
    Uplink, Welcome,
};
