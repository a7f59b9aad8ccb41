"""Pickled frames come back whole; nothing that a pickle names is ever run."""

import copyreg
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.pickles import read_dataframe_pickle
from data.validation import InputError

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
REAL = os.environ.get("RETURNS_SHARED_DATA")


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _stack_global(module: str, name: str) -> bytes:
    return _body(module) + _body(name) + pickle.STACK_GLOBAL


def _body(value: object) -> bytes:
    """The opcodes that push a value."""
    return pickle.dumps(value, protocol=2)[2:-1]


def _tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def _call(function: bytes, *arguments: bytes) -> bytes:
    return function + _tuple(*arguments) + b"R"


def _new(class_: bytes, state: bytes) -> bytes:
    return class_ + b")\x81" + state + b"b"


def _stop(opcodes: bytes) -> bytes:
    return b"\x80\x04" + opcodes + b"."


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[bytes], str]:
    """Reads a pickle that must be refused; gives the message."""

    def read(content: bytes) -> str:
        path = tmp_path / "event_table_training.p"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_dataframe_pickle(path)
        assert len(caught.value.faults) == 1
        assert caught.value.faults[0].file == str(path)
        return str(caught.value)

    return read


@pytest.mark.skipif(REAL is None, reason="RETURNS_SHARED_DATA is not set")
@pytest.mark.parametrize("table", ["event_table", "customer_nodes", "product_nodes"])
@pytest.mark.parametrize("period", ["training", "testing"])
def test_release_as_pandas_reads_it(table: str, period: str, tmp_path: Path) -> None:
    path = Path(REAL or "") / "graphreturns_sample" / f"{table}_{period}.p"
    expected = pd.read_pickle(path)  # noqa: S301
    pd.testing.assert_frame_equal(read_dataframe_pickle(path), expected)
    for protocol in PROTOCOLS:
        again = tmp_path / "again.p"
        expected.to_pickle(again, protocol=protocol)
        pd.testing.assert_frame_equal(read_dataframe_pickle(again), expected)


COLUMNS = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "int8": st.integers(-128, 127),
    "float64": st.floats(),
    "bool": st.booleans(),
    "object": st.one_of(st.text(max_size=5), st.none()),
    "str": st.text(max_size=5),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    types = draw(st.lists(st.sampled_from(sorted(COLUMNS)), max_size=6))
    number = draw(st.integers(0, 4))
    columns = [
        pd.Series(draw(st.lists(COLUMNS[type_], min_size=number, max_size=number)), dtype=type_)
        for type_ in types
    ]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(number))
    # Labels repeat, as one does in the release.
    frame.columns = pd.Index([f"column {position % 3}" for position in range(len(types))])
    if draw(st.booleans()):
        frame.index = pd.Index(range(3, number + 3), dtype="int64", name="row")
    return frame


