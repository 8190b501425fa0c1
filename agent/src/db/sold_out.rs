//! What is sold out: said by a person, counted down by sales, given back when a day begins.
//!
//! The rows are few and change seldom, and each sale asks for them. So the store keeps a copy, which is forgotten whenever
//! a row may have changed or a change may have been undone, and is read anew by whoever asks next.

use std::sync::Arc;

use pos_model::{BusinessDate, OperatorId, Quantity, Tag, TillId};
use protocol::latest::SoldOutChanged;
use protocol::latest::local_api::{Change, QuantityJson};
use protocol::latest::sold_out::{SetSoldOut, SoldOutKind, SoldOutList, SoldOutState, SoldOutUntil, SoldOutView};
use rusqlite::{OptionalExtension, Row, params};
use till::Refusal;
use till::limits::QUANTITY_MICRO_MAX;
use till::sold_out::{ENTRIES_MAX, Entry, Missing, Needs, Part, PartKind, SoldOut, Until};

use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::store::{Durability, Store};
use super::view::View;

macro_rules! entries {
    ($rest:literal) => {
        concat!(
            "SELECT what, code, left_micro, until_date, version, changed_at, till_id, operator_id FROM sold_out ",
            $rest
        )
    };
}

/// An entry as it is stored.
struct Kept {
    part: Part,
    entry: Entry,
    version: i64,
    changed_at_ms: i64,
    till_id: Option<TillId>,
    operator_id: Option<OperatorId>,
}

impl Store {
    /// All that is sold out or is counted down, as the open database transaction sees it. Clones share it.
    pub fn sold_out(&mut self) -> Result<Arc<SoldOut>, Error> {
        if let Some(known) = &self.sold_out {
            return Ok(Arc::clone(known));
        }
        let kept = self.view().sold_out_rows()?;
        let read: Arc<SoldOut> = Arc::new(kept.into_iter().map(|kept| (kept.part, kept.entry)).collect());
        self.sold_out = Some(Arc::clone(&read));
        Ok(read)
    }

    /// What a person says of an article, an option or an ingredient. Within an operation. `is_known` tells whether the
    /// price book has it: what nobody sells cannot be sold out, only be taken off the list.
    ///
    /// "Sold out" always wins. A countdown or a return to sale that names a version of the entry is refused if another
    /// change came first.
    pub fn set_sold_out(
        &mut self,
        moment: &mut Moment,
        said: &SetSoldOut,
        is_known: bool,
    ) -> Result<SoldOutView, Error> {
        let part = Part::new(kind(said.what), &said.code).map_err(|error| Refused::rule("sold_out.code", error))?;
        if !is_known && said.state != SoldOutState::OnSale {
            let text = format!("the price book has no {} {}", part.kind().as_str(), part.code());
            return Err(Refused::unknown("sold_out.unknown", text).into());
        }
        let left = left_of(said)?;
        let today = BusinessDate::of(moment.at(), self.rules.cut_off);
        let before = self.view().sold_out_row(&part)?.filter(|kept| kept.entry.until.holds_on(today));
        let version = before.as_ref().map_or(0, |kept| kept.version.unsigned_abs());
        if said.state != SoldOutState::SoldOut && said.version.is_some_and(|seen| seen != version) {
            let text = format!("{} was changed meanwhile: look again", part.code());
            return Err(Refused::overtaken("sold_out.overtaken", text).into());
        }
        let Some(left) = left else {
            let by = (Some(said.till_id.clone()), said.operator_id.clone());
            return if before.is_some() { self.put_on_sale(moment, part, by) } else { Ok(on_sale(moment, &part, by)) };
        };
        if before.is_none() && self.sold_out()?.len() >= ENTRIES_MAX {
            let text = format!("{ENTRIES_MAX} things are sold out or counted down already");
            return Err(Refused::rule("sold_out.too_many", text).into());
        }
        let until = match said.until {
            SoldOutUntil::NextDay => Until::EndOf(today),
            SoldOutUntil::Cleared => Until::Cleared,
        };
        let by = (Some(said.till_id.clone()), said.operator_id.clone());
        self.keep_changed(moment, part, Entry { left, until }, by)
    }

    /// Takes what lines need off the countdowns, or refuses if something of it is sold out: then nothing has happened.
    /// Within an operation, for what is not paid yet.
    pub fn take_sold_out(&mut self, moment: &mut Moment, lines: &[Needs]) -> Result<(), Error> {
        let missing = self.missing(moment.at(), lines)?;
        if !missing.is_empty() {
            let refusal = Refusal::SoldOut { missing };
            return Err(Refused::rule(refusal.message_key(), refusal).into());
        }
        self.note_sold(moment, lines)
    }

    /// What lines need and cannot have at a moment.
    pub fn missing(&mut self, at: pos_model::Stamp, lines: &[Needs]) -> Result<Vec<Missing>, Error> {
        let today = BusinessDate::of(at, self.rules.cut_off);
        Ok(self.sold_out()?.missing(lines, today))
    }

