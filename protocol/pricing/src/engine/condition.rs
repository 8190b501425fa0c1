//! Whether a promotion's conditions hold.

use pos_model::Money;

use super::input::Context;
use super::output::WhyNot;
use super::rules::{Ready, in_scope};
use super::state::State;
use crate::book::{Basis, Condition};

/// Whether a condition holds; if not, why. Of several reasons the first says it, except that what is nearly there says
/// more than that something is not so.
pub(super) fn holds(condition: &Ready, state: &State, context: &Context) -> Result<(), WhyNot> {
    match condition {
        Ready::All(of) => of.iter().try_for_each(|condition| holds(condition, state, context)),
        Ready::Any(of) => {
            let mut why = WhyNot::Condition;
            for condition in of {
                match holds(condition, state, context) {
                    Ok(()) => return Ok(()),
                    Err(this) if why == WhyNot::Condition => why = this,
                    Err(_) => {}
                }
            }
            Err(why)
        }
        Ready::Not(of) => must(holds(of, state, context).is_err()),
        Ready::Units { chosen, at_least } => {
            let there = state.units.iter().filter(|unit| state.fits(unit, chosen)).count();
            let missing = (*at_least as usize).saturating_sub(there);
            if missing == 0 {
                Ok(())
            } else {
                Err(WhyNot::UnitsMissing { missing_units: u32::try_from(missing).unwrap_or(u32::MAX) })
            }
        }
        Ready::Amount { chosen, at_least, basis } => {
            let meant = state.units.iter().filter(|unit| state.fits(unit, chosen));
            let there: i64 = match basis {
                Basis::Running => meant.map(|unit| unit.now).sum(),
                Basis::List => meant.map(|unit| unit.list).sum(),
            };
            let missing = at_least.minor().saturating_sub(there);
            if missing <= 0 { Ok(()) } else { Err(WhyNot::AmountMissing { missing_minor: Money::from_minor(missing) }) }
        }
        Ready::Circumstance(condition) => circumstance(condition, context),
    }
}

fn must(holds: bool) -> Result<(), WhyNot> {
    if holds { Ok(()) } else { Err(WhyNot::Condition) }
}

/// What does not depend on the basket.
fn circumstance(condition: &Condition, context: &Context) -> Result<(), WhyNot> {
    match condition {
        Condition::Member { levels, tags } => {
            let Some(member) = &context.member else { return Err(WhyNot::MembersOnly) };
            let level = levels.is_empty() || member.level.as_ref().is_some_and(|level| levels.contains(level));
            must(level && (tags.is_empty() || tags.iter().any(|tag| member.tags.contains(tag))))
        }
        Condition::NthOrder { n } => {
            let Some(member) = &context.member else { return Err(WhyNot::MembersOnly) };
            must(member.order_no == Some(*n))
        }
        Condition::Channel { any_of } => must(any_of.contains(&context.channel)),
        Condition::StoreGroup { any_of } => must(any_of.iter().any(|group| context.store_groups.contains(group))),
        Condition::Within { scope } => must(in_scope(scope, context)),
        Condition::Takeaway { taken } => must(*taken == context.takeaway),
        Condition::Coupon { class } if context.coupons.contains(class) => Ok(()),
        Condition::Coupon { .. } => Err(WhyNot::CouponMissing),
        // They look at units, and are made ready as such.
        Condition::All { .. }
        | Condition::Any { .. }
        | Condition::Not { .. }
        | Condition::Units { .. }
        | Condition::Amount { .. } => Err(WhyNot::Condition),
    }
}
