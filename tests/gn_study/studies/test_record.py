"""Columns of rows with different names."""

import math

from gn_study.studies.record import Columns


def test_what_a_row_lacks_is_not_a_number() -> None:
    columns = Columns()
    columns.append({"a": 1})
    columns.append({"b": 2, "a": 3})
    columns.append({"b": 4})
    assert columns.values["a"][:2] == [1.0, 3.0]
    assert math.isnan(columns.values["a"][2])
    assert math.isnan(columns.values["b"][0])
    assert columns.values["b"][1:] == [2.0, 4.0]
