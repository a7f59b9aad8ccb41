"""What a decision about an order line costs, and from which probability on it pays.

A shop may intervene before an order line is shipped: show a size hint, ask back, charge for the
return. An intervention costs something; it turns some of the returns to come into kept sales or
into sales never made, and drives some of the sales away that would have been kept. All of this is
linear in the probability of a return, so one threshold separates the lines where it pays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

LINES = 1000
"""Money is told for as many order lines."""


@dataclass(frozen=True)
class Costs:
    """Averages over order lines, in one currency, and the effect of an intervention.

    Attributes:
        margin: Earned on a line that is kept.
        return_cost: Of a line that comes back: carriage, handling, loss of value.
        intervention_cost: Of intervening on one line, whatever comes of it.
        returns_kept: Share of the returns that an intervention turns into kept sales.
        returns_not_ordered: Share of the returns whose order an intervention forestalls.
        sales_lost: Share of the sales otherwise kept that an intervention drives away.
        currency: Name of the currency.
    """

    margin: float
    return_cost: float
    intervention_cost: float
    returns_kept: float
    returns_not_ordered: float
    sales_lost: float
    currency: str = "EUR"

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: An amount is negative, a share is outside [0, 1], or intervening costs
                more than it can save on any line; tells all such faults.
        """
        found = _faults(self)
        if found:
            raise ValueError("; ".join(found))

    @property
    def saved_on_return(self) -> float:
        """Saved by intervening on a line that would come back, the intervention not yet paid."""
        prevented = self.returns_kept + self.returns_not_ordered
        return prevented * self.return_cost + self.returns_kept * self.margin

    @property
    def lost_on_sale(self) -> float:
        """Lost by intervening on a line that would be kept, the intervention not yet paid."""
        return self.sales_lost * self.margin

    @property
    def threshold(self) -> float:
        """Probability of a return from which on intervening saves money; above 1 if it never does.

        Where p * saved_on_return = (1 - p) * lost_on_sale + intervention_cost.
        """
        paid = self.lost_on_sale + self.intervention_cost
        at_stake = self.saved_on_return + self.lost_on_sale
        return paid / at_stake if at_stake > 0 else np.inf

    def saving(self, returned: np.ndarray, intervened: np.ndarray) -> np.ndarray:
        """Money that decisions save on each line, `(num_events,)`.

        Args:
            returned: 1 returned, 0 kept without an intervention, or the probability of a return,
                `(num_events,)`.
            intervened: Whether it is decided to intervene on the line, bool `(num_events,)`.
        """
        returned = np.asarray(returned, np.float64)
        each = (
            returned * self.saved_on_return
            - (1 - returned) * self.lost_on_sale
            - self.intervention_cost
        )
        return np.where(intervened, each, 0.0)


_SHARES = ("returns_kept", "returns_not_ordered", "sales_lost")


def _faults(costs: Costs) -> list[str]:
    amounts = [field.name for field in fields(costs) if field.name not in (*_SHARES, "currency")]
    faults = _outside(costs, amounts, np.inf, "must be an amount of at least 0")
    faults += _outside(costs, _SHARES, 1.0, "must be a share from 0 to 1")
    if not faults and costs.returns_kept + costs.returns_not_ordered > 1:
        faults.append("returns_kept and returns_not_ordered together must be at most 1")
    if not faults and costs.threshold > 1:
        faults.append(
            "intervention_cost must be below what an intervention saves on a sure return, "
            f"{costs.saved_on_return:g} {costs.currency}: else it never pays"
        )
    return faults


def _outside(costs: Costs, names: Sequence[str], largest: float, message: str) -> list[str]:
    values = {name: getattr(costs, name) for name in names}
    return [
        f"{name} is {value:g}, but {message}"
        for name, value in values.items()
        if not 0 <= value <= largest or np.isinf(value)
    ]
