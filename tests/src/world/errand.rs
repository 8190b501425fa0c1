//! What a till asks for, done with the shipped code on the agent's books.

use agent::db::audit::word;
use agent::db::{
    BeginCount, CommandKey, Error, FinishCount, Moment, Noteworthy, Once, PartOfShift, Recorded, RefundRecorded, Store,
};
use pos_model::Tag;
use pos_model::{
    BusinessDate, CommandId, EventId, ItemId, Money, MovementId, Quantity, RefundId, SaleId, ShiftId, Stamp, StoreId,
};
use protocol::latest::refund_api::{CompleteRefund, Goods, RefundLineCommand};
use protocol::latest::shift_api::{AmendShift, CashKind as CashWay, CloseDay, CloseShift, MoveCash, OpenShift};
use serde::Serialize;
use serde::de::DeserializeOwned;
use till::stock::{Counted, Moved, Movement, MovementKind};

use super::counter::Command;
use crate::reference::asked::{AskedRefund, AskedReturn, Units, Wanted};
use crate::reference::facts::{CashKind, StockKind};

/// What the agent's own mark is about.
pub(super) const CLOCK: &str = "clock";

/// What a till is told.
#[derive(Debug)]
pub(super) enum Told {
    /// It is done.
    New(Answer),
    /// It was done before.
    Replayed(Answer),
    /// Something else was done under this id.
    Conflict,
    /// A rule forbids it; the key of the message.
    Refused(String),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// As the till reads it.
    pub(super) text: String,
    /// What is on its receipt: the number and the amount.
    pub(super) slip: Option<(u64, i64)>,
}

/// Carries a command out. `part` is what was added up of a shift before it is closed.
pub(super) fn carry_out(
    books: &mut Store,
    command: &Command,
    part: Option<PartOfShift>,
    event_id: EventId,
    at: Stamp,
) -> Result<Told, Error> {
    let mut moment = Moment::new(at, event_id);
    let key = CommandKey { id: CommandId::new(command.id), digest: command.digest() };
    let command_id = key.id;
    let Command { id, till_id, .. } = command.clone();
    let operator_id = None;
    match command.errand.clone() {
        None | Some(Wanted::Sale { .. }) => sell(books, command, event_id, at),
        Some(Wanted::Refund(refund)) => give_back(books, command, refund, &mut moment),
        Some(Wanted::OpenShift { shift_id, float_minor }) => {
            let (shift_id, float_minor) = (ShiftId::new(shift_id), Money::from_minor(float_minor));
            let open = OpenShift { command_id, till_id, operator_id, shift_id, float_minor };
            books.once(key, &mut moment, |store, moment| store.open_shift(moment, open)).map(told)
        }
        Some(Wanted::MoveCash { shift_id, kind, amount_minor }) => {
            let (amount_minor, kind) = (Money::from_minor(amount_minor), cash_way(kind));
            let (reason, note) = (tag("counter"), command.body.to_string());
            let approval_id = None;
            let moved = MoveCash { command_id, till_id, operator_id, approval_id, kind, amount_minor, reason, note };
            books
                .once(key, &mut moment, |store, moment| store.move_cash(moment, ShiftId::new(shift_id), moved, None))
                .map(told)
        }
        Some(Wanted::CloseShift { shift_id, counted_minor }) => {
            let counted_minor = Money::from_minor(counted_minor);
            let close = CloseShift { command_id, till_id, operator_id, approval_id: None, counted_minor };
            let shift_id = ShiftId::new(shift_id);
            books.once(key, &mut moment, |store, moment| store.close_shift(moment, shift_id, close, part)).map(told)
        }
        Some(Wanted::AmendShift { shift_id, counted_minor }) => {
            let (reason, note) = (tag("miscounted"), command.body.to_string());
            let (shift_id, counted_minor) = (ShiftId::new(shift_id), Some(Money::from_minor(counted_minor)));
            let approval_id = None;
            let amend = AmendShift { command_id, till_id, operator_id, approval_id, reason, note, counted_minor };
            books.once(key, &mut moment, |store, moment| store.amend_shift(moment, shift_id, amend)).map(told)
        }
        Some(Wanted::CloseDay { day }) => {
            let business_date = BusinessDate::from_days(i64::from(day));
            let close = CloseDay { command_id, till_id, operator_id, approval_id: None, business_date };
            books.once(key, &mut moment, |store, moment| store.close_day(moment, close)).map(told)
        }
        Some(Wanted::MoveStock { kind, items }) => {
            let items = items.into_iter().map(|(item, micro)| (item_id(&item), Quantity::from_micro(micro)));
            let is_transfer = matches!(kind, StockKind::TransferredIn | StockKind::TransferredOut);
            let movement = Movement {
                movement_id: MovementId::new(id),
                till_id,
                operator_id,
                kind: movement_kind(kind),
                reason: (kind == StockKind::Wasted).then(|| tag("spilled")),
                reference: String::new(),
                other_store: is_transfer.then(|| StoreId::new("elsewhere").expect("a valid name")),
                note: command.body.to_string(),
                items: items.map(|(item_id, quantity)| Moved { item_id, quantity, expected: None }).collect(),
            };
            books.once(key, &mut moment, |store, moment| store.move_stock(moment, movement)).map(told)
        }
        Some(Wanted::BeginCount { items }) => {
            let items = items.iter().map(|item| item_id(item)).collect();
            let begin = BeginCount { count_id: MovementId::new(id), till_id, operator_id, items };
            books.once(key, &mut moment, |store, moment| store.begin_count(moment, &begin)).map(told)
        }
        Some(Wanted::FinishCount { count_id, items }) => {
            let items = items.into_iter().map(|(item, micro)| (item_id(&item), Quantity::from_micro(micro)));
            let finish = FinishCount {
                count_id: MovementId::new(count_id),
                till_id,
                operator_id,
                note: command.body.to_string(),
                items: items.map(|(item_id, counted)| Counted { item_id, counted }).collect(),
            };
            books.once(key, &mut moment, |store, moment| store.finish_count(moment, finish)).map(told)
        }
    }
}

