//! What is compared with the centre: digests of business dates, made of the events that the centre has confirmed.
//!
//! They are made when they are asked for, on a connection that only reads: neither a sale nor a watermark pays for them.
//! Newest events come first, so that some days of a store are a walk over some thousand events.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{BusinessDate, ChainHash, Epoch, Seq};
use protocol::digest::{DATED_KINDS, FactsDigest, date_of};
use protocol::latest::{DIGEST_RUNS_MAX, DayDigest, Mark, RunOfDay, decode_event};
use rusqlite::params;

use super::error::{Doing, Error};
use super::view::View;

/// How many events are looked at for the newest dates: two weeks of a store with three thousand sales a day.
const EVENTS_FOR_NEWEST_MAX: i64 = 50_000;

/// How many events are looked at for dates that are asked for by name: some seconds of reading beside the till.
const EVENTS_FOR_NAMED_MAX: i64 = 500_000;

/// What was seen of a date.
#[derive(Default)]
struct Day {
    facts: FactsDigest,
    /// By epoch, in order of their births backwards.
    runs: Vec<RunOfDay>,
}

impl View<'_> {
    /// Digests of the newest business dates of which something is confirmed, so many of them, and of named ones. A named
    /// date of which nothing is held has an empty digest. In order of dates.
    pub fn day_digests(&self, newest: usize, named: &[BusinessDate]) -> Result<Vec<DayDigest>, Error> {
        self.consistent(|view| {
            let limit = if named.is_empty() { EVENTS_FOR_NEWEST_MAX } else { EVENTS_FOR_NAMED_MAX };
            let (mut days, ended_within) = view.days(limit)?;
            for date in named {
                days.entry(*date).or_default();
            }
            let mut wanted: BTreeSet<BusinessDate> = named.iter().copied().collect();
            // A date in which the walk ended is whole only if nothing lies before.
            let whole = days.keys().rev().filter(|date| ended_within.is_none_or(|oldest| **date > oldest));
            wanted.extend(whole.take(newest));
            days.retain(|date, _| wanted.contains(date));
            Ok(days.into_iter().map(|(date, day)| day.digest(date, ended_within)).collect())
        })
    }

    /// Walks from the newest confirmed event backwards. Says also, if there are older events than it looked at, or were,
    /// the newest date that may have begun among them.
    fn days(&self, events_max: i64) -> Result<(BTreeMap<BusinessDate, Day>, Option<BusinessDate>), Error> {
        let mut days: BTreeMap<BusinessDate, Day> = BTreeMap::new();
        let mut room = events_max;
        let mut oldest = None;
        let mut has_begin = false;
        let doing = "read events to be compared";
        for row in self.epoch_rows()?.into_iter().rev() {
            let report = row.report;
            let last = row.base + report.acked.min(report.head).to_sql();
            let first = (row.base + report.first_held.to_sql()).max(last - room + 1);
            let mut select = self
                .connection
                .prepare_cached(
                    "SELECT position, hash, bytes FROM event WHERE position BETWEEN ?1 AND ?2 AND kind IN (?3, ?4, ?5)
                     ORDER BY position DESC",
                )
                .doing(doing)?;
            let [sale, refund, stock] = DATED_KINDS;
            let mut rows = select.query(params![first, last, sale, refund, stock]).doing(doing)?;
            // Events without a date, such as shifts, go with the dated ones before them, and the first ones of an epoch with
            // those behind them: so what is compared has no gaps.
            let (mut above, mut lowest) = (last + 1, None);
            while let Some(event) = rows.next().doing(doing)? {
                let position: i64 = event.get(0).doing(doing)?;
                let bytes = event.get_ref(2).and_then(|value| Ok(value.as_blob()?)).doing(doing)?;
                let event_body = decode_event(bytes)
                    .map_err(|error| Error::Damaged(format!("event at position {position}: {error}")))?
                    .body;
                let Some(date) = date_of(&event_body) else { continue };
                let day = days.entry(date).or_default();
                day.facts.event(&event_body);
                if !day.goes_back_to(report.epoch, Seq::from_sql(position - row.base)) {
                    let end = above - 1;
                    let own = ChainHash::from_bytes(event.get(1).doing(doing)?);
                    let hash = if end == position { own } else { self.hash_at(end)? };
                    let last = Mark { seq: Seq::from_sql(end - row.base), hash };
                    day.runs.push(RunOfDay { epoch: report.epoch, first: Seq::from_sql(position - row.base), last });
                }
                (above, lowest, oldest) = (position, Some(date), Some(date));
            }
            if let Some(day) = lowest.and_then(|date| days.get_mut(&date)) {
                day.goes_back_to(report.epoch, Seq::from_sql(first - row.base));
            }
            room -= (last - first + 1).max(0);
            has_begin = row.base == 0 && first <= row.base + 1;
            if room <= 0 {
                break;
            }
        }
        Ok((days, oldest.filter(|_| !has_begin)))
    }
}

