"""Files and columns of the release (McGowan et al., ASOS GraphReturns, osf.io/c793h)."""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from data.osf import RemoteFile
from data.schema import PERIOD, Role, column, source_event_columns

OSF_PROJECT = "c793h"

RELEASE_FILES = (
    RemoteFile(
        "event_table_training.p",
        32_859_910,
        "6d61ce2fc645e6720aed243d45174bfc7fc139dbed70b9306798c648c6a7fed6",
    ),
    RemoteFile(
        "event_table_testing.p",
        35_049_502,
        "bc0ae494b0d95be651c988da8e83142a9371aedbf28a6264614a2656321602fa",
    ),
    RemoteFile(
        "customer_nodes_training.p",
        188_037_655,
        "8517d56a4a27d38be28f2b0b5fb0d5281c1c74246ebc666e2bad49e8efccfcae",
    ),
    RemoteFile(
        "customer_nodes_testing.p",
        199_798_243,
        "a927539fe661d037ae6fb78b7966c65a30cf1d2d9e44b3b0f0b415c57fea7d24",
    ),
    RemoteFile(
        "product_nodes_training.p",
        143_204_587,
        "eb731fc46ba6712fb986971d0af235822ebc2317e38877f5627ee6b6f2f8d9e0",
    ),
    RemoteFile(
        "product_nodes_testing.p",
        143_221_671,
        "aa0d960208fb159df53a45a395de3c4dd06cff55cc9f43bf164f8843538974ef",
    ),
)
"""The files as published, 742 MB in all."""

Period = Literal["training", "testing"]
"""The release comes in two halves, which its file names tell apart."""

PERIODS: tuple[Period, ...] = ("training", "testing")

REASONS = ("A", "B", "C", "D", "E", "D.1", "F", "G", "H", "I", "J", "K", "L")
"""Reason codes in file order. Two columns are called D and hold different shares."""

LABEL = "isReturned"

COUNTRIES = "ABCDEFGHI"
BRANDS = "ABCDEFGIJK"
"""The release has no Brand_H, and no one-hot column for its brand `Pull&Bear`."""
PRODUCT_TYPES = "ABCDEFGHIJK"


@dataclass(frozen=True)
class ReleaseColumn:
    """A column of the files.

    Attributes:
        raw: Name in the files, made unique as pandas does (`D`, then `D.1`).
        read_as: Arrow type its values are read as: int64, float64 or string.
        field: Column of the canonical table that it becomes.
    """

    raw: str
    read_as: pa.DataType
    field: pa.Field


@dataclass(frozen=True)
class OneHot:
    """Columns of zeros and ones that repeat a column of levels.

    Attributes:
        of: Canonical name of the column of levels.
        raw: Names of the one-hot columns in the files.
    """

    of: str
    raw: tuple[str, ...]


@dataclass(frozen=True)
class TableLayout:
    """A table of the release.

    Attributes:
        name: Start of its file names.
        columns: Its columns that are kept, the key first.
        one_row_per_key: Whether a key may stand in one row only.
        one_hots: Its columns that only repeat others.
    """

    name: str
    columns: tuple[ReleaseColumn, ...]
    one_row_per_key: bool = True
    one_hots: tuple[OneHot, ...] = ()

    def raw_types(self, *, labelled: bool = True) -> dict[str, pa.DataType]:
        """Names in the files of all columns and the types they are read as, one-hots last.

        Args:
            labelled: Whether the column of labels is among them.
        """
        types = {each.raw: each.read_as for each in self.columns if labelled or each.raw != LABEL}
        return types | dict.fromkeys(self.one_hot_names(), pa.int8())

    def one_hot_names(self) -> list[str]:
        """Names in the files of the one-hot columns."""
        return [raw for one_hot in self.one_hots for raw in one_hot.raw]

    def schema(self) -> pa.Schema:
        """Columns of the canonical table; the period stands after the key."""
        fields = [each.field for each in self.columns]
        return pa.schema([fields[0], PERIOD, *fields[1:]])


_, _CUSTOMER_KEY, _VARIANT_KEY, _RETURNED, _ = EVENT_FIELDS = source_event_columns(
    pa.int64(), pa.int64()
)

_INTEGER, _NUMBER, _LEVEL = pa.int64(), pa.float64(), pa.string()


def _kept(
    raw: str,
    read_as: pa.DataType,
    name: str,
    role: Role,
    description: str,
    unit: str | None = None,
    *,
    stored_as: pa.DataType | None = None,
) -> ReleaseColumn:
    return ReleaseColumn(raw, read_as, column(name, stored_as or read_as, role, description, unit))


