"""Compare pruning methods: second-order curvature, learned or not, each at its best setting.

Every method's damping and sample size are chosen on training images held out, or validation
events, from grids of one size; only then are the chosen ones measured with several seeds on the
test data. Each cell of the tables, but for those of quantisation, is kept under --home as it is
measured: the same command run again goes on where it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from compression.studies.methods import METHODS
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.command import run_command
from pipelines.compression_study import quantisation, resnet18
from pipelines.compression_study.comparison import ACCURACY, Comparison, compare
from pipelines.compression_study.measuring import Plan
from pipelines.compression_study.mlpnet import MLPNetStudy
from pipelines.compression_study.predictor_comparison import prune_predictor
from pipelines.compression_study.profiles import MLPNET, PREDICTOR, RESNET18, ProfileName
from pipelines.exclusive import exclusive
from pipelines.home import Home

StudyName = Literal["mlpnet", "quantisation", "resnet18", "predictor"]


@dataclass(frozen=True)
class Arguments:
    """Options of `compress`."""

    images: Path | None = None
    """Folder of MNIST, or of CIFAR-10 for resnet18, as torchvision's `root`."""
    study: StudyName = "mlpnet"
    """mlpnet: the published MLPNet on MNIST, pruned without fine-tuning. quantisation: the same
    network in 8 to 2 bits, dense and pruned, measured in one go. resnet18: ResNet-18 on CIFAR-10,
    trained here first, pruned without fine-tuning and with a short one. predictor: a trained return
    predictor (gnn or mlp), pruned by its own F1 and cross-entropy, at once and gradually while it
    learns on from the dense one; the best is logged as a model like any other."""
    checkpoint: Path | None = None
    """File of the dense MLPNet of the WoodFisher code (`mlpnet_mnist_93.97.ckpt`)."""
    model: str | None = None
    """MLflow model URI of the predictor: runs:/RUN_ID/model, models:/m-ID or
    models:/returns@champion. Its dataset must be under --home."""
    profile: ProfileName = "smoke"
    """smoke: under 2 minutes, a few small cells. cpu: hours on two cores. full: more stages and
    methods, longer training; meant for a GPU."""
    methods: tuple[str, ...] = ()
    """Methods to compare (default: those of the profile)."""
    stages: tuple[int, ...] = ()
    """Numbers of stages to prune in; 1 is at once (default: those of the profile)."""
    sparsities: tuple[float, ...] = ()
    """Shares of weights to remove (default: those of the profile)."""
    seeds: int | None = None
    """Seeds of the final cells (default: those of the profile)."""
    home: Path = Path("artifacts")
    """Folder of all state: datasets, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Measure what is missing, report all."""
    _check(arguments)
    home = Home.prepare(arguments.home)
    home.compression.mkdir(exist_ok=True)
    with exclusive(home.compression / f".{arguments.study}.lock"):
        match arguments.study:
            case "mlpnet":
                compare(_mlpnet(arguments), home, console)
            case "quantisation":
                _quantise(arguments, home, console)
            case "resnet18":
                for comparison in _resnet18(arguments, home, console):
                    compare(comparison, home, console)
            case "predictor":
                _prune_predictor(arguments, home, console)
    console.print(f"compare in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)


def _quantise(arguments: Arguments, home: Home, console: Console) -> None:
    assert arguments.images is not None
    assert arguments.checkpoint is not None
    plan = quantisation.PLANS[arguments.profile]
    seeds = plan.seeds if arguments.seeds is None else tuple(range(arguments.seeds))
    plan = replace(plan, sparsities=arguments.sparsities or plan.sparsities, seeds=seeds)
    study = MLPNetStudy.read(
        arguments.images, arguments.checkpoint, plan.num_images, plan.num_held_out
    )
    quantisation.quantise_mlpnet(study, plan, f"quantisation-{arguments.profile}", home, console)


def _mlpnet(arguments: Arguments) -> Comparison:
    assert arguments.images is not None
    assert arguments.checkpoint is not None
    profile = MLPNET[arguments.profile]
    study = MLPNetStudy.read(
        arguments.images, arguments.checkpoint, profile.num_images, profile.num_held_out
    )
    return Comparison(
        name=f"mlpnet-{arguments.profile}",
        title="MLPNet on MNIST",
        study=study,
        plan=_plan(arguments, profile.plan),
        dense=study.dense_figures(),
        reported=(ACCURACY,),
        tags={"study": "mlpnet", "profile": arguments.profile},
        cells="mlpnet",
    )


def _resnet18(arguments: Arguments, home: Home, console: Console) -> Sequence[Comparison]:
    assert arguments.images is not None
    profile = RESNET18[arguments.profile]
    profile = replace(profile, plan=_plan(arguments, profile.plan))
    if arguments.sparsities:
        profile = replace(profile, fine_tuned_sparsities=arguments.sparsities)
    return resnet18.comparisons(arguments.images, arguments.profile, profile, home, console)


def _prune_predictor(arguments: Arguments, home: Home, console: Console) -> None:
    assert arguments.model is not None
    profile = PREDICTOR[arguments.profile]
    profile = replace(profile, plan=_plan(arguments, profile.plan))
    if arguments.sparsities:
        profile = replace(profile, fine_tuned_sparsities=arguments.sparsities)
    prune_predictor(arguments.model, arguments.profile, profile, home, console)


def _check(arguments: Arguments) -> None:
    """Refuse what no study can start with, all at once."""
    faults = []
    if arguments.study != "predictor" and arguments.images is None:
        message = f"study {arguments.study} needs it"
        faults.append(Fault("--images", message, "Give the folder of MNIST or CIFAR-10"))
    if arguments.study == "predictor" and arguments.model is None:
        remedy = "Give the URI that `train` printed, or models:/returns@champion"
        faults.append(Fault("--model", "study predictor needs it", remedy))
    if arguments.study in ("mlpnet", "quantisation") and arguments.checkpoint is None:
        remedy = "Give the file mlpnet_mnist_93.97.ckpt of the WoodFisher code"
        message = f"{arguments.study} needs the dense checkpoint"
        faults.append(Fault("--checkpoint", message, remedy))
    if arguments.study == "quantisation":
        given = {"--methods": arguments.methods, "--stages": arguments.stages}
        faults += [
            Fault(option, "study quantisation has none to choose from", "Leave the option out")
            for option, values in given.items()
            if values
        ]
    known = ", ".join(METHODS)
    faults += [
        Fault("--methods", f"there is no method '{name}'", f"Choose from {known}")
        for name in arguments.methods
        if name not in METHODS
    ]
    faults += [
        Fault("--stages", f"{stages} is no number of stages", "Use 1 or more")
        for stages in arguments.stages
        if stages < 1
    ]
    faults += [
        Fault("--sparsities", f"{sparsity:g} is no share to remove", "Use 0 or more, below 1")
        for sparsity in arguments.sparsities
        if not 0 <= sparsity < 1
    ]
    if arguments.seeds is not None and arguments.seeds < 1:
        faults.append(Fault("--seeds", f"{arguments.seeds} is too few", "Use 1 or more"))
    if faults:
        raise InputError(faults)


def _plan(arguments: Arguments, plan: Plan) -> Plan:
    """The profile's plan, with what the user named."""
    seeds = plan.seeds if arguments.seeds is None else tuple(range(arguments.seeds))
    return replace(
        plan,
        methods=arguments.methods or plan.methods,
        stages=arguments.stages or plan.stages,
        sparsities=arguments.sparsities or plan.sparsities,
        seeds=seeds,
    )


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