/// The agent marks that its clock has jumped.
pub(super) fn mark_clock(books: &mut Store, event_id: EventId, at: Stamp) -> Result<(), Error> {
    let mark = Noteworthy::new(word::CLOCK_JUMPED).about(CLOCK);
    let marked = books.act(&mut Moment::new(at, event_id), |store, moment| store.mark(moment, mark))?;
    assert!(marked.is_ok(), "no rule forbids a mark");
    Ok(())
}

fn sell(books: &mut Store, command: &Command, event_id: EventId, at: Stamp) -> Result<Told, Error> {
    let draft = match till::complete(command.sale()) {
        Ok(draft) => draft,
        Err(refusal) => return Ok(Told::Refused(refusal.message_key().to_owned())),
    };
    Ok(match books.record_sale(draft, &command.digest(), event_id, at)? {
        Recorded::New(receipt) => {
            Told::New(Answer { slip: Some((receipt.receipt_no, receipt.total_minor.minor())), text: text(&receipt) })
        }
        Recorded::Replayed(receipt) => Told::Replayed(Answer { slip: None, text: text(&receipt) }),
        Recorded::Conflict => Told::Conflict,
        Recorded::NotNow(refused) => Told::Refused(refused.message_key.to_owned()),
        Recorded::Refused(refusal) => Told::Refused(refusal.message_key().to_owned()),
    })
}

fn give_back(books: &mut Store, command: &Command, refund: AskedRefund, moment: &mut Moment) -> Result<Told, Error> {
    let complete = CompleteRefund {
        refund_id: RefundId::new(command.id),
        till_id: command.till_id.clone(),
        operator_id: None,
        approval_id: None,
        sale_id: SaleId::new(refund.sale_id),
        void: refund.void,
        lines: refund.lines.iter().map(line_command).collect(),
        goods: goods(refund.is_restocked),
        tenders: Vec::new(),
        reason: tag("wrong_drink"),
        note: command.body.to_string(),
    };
    Ok(match books.record_refund(complete, &command.digest(), moment, None)? {
        RefundRecorded::New(receipt) => {
            Told::New(Answer { slip: Some((receipt.receipt_no, receipt.total_minor.minor())), text: text(&receipt) })
        }
        RefundRecorded::Replayed(receipt) => Told::Replayed(Answer { slip: None, text: text(&receipt) }),
        RefundRecorded::Conflict => Told::Conflict,
        RefundRecorded::Refused(refused) => Told::Refused(refused.message_key.to_owned()),
    })
}

fn line_command(back: &AskedReturn) -> RefundLineCommand {
    let (count, units) = match &back.units {
        Units::These(units) => (None, units.iter().copied().collect()),
        Units::Count(count) => (Some(*count), Vec::new()),
        Units::Rest => (None, Vec::new()),
    };
    let line = u32::try_from(back.line).expect("a few lines");
    RefundLineCommand { line, count, units, goods: goods(back.is_restocked) }
}

fn goods(is_restocked: bool) -> Goods {
    if is_restocked { Goods::Restocked } else { Goods::Wasted }
}

fn cash_way(kind: CashKind) -> CashWay {
    match kind {
        CashKind::PaidIn => CashWay::PaidIn,
        CashKind::PaidOut => CashWay::PaidOut,
        CashKind::Drop => CashWay::Drop,
        CashKind::NoSale => CashWay::NoSale,
    }
}

fn movement_kind(kind: StockKind) -> MovementKind {
    match kind {
        StockKind::Received => MovementKind::Received,
        StockKind::TransferredIn => MovementKind::TransferredIn,
        StockKind::Wasted => MovementKind::Wasted,
        StockKind::TransferredOut => MovementKind::TransferredOut,
    }
}

fn told<T: Serialize + DeserializeOwned>(once: Once<T>) -> Told {
    match once {
        Once::New(answer) => Told::New(Answer { text: text(&answer), slip: None }),
        Once::Replayed(answer) => Told::Replayed(Answer { text: text(&answer), slip: None }),
        Once::Conflict => Told::Conflict,
        Once::Refused(refused) => Told::Refused(refused.message_key.to_owned()),
    }
}

fn text(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("an answer of text and numbers always encodes")
}

fn item_id(item: &str) -> ItemId {
    ItemId::new(item).expect("a valid name")
}

fn tag(text: &str) -> Tag {
    Tag::new(text).expect("a valid word")
}
