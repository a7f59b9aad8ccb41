"""Reading a mapping: the YAML file that names a retailer's columns and their roles.

Every fault of the file is found before any table is opened, and all are reported together. What
the keys mean is told in `docs/own_tables.md`.
"""

from pathlib import Path

import pyarrow as pa

from data.schema import (
    BASKET,
    BASKET_KEY,
    CUSTOMER,
    CUSTOMER_ROW,
    EVENT,
    PERIOD,
    TIME,
    VARIANT,
    VARIANT_ROW,
    source_event_columns,
)
from data.sections import Faults, Section
from data.sources.mapped.columns import (
    IGNORE,
    TableKind,
    read_columns,
    read_date_format,
    read_ignored,
)
from data.sources.mapped.description import (
    FileFormat,
    Limits,
    Owner,
    SplitBy,
    SplitMapping,
    TableMapping,
    TablesMapping,
)
from data.validation import InputError
from data.yaml_document import read_yaml

RESERVED_NAMES = frozenset(
    field.name
    for field in (
        *source_event_columns(pa.string(), pa.string()),
        *(TIME, BASKET_KEY, PERIOD, EVENT, CUSTOMER, VARIANT, CUSTOMER_ROW, VARIANT_ROW, BASKET),
    )
)
"""Names that the canonical tables use themselves."""

_KINDS = {
    "events": TableKind(
        ("row_id", "customer", "variant", "returned", "time", "basket"),
        ("customer", "variant", "returned"),
        (Owner.ORDER, Owner.CUSTOMER, Owner.VARIANT),
    ),
    "customers": TableKind(("customer",), ("customer",), (Owner.CUSTOMER,)),
    "variants": TableKind(("variant",), ("variant",), (Owner.VARIANT,)),
}


def load_mapping(path: Path) -> TablesMapping:
    """Read and check a mapping file.

    Args:
        path: The YAML file.

    Raises:
        InputError: The file is missing, is no YAML or says something wrong; carries all faults.
    """
    remedy = "Give the path of the YAML file that describes your tables"
    document, repeated = read_yaml(path, remedy)
    try:
        mapping = parse_mapping(document, str(path))
    except InputError as error:
        raise InputError([*repeated, *error.faults]) from error
    if repeated:
        raise InputError(repeated)
    return mapping


def parse_mapping(content: object, name: str) -> TablesMapping:
    """Check the content of a mapping and give it types.

    Args:
        content: The document: nested dicts, lists and scalars, from YAML or JSON.
        name: What to call it in faults.

    Raises:
        InputError: Something in it is wrong; carries all faults.
    """
    faults = Faults(name, "the mapping", "docs/own_tables.md")
    document = Section("", content, faults)
    document.required("events")
    tables: dict[str, TableMapping | None] = {}
    for place, kind in _KINDS.items():
        section = document.section(place)
        tables[place] = _table(section, kind) if place in document else None
    events = tables["events"]
    split = _split(document.section("split"), dated=events is None or events.time is not None)
    document.end()
    if events is not None:
        _check_together(events, tables["customers"], tables["variants"], split, faults)
    if faults.found or events is None:
        raise InputError(faults.found)
    return TablesMapping(events, tables["customers"], tables["variants"], split)


def _table(section: Section, kind: TableKind) -> TableMapping:
    for key in ("file", *kind.required):
        section.required(key)
    file = section.text("file") or ""
    keys = {key: section.texts(key) for key in kind.keys}
    for key in ("row_id", "returned", "time"):
        if len(keys.get(key, ())) > 1:
            section.fault(f"'{key}' names several columns", "Name one")
    columns = section.section("columns")
    date_format = read_date_format(section) or "%Y-%m-%d"
    table = TableMapping(
        file=file,
        format=section.choice("format", FileFormat) or _format_of(file, section),
        delimiter=_character(section, "delimiter", ","),
        decimal=_character(section, "decimal", "."),
        nulls=section.texts("nulls"),
        date_format=date_format,
        ignore_unmentioned=_ignore_unmentioned(section),
        row_id=_first(keys.get("row_id", ())),
        customer=keys.get("customer", ()),
        variant=keys.get("variant", ()),
        returned=_first(keys.get("returned", ())),
        time=_first(keys.get("time", ())),
        basket=keys.get("basket", ()),
        columns=read_columns(columns, kind, keys, date_format),
        ignored=read_ignored(columns, keys),
    )
    section.end()
    return table