    /// Takes what lines need off the countdowns, as far as there is anything left. Within an operation. It never refuses:
    /// for what is paid already, and for what was asked to be taken before.
    pub fn note_sold(&mut self, moment: &mut Moment, lines: &[Needs]) -> Result<(), Error> {
        let board = self.sold_out()?;
        if board.is_empty() {
            return Ok(());
        }
        let today = BusinessDate::of(moment.at(), self.rules.cut_off);
        let changed = SoldOut::clone(&board).take(lines, today);
        for (part, entry) in changed {
            if entry.is_sold_out() {
                self.keep_changed(moment, part, entry, (None, None))?;
            } else {
                self.count_down(&part, entry)?;
            }
        }
        Ok(())
    }

    /// Begins the business date of a moment: what was sold out until the end of an earlier one is on sale again. Returns
    /// how many entries went.
    pub fn turn_sold_out(&mut self, moment: &mut Moment) -> Result<usize, Error> {
        self.atomically(Durability::Promise, |store| {
            let today = BusinessDate::of(moment.at(), store.rules.cut_off);
            let board = store.sold_out()?;
            if !board.is_to_turn(today) {
                return Ok(0);
            }
            let restored = SoldOut::clone(&board).turn(today);
            for part in &restored {
                store.put_on_sale(moment, part.clone(), (None, None))?;
            }
            store.sold_out = None;
            store
                .connection
                .execute("UPDATE sold_out SET until_date = ?1 WHERE until_date > ?1", [today.days()])
                .doing("move what is sold out to an earlier day")?;
            Ok(restored.len())
        })
    }

    fn keep_changed(
        &mut self,
        moment: &mut Moment,
        part: Part,
        entry: Entry,
        by: (Option<TillId>, Option<OperatorId>),
    ) -> Result<SoldOutView, Error> {
        self.record_change(moment, &part, Some(entry), &by)?;
        self.sold_out = None;
        let (version, changed_at_ms, (till_id, operator_id)) = (self.tail.position, moment.at().utc_ms, by);
        let kept = Kept { part, entry, version, changed_at_ms, till_id, operator_id };
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO sold_out (what, code, left_micro, until_date, version, changed_at, till_id,
                    operator_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    kept.part.kind().as_str(),
                    kept.part.code(),
                    kept.entry.left.micro(),
                    match kept.entry.until {
                        Until::Cleared => None,
                        Until::EndOf(day) => Some(day.days()),
                    },
                    kept.version,
                    kept.changed_at_ms,
                    kept.till_id.as_ref().map(TillId::as_str),
                    kept.operator_id.as_ref().map(OperatorId::as_str),
                ])
            })
            .doing("write what is sold out")?;
        let view = view_of(kept);
        self.changed(Change::SoldOut(view.clone()));
        Ok(view)
    }

    fn count_down(&mut self, part: &Part, entry: Entry) -> Result<(), Error> {
        self.sold_out = None;
        self.connection
            .prepare_cached("UPDATE sold_out SET left_micro = ?3 WHERE what = ?1 AND code = ?2")
            .and_then(|mut update| update.execute(params![part.kind().as_str(), part.code(), entry.left.micro()]))
            .doing("count something down")?;
        if let Some(kept) = self.view().sold_out_row(part)? {
            self.changed(Change::SoldOut(view_of(kept)));
        }
        Ok(())
    }

    fn put_on_sale(
        &mut self,
        moment: &mut Moment,
        part: Part,
        by: (Option<TillId>, Option<OperatorId>),
    ) -> Result<SoldOutView, Error> {
        self.record_change(moment, &part, None, &by)?;
        self.sold_out = None;
        self.connection
            .prepare_cached("DELETE FROM sold_out WHERE what = ?1 AND code = ?2")
            .and_then(|mut delete| delete.execute(params![part.kind().as_str(), part.code()]))
            .doing("put something on sale again")?;
        let view = on_sale(moment, &part, by);
        self.changed(Change::SoldOut(view.clone()));
        Ok(view)
    }

    /// Tells the centre, which tells the channels that sell elsewhere.
    fn record_change(
        &mut self,
        moment: &mut Moment,
        part: &Part,
        entry: Option<Entry>,
        (till_id, operator_id): &(Option<TillId>, Option<OperatorId>),
    ) -> Result<(), Error> {
        let remaining = entry.filter(|entry| !entry.is_sold_out()).map(|entry| {
            let units = entry.left.micro() / Quantity::MICRO_PER_UNIT;
            u32::try_from(units).unwrap_or(u32::MAX)
        });
        let changed = SoldOutChanged {
            what: Tag::new(part.kind().as_str()).expect("a short word is a tag"),
            code: part.code().to_owned(),
            sold_out: entry.is_some_and(|entry| entry.is_sold_out()),
            remaining,
            till_id: till_id.clone(),
            operator_id: operator_id.clone(),
            changed_at: moment.at(),
        };
        self.record(moment, changed).map(drop)
    }
}

