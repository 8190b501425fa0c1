"""Hooks of schemathesis for the agent's API: requests in words that the store knows, and what was answered.

The description can't say which article is on the menu or which shift is open, so that made-up requests would rarely get
behind the first look at them. In two of three requests such values are therefore replaced: ids by those of small pools, so
that a later request finds what an earlier one made, words by those of the price book. What is not of its form stays as it is.

Variables: BREAKWATER_SEED; BREAKWATER_FUZZ_BOOK, the price book; BREAKWATER_FUZZ_SEEN, the file that gets how often an operation
answered with which status, as JSON; BREAKWATER_FUZZ_OPERATORS, set where the operators li and chen work in the store.
"""

import atexit
import json
import os
import random
import uuid

import schemathesis

RANDOM = random.Random(int(os.environ["BREAKWATER_SEED"]))
WITH_OPERATORS = "BREAKWATER_FUZZ_OPERATORS" in os.environ

with open(os.environ["BREAKWATER_FUZZ_BOOK"], encoding="utf-8") as file:
    BOOK = json.load(file)
# A few articles, so that sales, refunds and what is sold out are about the same ones.
SKUS = [variant["sku"] for item in BOOK["items"].values() for variant in item["variants"]][:8]
OPTIONS = [option["code"] for group in BOOK["option_groups"].values() for option in group["options"]]
INGREDIENTS = list(BOOK["ingredients"])[:6]


def one_of(*words):
    return lambda: RANDOM.choice(words)


def new_id():
    """An id as a till makes one: of version 7."""
    bits = RANDOM.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62)
    return str(uuid.UUID(int=bits | (0x7 << 76) | (0x2 << 62)))


def pool(kind, size):
    """One of so many ids of a kind."""
    return lambda: f"0199{kind:04x}-0000-7000-8000-{RANDOM.randrange(size):012x}"


# Ids of what there are many of come from large pools, so that most are new; the others from small ones, so that they meet.
IDS = {
    "command_id": new_id,
    "pair_id": new_id,
    "sale_id": pool(1, 60),
    "refund_id": pool(2, 400),
    "shift_id": pool(3, 12),
    "basket_id": pool(4, 12),
    "order_id": pool(4, 12),
    "line_id": pool(5, 12),
    "attempt_id": pool(6, 40),
    "movement_id": pool(7, 400),
    "count_id": pool(8, 12),
    "approval_id": pool(9, 12),
}
WORDS = {
    "till_id": one_of("T1") if WITH_OPERATORS else one_of("T1", "T2"),
    "operator_id": one_of("li", "chen"),
    "by": one_of("chen"),
    "pin": one_of("271828", "314159"),
    "action": one_of("refund", "no_sale", "void_sent_line"),
    "sku": one_of(*SKUS),
    "item_id": one_of(*INGREDIENTS),
    "station": one_of("bar", "kitchen"),
    "channel": one_of("counter", "delivery"),
    "reason": one_of("wrong_drink", "change", "expired"),
    "terminal": one_of("counter"),
    "name": one_of("counter"),
    "quantity": one_of(1, 2, 3, "0.5"),
    "line": one_of(0, 0, 1),
    "pickup_no": lambda: RANDOM.randrange(1, 30),
    "job_id": lambda: RANDOM.randrange(1, 30),
    "amount_minor": one_of(0, 1700, 5000, 100_000),
    "basket_revision": lambda: RANDOM.randrange(4),
}
# What fits none of the rest of a request and would have nearly all of them refused at the same place.
LEFT_OUT = {"approver_id", "attempt_id", "cup_id", "code", "expected_total_minor", "imported", "version"}
if not WITH_OPERATORS:
    LEFT_OUT |= {"operator_id", "approval_id"}
NEEDED = {
    "/v1/payments": {"attempt_id"},
    "/v1/sold-out": {"code"},
    "/v1/pair": {"code"},
    "/v1/approvals": {"operator_id", "approval_id"},
    "/v1/operators/sign-on": {"operator_id"},
    "/v1/operators/sign-off": {"operator_id"},
}


def is_id(value):
    try:
        return isinstance(value, str) and bool(uuid.UUID(value))
    except ValueError:
        return False


def in_our_words(value, left_out, key=None):
    """The same value with what the store knows in place of what was made up."""
    if isinstance(value, dict):
        return {name: in_our_words(part, left_out, name) for name, part in value.items() if name not in left_out}
    if isinstance(value, list) and key == "options" and all(isinstance(part, str) for part in value):
        return RANDOM.sample(OPTIONS, min(len(value), 2))
    if isinstance(value, list):
        return [in_our_words(part, left_out, key) for part in value]
    if key in IDS and is_id(value):
        return IDS[key]()
    if key in WORDS and type(value) in (str, int) and value != "":
        return WORDS[key]()
    return value


def that_can_be_sold(sale):
    """One of the three ways in which a sale says what was sold, and enough money."""
    ways = [way for way in ("lines", "order", "basket_id") if sale.get(way)]
    for way in ways:
        if way != ways[-1]:
            del sale[way]
    if "basket_id" not in sale:
        sale.pop("basket_revision", None)
    # As much as gives change that the store still gives.
    sale["tenders"] = [{"kind": "cash", "amount_minor": 100_000}]


def sold_out(entry):
    """Mostly on sale again: what is sold out keeps all that needs it from being sold."""
    words = {"sku": SKUS, "option": OPTIONS, "item": INGREDIENTS}.get(str(entry.get("what")))
    if words and entry.get("code"):
        entry["code"] = RANDOM.choice(words)
    if RANDOM.randrange(4) and "state" in entry:
        entry["state"] = "on_sale"


@schemathesis.hook
def before_call(context, case, kwargs):
    if RANDOM.randrange(3) == 0:
        return
    if isinstance(case.body, dict):
        case.body = in_our_words(case.body, LEFT_OUT - NEEDED.get(case.path, set()))
        if case.path == "/v1/sales" and RANDOM.randrange(2):
            that_can_be_sold(case.body)
        if case.path == "/v1/sold-out":
            sold_out(case.body)
    for name, value in list((case.path_parameters or {}).items()):
        case.path_parameters[name] = in_our_words(value, set(), name)


SEEN = {}


@schemathesis.hook
def after_call(context, case, response):
    statuses = SEEN.setdefault(f"{case.method} {case.path}", {})
    answer = str(response.status_code)
    if response.status_code in (403, 409, 422):
        try:
            answer += f" {response.json()['message_key']}"
        except (ValueError, KeyError, TypeError):
            pass
    statuses[answer] = statuses.get(answer, 0) + 1


@atexit.register
def tell():
    with open(os.environ["BREAKWATER_FUZZ_SEEN"], "w", encoding="utf-8") as file:
        json.dump(SEEN, file, indent=1, sort_keys=True)
