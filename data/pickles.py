"""Reading pickled data frames without running anything that a pickle names.

A pickle is a program: whoever wrote it chooses which callables run when it is read. Here none does.
Every global that a pickle may name is on a short list, and even those are replaced by records that
only remember what they were called with. The frame is built from the records afterwards, with
every shape, type and buffer checked, so neither the pickle's author nor the installed versions of
pandas and numpy decide what happens.
"""

import copyreg
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from data.validation import Fault, InputError

ADMITTED = {
    ("pandas", "DataFrame"): "frame",
    ("pandas.core.frame", "DataFrame"): "frame",
    ("pandas.core.internals.managers", "BlockManager"): "manager",
    ("pandas._libs.internals", "_unpickle_block"): "block",
    ("pandas.core.internals.blocks", "new_block"): "block",
    ("pandas._libs.internals", "BlockPlacement"): "placement",
    ("builtins", "slice"): "slice",
    ("__builtin__", "slice"): "slice",
    ("pandas.core.indexes.base", "_new_Index"): "index",
    ("pandas", "Index"): "values index",
    ("pandas.core.indexes.base", "Index"): "values index",
    ("pandas.core.indexes.numeric", "Int64Index"): "values index",
    ("pandas.core.indexes.numeric", "UInt64Index"): "values index",
    ("pandas.core.indexes.numeric", "Float64Index"): "values index",
    ("pandas", "RangeIndex"): "range index",
    ("pandas.core.indexes.range", "RangeIndex"): "range index",
    ("numpy", "ndarray"): "array type",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "array",
    ("numpy._core.multiarray", "_reconstruct"): "array",
    ("numpy.core.numeric", "_frombuffer"): "array of buffer",
    ("numpy._core.numeric", "_frombuffer"): "array of buffer",
    ("_codecs", "encode"): "bytes",
    ("builtins", "bytearray"): "bytes",
    ("__builtin__", "bytearray"): "bytes",
    ("__builtin__", "bytes"): "bytes",
    ("pandas.arrays", "ArrowStringArray"): "texts",
    ("pandas.core.arrays.string_arrow", "ArrowStringArray"): "texts",
    ("pandas.core.arrays.string_arrow", "ArrowStringArrayNumpySemantics"): "texts",
    ("pandas", "StringDtype"): "text type",
    ("pandas.core.arrays.string_", "StringDtype"): "text type",
    ("pyarrow.lib", "_restore_array"): "arrow array",
    ("pyarrow.lib", "type_for_alias"): "arrow type",
    ("pyarrow.lib", "py_buffer"): "arrow buffer",
}
"""Globals that a pickled frame of numbers and texts names, and what each stands for."""

PLAIN_VALUES = frozenset({str, int, float, bool, type(None)})
"""What a column of objects may hold."""

REMEDY = "Use the file as it was released, or export the table to CSV"

Column: TypeAlias = "np.ndarray | pa.Array"


class _Record:
    """Remembers a call and the state that followed it; has no behaviour of its own."""

    stands_for: str
    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: object) -> "_Record":
        record = object.__new__(cls)
        record.arguments = arguments
        record.state = None
        return record

    def __setstate__(self, state: object) -> None:
        self.state = state


class _RefusedGlobalError(pickle.UnpicklingError):
    """The pickle names a global that is not admitted."""


class _RecordingUnpickler(pickle.Unpickler):
    """Resolves the admitted globals to records and refuses all others."""

    def find_class(self, module: str, name: str) -> type[_Record]:
        stands_for = ADMITTED.get((module, name))
        if stands_for is None:
            raise _RefusedGlobalError(f"{module}.{name}")
        return type("_NamedRecord", (_Record,), {"stands_for": stands_for})


def read_dataframe_pickle(path: Path) -> pd.DataFrame:
    """Read a data frame of numbers and texts that pandas 1, 2 or 3 pickled.

    Args:
        path: A pickle of protocol 2 or later, uncompressed.

    Returns:
        The frame with its index and its column labels, repeated ones included. Its numbers may
        be read-only.

    Raises:
        InputError: The file is missing or truncated, names a global beyond `ADMITTED`, or holds
            something other than a frame of numbers and texts. Nothing named in it was executed.
    """
    # Else a cached extension code would be resolved without asking `find_class`.
    copyreg.clear_extension_cache()
    try:
        with path.open("rb") as stream:
            return _frame(_RecordingUnpickler(stream).load())
    except FileNotFoundError as error:
        raise InputError([Fault(str(path), "there is no such file", "Check the path")]) from error
    except _RefusedGlobalError as error:
        message = f"the pickle names '{error}', which no plain data frame needs; nothing was run"
        raise InputError([Fault(str(path), message, REMEDY)]) from error
    except EOFError as error:
        message = "the pickle is truncated"
        raise InputError([Fault(str(path), message, "Download or copy it again")]) from error
    except Exception as error:
        # A damaged pickle can raise anything, as the documentation of `pickle` says.
        detail = " ".join(str(error).split()) or type(error).__name__
        message = f"this is no pickle of a plain data frame, or it is damaged ({detail})"
        raise InputError([Fault(str(path), message, REMEDY)]) from error


def _frame(value: object) -> pd.DataFrame:
    state = _expect(value, "frame").state
    if isinstance(state, dict):
        state = state.get("_mgr", state.get("_data"))
    manager = _expect(state, "manager")
    if manager.arguments:
        axes = manager.arguments[1]
        blocks = [_expect(block, "block").arguments for block in manager.arguments[0]]
    else:
        # The layout of pandas before 1.3.
        layout = manager.state[3]["0.14.1"]
        axes = layout["axes"]
        blocks = [(block["values"], block["mgr_locs"]) for block in layout["blocks"]]
    labels, index = (_index(axis) for axis in axes)
    columns = _columns(blocks, len(labels))
    if any(len(column) != len(index) for column in columns):
        raise ValueError("a column is longer or shorter than the index")
    frame = pd.DataFrame(
        {position: _series(column, index) for position, column in enumerate(columns)},
        index=index,
        copy=False,
    )
    frame.columns = labels
    return frame


