//! Tests of operators, approvals and paired tills in the books.

use pos_model::{ApprovalId, CommandId, OperatorId, TillId};
use protocol::latest::print::OpenDrawer;
use till::limits::{APPROVAL_MS_MAX, PIN_LOCK_MS_FIRST, PIN_TRIES_MAX};
use till::people::{Action, Role};
use uuid::Uuid;

use super::audit::word;
use super::people::role_name;
use super::testing::{event_id, open_epoch, reopen, stamp, store};
use super::*;

fn operator(id: &str) -> OperatorId {
    OperatorId::new(id).expect("valid")
}

fn till(id: &str) -> TillId {
    TillId::new(id).expect("valid")
}

fn approval_id(number: u64) -> ApprovalId {
    ApprovalId::new(Uuid::from_u64_pair(0xa, number))
}

/// In these tests the hash says whose PIN it is.
fn hash(id: &str) -> PinHash {
    PinHash::new(format!("hash of {id}"))
}

/// A store with a clock of its own.
struct Shop {
    store: Store,
    now_ms: i64,
    events: u64,
}

impl Shop {
    fn empty() -> Self {
        let mut store = store();
        open_epoch(&mut store, 1);
        Self { store, now_ms: 0, events: 1 << 20 }
    }

    /// With a cashier, a shift lead and a manager; the cashier is signed on at T1.
    fn staffed() -> Self {
        let mut shop = Self::empty();
        for (id, role) in [("li", Role::Cashier), ("wu", Role::ShiftLead), ("chen", Role::Manager)] {
            shop.put(id, role, true, Some(hash(id))).expect("adds");
        }
        shop.sign_on("T1", "li").expect("signs on");
        shop
    }

    fn moment(&mut self) -> Moment {
        self.events += 1000;
        Moment::new(stamp(self.now_ms), event_id(self.events))
    }

    fn act<T>(
        &mut self,
        operation: impl FnOnce(&mut Store, &mut Moment) -> Result<T, Error>,
    ) -> Result<T, &'static str> {
        let mut moment = self.moment();
        let done = self.store.act(&mut moment, operation).expect("works");
        assert!(self.store.view().verify().expect("reads").is_ok());
        done.map_err(|refused| refused.message_key)
    }

    fn put(&mut self, id: &str, role: Role, active: bool, pin_hash: Option<PinHash>) -> Result<(), &'static str> {
        let change = OperatorChange { operator_id: operator(id), name: id.to_uppercase(), role, active, pin_hash };
        self.act(|store, moment| store.put_operator(moment, change, None, &Permit::default()).map(drop))
    }

    fn sign_on(&mut self, at: &str, id: &str) -> Result<(), &'static str> {
        self.act(|store, moment| store.sign_on(moment, &till(at), &operator(id), &hash(id)).map(drop))
    }

    fn approve(&mut self, number: u64, id: &str, action: Action, subject: &str) -> Result<(), &'static str> {
        let approval = Approval {
            approval_id: approval_id(number),
            till_id: till("T1"),
            operator_id: operator(id),
            action,
            subject: subject.to_owned(),
        };
        self.act(|store, moment| store.give_approval(moment, approval, &hash(id)).map(drop))
    }

    fn permit(
        &mut self,
        at: &str,
        id: Option<&str>,
        approval: Option<u64>,
        action: Action,
        subject: &str,
    ) -> Result<Permit, &'static str> {
        let id = id.map(operator);
        self.act(|store, moment| {
            store.permit(moment, &till(at), id.as_ref(), approval.map(approval_id), action, subject)
        })
    }

    fn fail(&mut self, id: &str) -> Option<i64> {
        self.act(|store, moment| store.fail_pin(moment, &till("T1"), &operator(id), "at sign-on")).expect("counts")
    }

    fn begin(&mut self, id: &str) -> PinToCheck {
        self.store.begin_pin(&operator(id), stamp(self.now_ms).utc_ms).expect("works")
    }

    fn marks(&self) -> Vec<String> {
        let marks = self.store.view().audit_marks(1000).expect("reads");
        marks.into_iter().map(|row| row.mark.action.to_string()).collect()
    }
}

