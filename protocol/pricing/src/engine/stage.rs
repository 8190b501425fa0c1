//! One stage after the other: which promotions hold, and in which order.

use std::collections::BTreeMap;

use pos_model::{Money, Tag};

use super::benefit::{Bounds, Proposal, propose};
use super::condition::holds;
use super::input::Context;
use super::output::{Applied, IssuedCoupon, NotApplied, Offer, Right, WhyNot};
use super::rules::{Rule, Rules, in_scope};
use super::state::State;
use crate::book::{Benefit, Promotion, Stage};

/// What promotions have done to a basket.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) applied: Vec<Applied>,
    pub(super) not_applied: Vec<NotApplied>,
    pub(super) rights: Vec<Right>,
    pub(super) coupons_spent: Vec<Tag>,
    pub(super) coupons_issued: Vec<IssuedCoupon>,
    pub(super) offers: Vec<Offer>,
    /// Points count so many times, in parts per million.
    pub(super) points_ppm: u32,
}

impl Outcome {
    /// No promotion has done anything.
    pub(super) fn nothing() -> Self {
        Self {
            applied: Vec::new(),
            not_applied: Vec::new(),
            rights: Vec::new(),
            coupons_spent: Vec::new(),
            coupons_issued: Vec::new(),
            offers: Vec::new(),
            points_ppm: 1_000_000,
        }
    }
}

/// Applies all promotions to the units.
pub(super) fn apply_all(rules: &Rules, state: &mut State, context: &Context) -> Outcome {
    let outcome = Outcome::nothing();
    let mut run = Run { rules, context, coupons: context.coupons.clone(), quotas: context.quotas.clone(), outcome };
    for stage in Stage::ALL {
        state.units.iter_mut().for_each(|unit| unit.used = false);
        run.stage(stage, state);
    }
    run.outcome
}

