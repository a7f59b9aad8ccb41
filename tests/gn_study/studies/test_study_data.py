"""Parts that fit each other, and those that do not."""

import pytest
import torch

from gn_study.studies.study_data import Part, StudyData, even_width


def part(number: int = 3, width: int = 2) -> Part:
    return Part(torch.ones(number, width), torch.zeros(number, dtype=torch.int64))


def test_first_samples_and_kind_of_targets() -> None:
    data = StudyData("some", part(5), part(4), part(3), 2)
    assert len(data.train.first(2)) == 2
    assert len(data.train.first(9)) == 5
    assert (data.width, data.is_classification) == (2, True)
    values = Part(torch.ones(3, 2), torch.zeros(3, 1))
    assert not StudyData("values", values, values, values, 1).is_classification


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (part(0), "the test part has no samples"),
        (Part(torch.ones(2, 2), torch.zeros(1, dtype=torch.int64)), "lacks targets"),
        (part(3, width=4), "another width"),
        (Part(torch.full((1, 2), torch.nan), torch.zeros(1, dtype=torch.int64)), "not all finite"),
    ],
)
def test_parts_that_do_not_fit_are_refused(broken: Part, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StudyData("some", part(), part(), broken, 2)


def test_an_odd_width_gains_a_column_of_zeros() -> None:
    odd = torch.ones(3, 5)
    assert even_width(odd).shape == (3, 6)
    assert even_width(odd)[:, 5].eq(0).all()
    torch.testing.assert_close(even_width(torch.ones(3, 4)), torch.ones(3, 4))