@given(frames(), st.sampled_from(PROTOCOLS))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_plain_frame_comes_back(
    tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame, protocol: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "plain.p"
    frame.to_pickle(path, protocol=protocol)
    pd.testing.assert_frame_equal(read_dataframe_pickle(path), frame)


def _index(class_: bytes, content: dict[str, Any]) -> bytes:
    return _call(_global("pandas.core.indexes.base", "_new_Index"), class_, _body(content))


def _labels(*names: str) -> bytes:
    content = {"data": np.array(names, dtype=object), "name": None}
    return _index(_global("pandas.core.indexes.base", "Index"), content)


def _dict(**entries: bytes) -> bytes:
    pairs = b"".join(_body(name) + value for name, value in entries.items())
    return b"}(" + pairs + b"u"


def test_layout_of_pandas_before_1_3(tmp_path: Path) -> None:
    numbers = np.array([[1, 2, 3], [4, 5, 6]])
    texts = np.array([["x", "y", None]], dtype=object)
    rows = _index(
        _global("pandas.core.indexes.range", "RangeIndex"),
        {"name": None, "start": 1, "stop": 4, "step": 1},
    )
    axes = b"](" + _labels("a", "b", "a") + rows + b"e"
    places = _call(_global("builtins", "slice"), _body(0), _body(3), _body(2))
    blocks = (
        _dict(values=_body(numbers), mgr_locs=places),
        _dict(values=_body(texts), mgr_locs=_body(np.array([1]))),
    )
    listed = b"](" + b"".join(blocks) + b"e"
    layout = b"}(" + _body("0.14.1") + _dict(axes=axes, blocks=listed) + b"u"
    state = _tuple(_body([]), _body([]), _body([]), layout)
    manager = _new(_global("pandas.core.internals.managers", "BlockManager"), state)
    frame = _new(
        _global("pandas.core.frame", "DataFrame"), _dict(_data=manager, _typ=_body("dataframe"))
    )
    path = tmp_path / "old.p"
    path.write_bytes(_stop(frame))
    read = read_dataframe_pickle(path)
    assert list(read.columns) == ["a", "b", "a"]
    assert read.index.equals(pd.RangeIndex(1, 4))
    assert read.iloc[:, 0].tolist() == [1, 2, 3]
    assert read.iloc[:, 1].tolist() == ["x", "y", None]
    assert read.iloc[:, 2].tolist() == [4, 5, 6]


HOSTILE = [
    ("os", "system"),
    ("posix", "system"),
    ("subprocess", "check_output"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("__builtin__", "eval"),
    ("operator", "attrgetter"),
    ("functools", "partial"),
    ("importlib", "import_module"),
    ("numpy", "os.system"),
    ("numpy", "load"),
    ("numpy", "fromfile"),
    ("numpy", "core.os.system"),
    ("numpy.x.os", "system"),
    ("numpy", "dtype.__new__"),
    ("numpy", "vectorize"),
    ("numpy.testing._private.utils", "runstring"),
    ("pandas", "read_pickle"),
    ("pandas", "eval"),
    ("pandas", "DataFrame.to_pickle"),
    ("pandas.io.pickle", "read_pickle"),
    ("pandas.core.computation.eval", "eval"),
    ("pandas.core.internals.managers", "BlockManager.__init__.__globals__"),
    ("pandas.compat.pickle_compat", "loads"),
    ("pickle", "loads"),
    ("data.pickles", "read_dataframe_pickle"),
]


@pytest.mark.parametrize(("module", "name"), HOSTILE)
@pytest.mark.parametrize("naming", [_global, _stack_global])
def test_every_other_global_is_refused_and_not_run(
    module: str,
    name: str,
    naming: Callable[[str, str], bytes],
    refusal: Callable[[bytes], str],
    tmp_path: Path,
) -> None:
    trace = tmp_path / "trace"
    code = _body(f"open({str(trace)!r}, 'w')" if "eval" in name else f"touch {trace}")
    message = refusal(_stop(_call(naming(module, name), code)))
    assert f"'{module}.{name}'" in message
    assert not trace.exists()


def test_hostile_class_refused_inside_a_real_frame(
    refusal: Callable[[bytes], str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"

    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return subprocess.check_output, (["touch", str(trace)],)

    frame = pd.DataFrame({"a": pd.Series([1, Hostile()], dtype=object)})
    for protocol in (3, 4, 5):
        assert "'subprocess.check_output'" in refusal(pickle.dumps(frame, protocol=protocol))
    assert not trace.exists()


def test_module_that_is_not_loaded_stays_unloaded(refusal: Callable[[bytes], str]) -> None:
    module = "this"
    sys.modules.pop(module, None)
    refusal(_stop(_call(_global(module, "s"), b"")))
    assert module not in sys.modules


def test_older_ways_to_call(refusal: Callable[[bytes], str]) -> None:
    assert "'os.system'" in refusal(_stop(b"(" + _body("true") + b"ios\nsystem\n"))
    assert "'os.system'" in refusal(_stop(b"(" + _global("os", "system") + _body("true") + b"o"))


@pytest.mark.parametrize("opcodes", [b"Psome id\n", b"\x8c\x02idQ"])
def test_persistent_ids_are_refused(opcodes: bytes, refusal: Callable[[bytes], str]) -> None:
    assert "persistent" in refusal(_stop(opcodes))


CODE = 240


@pytest.fixture
def extension() -> Iterator[bytes]:
    """Registers `os.system` under an extension code, already resolved once."""
    copyreg.add_extension("os", "system", CODE)
    opcodes = b"\x82" + bytes([CODE])
    assert pickle.loads(_stop(opcodes)) is os.system  # noqa: S301
    yield opcodes
    copyreg.remove_extension("os", "system", CODE)


def test_extension_codes_are_refused(extension: bytes, refusal: Callable[[bytes], str]) -> None:
    assert "'os.system'" in refusal(_stop(extension))
    assert "extension code" in refusal(_stop(b"\x82" + bytes([CODE + 1])))


def _frame_of(values: bytes, number: int) -> bytes:
    """A frame of one column with the given opcodes as its block's values."""
    block = _call(
        _global("pandas._libs.internals", "_unpickle_block"),
        values,
        _call(_global("builtins", "slice"), _body(0), _body(1), _body(1)),
        _body(2),
    )
    rows = _index(
        _global("pandas", "RangeIndex"), {"name": None, "start": 0, "stop": number, "step": 1}
    )
    manager = _call(
        _global("pandas.core.internals.managers", "BlockManager"),
        _tuple(block),
        b"](" + _labels("a") + rows + b"e",
    )
    return _stop(_new(_global("pandas", "DataFrame"), _dict(_mgr=manager)))


def _dtype(code: str, state: tuple[object, ...]) -> bytes:
    made = _call(_global("numpy", "dtype"), _body(code), _body(False), _body(True))
    return made + _body(state) + b"b"


def _reconstructed(dtype: bytes, shape: tuple[int, ...], content: bytes) -> bytes:
    array = _call(
        _global("numpy.core.multiarray", "_reconstruct"),
        _global("numpy", "ndarray"),
        _body((0,)),
        _body("b"),
    )
    state = _tuple(_body(1), _body(shape), dtype, _body(False), content)
    return array + state + b"b"


LITTLE = (3, "<", None, None, None, -1, -1, 0)


def test_handmade_frame_is_read(tmp_path: Path) -> None:
    content = b"B" + struct.pack("<I", 16) + struct.pack("<2q", 7, -8)
    path = tmp_path / "made.p"
    path.write_bytes(_frame_of(_reconstructed(_dtype("i8", LITTLE), (1, 2), content), 2))
    assert read_dataframe_pickle(path)["a"].tolist() == [7, -8]


def test_bytes_do_not_become_object_pointers(refusal: Callable[[bytes], str]) -> None:
    # numpy itself would take these eight bytes for the address of an object.
    without_flags = (3, "|", None, None, None, -1, -1, 0)
    content = b"B" + struct.pack("<I", 8) + b"\x41" * 8
    array = _reconstructed(_dtype("O8", without_flags), (1, 1), content)
    assert "neither numbers nor texts" in refusal(_frame_of(array, 1))


@pytest.mark.parametrize("code", ["V16", "U4", "i8,O", "M8", "O16", "i16", 7])
def test_other_array_types_are_refused(code: str, refusal: Callable[[bytes], str]) -> None:
    content = b"B" + struct.pack("<I", 16) + bytes(16)
    array = _reconstructed(_dtype(code, LITTLE), (1, 1), content)
    assert "not admitted" in refusal(_frame_of(array, 1))


@pytest.mark.parametrize("shape", [(1, 3), (1, 1), (1, 10**15), (-1, 2), (1, 2.0)])
def test_shapes_that_the_bytes_do_not_fill(
    shape: tuple[int, ...], refusal: Callable[[bytes], str]
) -> None:
    content = b"B" + struct.pack("<I", 16) + bytes(16)
    refusal(_frame_of(_reconstructed(_dtype("i8", LITTLE), shape, content), 2))


def test_columns_longer_than_the_index(refusal: Callable[[bytes], str]) -> None:
    content = b"B" + struct.pack("<I", 16) + bytes(16)
    array = _reconstructed(_dtype("i8", LITTLE), (1, 2), content)
    assert "longer or shorter" in refusal(_frame_of(array, 10**12))


def test_text_buffers_are_checked_against_their_offsets(refusal: Callable[[bytes], str]) -> None:
    texts = pd.Series(["ab", "cd"], dtype=pd.StringDtype("pyarrow", na_value=np.nan))
    frame = pd.DataFrame({"a": texts})
    content = pickle.dumps(frame, protocol=5)
    offsets = struct.pack("<3q", 0, 2, 4)
    assert content.count(offsets) == 1
    refusal(content.replace(offsets, struct.pack("<3q", 0, 9, 4)))


def test_what_a_pickle_does_to_a_name_ends_with_it(
    refusal: Callable[[bytes], str], tmp_path: Path
) -> None:
    # BUILD with a pair sets attributes of whatever is on the stack, here of an admitted name.
    poison = _tuple(b"N", _dict(stands_for=_body("manager")))
    refusal(_stop(_global("pandas", "DataFrame") + poison + b"b"))
    path = tmp_path / "frame.p"
    frame = pd.DataFrame({"a": [1]})
    frame.to_pickle(path)
    pd.testing.assert_frame_equal(read_dataframe_pickle(path), frame)


@pytest.mark.parametrize(
    "value",
    [
        pd.Series([1, 2]),
        {"a": [1]},
        [1, 2],
        None,
        np.arange(3),
        pd.DataFrame({"a": pd.Categorical(["x"])}),
        pd.DataFrame({"a": pd.to_datetime(["2021-09-01"])}),
        pd.DataFrame({"a": pd.Series([b"bytes"], dtype=object)}),
        pd.DataFrame({("a", "b"): [1]}),
    ],
    ids=str,
)
def test_other_content_is_refused(value: object, refusal: Callable[[bytes], str]) -> None:
    refusal(pickle.dumps(value))


def test_truncated_anywhere(refusal: Callable[[bytes], str]) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    content = pickle.dumps(frame, protocol=4)
    for length in range(len(content)):
        refusal(content[:length])


def test_no_pickle_at_all(refusal: Callable[[bytes], str], tmp_path: Path) -> None:
    refusal(b"hash(variantID),hash(customerId),isReturned\n1,2,0\n")
    with pytest.raises(InputError, match="no such file"):
        read_dataframe_pickle(tmp_path / "absent.p")
