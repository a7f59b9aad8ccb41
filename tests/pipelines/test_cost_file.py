from pathlib import Path

import pytest

from data.validation import InputError
from pipelines.cost_file import read_costs
from returns.costs import Costs

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "costs.yaml"


def test_the_example_of_the_documentation_is_read():
    assert read_costs(EXAMPLE) == Costs(
        margin=12.0,
        return_cost=7.5,
        intervention_cost=1.0,
        returns_kept=0.08,
        returns_not_ordered=0.12,
        sales_lost=0.03,
        currency="EUR",
    )


def faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "costs.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_costs(path)
    return [str(fault) for fault in caught.value.faults]


def test_all_faults_of_the_keys_are_told_together(tmp_path):
    text = "margin: much\nreturn_cost: 5\nmargins: 3\nintervention: {cost: 1, returns_kept: 0.1}\n"
    found = "\n".join(faults(tmp_path, text))
    for told in (
        "margin: 'much' cannot stand here. Wanted: a number",
        "unknown key 'margins'",
        "intervention: 'returns_not_ordered' is missing. Add it; docs/decisions.md",
        "intervention: 'sales_lost' is missing",
    ):
        assert told in found


def test_a_missing_file_an_empty_one_and_one_of_nonsense(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read .*Check --costs"):
        read_costs(tmp_path / "none.yaml")
    assert "the costs: this is no list of" in faults(tmp_path, "")[0]
    assert "no valid YAML" in faults(tmp_path, "margin: [1")[0]
    assert "stands there twice" in faults(tmp_path, EXAMPLE.read_text() + "margin: 3\n")[0]


def test_impossible_values_are_told_in_one_fault(tmp_path):
    text = EXAMPLE.read_text().replace("0.08", "1.08").replace("12.00", "-12.00")
    (fault,) = faults(tmp_path, text)
    assert "margin is -12" in fault
    assert "returns_kept is 1.08, but must be a share from 0 to 1" in fault
