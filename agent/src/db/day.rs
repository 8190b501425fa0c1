//! Business dates: to which one something belongs, and closing one.

use pos_model::{BusinessDate, Money, Stamp, TillId};
use protocol::latest::shift_api::{CloseDay, DayView};
use protocol::latest::{CountAndAmount, DayClosed};
use rusqlite::{OptionalExtension, params};
use till::people::Action;

use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::notice::Notice;
use super::shift::OpenShift;
use super::store::Store;
use super::view::View;

/// For how many days a business date on which nothing happened can be closed: a holiday is closed within the week.
const EMPTY_DAYS_MAX: i32 = 7;

impl Store {
    /// The business date of what happens at a till: that of the clock, but for a clock that was set back while a shift is
    /// open. Then the shift's own date holds, so that nothing falls into a day that may be closed. A clock that lies more
    /// than a day behind the shift's beginning is believed: then it was the beginning that was wrong.
    pub(super) fn business_date(&self, at: Stamp, shift: Option<&OpenShift>) -> BusinessDate {
        let by_clock = BusinessDate::of(at, self.rules.cut_off);
        match shift.map(|shift| shift.business_date) {
            Some(opened_on) if opened_on > by_clock && opened_on.days() - by_clock.days() <= 1 => opened_on,
            _ => by_clock,
        }
    }

    /// Closes a business date. Within a command.
    pub fn close_day(&mut self, moment: &mut Moment, command: CloseDay) -> Result<DayView, Error> {
        let CloseDay { till_id, operator_id, approval_id, business_date, .. } = command;
        let subject = business_date.to_string();
        let permit = self.permit(moment, &till_id, operator_id.as_ref(), approval_id, Action::CloseDay, &subject)?;
        let today = BusinessDate::of(moment.at(), self.rules.cut_off);
        if business_date > today {
            let text = format!("{business_date} has not begun; it is {today}");
            return Err(Refused::rule("day.not_begun", text).into());
        }
        if self.view().day(business_date)?.is_some() {
            return Err(Refused::overtaken("day.closed", format!("{business_date} is closed already")).into());
        }
        self.check_worth_closing(business_date, today)?;
        if let Some((till_id, opened_on)) = self.open_till(business_date)? {
            let text = format!("till {till_id} has a shift open since {opened_on}; close it first");
            return Err(Refused::rule("day.shift_open", text).into());
        }
        let shifts = self.view().reports_of(business_date)?;
        let (sales, refunds) = self.view().day_sums(business_date)?;
        let closed_at = moment.at();
        let closed = DayClosed {
            business_date,
            operator_id: permit.operator,
            closed_at,
            currency: self.currency,
            shifts,
            sales,
            refunds,
        };
        self.record(moment, closed)?;
        self.connection
            .execute(
                "INSERT INTO day_closed (business_date, closed_at) VALUES (?1, ?2)",
                params![business_date.days(), closed_at.utc_ms],
            )
            .doing("close the day")?;
        let day = self.view().day(business_date)?;
        day.ok_or_else(|| Error::Damaged(format!("{business_date} is closed and is not")))
    }