def _totals(raw_owner: str, owner: str, scope: str) -> list[ReleaseColumn]:
    scope += ", those that the events tell of among them"
    return [
        _kept(
            f"salesPer{raw_owner}",
            _INTEGER,
            f"sales_per_{raw_owner.lower()}",
            Role.AGGREGATE,
            f"Pieces of the {owner} sold {scope}",
            "pieces",
        ),
        _kept(
            f"returnsPer{raw_owner}",
            _INTEGER,
            f"returns_per_{raw_owner.lower()}",
            Role.AGGREGATE,
            f"Pieces of the {owner} returned {scope}",
            "pieces",
        ),
        _kept(
            f"{raw_owner.lower()}ReturnRate",
            _NUMBER,
            f"{raw_owner.lower()}_return_rate",
            Role.AGGREGATE,
            f"Returns per sale of the {owner} {scope}",
            "share",
        ),
    ]


def _reasons(raw_owner: str, owner: str) -> list[ReleaseColumn]:
    columns = []
    for reason in REASONS:
        name = reason_name(reason)
        description = f"Share of the {owner}'s returns with reason code {name}"
        columns.append(
            _kept(
                f"{raw_owner}_level_return_code_{reason}",
                _NUMBER,
                f"{owner}_return_code_{name.lower()}",
                Role.AGGREGATE,
                description,
                "share",
            )
        )
    return columns


def reason_name(reason: str) -> str:
    """What we call a reason code: its letter, the second D being `D2`."""
    return "D2" if reason == "D.1" else reason


EVENT_TABLE = TableLayout(
    "event_table",
    (
        ReleaseColumn("hash(customerId)", _INTEGER, _CUSTOMER_KEY),
        ReleaseColumn("hash(variantID)", _INTEGER, _VARIANT_KEY),
        ReleaseColumn(LABEL, _INTEGER, _RETURNED),
    ),
    one_row_per_key=False,
)

CUSTOMER_NODES = TableLayout(
    "customer_nodes",
    (
        ReleaseColumn("hash(customerId)", _INTEGER, _CUSTOMER_KEY),
        _kept(
            "yearOfBirth",
            _INTEGER,
            "year_of_birth",
            Role.PROFILE,
            "Year of birth",
            "year",
            stored_as=pa.int16(),
        ),
        _kept("isMale", _INTEGER, "is_male", Role.PROFILE, "1 male, 0 not", stored_as=pa.int8()),
        _kept(
            "premier",
            _INTEGER,
            "premier",
            Role.PROFILE,
            "1 subscribed to premier delivery, 0 not",
            stored_as=pa.int8(),
        ),
        _kept("shippingCountry", _LEVEL, "shipping_country", Role.ATTRIBUTE, "Country, coded"),
        *_totals("Customer", "customer", "in the period"),
        *_reasons("customerId", "customer"),
    ),
    one_hots=(OneHot("shipping_country", tuple(f"Country_{each}" for each in COUNTRIES)),),
)

PRODUCT_NODES = TableLayout(
    "product_nodes",
    (
        ReleaseColumn("hash(variantID)", _INTEGER, _VARIANT_KEY),
        _kept("hash(productID)", _INTEGER, "product", Role.ATTRIBUTE, "Product of the variant"),
        _kept("productType", _LEVEL, "product_type", Role.ATTRIBUTE, "Product type, mostly coded"),
        _kept("hash(supplierRef)", _INTEGER, "supplier", Role.ATTRIBUTE, "Supplier"),
        _kept("brandDesc", _LEVEL, "brand", Role.ATTRIBUTE, "Brand, mostly coded"),
        _kept("avgGbpPrice", _NUMBER, "average_price_gbp", Role.CATALOGUE, "Mean price", "GBP"),
        _kept(
            "avgDiscountValue",
            _NUMBER,
            "average_discount",
            Role.CATALOGUE,
            "Mean discount; its unit is undocumented, it behaves like a percentage",
        ),
        *_totals("Product", "variant", "in both periods"),
        *_reasons("variantID", "variant"),
    ),
    one_hots=(
        OneHot("brand", tuple(f"Brand_{each}" for each in BRANDS)),
        OneHot("product_type", tuple(f"productType_{each}" for each in PRODUCT_TYPES)),
    ),
)

LAYOUTS = (EVENT_TABLE, CUSTOMER_NODES, PRODUCT_NODES)

TOP_RETURN_REASON = column(
    "top_return_reason",
    pa.string(),
    Role.AGGREGATE,
    "Reason code of most of the variant's returns; null if it has none",
)
