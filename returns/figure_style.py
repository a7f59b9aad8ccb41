"""How figures look: drawn without any global plotting state, alike in every report.

Every title names protocol and source, because figures of different protocols do not compare.
Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart, and models
differ in line style as well.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from returns.protocol import Protocol

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = COLOURS = (
    *("#0072B2", "#E69F00", "#009E73"),
    *("#D55E00", "#CC79A7", "#56B4E9"),
)
GREY = "#707070"
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)))


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of a size in inches, drawn by Agg."""
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def square_figure(title: str, protocol: Protocol, source: str) -> tuple[Figure, Axes]:
    """A figure and its titled axes, both of which run from 0 to 1."""
    figure = new_figure((5.2, 5.4))
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    set_title(axes, title, protocol, source)
    return figure, axes


def tag(protocol: Protocol, source: str) -> str:
    """What every figure says of its origin: protocol and source."""
    return f"{protocol} protocol, {source}"


def set_title(axes: Axes, title: str, protocol: Protocol, source: str) -> None:
    """Title the axes, protocol and source beneath."""
    axes.set_title(f"{title}\n{tag(protocol, source)}", fontsize=11)


def line_styles() -> Iterator[dict[str, Any]]:
    """Keyword arguments of one line after another: colour, line style, width; 36 are distinct."""
    for number in count():
        line = LINE_STYLES[(number + number // len(COLOURS)) % len(LINE_STYLES)]
        yield {"color": COLOURS[number % len(COLOURS)], "linestyle": line, "linewidth": 1.8}