struct Run<'a> {
    rules: &'a Rules,
    context: &'a Context,
    /// Coupons that are not spent yet.
    coupons: Vec<Tag>,
    /// Rights that are left.
    quotas: BTreeMap<Tag, u32>,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn stage(&mut self, stage: Stage, state: &mut State) {
        let rules = self.rules.stage(stage);
        if let Some(alone) = self.exclusive(rules, state) {
            let id = self.rules.promotion(&rules[alone]).id.clone();
            for (place, rule) in rules.iter().enumerate() {
                if place == alone {
                    self.try_rule(rule, state);
                } else {
                    self.note(rule, WhyNot::Excluded { by: id.clone() });
                }
            }
            return;
        }
        let mut done = vec![false; rules.len()];
        for place in 0..rules.len() {
            if done[place] {
                continue;
            }
            let Some(group) = &self.rules.promotion(&rules[place]).group else {
                self.try_rule(&rules[place], state);
                continue;
            };
            let members: Vec<usize> = (place..rules.len())
                .filter(|&member| self.rules.promotion(&rules[member]).group.as_ref() == Some(group))
                .collect();
            members.iter().for_each(|&member| done[member] = true);
            let proposals: Vec<Result<Proposal, WhyNot>> =
                members.iter().map(|&member| self.proposal(&rules[member], state)).collect();
            let best = self.best(rules, &members, &proposals);
            for (&member, proposal) in members.iter().zip(proposals) {
                match (proposal, best) {
                    (Ok(proposal), Some(best)) if best == member => self.apply(&rules[member], &proposal, state),
                    (Ok(_), best) => {
                        let better = best.unwrap_or(member);
                        let id = self.rules.promotion(&rules[better]).id.clone();
                        self.note(&rules[member], WhyNot::GroupLost { to: id });
                    }
                    (Err(why), _) => self.note(&rules[member], why),
                }
            }
        }
    }

    /// The exclusive promotion that holds alone, if one has an effect: the first by priority, of equal ones the best.
    fn exclusive(&self, rules: &[Rule], state: &State) -> Option<usize> {
        let mut found: Option<(i32, i64, usize)> = None;
        for (place, rule) in rules.iter().enumerate() {
            let promotion = self.rules.promotion(rule);
            if !promotion.exclusive {
                continue;
            }
            let Ok(proposal) = self.proposal(rule, state) else { continue };
            let total = proposal.total();
            if found.is_none_or(|(priority, best, _)| (promotion.priority, total) > (priority, best)) {
                found = Some((promotion.priority, total, place));
            }
        }
        found.map(|(_, _, place)| place)
    }

    /// The member of a group that takes the most off, of equal ones that with the lower id.
    fn best(&self, rules: &[Rule], members: &[usize], proposals: &[Result<Proposal, WhyNot>]) -> Option<usize> {
        let id = |place: usize| &self.rules.promotion(&rules[place]).id;
        let mut best: Option<(i64, usize)> = None;
        for (&member, proposal) in members.iter().zip(proposals) {
            let Ok(total) = proposal.as_ref().map(Proposal::total) else { continue };
            let is_better = best.is_none_or(|(most, other)| total > most || (total == most && id(member) < id(other)));
            if is_better {
                best = Some((total, member));
            }
        }
        best.map(|(_, member)| member)
    }

    /// What a promotion would do to the basket as it is; or why it does nothing.
    fn proposal(&self, rule: &Rule, state: &State) -> Result<Proposal, WhyNot> {
        let promotion = self.rules.promotion(rule);
        if !in_scope(&promotion.scope, self.context) {
            return Err(WhyNot::OutOfScope);
        }
        let bounds = self.bounds(promotion)?;
        if let Some(condition) = &rule.condition {
            holds(condition, state, self.context)?;
        }
        let proposal = propose(&promotion.benefit, &rule.selects, state, bounds)?;
        let has_effect = proposal.total() > 0 || proposal.offered > 0 || !takes_off(&promotion.benefit);
        if has_effect { Ok(proposal) } else { Err(WhyNot::NoEffect) }
    }

    fn bounds(&self, promotion: &Promotion) -> Result<Bounds, WhyNot> {
        let caps = promotion.caps;
        let mut times = caps.per_order.unwrap_or(u32::MAX);
        if let Some(class) = &promotion.coupon {
            let brought = self.coupons.iter().filter(|coupon| *coupon == class).count();
            if brought == 0 {
                return Err(WhyNot::CouponMissing);
            }
            times = times.min(u32::try_from(brought).unwrap_or(u32::MAX));
        }
        if let Some(per_member) = caps.per_member {
            let Some(member) = &self.context.member else { return Err(WhyNot::MembersOnly) };
            let left = per_member.saturating_sub(member.used.get(&promotion.id).copied().unwrap_or(0));
            if left == 0 {
                return Err(WhyNot::MemberCap);
            }
            times = times.min(left);
        }
        if let Some(quota) = &promotion.quota {
            let left = self.quotas.get(quota).copied().unwrap_or(0);
            if left == 0 {
                return Err(WhyNot::QuotaSpent);
            }
            times = times.min(left);
        }
        let amount = caps.amount_minor.map_or(i64::MAX, Money::minor);
        Ok(Bounds { times, amount, floor: promotion.floor_minor.map_or(0, Money::minor).max(0) })
    }

    fn try_rule(&mut self, rule: &Rule, state: &mut State) {
        match self.proposal(rule, state) {
            Ok(proposal) => self.apply(rule, &proposal, state),
            Err(why) => self.note(rule, why),
        }
    }

    fn apply(&mut self, rule: &Rule, proposal: &Proposal, state: &mut State) {
        let promotion = self.rules.promotion(rule);
        let id = || promotion.id.clone();
        if proposal.offered > 0 {
            self.outcome.offers.push(Offer { promotion: id(), units: proposal.offered });
        }
        match &promotion.benefit {
            Benefit::PointsMultiplier { ppm } => self.outcome.points_ppm = self.outcome.points_ppm.max(*ppm),
            Benefit::IssueCoupon { class, count } => {
                self.outcome.coupons_issued.push(IssuedCoupon { promotion: id(), class: class.clone(), count: *count })
            }
            _ if proposal.off.is_empty() => return self.note(rule, WhyNot::NoEffect),
            _ => {}
        }
        let place = self.outcome.applied.len();
        for &(unit, off) in &proposal.off {
            let unit = &mut state.units[unit];
            unit.now -= off;
            unit.taken.push((place, off));
        }
        for unit in proposal.used.iter().chain(proposal.off.iter().map(|(unit, _)| unit)) {
            state.units[*unit].used = true;
        }
        self.outcome.applied.push(Applied {
            promotion: id(),
            name: promotion.name.clone(),
            times: proposal.times,
            amount: Money::from_minor(-proposal.total()),
        });
        if let Some(class) = &promotion.coupon {
            for _ in 0..proposal.times {
                if let Some(place) = self.coupons.iter().position(|coupon| coupon == class) {
                    self.outcome.coupons_spent.push(self.coupons.remove(place));
                }
            }
        }
        if let Some(quota) = &promotion.quota {
            if let Some(left) = self.quotas.get_mut(quota) {
                *left = left.saturating_sub(proposal.times);
            }
            self.outcome.rights.push(Right { quota: quota.clone(), uses: proposal.times });
        }
    }

    fn note(&mut self, rule: &Rule, why: WhyNot) {
        let promotion = self.rules.promotion(rule).id.clone();
        self.outcome.not_applied.push(NotApplied { promotion, why });
    }
}

/// Whether a benefit changes prices; the others have an effect whenever they hold.
fn takes_off(benefit: &Benefit) -> bool {
    !matches!(benefit, Benefit::PointsMultiplier { .. } | Benefit::IssueCoupon { .. })
}
