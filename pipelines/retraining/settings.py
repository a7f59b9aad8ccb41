"""What a retraining reads, trains and allows: the options that its result depends on."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from data.sources.base import Options
from data.sources.orders import Orders, orders_mapping
from data.sources.tables import Tables
from data.validation import Fault, InputError
from pipelines.cost_file import read_costs
from pipelines.hyperparameter_file import read_hyperparameters
from pipelines.model_arguments import ModelName, model_faults


@dataclass(frozen=True)
class Settings:
    """Options of a retraining that its result depends on."""

    source: Literal["orders", "tables"] = "orders"
    """orders (dated order lines in the columns of the Data Mining Cup 2014), tables (your own, with
    a mapping). Order lines need a date and a key of their own."""
    path: str | None = None
    """Order lines: a file, a folder, or a pattern in quotes such as 'incoming/**/*.parquet'. Files
    read before are known by their content and not read again; a later one corrects an earlier."""
    mapping: Path | None = None
    """YAML file that says what the columns are, for source tables; tables of customers and variants
    lie beside it."""
    models: tuple[ModelName, ...] = ("lightgbm", "gnn")
    """Models to train; the one of the best validation cross-entropy challenges the champion."""
    epochs: int | None = None
    """Epochs of the neural models (default: each model's own)."""
    hyperparameters: Path | None = None
    """JSON file {model: {name: value}}, such as `tune` writes."""
    costs: Path | None = None
    """YAML file of costs (docs/decisions.md); its threshold takes the place of the one of largest
    F1."""
    seed: int = 0
    """Seed of the models and the bootstrap."""
    label_delay_days: int = 14
    """Days that an order may be returned in; until they are over its label is unknown."""
    validation_days: int = 28
    """Days of orders that calibrate, and choose between models."""
    test_days: int = 28
    """Days of the latest labelled orders, on which challenger and champion are compared."""
    most_rejected: float = 0.05
    """Largest share of a file's rows that may be set aside, until a cycle has learned from it."""
    volume_factor: float = 4.0
    """How many times fewer or more order lines a new week may have than the median week."""

    def tables(self) -> Tables:
        """Reader of the order lines and the node tables.

        Raises:
            InputError: The mapping is wrong, or the order lines have no date or no key.
        """
        if self.mapping is None:
            return Tables(orders_mapping())
        tables = Tables(self.mapping)
        events, faults = tables.mapping.events, []
        for key, why in (
            ("time", "the order date parts the data"),
            ("row_id", "a key of the order line lets later files correct earlier ones"),
            ("returned", "the label is what is learned"),
        ):
            if getattr(events, key) is None:
                faults.append(Fault(str(self.mapping), f"events have no `{key}`: {why}", "Name it"))
        if faults:
            raise InputError(faults)
        return tables

    def reader_options(self, tables: Tables) -> Options:
        """Options that a model needs to read new order lines."""
        return Orders(Path()).options if self.mapping is None else tables.options

    def check(self) -> None:
        """See that the options can be.

        Raises:
            InputError: Carries all faults.
        """
        faults = model_faults(self.models)
        if self.path is None:
            faults.append(Fault("--path", "no order lines are named", "Give file, folder, pattern"))
        if (self.source == "tables") != (self.mapping is not None):
            message = "source tables needs a mapping, source orders has its own"
            faults.append(Fault("--mapping", message, "Give both --source tables and --mapping"))
        for name, least in (("epochs", 1), ("validation_days", 1), ("test_days", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                faults.append(Fault(f"--{name}".replace("_", "-"), f"{value} is too few", "Give 1"))
        if self.label_delay_days < 0:
            faults.append(Fault("--label-delay-days", "a label is never early", "Use 0 or more"))
        if not 0 <= self.most_rejected <= 1:
            faults.append(Fault("--most-rejected", "this is no share", "Use 0 to 1"))
        if self.volume_factor <= 1:
            faults.append(Fault("--volume-factor", "every week would be refused", "Use over 1"))
        for read, path in ((read_hyperparameters, self.hyperparameters), (read_costs, self.costs)):
            if path is not None:
                try:
                    read(path)
                except InputError as error:
                    faults += error.faults
        if faults:
            raise InputError(faults)

    def model_hyperparameters(self) -> dict[str, dict[str, Any]]:
        """Hyper-parameters of each model in the file, if there is one."""
        return {} if self.hyperparameters is None else read_hyperparameters(self.hyperparameters)

    def identity(self) -> dict[str, Any]:
        """What a result depends on beside the order lines, as JSON values; contents, not paths."""
        content = asdict(self)
        for name in ("path", "mapping", "most_rejected", "volume_factor"):
            content.pop(name)
        content["hyperparameters"] = self.model_hyperparameters()
        content["costs"] = None if self.costs is None else asdict(read_costs(self.costs))
        return content
