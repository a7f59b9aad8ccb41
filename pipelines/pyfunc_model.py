"""The MLflow face of a trained predictor, logged as code: no pickle is written or read.

MLflow runs this file when it loads a model; the packages `data` and `returns` travel with it.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from data.sources.registry import reader
from returns.predictor import ReturnPredictor


class ReturnsModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Scores order lines in the columns of the source that the model was trained on."""

    def load_context(self, context: Any) -> None:
        """Read the predictor from the model's artifacts."""
        self.predictor = ReturnPredictor.load(Path(context.artifacts["predictor"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score order lines.

        Args:
            context: Unused.
            model_input: Order lines as the source has them; label optional and ignored.
            params: Unused.

        Returns:
            `row_id`, `probability` and `decision`, one row per order line that can be scored.
        """
        source = reader(self.predictor.source, self.predictor.options)
        scores = self.predictor.score(source.tables_from_frame(model_input))
        frame: pd.DataFrame = scores.to_pandas()
        return frame


mlflow.models.set_model(ReturnsModel())
