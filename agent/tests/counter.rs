//! What happens at the counter, against an agent of the test's own over HTTP. Names with a T and a number are failures that
//! others had in the field.

#[path = "api_support/mod.rs"]
mod api_support;
#[path = "counter/baskets.rs"]
mod baskets;
#[path = "counter/clock.rs"]
mod clock;
#[path = "counter/doors.rs"]
mod doors;
#[path = "counter/examples.rs"]
mod examples;
#[path = "counter/goods.rs"]
mod goods;
#[path = "counter/kit.rs"]
mod kit;
#[path = "counter/money.rs"]
mod money;
#[path = "counter/paper.rs"]
mod paper;
#[path = "counter/people.rs"]
mod people;
#[path = "counter/refunds.rs"]
mod refunds;
#[path = "counter/shifts.rs"]
mod shifts;
#[path = "counter/state.rs"]
mod state;
