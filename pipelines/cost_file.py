"""The cost file: what a sale earns, what a return costs, and what an intervention does."""

from pathlib import Path

from data.sections import Faults, Section
from data.validation import Fault, InputError
from data.yaml_document import read_yaml
from returns.costs import Costs

PAGE = "docs/decisions.md"
_AMOUNTS = ("margin", "return_cost")
_OF_INTERVENTION = {
    "cost": "intervention_cost",
    "returns_kept": "returns_kept",
    "returns_not_ordered": "returns_not_ordered",
    "sales_lost": "sales_lost",
}


def read_costs(path: Path) -> Costs:
    """Read a cost file; `docs/decisions.md` tells what its keys mean.

    Args:
        path: The YAML file.

    Raises:
        InputError: The file cannot be read or says something impossible; carries all faults.
    """
    document, repeated = read_yaml(path, "Check --costs")
    faults = Faults(str(path), "the costs", PAGE)
    faults.found += repeated
    whole = Section("", document, faults)
    currency = whole.text("currency") or "EUR"
    amounts = {name: _number(whole, name) for name in _AMOUNTS}
    intervention = whole.section("intervention")
    whole.required("intervention")
    effects = {name: _number(intervention, key) for key, name in _OF_INTERVENTION.items()}
    intervention.end()
    whole.end()
    if faults.found:
        raise InputError(faults.found)
    try:
        return Costs(**amounts, **effects, currency=currency)
    except ValueError as error:
        raise InputError([Fault(str(path), str(error), f"{PAGE} tells what it means")]) from error


def _number(section: Section, key: str) -> float:
    section.required(key)
    return section.number(key) or 0.0
