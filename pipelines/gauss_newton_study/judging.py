"""What the runs say of a claim, by fixed rules.

A claim is judged on each suite by the 95 % Student interval of its figure over seeds (the same
seeds begin, order and project alike for all arms, so differences are paired), and over all suites
as `intervals.combined` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.gauss_newton_study.claim_figures import Figure
from pipelines.gauss_newton_study.data_options import DataName
from pipelines.gauss_newton_study.intervals import Interval, Verdict, combined
from pipelines.gauss_newton_study.suite_result import SuiteResult
from pipelines.gauss_newton_study.suites import Suite


@dataclass(frozen=True)
class Claim:
    """Something that the paper says, and how it is measured here.

    Attributes:
        key: Short name.
        place: Figure or section of the paper.
        statement: What it says.
        measured: The figure in words.
        figure: Its computation.
        full_batch: Whether it is tested on full-batch suites, else on mini-batch ones.
        regression: Whether it is tested on regressions, else on classifications.
        data: Names of the data sets that it is about; empty: all.
        margin: For claims that something does not matter: how much is minimal.
    """

    key: str
    place: str
    statement: str
    measured: str
    figure: Figure
    full_batch: bool = False
    regression: bool = False
    data: tuple[DataName, ...] = ()
    margin: float | None = None

    def concerns(self, suite: Suite) -> bool:
        """Whether a suite is of the kind that the claim is about."""
        return (
            suite.is_full_batch is self.full_batch
            and suite.data.is_regression is self.regression
            and (not self.data or suite.data.name in self.data)
        )


@dataclass(frozen=True)
class Evidence:
    """What one suite says of a claim.

    Attributes:
        suite: Its name.
        interval: Of the figure over seeds.
        verdict: By the claim's rule.
    """

    suite: str
    interval: Interval
    verdict: Verdict


@dataclass(frozen=True)
class Judged:
    """A claim and all that was found of it.

    Attributes:
        claim: The claim.
        evidence: Of each suite that tests it.
    """

    claim: Claim
    evidence: tuple[Evidence, ...]

    @property
    def verdict(self) -> Verdict:
        """Over all suites."""
        return combined([found.verdict for found in self.evidence])


def judge(claim: Claim, results: Sequence[SuiteResult]) -> Judged:
    """Hold a claim against every suite of its kind.

    Args:
        claim: What is said.
        results: Of all suites; those without the arms that it needs are left out.
    """
    evidence = []
    for result in results:
        values = claim.figure(result) if claim.concerns(result.suite) else None
        if values is None:
            continue
        interval = Interval.over_seeds(values)
        verdict = (
            interval.verdict() if claim.margin is None else interval.verdict_within(claim.margin)
        )
        evidence.append(Evidence(result.suite.name, interval, verdict))
    return Judged(claim, tuple(evidence))
