"""Compares pruning methods on a trained predictor, and keeps one pruned network as a model."""

from dataclasses import replace

from rich.console import Console

from pipelines import tracking
from pipelines.compression_study.comparison import EXPERIMENT, Comparison, Reported, compare
from pipelines.compression_study.measuring import Plan
from pipelines.compression_study.predictor import PredictorStudy
from pipelines.compression_study.profiles import PredictorProfile, ProfileName
from pipelines.compression_study.pruned_predictor import chosen_row, log_pruned
from pipelines.compression_study.trained_predictor import open_predictor
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display
from pipelines.source_arguments import described

DIFFERENCE = "test {} less the dense network's, with 95 % interval"

REPORTED = (
    Reported("test_cross_entropy", "test cross-entropy in nats"),
    Reported("test_f1", "test F1"),
    Reported("test_f1_at_threshold", "test F1 at threshold"),
    Reported("test_cross_entropy_difference", DIFFERENCE.format("cross-entropy"), 1.0, True),
    Reported("test_f1_difference", DIFFERENCE.format("F1"), 1.0, True),
    Reported("test_f1_at_threshold_difference", DIFFERENCE.format("F1 at threshold"), 1.0, True),
)


def prune_predictor(
    uri: str, name: ProfileName, profile: PredictorProfile, home: Home, console: Console
) -> None:
    """Compare methods on a predictor's network; log the one that validation events choose.

    Args:
        uri: MLflow model URI of a `gnn` or `mlp` that `train` logged.
        name: Of the profile.
        profile: Which cells, and how networks are fine-tuned.
        home: Where the predictor's dataset lies, and cells and tables are kept.
        console: Told of progress and results.

    Raises:
        InputError: There is no such model, it is no network, or its dataset is not here.
    """
    tracking.connect(home, EXPERIMENT)
    with progress_display(console) as progress:
        trained = open_predictor(uri, home, ProgressReporter(progress))
        study = PredictorStudy.of(trained, _num_events(profile.plan))
    subject = f"{trained.name} on {described(trained.predictor.source)}"
    tags = {
        "study": "predictor",
        "profile": name,
        "protocol": trained.predictor.preparation.protocol.value,
        "source": trained.predictor.source,
        "model": trained.name,
    }
    if trained.learned_validation:
        console.print(
            "the model was refitted on its validation events: they still choose the settings, but "
            "its calibration stays as it is"
        )
    pruned = Comparison(
        name=f"predictor-{trained.name}-{trained.predictor.source}-{name}",
        title=f"{subject}, no fine-tuning",
        study=study,
        plan=profile.plan,
        dense=study.dense_figures(),
        reported=REPORTED,
        tags=tags,
        cells="predictor",
    )
    studies = [study, replace(study, fine_tuning=profile.fine_tuning)]
    fine_tuned = replace(
        pruned,
        name=f"{pruned.name}-fine-tuned",
        title=f"{subject}, {profile.fine_tuning.steps} steps of distillation after each stage",
        study=studies[1],
        plan=replace(
            profile.plan,
            sparsities=profile.fine_tuned_sparsities,
            stages=(profile.fine_tuning.stages,),
            seeds=profile.plan.seeds[:1],
            choose_at_once=True,
        ),
    )
    frames = [compare(comparison, home, console) for comparison in (pruned, fine_tuned)]
    row = chosen_row(frames, pruned.dense)
    log_pruned(studies[row["frame"]], row, profile.plan.seeds[0], tags, console)


def _num_events(plan: Plan) -> int:
    """Events for every setting, half as many again: what fills no whole group is left out."""
    samples = [
        sample
        for grid in (plan.grid, plan.stage_grid)
        for sample in (*grid.samples, *grid.exact_samples)
    ]
    return 3 * max(number * group for number, group in samples) // 2