#[test]
fn a_store_without_operators_allows_everything() {
    let mut shop = Shop::empty();
    for &action in Action::ALL {
        assert_eq!(shop.permit("T1", None, None, action, "x"), Ok(Permit::default()), "{action}");
    }
    let permit = shop.permit("T1", Some("li"), None, Action::Refund, "x").expect("allowed");
    assert_eq!(permit, Permit { operator: Some(operator("li")), approver: None });
    shop.put("li", Role::Cashier, true, Some(hash("li"))).expect("adds");
    assert_eq!(shop.permit("T1", None, None, Action::Sell, ""), Err("operator.needed"));
    shop.put("li", Role::Cashier, false, None).expect("leaves");
    assert_eq!(
        shop.permit("T1", None, None, Action::Sell, ""),
        Err("operator.needed"),
        "nobody is left, and the door is shut"
    );
}

#[test]
fn who_asks_is_signed_on_at_that_till() {
    let mut shop = Shop::staffed();
    assert!(shop.permit("T1", Some("li"), None, Action::Sell, "").is_ok());
    assert_eq!(shop.permit("T2", Some("li"), None, Action::Sell, ""), Err("operator.not_signed_on"));
    assert_eq!(shop.permit("T1", Some("wu"), None, Action::Sell, ""), Err("operator.not_signed_on"));
    assert_eq!(shop.permit("T1", Some("nobody"), None, Action::Sell, ""), Err("operator.not_signed_on"));
    shop.sign_on("T1", "wu").expect("takes over");
    assert_eq!(shop.permit("T1", Some("li"), None, Action::Sell, ""), Err("operator.not_signed_on"));
    assert!(shop.permit("T1", Some("wu"), None, Action::Refund, "s1").is_ok());
    shop.put("wu", Role::ShiftLead, false, None).expect("leaves the store");
    assert_eq!(shop.permit("T1", Some("wu"), None, Action::Sell, ""), Err("operator.not_signed_on"));
    assert_eq!(shop.store.view().signed_on_at(&till("T1")).expect("reads"), None);
    // A restart keeps who is signed on.
    shop.sign_on("T2", "li").expect("signs on");
    let mut store = reopen(shop.store);
    open_epoch(&mut store, 2);
    assert_eq!(store.view().signed_on_at(&till("T2")).expect("reads"), Some(operator("li")));
}

#[test]
fn an_approval_serves_once_for_one_action_on_one_subject_at_one_till() {
    let mut shop = Shop::staffed();
    let permit =
        |shop: &mut Shop, number, action, subject: &str| shop.permit("T1", Some("li"), number, action, subject);
    assert_eq!(permit(&mut shop, None, Action::Refund, "s1"), Err("approval.needed"));
    assert_eq!(permit(&mut shop, Some(1), Action::Refund, "s1"), Err("approval.unknown"));
    assert_eq!(shop.approve(1, "li", Action::Refund, "s1"), Err("approval.role_too_low"));
    assert_eq!(shop.approve(1, "wu", Action::AmendShift, "s1"), Err("approval.role_too_low"));
    shop.approve(1, "wu", Action::Refund, "s1").expect("approves");
    assert_eq!(shop.approve(1, "chen", Action::Refund, "s1"), Err("approval.exists"));

    assert_eq!(permit(&mut shop, Some(1), Action::Refund, "s2"), Err("approval.for_other"));
    assert_eq!(permit(&mut shop, Some(1), Action::VoidSale, "s1"), Err("approval.for_other"));
    shop.sign_on("T2", "li").expect("signs on");
    assert_eq!(shop.permit("T2", Some("li"), Some(1), Action::Refund, "s1"), Err("approval.for_other"));

    let allowed = permit(&mut shop, Some(1), Action::Refund, "s1").expect("allowed");
    assert_eq!(allowed, Permit { operator: Some(operator("li")), approver: Some(operator("wu")) });
    assert_eq!(permit(&mut shop, Some(1), Action::Refund, "s1"), Err("approval.used"));
    // Who needs none leaves it unused.
    shop.approve(2, "chen", Action::Refund, "s1").expect("approves");
    shop.sign_on("T1", "wu").expect("signs on");
    assert_eq!(shop.permit("T1", Some("wu"), Some(2), Action::Refund, "s1").map(|permit| permit.approver), Ok(None));
    shop.sign_on("T1", "li").expect("signs on");
    assert!(permit(&mut shop, Some(2), Action::Refund, "s1").is_ok());
}

