from dataclasses import replace

import numpy as np
import pytest

from returns.event_set import FeatureMatrix
from returns.layout import FeatureLayout, code_matrix, feature_chunks


def small_matrix() -> FeatureMatrix:
    return FeatureMatrix(
        numeric=np.array([[1.5, np.nan], [2.0, 4.0], [0.0, 1.0]], np.float32),
        categorical=np.array([[0, -1], [2, 1], [-1, 0]], np.int32),
        numeric_names=("price", "age"),
        categorical_names=("country", "brand"),
        levels=(("A", "B", "C"), ("x", "y")),
    )


def test_unknown_codes_become_nan_beside_the_numbers() -> None:
    matrix = code_matrix(small_matrix())
    expected = [[1.5, np.nan, 0, np.nan], [2, 4, 2, 1], [0, 1, np.nan, 0]]
    np.testing.assert_array_equal(matrix, np.array(expected, np.float32))
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous


def test_chunks_cover_every_row_once() -> None:
    features = small_matrix()
    chunks = list(feature_chunks(features, 2))
    assert [len(chunk) for chunk in chunks] == [2, 1]
    np.testing.assert_array_equal(
        np.concatenate([chunk.categorical for chunk in chunks]), features.categorical
    )
    assert FeatureLayout.of(chunks[1]) == FeatureLayout.of(features)


def test_a_layout_survives_json() -> None:
    layout = FeatureLayout.of(small_matrix())
    assert FeatureLayout.from_json(layout.to_json()) == layout


def test_a_layout_accepts_its_own_features_and_no_rows() -> None:
    features = small_matrix()
    layout = FeatureLayout.of(features)
    layout.require(features)
    layout.require(
        replace(features, numeric=features.numeric[:0], categorical=features.categorical[:0])
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"numeric_names": ("age", "price")}, "order or kind"),
        ({"numeric_names": ("price", "weight")}, "missing \\['age'\\], unknown \\['weight'\\]"),
        ({"levels": (("A", "C", "B"), ("x", "y"))}, "levels of feature 'country'"),
        ({"categorical": np.array([[3, 0]] * 3, np.int32)}, "'country' has a code"),
        ({"categorical": np.array([[0, -2]] * 3, np.int32)}, "'brand' has a code"),
    ],
)
def test_a_layout_refuses_other_features(changed: dict[str, object], message: str) -> None:
    features = small_matrix()
    with pytest.raises(ValueError, match=message):
        FeatureLayout.of(features).require(replace(features, **changed))  # type: ignore[arg-type]