def _columns(blocks: Sequence[Sequence[object]], number: int) -> list[Column]:
    columns: dict[int, Column] = {}
    for values, placement, *_ in blocks:
        positions = _positions(placement, number)
        if len(positions) != len(set(positions) - set(columns)):
            raise ValueError("two blocks hold the same column")
        if isinstance(values, _Record) and values.stands_for == "texts":
            block: Sequence[Column] = [_texts(values)]
        else:
            block = list(np.atleast_2d(_array(values)))
        columns |= zip(positions, block, strict=True)
    if len(columns) != number:
        raise ValueError("some columns have no values")
    return [columns[position] for position in range(number)]


def _positions(placement: object, number: int) -> list[int]:
    if isinstance(placement, _Record) and placement.stands_for == "placement":
        (placement,) = placement.arguments
    if isinstance(placement, _Record) and placement.stands_for == "slice":
        return list(range(number)[slice(*placement.arguments)])
    positions = [int(position) for position in _array(placement)]
    if any(position not in range(number) for position in positions):
        raise ValueError("a block lies outside the frame")
    return positions


def _index(value: object) -> pd.Index:
    kind, content = _expect(value, "index").arguments
    name = content.get("name")
    if not isinstance(name, str | None):
        raise ValueError("the name of an index is no text")
    if issubclass(kind, _Record) and kind.stands_for == "range index":
        return pd.RangeIndex(content["start"], content["stop"], content["step"], name=name)
    if not issubclass(kind, _Record) or kind.stands_for != "values index":
        raise ValueError("an index is of an unknown kind")
    data = content["data"]
    if isinstance(data, _Record) and data.stands_for == "texts":
        texts: pd.Index = pd.Index(_texts(data).to_pandas(), name=name)
        return texts
    array = _array(data)
    values: pd.Index = pd.Index(array, dtype=array.dtype, name=name)
    return values


def _series(column: Column, index: pd.Index) -> pd.Series:
    if isinstance(column, pa.Array):
        texts: pd.Series = column.to_pandas().set_axis(index)
        return texts
    return pd.Series(column, index=index, dtype=column.dtype, copy=False)


def _array(value: object) -> np.ndarray:
    """Build a numpy array of numbers or plain objects."""
    record = _expect(value, "array", "array of buffer")
    if record.stands_for == "array of buffer":
        data, described, shape, order = record.arguments
    else:
        _, shape, described, is_fortran, data = record.state
        order = "F" if is_fortran else "C"
    if order not in ("C", "F") or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError("the shape of an array is impossible")
    dtype = _dtype(described)
    if dtype.hasobject:
        return _objects(data).reshape(shape, order=order)
    return np.frombuffer(_bytes(data), dtype).reshape(shape, order=order)


def _objects(values: object) -> np.ndarray:
    if not isinstance(values, list) or not PLAIN_VALUES.issuperset(map(type, values)):
        raise ValueError("a column holds values that are neither numbers nor texts")
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _dtype(value: object) -> np.dtype[Any]:
    # numpy's own dtypes take flags and sizes from a pickle unchecked, which breaks memory safety;
    # so only the code and the byte order are looked at.
    record = _expect(value, "dtype")
    code = record.arguments[0]
    order = record.state[1] if record.state else "="
    if not isinstance(code, str) or not re.fullmatch(r"b1|[iu][1248]|f[248]|O8?", code):
        raise ValueError(f"arrays of type {code!r} are not admitted")
    if order not in ("<", ">", "|", "="):
        raise ValueError(f"there is no byte order {order!r}")
    return np.dtype("O") if code[0] == "O" else np.dtype(order + code)


def _bytes(value: object) -> bytes | bytearray:
    if isinstance(value, _Record):
        return _recorded_bytes(_expect(value, "bytes"))
    if not isinstance(value, bytes | bytearray):
        raise ValueError("the content of an array is no bytes")
    return value


def _recorded_bytes(record: _Record) -> bytes | bytearray:
    """Bytes as protocols before 5 write them: wrapped, or as text of one character a byte."""
    match record.arguments:
        case ():
            return b""
        case (str() as text, "latin1"):
            return text.encode("latin-1")
        case (content,):
            return _bytes(content)
    raise ValueError("bytes are written in an unknown way")


def _texts(record: _Record) -> pa.Array:
    """Build an Arrow array of texts from its buffers, checked in full."""
    array = record.state.get("_pa_array", record.state.get("_data"))
    (parts,) = _expect(array, "arrow array").arguments
    described, length, _, offset, buffers, *_ = parts
    (name,) = _expect(described, "arrow type").arguments
    types = {"string": pa.string(), "large_string": pa.large_string()}
    texts = pa.Array.from_buffers(
        types[name], length, [_arrow_buffer(buffer) for buffer in buffers], offset=offset
    )
    texts.validate(full=True)
    return texts


def _arrow_buffer(value: object) -> pa.Buffer | None:
    if value is None:
        return None
    (content,) = _expect(value, "arrow buffer").arguments
    return pa.py_buffer(_bytes(content))


def _expect(value: object, *kinds: str) -> _Record:
    if not isinstance(value, _Record) or value.stands_for not in kinds:
        raise ValueError(f"expected a {' or '.join(kinds)}, found {type(value).__name__}")
    return value