#[test]
fn an_approval_is_used_up_with_what_it_allowed_or_not_at_all() {
    let mut shop = Shop::staffed();
    shop.approve(1, "wu", Action::NoSale, "").expect("approves");
    let refused = shop.act(|store, moment| {
        store.permit(moment, &till("T1"), Some(&operator("li")), Some(approval_id(1)), Action::NoSale, "")?;
        Err::<(), _>(Refused::rule("drawer.jammed", "it does not open").into())
    });
    assert_eq!(refused, Err("drawer.jammed"));
    assert!(shop.permit("T1", Some("li"), Some(1), Action::NoSale, "").is_ok(), "it was given back");
}

#[test]
fn an_approval_lives_for_minutes_by_a_clock_that_may_be_set() {
    #[track_caller]
    fn check(after_ms: i64, expected: Result<(), &'static str>) {
        let mut shop = Shop::staffed();
        shop.approve(1, "wu", Action::NoSale, "").expect("approves");
        shop.now_ms += after_ms;
        assert_eq!(shop.permit("T1", Some("li"), Some(1), Action::NoSale, "").map(drop), expected, "{after_ms}");
    }
    check(0, Ok(()));
    check(APPROVAL_MS_MAX - 1, Ok(()));
    check(APPROVAL_MS_MAX, Err("approval.expired"));
    check(-1, Err("approval.expired"));
}

#[test]
fn wrong_pins_lock_and_time_or_a_new_pin_unlocks() {
    let mut shop = Shop::staffed();
    for _ in 1..PIN_TRIES_MAX {
        assert_eq!(shop.fail("li"), None);
    }
    assert_eq!(shop.begin("li"), PinToCheck::Compare(hash("li")));
    assert_eq!(shop.fail("li"), Some(PIN_LOCK_MS_FIRST));
    assert_eq!(shop.begin("li"), PinToCheck::Locked { for_ms: PIN_LOCK_MS_FIRST });
    assert_eq!(shop.begin("wu"), PinToCheck::Compare(hash("wu")), "others are not concerned");
    // The clock is set back by a year: the wait begins anew, and ends.
    shop.now_ms -= 365 * 86_400_000;
    assert_eq!(shop.begin("li"), PinToCheck::Locked { for_ms: PIN_LOCK_MS_FIRST });
    shop.now_ms += PIN_LOCK_MS_FIRST;
    assert_eq!(shop.begin("li"), PinToCheck::Compare(hash("li")));
    assert_eq!(shop.fail("li"), Some(2 * PIN_LOCK_MS_FIRST), "the sixth wrong one");
    let marks = shop.marks();
    let count = |action| marks.iter().filter(|mark| **mark == action).count();
    assert_eq!((count(word::PIN_FAILED), count(word::OPERATOR_LOCKED)), (6, 2), "{marks:?}");

    // A restart forgets nothing; a new PIN forgets all of it.
    let mut store = reopen(shop.store);
    open_epoch(&mut store, 2);
    let mut shop = Shop { store, ..shop };
    assert_eq!(shop.begin("li"), PinToCheck::Locked { for_ms: 2 * PIN_LOCK_MS_FIRST });
    shop.put("li", Role::Cashier, true, None).expect("changes");
    assert!(matches!(shop.begin("li"), PinToCheck::Locked { .. }), "the same PIN");
    shop.put("li", Role::Cashier, true, Some(PinHash::new("another".to_owned()))).expect("changes");
    assert_eq!(shop.begin("li"), PinToCheck::Compare(PinHash::new("another".to_owned())));
    assert_eq!(shop.sign_on("T1", "li"), Err("operator.changed"), "the old PIN proves nothing");
    assert_eq!(shop.begin("nobody"), PinToCheck::Unknown);
}