impl View<'_> {
    /// All that is sold out or is counted down on a business date.
    pub fn sold_out(&self, today: BusinessDate) -> Result<SoldOutList, Error> {
        let kept = self.sold_out_rows()?.into_iter().filter(|kept| kept.entry.until.holds_on(today));
        Ok(SoldOutList { entries: kept.map(view_of).collect() })
    }

    fn sold_out_rows(&self) -> Result<Vec<Kept>, Error> {
        let doing = "read what is sold out";
        let mut select = self.connection.prepare_cached(entries!("ORDER BY what, code")).doing(doing)?;
        let rows = select.query_map([], |row| Ok(kept(row))).doing(doing)?;
        rows.map(|row| row.doing(doing)?).collect()
    }

    fn sold_out_row(&self, part: &Part) -> Result<Option<Kept>, Error> {
        self.connection
            .prepare_cached(entries!("WHERE what = ?1 AND code = ?2"))
            .and_then(|mut select| {
                select.query_row(params![part.kind().as_str(), part.code()], |row| Ok(kept(row))).optional()
            })
            .doing("read what is sold out")?
            .transpose()
    }
}

/// How much may still be sold, by what a person says; none if it is on sale.
fn left_of(said: &SetSoldOut) -> Result<Option<Quantity>, Refused> {
    let wrong = |text: &str| Refused::rule("sold_out.remaining", text);
    match (said.state, &said.remaining) {
        (SoldOutState::Countdown, Some(remaining)) => {
            let parsed = remaining.parse().map_err(|error| Refused::rule("sold_out.remaining", error))?;
            if !(1..=QUANTITY_MICRO_MAX).contains(&parsed.micro()) {
                return Err(wrong("a countdown begins above zero, and below a thousand million"));
            }
            Ok(Some(parsed))
        }
        (SoldOutState::Countdown, None) => Err(wrong("a countdown says how much remains")),
        (_, Some(_)) => Err(wrong("only a countdown says how much remains")),
        (SoldOutState::SoldOut, None) => Ok(Some(Quantity::ZERO)),
        (SoldOutState::OnSale, None) => Ok(None),
    }
}

const fn kind(what: SoldOutKind) -> PartKind {
    match what {
        SoldOutKind::Sku => PartKind::Sku,
        SoldOutKind::Option => PartKind::Option,
        SoldOutKind::Item => PartKind::Item,
    }
}

/// A kind as tills hear it.
pub(crate) const fn what(kind: PartKind) -> SoldOutKind {
    match kind {
        PartKind::Sku => SoldOutKind::Sku,
        PartKind::Option => SoldOutKind::Option,
        PartKind::Item => SoldOutKind::Item,
    }
}

fn view_of(kept: Kept) -> SoldOutView {
    let Kept { part, entry, version, changed_at_ms, till_id, operator_id } = kept;
    let sold_out = entry.is_sold_out();
    SoldOutView {
        what: what(part.kind()),
        code: part.code().to_owned(),
        state: if sold_out { SoldOutState::SoldOut } else { SoldOutState::Countdown },
        remaining: (!sold_out).then(|| QuantityJson::from(entry.left)),
        until: match entry.until {
            Until::Cleared => SoldOutUntil::Cleared,
            Until::EndOf(_) => SoldOutUntil::NextDay,
        },
        version: version.unsigned_abs(),
        changed_at_ms,
        till_id,
        operator_id,
    }
}

fn on_sale(moment: &Moment, part: &Part, (till_id, operator_id): (Option<TillId>, Option<OperatorId>)) -> SoldOutView {
    SoldOutView {
        what: what(part.kind()),
        code: part.code().to_owned(),
        state: SoldOutState::OnSale,
        remaining: None,
        until: SoldOutUntil::Cleared,
        version: 0,
        changed_at_ms: moment.at().utc_ms,
        till_id,
        operator_id,
    }
}

fn kept(row: &Row<'_>) -> Result<Kept, Error> {
    let doing = "read what is sold out";
    let damaged = |what: &str| Error::Damaged(format!("something sold out has {what}"));
    let text = |column: usize| row.get::<_, String>(column).doing(doing);
    let optional = |column: usize| row.get::<_, Option<String>>(column).doing(doing);
    let kind = PartKind::parse(&text(0)?).ok_or_else(|| damaged("a kind that is none"))?;
    let until = row.get::<_, Option<i64>>(3).doing(doing)?;
    Ok(Kept {
        part: Part::new(kind, &text(1)?).map_err(|_| damaged("a code that is none"))?,
        entry: Entry {
            left: Quantity::from_micro(row.get(2).doing(doing)?),
            until: until.map_or(Until::Cleared, |day| Until::EndOf(BusinessDate::from_days(day))),
        },
        version: row.get(4).doing(doing)?,
        changed_at_ms: row.get(5).doing(doing)?,
        till_id: optional(6)?.map(|text| text.parse().map_err(|_| damaged("a till that is none"))).transpose()?,
        operator_id: optional(7)?
            .map(|text| text.parse().map_err(|_| damaged("an operator that is none")))
            .transpose()?,
    })
}
