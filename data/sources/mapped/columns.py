"""What a mapping says of single columns: type, role, and which values are possible."""

import re
from dataclasses import dataclass
from datetime import date

from data.schema import Role
from data.sections import Section
from data.sources.mapped.description import Case, ColumnMapping, ColumnType, Limits, Owner

IGNORE = "ignore"
OWNER_OF_ROLE = {
    Role.PROFILE: Owner.CUSTOMER,
    Role.CATALOGUE: Owner.VARIANT,
    Role.ORDER: Owner.ORDER,
    Role.AFTER: Owner.ORDER,
}
"""Roles that say by themselves what a column describes."""

FLAG_VALUES = {"1": 1, "0": 0, "1.0": 1, "0.0": 0, "true": 1, "false": 0}
"""What a flag may say unless the mapping gives `values`; the case of letters does not matter."""

POSSIBLE_DATES = Limits(date(1800, 1, 1), date(2100, 12, 31))
POSSIBLE_ORDER_DATES = Limits(date(1970, 1, 1), date(2100, 12, 31))
DATE_DIRECTIVES = frozenset("YymdbBHIMSfpj%")


@dataclass(frozen=True)
class TableKind:
    """What one of the three tables may hold."""

    keys: tuple[str, ...]
    required: tuple[str, ...]
    owners: tuple[Owner, ...]


def read_columns(
    section: Section, kind: TableKind, keys: dict[str, tuple[str, ...]], date_format: str
) -> tuple[ColumnMapping, ...]:
    """Read the `columns` of a table; a key's column that is not listed there counts as well.

    Args:
        section: The entry `columns`.
        kind: Which table it belongs to.
        keys: Columns of each key of the table.
        date_format: The table's own format of dates.

    Returns:
        Every column to be read, listed ones first.
    """
    used_as = {column: key for key, columns in keys.items() for column in columns}
    # A basket is often the customer and the day: their own use says how they are read.
    used_as |= {column: key for key in keys if key != "basket" for column in keys[key]}
    columns = []
    for source in section:
        if not _is_ignored(section.raw(source)):
            entry = section.section(source)
            columns.append(_column(entry, source, kind, used_as.get(source), date_format))
    listed = {column.source for column in columns}
    implied = [source for source in used_as if source not in listed]
    for source in implied:
        entry = Section(f"{section.place}.{source}", {}, section.faults)
        columns.append(_column(entry, source, kind, used_as[source], date_format))
    return tuple(columns)


def split_column(source: str) -> ColumnMapping:
    """A column that says of each row whether it is train, validation or test."""
    return ColumnMapping(
        source=source,
        type=ColumnType.CATEGORY,
        role=None,
        owner=None,
        name=source,
        description="Part of the data",
        unit=None,
        nulls=(),
        date_format="",
        case=Case.LOWER,
        values={},
        limits=Limits(),
        years_before_order=Limits(),
    )


def _column(
    section: Section, source: str, kind: TableKind, used_as: str | None, date_format: str
) -> ColumnMapping:
    type_ = section.choice("type", ColumnType)
    role, owner = _role(section, kind, used_as)
    if type_ is None and used_as is None:
        section.required("type")
    type_ = type_ or {"time": ColumnType.DATE, "returned": ColumnType.FLAG}.get(
        used_as or "", ColumnType.CATEGORY
    )
    _check_type(section, type_, role, used_as)
    possible = POSSIBLE_ORDER_DATES if used_as == "time" else POSSIBLE_DATES
    is_date = type_ is ColumnType.DATE
    column = ColumnMapping(
        source=source,
        type=type_,
        role=role,
        owner=owner,
        name=(section.text("name") if role else None) or source,
        description=(section.text("description") if role else None) or f"Column {source}",
        unit=section.text("unit") if role else None,
        nulls=section.texts("nulls"),
        date_format=(read_date_format(section) if is_date else None) or date_format,
        case=(section.choice("case", Case) if type_ is ColumnType.CATEGORY else None) or Case.KEEP,
        values=_flag_values(section) if type_ is ColumnType.FLAG else {},
        limits=_limits(section, type_, possible),
        years_before_order=_years_before_order(section) if is_date else Limits(),
    )
    section.end()
    return column


