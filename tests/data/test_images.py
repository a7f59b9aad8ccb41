import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.images import read_images
from data.torchvision_loading import load_torchvision
from data.validation import InputError

REAL = os.environ.get("RETURNS_SHARED_DATA")
NUM_TRAIN, NUM_TEST = 7, 3


def _idx(values: np.ndarray) -> bytes:
    """The IDX format of the MNIST page: magic number with type and rank, sizes, bytes."""
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return struct.pack(">HBB", 0, 8, values.ndim) + sizes + values.tobytes()


def _write_mnist(raw: Path, packed: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    raw.mkdir(parents=True)
    arrays = {}
    for split, number in (("train", NUM_TRAIN), ("t10k", NUM_TEST)):
        arrays[f"{split}-images-idx3-ubyte"] = rng.integers(0, 256, (number, 28, 28), np.uint8)
        arrays[f"{split}-labels-idx1-ubyte"] = rng.integers(0, 10, number).astype(np.uint8)
    for stem, values in arrays.items():
        if packed:
            (raw / f"{stem}.gz").write_bytes(gzip.compress(_idx(values)))
        else:
            (raw / stem).write_bytes(_idx(values))
    return arrays


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_gzipped_or_plain(tmp_path, packed):
    arrays = _write_mnist(tmp_path / "MNIST" / "raw", packed)
    images = read_images(tmp_path, "mnist")
    np.testing.assert_array_equal(images.train_images[:, 0], arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(images.test_images[:, 0], arrays["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(images.train_labels, arrays["train-labels-idx1-ubyte"])
    np.testing.assert_array_equal(images.test_labels, arrays["t10k-labels-idx1-ubyte"])
    assert images.train_images.dtype == np.uint8
    assert images.train_labels.dtype == np.int64


def test_every_missing_idx_file_is_named(tmp_path):
    _write_mnist(tmp_path / "FashionMNIST" / "raw", packed=True)
    gone = ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    for name in gone:
        (tmp_path / "FashionMNIST" / "raw" / name).unlink()
    with pytest.raises(InputError) as caught:
        read_images(tmp_path, "fashion-mnist")
    assert [Path(fault.file).name for fault in caught.value.faults] == gone


def test_a_truncated_gzip_is_named(tmp_path):
    _write_mnist(tmp_path / "MNIST" / "raw", packed=True)
    path = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\.gz: the file does not unpack"):
        read_images(tmp_path, "mnist")


def test_idx_files_of_another_kind_are_refused(tmp_path):
    _write_mnist(tmp_path / "MNIST" / "raw", packed=False)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(
        b"\x00\x00\x0b\x03abcdefgh"
    )
    with pytest.raises(InputError, match="idx files do not read"):
        read_images(tmp_path, "mnist")


def test_images_without_a_label_each_are_refused(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    arrays = _write_mnist(raw, packed=False)
    labels = arrays["train-labels-idx1-ubyte"]
    (raw / "train-labels-idx1-ubyte").write_bytes(_idx(labels[:-1]))
    with pytest.raises(InputError, match="7 train images and 6 labels"):
        read_images(tmp_path, "mnist")


def _grid(first: int) -> np.ndarray:
    """Images of one colour each: the number of the image in its first two channels."""
    number = first + np.arange(100 * 100)
    colours = np.stack([number % 256, number // 256, np.full_like(number, 9)], axis=1)
    cells = colours.reshape(100, 1, 100, 1, 3).astype(np.uint8)
    return np.broadcast_to(cells, (100, 32, 100, 32, 3)).reshape(3200, 3200, 3)


@pytest.fixture
def grids(tmp_path):
    folder = tmp_path / "cifar10"
    folder.mkdir()
    for position in range(6):
        name = "test" if position == 5 else f"train_{position + 1}"
        Image.fromarray(_grid(10_000 * position)).save(
            folder / f"{name}.webp", lossless=True, quality=0, method=0
        )
    np.save(folder / "labels.npy", (np.arange(60_000) % 10).astype(np.uint8))
    return tmp_path


def test_grids_are_cut_row_by_row(grids):
    images = read_images(grids, "cifar10")
    assert images.train_images.shape == (50_000, 3, 32, 32)
    for images_, first in ((images.train_images, 0), (images.test_images, 50_000)):
        number = first + np.arange(len(images_))
        np.testing.assert_array_equal(images_[:, 0, 5, 7], number % 256)
        np.testing.assert_array_equal(images_[:, 1, 31, 0], number // 256)
        assert (images_[:, 2] == 9).all()
    np.testing.assert_array_equal(images.test_labels, np.arange(10_000) % 10)
    assert images.num_classes == 10


def test_faulty_grids_are_named(grids):
    Image.fromarray(_grid(0)[:320]).save(grids / "cifar10" / "train_2.webp", lossless=True)
    with pytest.raises(InputError, match=r"train_2\.webp: has 3200 x 320 pixels"):
        read_images(grids, "cifar10")
    (grids / "cifar10" / "train_2.webp").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"train_2\.webp: the image does not decode"):
        read_images(grids, "cifar10")
    (grids / "cifar10" / "train_2.webp").unlink()
    with pytest.raises(InputError, match=r"train_2\.webp: the file is missing"):
        read_images(grids, "cifar10")


def test_batch_files_with_another_digest_are_refused(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (folder / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match="intact cifar-10-batches-py"):
        read_images(tmp_path, "cifar10")


def test_intact_batch_files_are_read(tmp_path, monkeypatch):
    """Batch files as small as they go, whose digests stand in for the published ones."""
    import hashlib
    import pickle

    cifar10 = load_torchvision().datasets.CIFAR10
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)

    def write(name: str, content: dict[str, object]) -> str:
        written = pickle.dumps(content)
        (folder / name).write_bytes(written)
        return hashlib.md5(written).hexdigest()

    def batch(number: int) -> dict[str, object]:
        pixels = rng.integers(0, 256, (number, 3 * 32 * 32), np.uint8)
        return {"data": pixels, "labels": list(range(number))}

    train, test = batch(5), batch(2)
    monkeypatch.setattr(cifar10, "train_list", [["data_batch_1", write("data_batch_1", train)]])
    monkeypatch.setattr(cifar10, "test_list", [["test_batch", write("test_batch", test)]])
    digest = write("batches.meta", {"label_names": [str(label) for label in range(10)]})
    meta = {"filename": "batches.meta", "key": "label_names", "md5": digest}
    monkeypatch.setattr(cifar10, "meta", meta)

    images = read_images(tmp_path, "cifar10")
    np.testing.assert_array_equal(images.train_images.reshape(5, -1), train["data"])
    np.testing.assert_array_equal(images.test_images.reshape(2, -1), test["data"])
    np.testing.assert_array_equal(images.train_labels, train["labels"])


@pytest.mark.skipif(REAL is None, reason="RETURNS_SHARED_DATA, the folder of real data, is not set")
@pytest.mark.parametrize(
    ("name", "shape", "mean"),
    [
        ("mnist", (60_000, 1, 28, 28), 0.1307),
        ("fashion-mnist", (60_000, 1, 28, 28), 0.2860),
        ("cifar10", (50_000, 3, 32, 32), 0.4734),
    ],
)
def test_real_images_have_their_published_mean(name, shape, mean):
    assert REAL is not None
    images = read_images(Path(REAL) / "images", name)
    assert images.train_images.shape == shape
    assert images.train_images.mean() / 255 == pytest.approx(mean, abs=1e-4)
    assert (np.bincount(images.test_labels) > 0).sum() == images.num_classes == 10
