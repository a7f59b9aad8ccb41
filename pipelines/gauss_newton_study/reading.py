"""Where the data of the studies lie, and how each is read."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from data.dataset import Dataset, ingest, open_dataset
from data.files import digest_file
from data.images import read_images
from data.reporter import Reporter
from data.validation import Fault
from gn_study.studies.study_data import StudyData
from gn_study.studies.teacher import teacher_data
from pipelines.gauss_newton_study.data_options import IMAGE_NAMES, DataOptions
from pipelines.gauss_newton_study.image_data import image_data
from pipelines.gauss_newton_study.parts import with_label_noise
from pipelines.gauss_newton_study.returns_data import returns_data
from pipelines.gauss_newton_study.table_data import (
    digits_data,
    superconductivity_data,
    wine_data,
)
from pipelines.home import Home
from pipelines.source_arguments import SourceArguments, SourceName, described

TEACHER_WIDTH, TEACHER_HIDDEN, TEACHER_CLASSES = 64, 64, 10


@dataclass(frozen=True)
class DataPlaces:
    """Where data are read from.

    Attributes:
        images: Folder of MNIST, Fashion-MNIST and CIFAR-10, see `data.images`.
        superconductivity: CSV file of UCI Superconductivity.
        source: Source of the order lines.
        tables: Where that source's tables are.
        home: Of ingested data sets.
        reporter: Hears of ingesting.
    """

    images: Path | None
    superconductivity: Path | None
    source: SourceName
    tables: SourceArguments
    home: Home
    reporter: Reporter

    def missing(self, options: DataOptions) -> Fault | None:
        """What the user has to name before the data can be read."""
        if options.name in IMAGE_NAMES and self.images is None:
            message = f"{options.name} is read from a folder of images"
            return Fault("--images", message, "Name the folder, or choose other --suites")
        if options.name == "superconductivity" and self.superconductivity is None:
            message = "superconductivity is read from its CSV file"
            return Fault("--superconductivity", message, "Name the file, or choose other --suites")
        return None

    def fingerprint(self, options: DataOptions) -> str:
        """Identity of what is read, where the options do not tell it all."""
        if options.name == "returns":
            return self._orders[1]
        if options.name == "superconductivity":
            assert self.superconductivity is not None
            return digest_file(self.superconductivity).sha256
        return ""

    def read(self, options: DataOptions) -> StudyData:
        """Read a data set and cut it into its parts.

        Raises:
            InputError: The files cannot be used, or hold too few samples.
        """
        return with_label_noise(self._read(options), options)

    def _read(self, options: DataOptions) -> StudyData:
        match options.name:
            case "teacher":
                assert options.train is not None and options.test is not None
                sizes = options.train, options.validation, options.test
                drawn = teacher_data(
                    TEACHER_WIDTH, TEACHER_HIDDEN, TEACHER_CLASSES, sizes, options.seed
                )
                return replace(drawn, name=options.title)
            case "digits":
                return digits_data(options)
            case "wine":
                return wine_data(options)
            case "superconductivity":
                assert self.superconductivity is not None
                return superconductivity_data(options, self.superconductivity)
            case "returns":
                return returns_data(options, self._orders[0], described(self.source))
            case _:
                assert self.images is not None
                return image_data(options, read_images(self.images, options.name))

    @cached_property
    def _orders(self) -> tuple[Dataset, str]:
        """The data set of order lines and its digest."""
        source = self.tables.build(self.source, 0, self.home)
        folder = ingest(source, self.home.datasets, self.reporter)
        dataset, manifest = open_dataset(folder)
        return dataset, manifest.digest
