"""docs/features.md: every table and column in words, from the contracts and the headers of the transforms.

`make docs` writes it anew; a test says when that was forgotten.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from feature_store.contract import ARRIVAL, PROVENANCE, Column, Table
from feature_store.settings import REPOSITORY
from feature_store.tables import TABLES

PAGE = REPOSITORY / "docs" / "features.md"
TRANSFORMS = Path(__file__).with_name("transforms")
# "-- Windows  7 days ..." states a fact; "--          and goes on" continues it.
FACT = re.compile(r"-- ([A-Z][a-z]*(?: [a-z]+)?) {2,}(\S.*)")
CONTINUED = re.compile(r"-- {3,}(\S.*)")
TYPES = {
    "string": "text",
    "bool": "flag",
    "int64": "integer",
    "double": "number",
    "float": "number",
    "date32[day]": "date",
    "timestamp[us, tz=UTC]": "time, UTC",
}
INTRODUCTION = """\
# Tables and features

Made by `make docs` from `feature_store/tables/` and the headers of `feature_store/transforms/*.sql`: change
those, not this page. Each table is a view of its name in `catalog.duckdb` (`<table>_all` holds every night).
"""


@dataclass
class Header:
    """What the comment at the head of a transform states: a summary, named facts, remarks."""

    summary: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    remarks: str = ""


def header(sql: str) -> Header:
    """Read the head of a transform: `-- name: summary`, then `-- Fact  text` and free remarks."""
    found, fact = Header(), ""
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        if match := FACT.fullmatch(line):
            fact = match[1]
            found.facts[fact] = match[2]
        elif fact and (match := CONTINUED.fullmatch(line)):
            found.facts[fact] += f" {match[1]}"
        elif found.facts:
            found.remarks = f"{found.remarks} {line[2:].strip()}".strip()
        else:
            found.summary = f"{found.summary} {line[2:].strip()}".strip()
    found.summary = found.summary.partition(": ")[2]
    return found


def render() -> str:
    """The page as Markdown."""
    transforms = {path.stem: header(path.read_text("utf-8")) for path in sorted(TRANSFORMS.glob("*.sql"))}
    parts = [INTRODUCTION, _overview()]
    parts += [_table(table, transforms.pop(table.name, None)) for table in TABLES.values()]
    parts.append("## Columns that every row carries\n\nOf a snapshot:\n\n" + _columns(PROVENANCE))
    parts.append("Of a table of events:\n\n" + _columns(ARRIVAL))
    parts.append("## Further transforms\n\nSQL between the tables, in `feature_store/transforms/`.")
    parts += [_transform(name, found) for name, found in transforms.items()]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _overview() -> str:
    rows = [
        (f"[{table.name}](#{table.name})", table.doc, f"`{table.job}`", ", ".join(table.key))
        for table in TABLES.values()
    ]
    return _grid(("table", "what", "job", "key"), rows)


def _table(table: Table, transform: Header | None) -> str:
    lines = [f"## {table.name}", "", table.doc, ""]
    lines += [f"- {name}: {text}" for name, text in _facts(table)]
    if transform:
        # The contract has said the key.
        lines += _stated(replace(transform, facts=transform.facts | {"Keys": ""}))
    return "\n".join([*lines, "", _columns(table.columns)])


def _facts(table: Table) -> Iterator[tuple[str, str]]:
    event = table.kind == "event"
    yield "Key", ", ".join(table.key)
    yield "Job", f"`nightmill {table.job}`"
    yield "Kind", "events, the union of all days" if event else "snapshot, the whole state as of its ds"
    days = "1 day" if table.fresh_days == 1 else f"{table.fresh_days} days"
    yield "Fresh", f"at most {days} behind the night that is looked at"
    if table.ttl_days is not None:
        yield (
            "Time to live",
            f"a row is joined up to {table.ttl_days} days after its as_of",
        )
    if table.coverage:
        yield "Coverage", f"published when at least {table.coverage:.0%} of the rows asked about have values"
    if table.drift:
        yield "Drift", "columns are compared with the partition before (`[drift]` of the settings)"
    for earlier, later in table.in_order:
        yield "Order", f"{earlier} ≤ {later}"


def _transform(name: str, found: Header) -> str:
    return "\n".join([f"### {name}.sql", "", _sentence(found.summary), "", *_stated(found)])


def _stated(found: Header) -> list[str]:
    facts = [f"- {name}: {text}" for name, text in found.facts.items() if text]
    return facts + ([f"- {found.remarks}"] if found.remarks else [])


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _columns(columns: Sequence[Column]) -> str:
    rows = [(f"`{c.name}`", type_name(c.type), _meaning(c), _allowed(c)) for c in columns]
    return _grid(("column", "type", "meaning", "values"), rows)


def type_name(type_: pa.DataType) -> str:
    """A column's type in words."""
    if pa.types.is_list(type_):
        of = TYPES[str(type_.value_type)]
        return "vector" if str(type_.value_type) == "float" else f"list of {of}s"
    return TYPES[str(type_)]


def _meaning(column: Column) -> str:
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.doc}{unit}{'; from the model' if column.from_model else ''}"


def _allowed(column: Column) -> str:
    """What the quality gate accepts."""
    said = []
    if column.minimum is not None and column.maximum is not None:
        said.append(f"{column.minimum:g} to {column.maximum:g}")
    elif column.minimum is not None:
        said.append(f"≥ {column.minimum:g}")
    elif column.maximum is not None:
        said.append(f"≤ {column.maximum:g}")
    if column.values is not None:
        said.append(", ".join(f"`{value}`" for value in column.values))
    if column.max_length is not None:
        said.append(f"at most {column.max_length} characters")
    if column.nullable:
        said.append("or null" if said else "may be null")
    return " ".join(said)


def _grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(), "utf-8")
