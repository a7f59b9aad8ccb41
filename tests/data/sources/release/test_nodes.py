from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.sources.release.checking import Rows, check
from data.sources.release.layout import CUSTOMER_NODES, PRODUCT_NODES
from data.sources.release.nodes import CUSTOMERS, VARIANTS, customer_rows, variant_rows
from data.sources.release.reading import raw_table_of_frame

Frames = dict[str, pd.DataFrame]


def customers(frame: pd.DataFrame) -> Rows:
    raw = raw_table_of_frame(frame, "customer_nodes_training.p", CUSTOMER_NODES)
    return customer_rows(check(raw, CUSTOMER_NODES), "training")


def variants(frame: pd.DataFrame) -> Rows:
    raw = raw_table_of_frame(frame, "product_nodes_testing.p", PRODUCT_NODES)
    return variant_rows(check(raw, PRODUCT_NODES), "testing")


def test_schema_and_period(release: Frames) -> None:
    table, counts = customers(release["customer_nodes_training"])
    assert table.schema.equals(CUSTOMERS, check_metadata=True)
    assert set(table["period"].to_pylist()) == {"training"}
    assert all(name.endswith("_training") and number == 0 for name, number in counts.items())
    table, _ = variants(release["product_nodes_testing"])
    assert table.schema.equals(VARIANTS, check_metadata=True)
    assert set(table["period"].to_pylist()) == {"testing"}


def test_years_of_birth(release: Frames) -> None:
    frame = release["customer_nodes_training"].head(8).astype({"yearOfBirth": float})
    frame["yearOfBirth"] = [1900, 1900, 1899, 1901, 2011, 2012, 30000, np.nan]
    table, counts = customers(frame)
    assert table["year_of_birth"].to_pylist() == [None, None, None, 1901, 2011, None, None, None]
    assert counts["unknown_birth_years_training"] == 2
    assert counts["impossible_birth_years_training"] == 3


@pytest.mark.parametrize(("raw", "name"), [("isMale", "is_male"), ("premier", "premier")])
def test_flags(release: Frames, raw: str, name: str) -> None:
    frame = release["customer_nodes_training"].head(5).astype({raw: float})
    frame[raw] = [0, 1, 2, -1, np.nan]
    table, counts = customers(frame)
    assert table[name].to_pylist() == [0, 1, None, None, None]
    assert counts[f"impossible_{name}_training"] == 2


def test_the_two_columns_d_are_told_apart(release: Frames) -> None:
    frame = release["customer_nodes_training"]
    columns = [position for position, name in enumerate(frame.columns) if name.endswith("code_D")]
    table, _ = customers(frame)
    assert len(columns) == 2
    for name, position in zip(("d", "d2"), columns, strict=True):
        expected = frame.iloc[:, position].tolist()
        assert table[f"customer_return_code_{name}"].to_pylist() == expected


def test_one_hot_columns_are_compared(release: Frames) -> None:
    frame = release["customer_nodes_training"]
    frame.loc[[3, 5], [f"Country_{letter}" for letter in "ABCDEFGHI"]] = 0
    _, counts = customers(frame)
    assert counts["shipping_country_one_hot_mismatches_training"] == 2
    assert counts["shipping_country_shifted_letters_training"] == 0


def test_shift_of_product_types_is_recognised(
    release_maker: Callable[..., Frames],
) -> None:
    frame = release_maker(0, 1500)["product_nodes_testing"]
    assert {"Jeans", "productType_J"} <= set(frame["productType"])
    assert "Pull&Bear" in set(frame["brandDesc"])
    _, counts = variants(frame)
    assert counts["product_type_one_hot_mismatches_testing"] == 0
    assert counts["product_type_shifted_letters_testing"] == len("DEFGHIJ")
    assert counts["brand_one_hot_mismatches_testing"] == 0
    assert counts["brand_shifted_letters_testing"] == 0


def test_top_return_reason(release: Frames) -> None:
    frame = release["product_nodes_testing"].head(4)
    shares = np.zeros((4, 13))
    shares[0, 0] = 1
    shares[1, [3, 5]] = [0.4, 0.6]
    shares[2, [10, 12]] = 0.5
    codes = [position for position, name in enumerate(frame.columns) if "return_code" in name]
    frame.isetitem(codes, pd.DataFrame(shares, index=frame.index))
    table, _ = variants(frame)
    assert table["top_return_reason"].to_pylist() == ["A", "D2", "J", None]
    assert pa.types.is_string(table["top_return_reason"].type)
