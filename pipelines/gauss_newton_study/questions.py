"""The ablations: what is asked, and what each changed arm does to the arm that it changes."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.gauss_newton_study.claim_figures import log_ratio
from pipelines.gauss_newton_study.intervals import Interval, Verdict
from pipelines.gauss_newton_study.suite_result import SuiteResult

QUESTIONS = {
    "Q1": "Is Gauss-Newton faster on a full batch? Claim `full-batch-speed`.",
    "Q2": "Does it saturate with mini-batches, and is augmentation to blame? Claim `saturation`.",
    "Q3": "What do smaller learning rates change? Claim `slower-rates`.",
    "Q4": "What if another inverse takes the same steps in function space?",
    "Q5": "What do truncation, damping and noise of singular values do?",
    "Q6": "Do kernel and representations stay? Claims `lazy-kernel` and `lazy-features`.",
    "Q7": "What does the true output Hessian change, tuned by itself?",
    "Q8": "What happens where the batch is about as large as the bottleneck is wide?",
    "Q9": "What does the scale of the weights at the beginning change?",
    "Q10": "What if the optimiser is switched half-way?",
    "Q11": "What does the released code's linear first block change?",
    "Q12": "What does label noise change? Claims `test-loss` and `test-accuracy`, noisy suites.",
    "Q13": "What if half-layers are updated one after the other?",
    "F5": "What if there is no inverted bottleneck, tuned by itself?",
    "F6": "What do many times as many epochs change?",
    "F13": "What does weight decay change?",
}
"""Those of the study design, and three of the paper's figures that are none of them."""


@dataclass(frozen=True)
class Answer:
    """What a changed arm does.

    Attributes:
        question: Key of the question.
        suite: Where.
        arm: The changed arm.
        compared_with: The arm that it changes.
        test_loss: ln(changed / unchanged) at the end.
        training_loss: The same of the training loss.
    """

    question: str
    suite: str
    arm: str
    compared_with: str
    test_loss: Interval
    training_loss: Interval

    @property
    def words(self) -> str:
        """Whether the test loss rises or falls, by its interval."""
        match self.test_loss.verdict():
            case Verdict.REPRODUCED:
                return "higher"
            case Verdict.NOT_REPRODUCED:
                return "lower"
            case _:
                return "undecided"


def answers(results: Sequence[SuiteResult]) -> list[Answer]:
    """All changed arms that can be compared with the arm that they change, by question."""
    found = []
    for result in results:
        for arm in result.suite.arms:
            if not arm.question or arm.compared_with == arm.name:
                continue
            test, training = (
                log_ratio(arm.name, arm.compared_with, column)(result)
                for column in ("test_loss", "train_loss")
            )
            if test is not None and training is not None:
                found.append(
                    Answer(
                        arm.question,
                        result.suite.name,
                        arm.name,
                        arm.compared_with,
                        Interval.over_seeds(test),
                        Interval.over_seeds(training),
                    )
                )
    order = list(QUESTIONS)
    return sorted(found, key=lambda answer: order.index(answer.question))
