"""Write synthetic order lines, a file a week, in the 14 columns that source `orders` reads.

    python docs/examples/synthetic_orders.py incoming --until 2026-07-06

The shop is invented: customers and items have a leaning to return; that of items moves from
week to week. The same day writes the same files again; a later day adds weeks, and fills in what
became of orders that were still open.
"""

import argparse
import datetime
from pathlib import Path

import numpy as np
import pandas as pd

NUM_CUSTOMERS, NUM_ITEMS, LINES_A_WEEK = 900, 200, 400
DAYS_TO_RETURN = 14
FIRST_MONDAY = datetime.date(2024, 1, 1)
WEEK = datetime.timedelta(days=7)
COLOURS, SIZES = ("red", "blue", "black", "green"), ("s", "m", "l", "xl")
STATES = ("Hesse", "Bavaria", "Saxony", "Berlin")


def week_of_orders(monday: datetime.date, until: datetime.date) -> pd.DataFrame:
    """The order lines of one week.

    Args:
        monday: First day of the week.
        until: The day it is; the outcome of orders that may still be returned is `?`.
    """
    shop = np.random.default_rng(0)
    of_customer, of_item = shop.normal(0, 1.0, NUM_CUSTOMERS), shop.normal(0, 0.8, NUM_ITEMS)
    trend = shop.normal(0, 0.01, NUM_ITEMS)
    number = (monday - FIRST_MONDAY).days // 7
    week = np.random.default_rng(number)
    customer = week.integers(NUM_CUSTOMERS, size=LINES_A_WEEK)
    item = week.integers(NUM_ITEMS, size=LINES_A_WEEK)
    logit = of_customer[customer] + of_item[item] + number * trend[item]
    returned = week.random(LINES_A_WEEK) < 1 / (1 + np.exp(-logit))
    date = np.datetime64(monday) + np.sort(week.integers(7, size=LINES_A_WEEK))
    is_open = date + DAYS_TO_RETURN >= np.datetime64(until)
    return pd.DataFrame(
        {
            "order_item_id": number * LINES_A_WEEK + np.arange(LINES_A_WEEK) + 1,
            "order_date": date.astype(str),
            "delivery_date": (date + 3).astype(str),
            "item_id": item,
            "item_size": np.array(SIZES)[week.integers(len(SIZES), size=LINES_A_WEEK)],
            "item_color": np.array(COLOURS)[item % len(COLOURS)],
            "brand_id": item % 17,
            "item_price": np.round(20 + item % 80 + week.random(LINES_A_WEEK), 2),
            "user_id": customer,
            "user_title": "Mrs",
            "user_dob": "?",
            "user_state": np.array(STATES)[customer % len(STATES)],
            "user_reg_date": "2023-05-16",
            "return": np.where(is_open, "?", returned.astype(int).astype(str)),
        }
    )


def main() -> None:
    """Write the weeks before a day."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--until", type=datetime.date.fromisoformat, default=datetime.date.today())
    parser.add_argument(
        "--weeks", type=int, default=30, help="how many whole weeks before that day"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    this_monday = options.until - datetime.timedelta(days=options.until.weekday())
    for place in range(options.weeks, 0, -1):
        monday = this_monday - place * WEEK
        lines = week_of_orders(monday, options.until)
        lines.to_csv(options.folder / f"{monday}.csv", index=False)
    print(f"{options.weeks} weeks of synthetic order lines: {options.folder}")


if __name__ == "__main__":
    main()
