"""Where things lie: datasets, downloads, MLflow's database and artifacts."""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from data.validation import Fault, InputError

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
"""Variable that names another store than the one in the home."""


@dataclass(frozen=True)
class Home:
    """The folder of all state.

    Attributes:
        root: The folder itself, absolute.
        tracking_uri: MLflow's tracking URI: `MLFLOW_TRACKING_URI` if set, else SQLite in here.
        tracks_here: Whether MLflow's database is the one in here.
    """

    root: Path
    tracking_uri: str
    tracks_here: bool

    @classmethod
    def prepare(cls, root: Path) -> "Home":
        """Make the folder if it is not there, and see that it can be written to.

        Raises:
            InputError: It cannot be made or written to.
        """
        root = root.expanduser().resolve()
        # Read once: MLflow itself sets the variable later.
        elsewhere = os.environ.get(TRACKING_VARIABLE)
        home = cls(root, elsewhere or f"sqlite:///{root / 'mlflow.db'}", not elsewhere)
        probe = home.root / f".probe-{uuid.uuid4().hex[:8]}"
        try:
            home.root.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            remedy = "Make it writable, or name another folder with --home"
            message = f"the home folder cannot be written to ({error.strerror})"
            raise InputError([Fault(str(root), message, remedy)]) from error
        return home

    @property
    def datasets(self) -> Path:
        """Dataset directories."""
        return self.root / "datasets"

    @property
    def synthetic(self) -> Path:
        """Generated twins, in the release's layout."""
        return self.root / "synthetic"

    @property
    def downloads(self) -> Path:
        """Files downloaded from the network."""
        return self.root / "downloads"

    @property
    def tuning_database(self) -> Path:
        """Optuna's database of all searches for hyper-parameters."""
        return self.root / "tuning.db"

    @property
    def hyperparameters(self) -> Path:
        """Hyper-parameters that tuning found."""
        return self.root / "hyperparameters"

    @property
    def ablations(self) -> Path:
        """Predictions of the fits of ablations, and their tables."""
        return self.root / "ablations"

    @property
    def partitions(self) -> Path:
        """Rows of files of order lines that were read before."""
        return self.root / "partitions"

    @property
    def retraining(self) -> Path:
        """State of retraining: its lock, the cycle under way, and what the last one came to."""
        return self.root / "retraining"

    @property
    def gauss_newton(self) -> Path:
        """Finished runs of the study of Gauss-Newton, and its reports."""
        return self.root / "gauss_newton"

    @property
    def benchmarks(self) -> Path:
        """Measurements of benchmarks, and the parts of long ones that are kept."""
        return self.root / "benchmarks"

    @property
    def compression(self) -> Path:
        """Dense networks of the pruning studies, and the cells of their tables."""
        return self.root / "compression"

    @property
    def artifacts(self) -> Path:
        """MLflow artifacts, where MLflow tracks into this home."""
        return self.root / "mlartifacts"
