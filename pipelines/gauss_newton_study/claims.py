"""The paper's claims as figures that are positive, seed by seed, where a claim holds."""

from pipelines.gauss_newton_study.arms import (
    ADAM,
    DAMPED,
    GN,
    INITIAL,
    NO_BOTTLENECK,
    NOISE,
    SGD,
    SLOWER,
    TRUNCATED,
)
from pipelines.gauss_newton_study.claim_figures import (
    at_equal_loss,
    difference,
    gap_of_updates,
    later_blocks_first,
    least_of_all,
    least_rival,
    log_ratio,
    logarithm,
    mean_cka,
    nearer_to_sgd,
    no_late_progress,
)
from pipelines.gauss_newton_study.judging import Claim
from pipelines.gauss_newton_study.suite_result import (
    EARLY,
    LATE,
    after_epoch,
    at_end,
    mean_log,
    mean_of_steps,
)

MARGIN = 0.05
"""A change of the loss by less than 5 % counts as minimal (figure 13's claim)."""

CLAIMS = (
    Claim(
        "full-batch-speed", "Fig. 1",
        "On a full batch GN's training loss falls much faster than SGD's and Adam's",
        "mean over epochs of ln(training loss): the lower of SGD's and Adam's minus GN's",
        least_rival(mean_log("train_loss")), full_batch=True,
    ),
    Claim(
        "first-progress", "Fig. 2",
        "With mini-batches GN makes the best progress at first",
        "ln(training loss) after the first epoch: the lower of SGD's and Adam's minus GN's",
        least_rival(logarithm(after_epoch("train_loss", 1))),
    ),
    Claim(
        "saturation", "Fig. 2",
        "GN's training loss saturates; Adam's ends below it",
        "ln(GN's / Adam's training loss) at the end",
        log_ratio(GN, ADAM, "train_loss"),
    ),
    Claim(
        "sgd-overtakes", "Fig. 2",
        "On CIFAR-10 SGD's training loss, too, ends below GN's",
        "ln(GN's / SGD's training loss) at the end",
        log_ratio(GN, SGD, "train_loss"), data=("cifar10",),
    ),
    Claim(
        "test-loss", "Fig. 2",
        "GN generalises worse: its test loss ends above Adam's",
        "ln(GN's / Adam's test loss) at the end",
        log_ratio(GN, ADAM, "test_loss"),
    ),
    Claim(
        "test-accuracy", "Fig. 2",
        "GN generalises worse: its test accuracy ends below Adam's",
        "Adam's minus GN's test accuracy at the end",
        difference(ADAM, GN, at_end("test_accuracy")),
    ),
    Claim(
        "same-batch", "Fig. 3",
        "An update of GN lowers the loss of its own batch far more than one of SGD or Adam",
        "percentage change of the same batch, first sixth: the lower of SGD's and Adam's minus "
        "GN's, percentage points",
        least_rival(mean_of_steps("same", *EARLY)),
    ),
    Claim(
        "same-batch-late", "Fig. 3",
        "That difference persists after the loss has saturated",
        "the same in the last third, against Adam",
        difference(ADAM, GN, mean_of_steps("same", *LATE)),
    ),
    Claim(
        "over-fits-batches", "Sec. 5.2",
        "GN over-fits each mini-batch (measured here, argued there)",
        "change of another batch minus that of the same one, GN's minus Adam's, whole training, "
        "percentage points",
        difference(GN, ADAM, gap_of_updates),
    ),
    Claim(
        "lazy-kernel", "Fig. 4",
        "GN's tangent kernel stays nearer to its beginning than Adam's",
        "exact kernel alignment with the beginning at the end, GN's minus Adam's",
        difference(GN, ADAM, at_end("ntk_similarity")),
    ),
    Claim(
        "lazy-kernel-matched", "Fig. 4",
        "The same when both have lowered the training loss equally far",
        "the same at the first epoch at which each has reached the higher of their two final "
        "training losses",
        at_equal_loss(GN, ADAM, "ntk_similarity"),
    ),
    Claim(
        "lazy-features", "Fig. 4, 10",
        "GN's representations stay nearer to their beginning than Adam's",
        "debiased CKA with the beginning, mean over blocks, GN's minus Adam's",
        difference(GN, ADAM, mean_cka),
    ),
    Claim(
        "later-blocks-first", "Fig. 4, 10",
        "Adam's later blocks depart from their beginning more than its first",
        "Adam's CKA with the beginning, first block's minus last block's",
        later_blocks_first,
    ),
    Claim(
        "no-bottleneck", "Fig. 5",
        "Without inverted bottleneck GN still ends above Adam",
        "ln(GN's / Adam's training loss) at the end, both without bottleneck",
        log_ratio(GN + NO_BOTTLENECK, ADAM + NO_BOTTLENECK, "train_loss"),
    ),
    Claim(
        "no-late-progress", "Fig. 6",
        "Many more epochs do not lower GN's training loss",
        "ln of GN's least training loss in the second half over that in the first half, long runs",
        no_late_progress,
    ),
    Claim(
        "adam-then-gn", "Fig. 7",
        "Going on with GN where Adam was ends above going on with Adam",
        "ln(training loss of Adam then GN / Adam then Adam)",
        log_ratio(f"{ADAM} then {GN}", f"{ADAM} then {ADAM}", "train_loss"),
    ),
    Claim(
        "gn-then-adam", "Fig. 7",
        "Going on with Adam where GN was ends below going on with GN",
        "ln(training loss of GN then GN / GN then Adam)",
        log_ratio(f"{GN} then {GN}", f"{GN} then {ADAM}", "train_loss"),
    ),
    Claim(
        "larger-init", "Fig. 8",
        "GN gains from larger weights at the beginning",
        "ln(GN's training loss from 1e-6 / from 1e-2)",
        log_ratio("GN, init 1e-06", "GN, init 0.01", "train_loss"),
    ),
    Claim(
        "any-init", "Fig. 8",
        "With any of these beginnings GN ends above Adam",
        "ln(least training loss of GN over all beginnings / Adam's)",
        least_of_all((GN,), f"{GN}{INITIAL}"),
    ),
    Claim(
        "weights-move", "Fig. 9",
        "GN turns the weights away from their beginning more than SGD",
        "cosine with the beginning, SGD's minus GN's",
        difference(SGD, GN, at_end("weight_cosine")),
    ),
    Claim(
        "near-sgd", "Fig. 11",
        "GN's representations are nearer to SGD's than to Adam's",
        "CKA at the end, GN with SGD minus GN with Adam, mean over blocks",
        nearer_to_sgd,
    ),
    Claim(
        "slower-rates", "Fig. 12",
        "Smaller learning rates do not remove the saturation",
        "ln(least training loss of GN over rates x 1, 0.1, 0.01 / Adam's)",
        least_of_all((GN,), f"{GN}{SLOWER}"),
    ),
    Claim(
        "weight-decay", "Fig. 13",
        "Weight decay has little effect on GN",
        "ln(test loss with decay 1e-3 / without), minimal if within 0.05",
        log_ratio("GN, weight decay 0.001", GN, "test_loss"), margin=MARGIN,
    ),
    Claim(
        "damping", "Fig. 14",
        "Damping singular values is slightly better than truncating them",
        "ln(test loss truncated / damped)",
        log_ratio(GN, DAMPED, "test_loss"),
    ),
    Claim(
        "noise", "Fig. 14",
        "Adding noise to the features instead is worse than truncating",
        "ln(test loss with noise / truncated)",
        log_ratio(NOISE, GN, "test_loss"),
    ),
    Claim(
        "any-regularisation", "Fig. 14",
        "With any of these regularisations GN ends above Adam",
        "ln(least training loss of GN over truncation, damping and noise / Adam's)",
        least_of_all((GN, DAMPED, NOISE), f"{GN}{TRUNCATED}"),
    ),
    Claim(
        "regression-speed", "Fig. 15",
        "In regression on a full batch GN's training loss falls fastest",
        "mean over epochs of ln(training loss): the lower of SGD's and Adam's minus GN's",
        least_rival(mean_log("train_loss")), full_batch=True, regression=True,
    ),
    Claim(
        "regression-saturation", "Fig. 15",
        "In regression with mini-batches GN stagnates above Adam",
        "ln(GN's / Adam's training loss) at the end",
        log_ratio(GN, ADAM, "train_loss"), regression=True,
    ),
)  # fmt: skip
