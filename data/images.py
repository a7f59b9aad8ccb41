"""Image data sets of the studies: MNIST, Fashion-MNIST and CIFAR-10, read from a folder.

Nothing is downloaded. A folder may hold the files as torchvision lays them, with MNIST's idx files
gzipped or not, or CIFAR-10 as ten-thousand-image grids (see `_read_grids`).
"""

import gzip
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from data.torchvision_loading import load_torchvision
from data.validation import Fault, InputError

ImageSetName = Literal["mnist", "fashion-mnist", "cifar10"]

_IDX_FILES = tuple(
    f"{split}-{kind}"
    for split in ("train", "t10k")
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
)
_GRID_SIDE, _PIXELS = 100, 32
_IMAGES_A_GRID = _GRID_SIDE**2
_TRAIN_GRIDS = 5


@dataclass(frozen=True)
class Images:
    """A labelled image data set in its official split and order.

    Attributes:
        name: Which data set.
        train_images: `(num_train, channels, height, width)`, uint8.
        train_labels: `(num_train,)`, int64, classes from 0.
        test_images: `(num_test, channels, height, width)`, uint8.
        test_labels: `(num_test,)`, int64.
    """

    name: ImageSetName
    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.train_labels.max()) + 1


def read_images(folder: Path, name: ImageSetName) -> Images:
    """Read one data set from a folder.

    Args:
        folder: Root as torchvision uses it (holds `MNIST/raw`, `FashionMNIST/raw` or
            `cifar-10-batches-py`), or for CIFAR-10 one with `cifar10/train_1.webp` and so on.
        name: Which data set.

    Raises:
        InputError: If files are missing, truncated or not what they should be.
    """
    readers: dict[ImageSetName, Callable[[Path], Images]] = {
        "mnist": lambda root: _read_idx(root, "mnist", "MNIST"),
        "fashion-mnist": lambda root: _read_idx(root, "fashion-mnist", "FashionMNIST"),
        "cifar10": _read_cifar10,
    }
    return readers[name](folder)


def _read_idx(root: Path, name: ImageSetName, directory: str) -> Images:
    raw = root / directory / "raw"
    present = {stem: _plain_or_gzipped(raw, stem) for stem in _IDX_FILES}
    faults = [
        Fault(str(raw / f"{stem}.gz"), "the file is missing", "Give the folder that torchvision "
              f"calls root: it holds {directory}/raw")
        for stem, path in present.items()
        if path is None
    ]  # fmt: skip
    if faults:
        raise InputError(faults)
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / directory / "raw"
        plain.mkdir(parents=True)
        for stem, path in present.items():
            assert path is not None
            _unpack(path, plain / stem)
        datasets = load_torchvision().datasets
        read = getattr(datasets, directory)
        try:
            train, test = (read(scratch, train=is_train) for is_train in (True, False))
        except (AssertionError, RuntimeError, ValueError, KeyError) as error:
            raise InputError(
                [Fault(str(raw), f"the idx files do not read ({error})", "Fetch them again")]
            ) from error
    return _checked(
        name, str(raw),
        train.data.numpy()[:, None], train.targets.numpy(),
        test.data.numpy()[:, None], test.targets.numpy(),
    )  # fmt: skip


def _plain_or_gzipped(raw: Path, stem: str) -> Path | None:
    candidates = (raw / stem, raw / f"{stem}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _unpack(source: Path, target: Path) -> None:
    if source.suffix != ".gz":
        target.symlink_to(source.absolute())
        return
    try:
        with gzip.open(source) as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        fault = Fault(str(source), f"the file does not unpack ({error})", "Fetch it again")
        raise InputError([fault]) from error


def _read_cifar10(root: Path) -> Images:
    if (root / "cifar10").is_dir():
        return _read_grids(root / "cifar10")
    # torchvision checks the digest of each batch file before it unpickles it.
    read = load_torchvision().datasets.CIFAR10
    try:
        train, test = (read(root, train=is_train) for is_train in (True, False))
    except RuntimeError as error:
        fault = Fault(
            str(root),
            "holds neither cifar10/train_1.webp nor an intact cifar-10-batches-py",
            "Give the folder that torchvision calls root",
        )
        raise InputError([fault]) from error
    return _checked(
        "cifar10", str(root),
        train.data.transpose(0, 3, 1, 2), np.asarray(train.targets),
        test.data.transpose(0, 3, 1, 2), np.asarray(test.targets),
    )  # fmt: skip


def _read_grids(folder: Path) -> Images:
    """CIFAR-10 as lossless grids: `train_1.webp` to `train_5.webp`, `test.webp`, `labels.npy`.

    A grid has 100 x 100 images of 32 x 32 pixels, row by row, in the official order; the labels
    are those of training, then of test images.
    """
    names = [f"train_{number}.webp" for number in range(1, _TRAIN_GRIDS + 1)] + ["test.webp"]
    missing = [name for name in [*names, "labels.npy"] if not (folder / name).is_file()]
    if missing:
        raise InputError(
            [Fault(str(folder / name), "the file is missing", "Fetch it again") for name in missing]
        )
    grids = [_read_grid(folder / name) for name in names]
    labels = np.load(folder / "labels.npy", allow_pickle=False)
    num_train = _TRAIN_GRIDS * _IMAGES_A_GRID
    train_images = np.concatenate(grids[:-1])
    return _checked(
        "cifar10", str(folder), train_images, labels[:num_train], grids[-1], labels[num_train:]
    )


def _read_grid(path: Path) -> npt.NDArray[np.uint8]:
    side = _GRID_SIDE * _PIXELS
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        fault = Fault(str(path), f"the image does not decode ({error})", "Fetch it again")
        raise InputError([fault]) from error
    if pixels.shape != (side, side, 3):
        shape = f"{pixels.shape[1]} x {pixels.shape[0]} pixels"
        raise InputError([Fault(str(path), f"has {shape}", f"It must be {side} x {side}")])
    cells = pixels.reshape(_GRID_SIDE, _PIXELS, _GRID_SIDE, _PIXELS, 3).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(cells.reshape(-1, 3, _PIXELS, _PIXELS))


def _checked(
    name: ImageSetName,
    place: str,
    train_images: npt.NDArray[np.uint8],
    train_labels: npt.NDArray[Any],
    test_images: npt.NDArray[np.uint8],
    test_labels: npt.NDArray[Any],
) -> Images:
    """The data set, if every image has a label and every label is a class."""
    faults = []
    for split, images, labels in (
        ("train", train_images, train_labels),
        ("test", test_images, test_labels),
    ):
        if len(images) == 0 or len(images) != len(labels):
            counts = f"{len(images)} {split} images and {len(labels)} labels"
            faults.append(Fault(place, f"holds {counts}", "Each image needs one label"))
        elif labels.min() < 0:
            faults.append(Fault(place, f"has negative {split} labels", "Classes count from 0"))
    if faults:
        raise InputError(faults)
    return Images(
        name,
        np.ascontiguousarray(train_images),
        train_labels.astype(np.int64),
        np.ascontiguousarray(test_images),
        test_labels.astype(np.int64),
    )
