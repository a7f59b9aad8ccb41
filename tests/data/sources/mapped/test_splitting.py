import hashlib

import numpy as np
import pyarrow as pa
import pytest

from data.sources.mapped.description import SplitBy, SplitMapping
from data.sources.mapped.splitting import assign_splits
from data.validation import InputError


def _split(keys: list, validation: float = 0.1, test: float = 0.2) -> list[str]:
    mapping = SplitMapping(SplitBy.CUSTOMER, validation_share=validation, test_share=test)
    parts, days = assign_splits(pa.table({"customer_key": keys}), mapping, "lines.csv")
    assert days == {}
    return parts.to_pylist()


def test_customers_are_split_by_their_md5_whole_and_in_the_asked_shares() -> None:
    keys = [f"customer {number % 4000}" for number in range(6000)]
    parts = _split(keys)
    part_of = dict(zip(keys, parts, strict=True))
    assert [part_of[key] for key in keys] == parts
    shares = {name: list(part_of.values()).count(name) / 4000 for name in set(parts)}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.03)
    for key, part in list(part_of.items())[:50]:
        place = int.from_bytes(hashlib.md5(key.encode()).digest()[8:], "little") / 2**64
        assert part == ("test" if place < 0.2 else "validation" if place < 0.3 else "train")


def test_a_customer_s_part_does_not_depend_on_who_else_is_there() -> None:
    keys = list(range(500))
    part_of = dict(zip(keys, _split(keys), strict=True))
    chosen = np.random.default_rng(0).permutation(keys)[:250].tolist()
    assert _split(chosen) == [part_of[key] for key in chosen]


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(InputError, match=r"lines\.csv: no row would be"):
        _split([1, 1, 1])
