import io

import matplotlib.image
import pytest

from returns.audit.chart import MOST_COLUMNS, column_auc_chart
from returns.audit.clustered import UNDEFINED, ClusteredEstimate
from returns.audit.findings import ColumnAuc, ColumnKind
from returns.protocol import Protocol

COLUMNS = [
    ColumnAuc("copied", ColumnKind.NUMBER, ClusteredEstimate(0.9, 0.01), UNDEFINED),
    ColumnAuc("brand", ColumnKind.LEVEL, ClusteredEstimate(0.6, 0.01), UNDEFINED),
    ColumnAuc("unknown", ColumnKind.DERIVED, UNDEFINED, UNDEFINED),
]


@pytest.mark.parametrize("repeats", [1, 30])
def test_it_draws_the_most_telling_columns_and_names_protocol_and_source(repeats):
    figure = column_auc_chart(COLUMNS * repeats, Protocol.STRICT, "twin (synthetic)")
    (axes,) = figure.axes
    assert "strict protocol, twin (synthetic)" in axes.get_title()
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == (["copied", "brand"] * repeats)[:MOST_COLUMNS]
    widths = [0.5 + bar.get_width() for bar in axes.patches[:2]]
    assert widths == pytest.approx([0.9, 0.6])
    image = io.BytesIO()
    figure.savefig(image, format="png")
    image.seek(0)
    assert matplotlib.image.imread(image).std() > 0.01
