"""Quality gates: staged rows against the suite of their table's contract, before anything is published."""

import logging
import os
import sys
import warnings
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store import data_docs, suites
from feature_store.contract import Table
from feature_store.partitions import Store, read_leniently

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 5


def check(table: Table, files: list[Path], ds: date, run_id: str, root: Path) -> list[str]:
    """Validate staged rows; one sentence for each expectation that failed, none when all hold.

    A sentence names the expectation, how many rows break it and the keys of the first few. The result, good
    or bad, is added to the Data Docs site under `root`.
    """
    outcome = data_docs.Check(table.name, ds, run_id, sum(pq.read_metadata(file).num_rows for file in files))
    problems = shape_problems(table, files)
    if not problems:
        rows = read_leniently(table.schema, files)
        with Store(root).lock(data_docs.FOLDER), warnings.catch_warnings():
            # It and what it imports lag behind pandas 3.
            warnings.simplefilter("ignore")
            problems = _validate(table, rows, outcome, root)
    outcome.failures = problems
    with Store(root).lock(data_docs.FOLDER):
        data_docs.record(root, outcome)
    if problems and outcome.page:
        return [*problems, f"every result is in {root / data_docs.FOLDER / outcome.page}"]
    return problems


def shape_problems(table: Table, files: list[Path]) -> list[str]:
    """Columns that are missing, unknown or of another type than the contract's, one sentence each."""
    problems: dict[str, None] = {}
    wanted = {field.name: field.type for field in table.schema}
    for file in files:
        found = {field.name: field.type for field in pq.read_schema(file)}
        for name, type_ in wanted.items():
            if name not in found:
                problems[f"column {name} is missing; there are {', '.join(found)}"] = None
            elif not _same(found[name], type_):
                problems[f"column {name} is {found[name]}, not {type_}"] = None
        for name in found.keys() - wanted.keys():
            problems[f"column {name} is not in the contract (feature_store/tables/)"] = None
    return list(problems)


def _same(found: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return _same(found.value_type, wanted.value_type)
    return bool(found == wanted)


def frame(rows: pa.Table, table: Table) -> "pd.DataFrame":
    """The rows as Great Expectations gets them.

    A list is handed over as its length, a day as ISO text, rows of an event table with the end of their day.
    One column names the columns in which a row has a number that is none, or a list with such an element.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    unsound = pa.repeat("", rows.num_rows)
    for field in table.schema:
        values = rows[field.name].combine_chunks()
        unsound = pc.if_else(_unsound(values), pc.binary_join_element_wise(unsound, field.name, " "), unsound)
        if pa.types.is_list(field.type):
            values = pc.list_value_length(values)
        elif pa.types.is_date(field.type):
            values = pc.strftime(values, format="%Y-%m-%d")
        columns[field.name] = values
    columns[suites.UNSOUND] = pc.if_else(pc.equal(unsound, ""), None, pc.utf8_trim_whitespace(unsound))
    if table.kind == "event":
        midnight = pc.assume_timezone(pc.cast(rows["ds"], pa.timestamp("us")), "UTC")
        columns[suites.DAY_END] = pc.add(midnight, pa.scalar(suites.DAY, pa.duration("us")))
    return pa.table(columns).to_pandas()


def _unsound(values: pa.Array) -> pa.Array:
    """Whether a number is NaN or infinite, or a list has an element that is, or that is missing."""
    if pa.types.is_floating(values.type):
        return pc.fill_null(pc.invert(pc.is_finite(values)), False)
    if not pa.types.is_list(values.type):
        return pa.repeat(False, len(values))
    elements = pc.list_flatten(values)
    bad = pc.or_(pc.is_null(elements), _unsound(elements))
    rows = pa.array(range(len(values)), pa.int64())
    return pc.is_in(rows, pc.list_parent_indices(values).filter(bad))


def _validate(table: Table, rows: pa.Table, outcome: data_docs.Check, root: Path) -> list[str]:
    """Run the suite and write its pages; the failures as sentences."""
    gx = _great_expectations()
    context = _context(gx, root)
    staged = context.data_sources.add_pandas("staged").add_dataframe_asset(table.name)
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=table.name,
            data=staged.add_batch_definition_whole_dataframe("rows"),
            suite=context.suites.add(suites.build(table, rows, outcome.ds, outcome.run_id)),
        )
    )
    result = definition.run(
        batch_parameters={"dataframe": frame(rows, table)},
        run_id=gx.core.run_identifier.RunIdentifier(run_name=f"{outcome.ds}-{outcome.run_id}"),
        result_format={
            "result_format": "SUMMARY",
            "unexpected_index_column_names": list(table.key),
            "partial_unexpected_count": SHOWN_ROWS,
            "return_unexpected_index_query": False,
        },
    )
    outcome.expectations = len(result.results)
    (key,) = context.validation_results_store.list_keys()
    pages = [key, key.expectation_suite_identifier]
    context.build_data_docs(resource_identifiers=pages, build_index=False)
    outcome.page = "/".join(["validations", *key.to_tuple()]) + ".html"
    return [suites.sentence(failed, table.key) for failed in result.results if not failed.success]


def _great_expectations() -> Any:
    """Import Great Expectations without its chatter, its telemetry, and the Spark it does not need here."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    spark = "pyspark" in sys.modules
    try:
        if not spark:
            sys.modules["pyspark"] = None  # type: ignore[assignment]  # ImportError, which it expects
        import great_expectations
        import great_expectations.core.run_identifier
    finally:
        if not spark:
            del sys.modules["pyspark"]
    return great_expectations


def _context(gx: Any, root: Path) -> Any:
    """A context in memory whose only files are the pages of the Data Docs site."""
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(root / data_docs.FOLDER),
        },
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        data_docs_sites={"nightmill": site},
        progress_bars={"globally": False},
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)