    /// A date on which nothing happened is closed while people remember why nothing did. One long ago, or before the store
    /// has sold anything, is mistyped.
    fn check_worth_closing(&self, business_date: BusinessDate, today: BusinessDate) -> Result<(), Error> {
        let (happened, first): (bool, Option<i64>) = self
            .connection
            .query_row(
                "SELECT coalesce(max(business_date = ?1), 0), min(business_date)
                 FROM (SELECT business_date FROM day_total UNION ALL SELECT business_date FROM shift)",
                [business_date.days()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .doing("look whether anything happened on the date")?;
        let is_long_ago = business_date.days() < today.days() - EMPTY_DAYS_MAX;
        let is_before_all = business_date < first.map_or(today, BusinessDate::from_days);
        if !happened && (is_long_ago || is_before_all) {
            let text = format!("nothing happened on {business_date}; it is {today}");
            return Err(Refused::rule("day.empty", text).into());
        }
        Ok(())
    }

    /// Notes that something came into a business date, which matters if it is closed. Answers whether it is.
    pub(super) fn amend_day(&self, business_date: BusinessDate) -> Result<bool, Error> {
        self.connection
            .prepare_cached("UPDATE day_closed SET amendments = amendments + 1 WHERE business_date = ?1")
            .and_then(|mut update| update.execute([business_date.days()]))
            .doing("amend the day")
            .map(|rows| rows > 0)
    }

    /// A sale or refund that a till makes comes into a business date. If that is closed, somebody closed it too early, or a
    /// clock is wrong, and people are told.
    pub(super) fn come_into_day(
        &mut self,
        business_date: BusinessDate,
        till_id: &TillId,
        at: Stamp,
    ) -> Result<(), Error> {
        if !self.amend_day(business_date)? {
            return Ok(());
        }
        let text = format!(
            "{business_date} was closed, and till {till_id} went on selling into it. What was reported of that date is not \
             all of it: GET /v1/days/{business_date} has its sums as they are, and how often it was amended."
        );
        self.raise_notice(&Notice { key: format!("day_amended.{business_date}.{till_id}"), at_ms: at.utc_ms, text })
    }

    /// A till with a shift open that began on this date or before.
    fn open_till(&self, business_date: BusinessDate) -> Result<Option<(String, BusinessDate)>, Error> {
        self.connection
            .query_row(
                "SELECT till_id, business_date FROM shift WHERE closed_position IS NULL AND business_date <= ?1
                 ORDER BY business_date, till_id LIMIT 1",
                [business_date.days()],
                |row| Ok((row.get(0)?, BusinessDate::from_days(row.get(1)?))),
            )
            .optional()
            .doing("look for open shifts")
    }
}

impl View<'_> {
    /// A business date, if it is closed.
    pub fn day(&self, business_date: BusinessDate) -> Result<Option<DayView>, Error> {
        self.consistent(|view| {
            let closed: Option<(i64, u32)> = view
                .connection
                .query_row(
                    "SELECT closed_at, amendments FROM day_closed WHERE business_date = ?1",
                    [business_date.days()],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()
                .doing("read the day")?;
            let Some((closed_at_ms, amendments)) = closed else { return Ok(None) };
            let (sales, refunds) = view.day_sums(business_date)?;
            let shifts = view.reports_of(business_date)?;
            let open_baskets = view.open_baskets()?;
            Ok(Some(DayView { business_date, closed_at_ms, shifts, sales, refunds, open_baskets, amendments }))
        })
    }

    /// The reports of shifts that were opened on a date: till and number.
    fn reports_of(&self, business_date: BusinessDate) -> Result<Vec<(TillId, u64)>, Error> {
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT till_id, z_no FROM shift WHERE business_date = ?1 AND z_no IS NOT NULL ORDER BY 1, 2",
            )
            .doing("read the day's reports")?;
        let rows = select
            .query_map([business_date.days()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
            .doing("read the day's reports")?;
        rows.map(|row| {
            let (till_id, z_no) = row.doing("read the day's reports")?;
            let till_id = till_id.parse().map_err(|_| Error::Damaged(format!("a shift of till {till_id:?}")))?;
            Ok((till_id, z_no.unsigned_abs()))
        })
        .collect()
    }

    /// The sales and the refunds of a date.
    fn day_sums(&self, business_date: BusinessDate) -> Result<(CountAndAmount, CountAndAmount), Error> {
        let sums = self
            .connection
            .query_row(
                "SELECT sales, gross_minor, tax_minor, refunds, refund_gross_minor, refund_tax_minor FROM day_total
                 WHERE business_date = ?1",
                [business_date.days()],
                |row| {
                    let sum = |first: usize| {
                        Ok::<_, rusqlite::Error>(CountAndAmount {
                            count: row.get::<_, i64>(first)?.unsigned_abs(),
                            gross_minor: Money::from_minor(row.get(first + 1)?),
                            tax_minor: Money::from_minor(row.get(first + 2)?),
                        })
                    };
                    Ok((sum(0)?, sum(3)?))
                },
            )
            .optional()
            .doing("read the day's sums")?;
        Ok(sums.unwrap_or_default())
    }
}