def _split(section: Section, dated: bool) -> SplitMapping:
    by = section.choice("by", SplitBy) or (SplitBy.TIME if dated else SplitBy.CUSTOMER)
    if by is SplitBy.TIME:
        if not dated:
            section.fault("the events have no `time` to split by", "Use `by: customer` or `column`")
        split = SplitMapping(by, section.day("validation_from"), section.day("test_from"))
        _check_days(section, split)
    elif by is SplitBy.COLUMN:
        section.required("column")
        split = SplitMapping(by, column=section.text("column"))
    else:
        validation, test = section.number("validation_share"), section.number("test_share")
        validation = 0.1 if validation is None else validation
        test = 0.2 if test is None else test
        if validation <= 0 or test <= 0 or validation + test >= 1:
            remedy = "Choose positive shares that leave customers for training"
            section.fault(f"shares {validation} and {test} cannot be", remedy)
        split = SplitMapping(by, validation_share=validation, test_share=test)
    section.end()
    return split


def _check_days(section: Section, split: SplitMapping) -> None:
    first, second = split.validation_from, split.test_from
    if first is not None and second is not None and first >= second:
        message = f"validation_from {first} is not before test_from {second}"
        section.fault(message, "Validation comes before the test")


def _check_together(
    events: TableMapping,
    customers: TableMapping | None,
    variants: TableMapping | None,
    split: SplitMapping,
    faults: Faults,
) -> None:
    for owner, table in ((Owner.CUSTOMER, customers), (Owner.VARIANT, variants)):
        if table is not None:
            _check_node_table(owner, table, events, faults)
    tables = [table for table in (events, customers, variants) if table is not None]
    names = [column.name for table in tables for column in table.columns if column.owner]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.add("columns", f"several columns are called '{name}'", "Give them a `name` each")
    for name in sorted(RESERVED_NAMES.intersection(names)):
        remedy = "Give the column another `name`"
        faults.add("columns", f"the name '{name}' is used by the tables themselves", remedy)
    for table in tables:
        for column in table.columns:
            if column.years_before_order != Limits() and (table is not events or not events.time):
                remedy = "It needs the order date: use `minimum` and `maximum`"
                faults.add(column.source, "'years_before_order' cannot be used here", remedy)
    mentioned = {column.source for column in events.columns} | set(events.ignored)
    if split.column is not None and split.column in mentioned:
        faults.add("split.column", "the column has another use", "Remove it from `columns`")


def _check_node_table(
    owner: Owner, table: TableMapping, events: TableMapping, faults: Faults
) -> None:
    place = f"{owner}s"
    for column in events.columns_of(owner):
        message = f"it describes the {owner}, and {place} have a file of their own"
        faults.add(f"events.columns.{column.source}", message, f"Use `{IGNORE}` or another role")
    own, theirs = (
        [each.column(source).type for source in getattr(each, owner.value)]
        for each in (table, events)
    )
    if own != theirs:
        message = f"key columns of type {', '.join(own)}, in events {', '.join(theirs)}"
        faults.add(f"{place}.{owner}", message, "Give both keys as many columns of the same types")


def _ignore_unmentioned(section: Section) -> bool:
    value = section.raw("unmentioned")
    if value not in (None, "error", IGNORE):
        section.fault(f"unmentioned: {value!r} is unknown", f"Allowed: error, {IGNORE}")
    return value == IGNORE


def _character(section: Section, key: str, default: str) -> str:
    text = section.text(key)
    if text is not None and (len(text) != 1 or not text.isascii() or text in '"\r\n'):
        section.fault(f"{key} {text!r} is not one character", f"Such as {default!r}")
        return default
    return text or default


def _format_of(file: str, section: Section) -> FileFormat:
    known = FileFormat.of_name(file)
    if known is not None:
        return known
    if file:
        section.fault(f"the format of '{file}' is not known", "Add `format: csv` or `parquet`")
    return FileFormat.CSV


def _first(columns: tuple[str, ...]) -> str | None:
    return columns[0] if columns else None