def _role(
    section: Section, kind: TableKind, used_as: str | None
) -> tuple[Role | None, Owner | None]:
    allowed = [role for role, owner in OWNER_OF_ROLE.items() if owner in kind.owners]
    allowed += [Role.ATTRIBUTE, Role.AGGREGATE]
    role = section.choice("role", allowed)
    if role is None:
        if used_as is None and section.raw("role") is None:
            names = ", ".join([*allowed, IGNORE])
            section.fault("'role' is missing", f"Say what the column is, one of: {names}")
        return None, None
    owner = section.choice("of", Owner)
    implied = OWNER_OF_ROLE.get(role) or (kind.owners[0] if len(kind.owners) == 1 else None)
    if owner is not None and implied is not None and owner is not implied:
        section.fault(f"role '{role}' here is of the {implied}", f"Remove `of: {owner}`")
    if owner is None and implied is None:
        section.fault(
            f"role '{role}' needs 'of'", "Say what the column describes: order, customer or variant"
        )
    if role is Role.AGGREGATE and owner is Owner.ORDER:
        section.fault("an order has no aggregate", "Say `of: customer` or `of: variant`")
    return role, implied or owner


def _check_type(
    section: Section, type_: ColumnType, role: Role | None, used_as: str | None
) -> None:
    wanted: tuple[ColumnType, ...] = tuple(ColumnType)
    if used_as == "time":
        wanted = (ColumnType.DATE,)
    elif used_as == "returned":
        wanted = (ColumnType.FLAG,)
    elif used_as == "basket":
        wanted = (ColumnType.CATEGORY, ColumnType.INTEGER, ColumnType.DATE)
    elif used_as is not None or role is Role.ATTRIBUTE:
        wanted = (ColumnType.CATEGORY, ColumnType.INTEGER)
        wanted += (ColumnType.FLAG,) if used_as is None else ()
    if type_ not in wanted:
        what = f"as '{used_as}'" if used_as else f"with role '{role}'"
        section.fault(f"type '{type_}' cannot serve {what}", f"Allowed: {', '.join(wanted)}")
    if used_as in ("time", "returned") and role is not None:
        section.fault(f"the column is the '{used_as}' and has a role too", "Remove `role`")


def _limits(section: Section, type_: ColumnType, possible_dates: Limits) -> Limits:
    if type_ is ColumnType.DATE:
        limits = Limits(
            section.day("minimum") or possible_dates.minimum,
            section.day("maximum") or possible_dates.maximum,
        )
    elif type_ in (ColumnType.NUMBER, ColumnType.INTEGER):
        limits = Limits(section.number("minimum"), section.number("maximum"))
    else:
        return Limits()
    _check_order(section, limits)
    return limits


def _years_before_order(section: Section) -> Limits:
    if section.raw("years_before_order") is None:
        return Limits()
    years = section.section("years_before_order")
    limits = Limits(years.number("minimum"), years.number("maximum"))
    _check_order(years, limits)
    years.end()
    return limits


def _check_order(section: Section, limits: Limits) -> None:
    low, high = limits.minimum, limits.maximum
    if low is not None and high is not None and low > high:  # type: ignore[operator]
        section.fault(f"the minimum {low} is above the maximum {high}", "Exchange them")


def read_ignored(section: Section, keys: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Columns of a table that the mapping names only to pass them over."""
    ignored = tuple(source for source in section if _is_ignored(section.raw(source)))
    for key, columns in keys.items():
        for source in set(columns).intersection(ignored):
            section.fault(f"'{source}' is ignored and used as '{key}'", "Do one of the two")
    return ignored


def _is_ignored(entry: object) -> bool:
    return entry == IGNORE or (isinstance(entry, dict) and entry.get("role") == IGNORE)


def _flag_values(section: Section) -> dict[str, int]:
    return {text.lower(): flag for text, flag in section.flags("values").items()} or FLAG_VALUES


def read_date_format(section: Section) -> str | None:
    """The `date_format` of a section, checked; None if absent."""
    text = section.text("date_format")
    if text is None:
        return None
    directives = set(re.findall("%(.?)", text))
    whole_day = {"d"} <= directives and directives & set("mbB") and directives & set("Yy")
    if not whole_day or directives - DATE_DIRECTIVES:
        remedy = "Write day, month and year as in %d.%m.%Y; time of day: %H:%M:%S"
        section.fault(f"date_format '{text}' cannot be read", remedy)
    return text