#[test]
fn a_right_pin_forgets_wrong_ones() {
    let mut shop = Shop::staffed();
    for _ in 1..PIN_TRIES_MAX {
        shop.fail("li");
    }
    shop.sign_on("T1", "li").expect("signs on");
    assert_eq!(shop.fail("li"), None);
}

#[test]
fn what_operators_are_is_told_and_marked() {
    let mut shop = Shop::staffed();
    assert_eq!(shop.put("ma", Role::Cashier, true, None), Err("operator.pin_needed"));
    shop.store.take_changes();
    shop.put("li", Role::ShiftLead, true, None).expect("changes");
    let changes = shop.store.take_changes();
    let [protocol::latest::local_api::Change::Operator(told)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((told.role, told.till_ids.clone()), (role_name(Role::ShiftLead), vec![till("T1")]));
    assert_eq!(shop.store.view().operators().expect("reads").iter().find(|view| view.name == "LI"), Some(told));
    let marks = shop.store.view().audit_marks(1).expect("reads");
    assert_eq!(
        (marks[0].mark.action.as_str(), marks[0].mark.detail.as_str()),
        (word::OPERATOR_CHANGED, "cashier to shift_lead")
    );
    assert!(shop.permit("T1", Some("li"), None, Action::Refund, "s").is_ok(), "it holds at once");
}

#[test]
fn a_till_id_belongs_to_one_till() {
    let mut shop = Shop::empty();
    let pair = |shop: &mut Shop, id: &str, token: &str| {
        let (till_id, token) = (till(id), TokenHash::of(token));
        shop.act(|store, moment| store.pair_till(moment, till_id, "left".to_owned(), token, false).map(drop))
    };
    pair(&mut shop, "T1", "a").expect("pairs");
    pair(&mut shop, "T2", "b").expect("pairs");
    assert_eq!(pair(&mut shop, "T1", "c"), Err("till.taken"));
    let tokens = |shop: &Shop| shop.store.view().till_tokens().expect("reads");
    assert_eq!(tokens(&shop), [(till("T1"), TokenHash::of("a")), (till("T2"), TokenHash::of("b"))]);
    let revoke = |shop: &mut Shop, id: &str| shop.act(|store, moment| store.revoke_till(moment, &till(id)).map(drop));
    revoke(&mut shop, "T1").expect("revokes");
    assert_eq!(revoke(&mut shop, "T1"), Err("till.unknown"));
    assert_eq!(revoke(&mut shop, "T9"), Err("till.unknown"));
    assert_eq!(tokens(&shop), [(till("T2"), TokenHash::of("b"))]);
    pair(&mut shop, "T1", "d").expect("pairs again");
    assert_eq!(tokens(&shop)[0], (till("T1"), TokenHash::of("d")));
    assert_eq!(shop.marks(), [word::TILL_PAIRED, word::TILL_PAIRED, word::TILL_REVOKED, word::TILL_PAIRED]);
}

#[test]
fn a_drawer_that_somebody_else_allowed_to_open_is_marked_with_both_and_put_in_with_the_mark() {
    let mut shop = Shop::staffed();
    let open = |approval_id| OpenDrawer {
        command_id: CommandId::new(Uuid::from_u64_pair(0xc, 1)),
        till_id: till("T1"),
        operator_id: Some(operator("li")),
        approval_id,
        reason: "change".parse().expect("valid"),
    };
    let refused = shop.act(|store, moment| store.open_drawer(moment, open(None), "counter"));
    assert_eq!(refused, Err("approval.needed"));
    assert_eq!(shop.store.view().newest_prints(10).expect("reads"), []);
    shop.approve(1, "wu", Action::NoSale, "T1").expect("approves");
    let opened = shop.act(|store, moment| store.open_drawer(moment, open(Some(approval_id(1))), "counter"));
    let job = opened.expect("opens");
    assert_eq!((job.kind.as_str(), job.role.as_str(), job.till_id), ("drawer", "@counter", Some(till("T1"))));
    let mark = shop.store.view().audit_marks(1).expect("reads").pop().expect("is there").mark;
    assert_eq!(mark.action.as_str(), word::DRAWER_OPENED);
    assert_eq!((mark.operator_id, mark.approver_id), (Some(operator("li")), Some(operator("wu"))));
}
