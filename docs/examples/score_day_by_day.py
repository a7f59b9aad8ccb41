"""Score a month of labelled order lines at once, and day by day, with the same model.

    python docs/examples/score_day_by_day.py models:/m-ID orders.csv --from 2013-02-01

At once, the model knows no outcome from the first day on. Day by day it knows those of all days
before, as if every parcel's fate were known the next morning: the most that fresher labels could
be worth. The model must remember the month's labels, as `train` makes it for dated orders. Those of
the days that it scores, and later ones, it never uses.
"""

import argparse
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score


def main() -> None:
    """Print cross-entropy and ROC AUC of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="MLflow URI of a model")
    parser.add_argument("orders", type=Path, help="CSV file in the columns of source `orders`")
    parser.add_argument("--from", dest="first_day", required=True, help="YYYY-MM-DD")
    parser.add_argument(
        "--tracking-uri", default="sqlite:///artifacts/mlflow.db", help="where the model is logged"
    )
    arguments = parser.parse_args()
    mlflow.set_tracking_uri(arguments.tracking_uri)
    model = mlflow.pyfunc.load_model(arguments.model)
    orders = pd.read_csv(arguments.orders, dtype=str)
    month = orders[orders["order_date"] >= arguments.first_day]
    at_once = model.predict(month)
    day_by_day = pd.concat(model.predict(day) for _, day in month.groupby("order_date"))
    returned = month.set_index("order_item_id")["return"].astype(int)
    for name, scores in (("at once", at_once), ("day by day", day_by_day)):
        truth = returned.loc[scores["row_id"].astype(str)]
        loss = log_loss(truth, scores["probability"])
        area = roc_auc_score(truth, scores["probability"])
        print(f"{name:10} {len(truth):,} lines: cross-entropy {loss:.4f}, ROC AUC {area:.4f}")


if __name__ == "__main__":
    main()