impl Day {
    /// Has the run in an epoch begin earlier; says whether there is one.
    fn goes_back_to(&mut self, epoch: Epoch, first: Seq) -> bool {
        match self.runs.last_mut() {
            Some(run) if run.epoch == epoch => {
                run.first = first;
                true
            }
            _ => false,
        }
    }

    fn digest(mut self, business_date: BusinessDate, ended_within: Option<BusinessDate>) -> DayDigest {
        let partial = ended_within.is_some_and(|oldest| business_date <= oldest);
        let overfull = self.runs.len() > DIGEST_RUNS_MAX;
        self.runs.truncate(DIGEST_RUNS_MAX);
        self.runs.reverse();
        DayDigest {
            business_date,
            runs: self.runs,
            sums: self.facts.sums(),
            hash: self.facts.hash(),
            partial: partial || overfull,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::{open_epoch, reopen, sell, store};

    fn confirm(store: &mut crate::db::Store, epoch: u64, seq: u64) {
        let place = pos_model::Place { epoch: Epoch::new(epoch), seq: Seq::new(seq) };
        let hash = store.view().event(place).expect("reads").expect("is held").hash;
        store.confirm(place.epoch, Mark { seq: place.seq, hash }).expect("works");
    }

    fn sales(digest: &DayDigest) -> u64 {
        digest.sums.iter().map(|sums| sums.sales).sum()
    }

    #[test]
    fn only_what_the_centre_has_confirmed_is_compared() {
        let mut store = store();
        open_epoch(&mut store, 1);
        (1..=3).for_each(|number| drop(sell(&mut store, number)));
        assert_eq!(store.view().day_digests(7, &[]).expect("reads"), []);
        confirm(&mut store, 1, 3);
        let digests = store.view().day_digests(7, &[]).expect("reads");
        let [digest] = &digests[..] else { panic!("{digests:?}") };
        assert_eq!((sales(digest), digest.partial), (2, false));
        let run = digest.runs[0];
        assert_eq!((run.first.get(), run.last.seq.get()), (1, 3), "the opening of the epoch goes with the first sale");
        assert_eq!(
            run.last.hash,
            store
                .view()
                .event(pos_model::Place { epoch: run.epoch, seq: run.last.seq })
                .expect("reads")
                .expect("held")
                .hash
        );
    }

    #[test]
    fn a_date_is_the_same_by_whatever_runs_of_the_agent_it_was_sold() {
        let sold = |epochs: &[&[u64]]| {
            let mut store = store();
            for (epoch, numbers) in (1..).zip(epochs) {
                if epoch > 1 {
                    store = reopen(store);
                }
                open_epoch(&mut store, epoch);
                numbers.iter().for_each(|number| drop(sell(&mut store, *number)));
                confirm(&mut store, epoch, numbers.len() as u64 + 1);
            }
            store.view().day_digests(1, &[]).expect("reads").remove(0)
        };
        let (one, two) = (sold(&[&[1, 2, 3, 4]]), sold(&[&[1, 2], &[3, 4]]));
        assert_eq!((one.runs.len(), two.runs.len()), (1, 2));
        assert_eq!((one.sums, one.hash), (two.sums, two.hash));
    }

    #[test]
    fn a_date_of_which_nothing_is_held_is_named_all_the_same() {
        let mut store = store();
        open_epoch(&mut store, 1);
        let date = "2020-02-29".parse().expect("a date");
        let digests = store.view().day_digests(0, &[date]).expect("reads");
        assert_eq!((digests.len(), digests[0].runs.len(), digests[0].business_date), (1, 0, date));
    }
}
