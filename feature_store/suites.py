"""The Great Expectations suite of a table, made from its contract, and its failures in words."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.contract import VECTOR, Column, Table

DAY = timedelta(days=1)
# Columns that stand in for what Great Expectations cannot look into; see gates.frame.
UNSOUND = "unsound_columns"
DAY_END = "ds_end"
VALUE_WIDTH = 60


def build(table: Table, rows: pa.Table, ds: date, run_id: str) -> Any:
    """The suite (great_expectations.ExpectationSuite) for staged rows of a table and ds."""
    from great_expectations import ExpectationSuite

    suite = ExpectationSuite(table.name)
    for expectation in _expectations(table, rows, ds, run_id):
        suite.add_expectation(expectation)
    return suite


def _expectations(table: Table, rows: pa.Table, ds: date, run_id: str) -> Iterator[Any]:
    import great_expectations.expectations as gxe

    yield gxe.ExpectTableColumnsToMatchSet(column_set=list(table.schema.names), exact_match=False)
    if len(table.key) == 1:
        yield gxe.ExpectColumnValuesToBeUnique(column=table.key[0])
    else:
        yield gxe.ExpectCompoundColumnsToBeUnique(column_list=list(table.key))
    for column in table.all_columns:
        yield from _of_column(gxe, column, rows)
    yield gxe.ExpectColumnValuesToBeNull(column=UNSOUND)
    yield from _of_time(gxe, table, ds, run_id)
    for earlier, later in table.in_order:
        yield _not_after(gxe, earlier, later)


def _of_column(gxe: Any, column: Column, rows: pa.Table) -> Iterator[Any]:
    if not column.nullable:
        yield gxe.ExpectColumnValuesToNotBeNull(column=column.name)
    if column.minimum is not None or column.maximum is not None:
        yield gxe.ExpectColumnValuesToBeBetween(
            column=column.name, min_value=column.minimum, max_value=column.maximum
        )
    if column.values is not None:
        yield gxe.ExpectColumnValuesToBeInSet(column=column.name, value_set=list(column.values))
    if column.max_length is not None and pa.types.is_string(column.type):
        yield gxe.ExpectColumnValueLengthsToBeBetween(column=column.name, max_value=column.max_length)
    if column.type == VECTOR and rows.num_rows:
        length = pc.max(pc.list_value_length(rows[column.name])).as_py()
        yield gxe.ExpectColumnValuesToBeBetween(column=column.name, min_value=length, max_value=length)


def _of_time(gxe: Any, table: Table, ds: date, run_id: str) -> Iterator[Any]:
    as_of = datetime(ds.year, ds.month, ds.day, tzinfo=UTC) + DAY
    if table.kind == "event":
        yield gxe.ExpectColumnValuesToBeBetween(column=DAY_END, max_value=as_of)
        yield gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A=DAY_END, column_B="event_time")
        return
    yield gxe.ExpectColumnValuesToBeInSet(column="ds", value_set=[ds.isoformat()])
    yield gxe.ExpectColumnValuesToBeBetween(column="as_of", min_value=as_of, max_value=as_of)
    yield gxe.ExpectColumnValuesToBeInSet(column="run_id", value_set=[run_id])
    yield gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A="as_of", column_B="input_max_event_time", ignore_row_if="either_value_is_missing"
    )
    yield _not_after(gxe, "as_of", "known_at")


def _not_after(gxe: Any, earlier: str, later: str) -> Any:
    return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=later, column_B=earlier, or_equal=True, ignore_row_if="either_value_is_missing"
    )


def sentence(result: Any, key: tuple[str, ...]) -> str:
    """One failed expectation (ExpectationValidationResult) in words, with the keys of the first rows."""
    name = f"{result.expectation_config.type}({_arguments(result.expectation_config.kwargs)})"
    found = result.result
    if "unexpected_count" not in found:
        reason = _exception(result.exception_info) or found.get("details") or found.get("observed_value")
        return f"{name} does not hold: {reason}"
    rows = [_row(row, key) for row in found.get("partial_unexpected_index_list") or ()]
    broken = f"{name} fails on {found['unexpected_count']:,} of {found['element_count']:,} rows"
    return f"{broken}: {'; '.join(rows)}" if rows else broken


def _exception(information: Any) -> str | None:
    """The message of an exception, which stands alone or under the name of the metric that raised it."""
    if not isinstance(information, dict):
        return None
    message = information.get("exception_message")
    nested = (_exception(value) for value in information.values())
    return str(message) if message else next((found for found in nested if found), None)


def _arguments(kwargs: dict[str, Any]) -> str:
    silent = {"batch_id", "ignore_row_if", "exact_match"}
    return ", ".join(f"{k}={v}" for k, v in kwargs.items() if k not in silent and v is not None)


def _row(row: dict[str, Any], key: tuple[str, ...]) -> str:
    """A row by its key, and the values that are at fault where they are not the key itself."""
    identity = " ".join(f"{name}={row[name]}" for name in key)
    values = ", ".join(f"{name} {_short(value)}" for name, value in row.items() if name not in key)
    return f"{identity} ({values})" if values else identity


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= VALUE_WIDTH else text[:VALUE_WIDTH] + "..."
