//! The state of the store as a screen shows it, to begin with and after it was away for too long.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::basket_api::BasketView;
use super::kitchen::CupsView;
use super::payment::PaymentView;
use super::shift_api::ShiftView;
use super::sold_out::SoldOutList;

/// `GET /v1/state`: everything that `GET /v1/events` tells changes of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StateView {
    /// The version of this state: `GET /v1/events?since=` goes on from it. What is told again there is the same.
    #[schema(example = "9f2c6c0d0a4f1b7e.17")]
    pub version: String,
    /// Whether everything here is for training, and none of it goes to the centre.
    pub training: bool,
    /// The baskets that are open or held.
    pub baskets: Vec<BasketView>,
    /// The shifts that are open.
    pub shifts: Vec<ShiftView>,
    /// What is sold out, or is counted down.
    pub sold_out: SoldOutList,
    /// What the stations have before them.
    pub cups: CupsView,
    /// The attempts at terminals of which something is to come, or whose money no sale has used.
    pub payments: Vec<PaymentView>,
}
