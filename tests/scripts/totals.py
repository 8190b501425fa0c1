#!/usr/bin/env python3
"""Sums of a file of receipts, per outlet and business date, as JSON.

The referee for what the product adds up: it reads the file by itself and shares nothing with the product, neither code
nor mapping. Amounts are integers in minor units. A business date is the date of the receipt; coffee takes the time of
day before which a receipt belongs to the day before.

    totals.py coffee receipts.csv [HH:MM]
    totals.py breadbasket BreadBasket_DMS.csv
    totals.py chipotle orders.tsv
    totals.py groceries groceries.csv

Output: {"outlets": {OUTLET: {DATE: {"orders", "lines", "units", "amount_minor"}}}, "total": {...}}.
Files without an outlet have one called "all"; files without a date have one date called "all".
"""

import csv
import datetime
import json
import sys
from decimal import Decimal


def coffee(path, cut_off="00:00"):
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            order = (row["sales_outlet_id"], row["transaction_date"], row["transaction_id"])
            date = datetime.date.fromisoformat(order[1])
            if row["transaction_time"] < cut_off:
                date -= datetime.timedelta(days=1)
            yield order[0], date.isoformat(), order, int(row["quantity"]), Decimal(row["line_item_amount"])


def breadbasket(path):
    """Equal pieces of one order are one line; made-up price of 2.50 each."""
    pieces = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["Item"] not in ("NONE", "Adjustment"):
                line = (row["Date"], row["Transaction"], row["Item"].strip())
                pieces[line] = pieces.get(line, 0) + 1
    for (date, order, _), count in pieces.items():
        yield "all", date, order, count, count * Decimal("2.50")


def chipotle(path):
    with open(path, encoding="utf-8") as file:
        next(file)
        for text in file:
            order, quantity, _, _, price = text.rstrip("\n").split("\t")
            yield "all", "all", order, int(quantity), Decimal(price.strip().removeprefix("$"))


def groceries(path):
    """Equal categories of one basket are one line; made-up price of 1.00 each."""
    with open(path, encoding="utf-8") as file:
        for order, text in enumerate(file):
            names = [name.strip() for name in text.rstrip("\n").split(",")]
            for name in dict.fromkeys(names):
                yield "all", "all", order, names.count(name), Decimal(names.count(name))


def totals(lines):
    outlets, orders = {}, set()
    whole = {"orders": 0, "lines": 0, "units": 0, "amount_minor": 0}
    for outlet, date, order, units, amount in lines:
        minor = amount * 100
        if minor != int(minor):
            raise SystemExit(f"an amount has a fraction of a minor unit: {amount}")
        day = outlets.setdefault(outlet, {}).setdefault(date, dict.fromkeys(whole, 0))
        for sums in (day, whole):
            sums["orders"] += order not in orders
            sums["lines"] += 1
            sums["units"] += units
            sums["amount_minor"] += int(minor)
        orders.add(order)
    return {"outlets": outlets, "total": whole}


KINDS = {"coffee": coffee, "breadbasket": breadbasket, "chipotle": chipotle, "groceries": groceries}

if __name__ == "__main__":
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    if kind not in KINDS or len(sys.argv) not in ((3, 4) if kind == "coffee" else (3,)):
        raise SystemExit(__doc__)
    json.dump(totals(KINDS[kind](*sys.argv[2:])), sys.stdout, indent=1, sort_keys=True)
    print()
