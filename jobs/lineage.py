"""OpenLineage: what each run read and wrote, told to whoever collects such events.

    <data>/lineage/ds=YYYY-MM-DD.jsonl      one event a line, unless a transport is configured

A run tells of its start, and of its end: COMPLETE when everything is published, FAIL, or ABORT when a person
stopped it. A night in which there is nothing to do runs nothing and so tells nothing. Another transport is
configured the library's own way: OPENLINEAGE_URL, OPENLINEAGE__TRANSPORT__*, or an openlineage.yml;
OPENLINEAGE_DISABLED=true switches it off. What cannot be told is one warning and never fails a job.

Specification: https://openlineage.io/spec/2-0-2/OpenLineage.json
"""

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from feature_store.contract import Table
from feature_store.documentation import type_name
from feature_store.locations import shown
from feature_store.locks import locked
from feature_store.partitions import Partition
from feature_store.tables import TABLES
from jobs.column_origins import origins
from jobs.night import Night
from jobs.publish import VERSION, code_version

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent

    from jobs.step import Job

TABLES_NAMESPACE = "nightmill://tables"
SOURCES_NAMESPACE = "nightmill://sources"
PRODUCER = f"urn:nightmill:{VERSION}"
# Set by whatever started the job, as Airflow's macro lineage_parent_id spells it: namespace/job/run id.
PARENT = "OPENLINEAGE_PARENT_ID"


def run_uuid(night: Night, job: str) -> str:
    """The id of a run as OpenLineage wants it, always the same for the same run: a UUID of its name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"nightmill://runs/{job}/{night.ds}/{night.run_id}"))


@contextmanager
def told(job: "Job", night: Night) -> Iterator[None]:
    """Tell of the start and of the end of what runs inside."""
    teller = _Teller(job, night)
    teller.tell("START")
    try:
        yield
    except Exception as error:
        teller.tell("FAIL", error)
        raise
    except BaseException as error:
        teller.tell("ABORT", error)
        raise
    teller.tell("COMPLETE")


class _Teller:
    """Sends the events of one run, until one of them cannot be sent."""

    def __init__(self, job: "Job", night: Night) -> None:
        self.job, self.night = job, night
        self.client: OpenLineageClient | None = None
        self.silent = os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true"

    def tell(self, state: str, error: BaseException | None = None) -> None:
        """Send one event; a reason why not is noted, and nothing more is tried for this run."""
        if self.silent:
            return
        try:
            self.client = self.client or _client(self.night)
            self.client.emit(_event(self.job, self.night, state, error))
        except Exception as problem:
            self.silent = True
            self.night.note(f"lineage of this run could not be sent: {type(problem).__name__}: {problem}")
        finally:
            if self.client is not None and (self.silent or state != "START"):
                self.client.close(timeout=10.0)


def _client(night: Night) -> "OpenLineageClient":
    from openlineage.client import OpenLineageClient

    # What the library has to say of a failure is said once, in the note.
    logging.getLogger("openlineage").setLevel(os.environ.get("OPENLINEAGE_CLIENT_LOGGING", "CRITICAL"))
    client = OpenLineageClient(transport=_file(night))
    if client.config.transport or os.environ.get("OPENLINEAGE_URL"):
        return OpenLineageClient()
    return client


def _file(night: Night) -> Any:
    """The library's transport into a file, one writer at a time: an event may be longer than one write."""
    from openlineage.client.transport.file import FileConfig, FileTransport

    folder = night.store.root / "lineage"

    class OneAtATime(FileTransport):
        def emit(self, event: Any) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(night.store.root / "locks" / "lineage.lock"):
                super().emit(event)

    return OneAtATime(FileConfig(str(folder / f"ds={night.ds}.jsonl"), append=True))


def _event(job: "Job", night: Night, state: str, error: BaseException | None) -> "RunEvent":
    from openlineage.client import event_v2, set_producer
    from openlineage.client.facet_v2 import documentation_job, job_type_job

    set_producer(PRODUCER)
    namespace = os.environ.get("OPENLINEAGE_NAMESPACE", "nightmill")
    facets = {
        "documentation": documentation_job.DocumentationJobFacet(description=job.summary),
        "jobType": job_type_job.JobTypeJobFacet("BATCH", "NIGHTMILL", "JOB"),
    }
    done = state == "COMPLETE"
    return event_v2.RunEvent(
        eventTime=datetime.now(UTC).isoformat(),
        eventType=event_v2.RunState[state],
        run=event_v2.Run(run_uuid(night, job.name), _run_facets(night, error)),
        job=event_v2.Job(namespace, job.name, facets),
        inputs=_inputs(job, night),
        outputs=[_output(table, night) for table in job.outputs if not done or _is_written(table, night)],
    )


def _run_facets(night: Night, error: BaseException | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import error_message_run, nominal_time_run, parent_run
    from openlineage.client.generated.base import RunFacet

    own = {"run_id": night.run_id, "ds": str(night.ds), "code_version": code_version()}
    if night.shard:
        own["shard"] = f"{night.shard[0]}/{night.shard[1]}"
    facets: dict[str, Any] = {
        "nominalTime": nominal_time_run.NominalTimeRunFacet(
            (night.as_of - timedelta(days=1)).isoformat(), night.as_of.isoformat()
        ),
        "nightmill_run": RunFacet().with_additional_properties(**own),
    }
    # The message may quote a row, and these events outlive and leave the data root; the job's log has it.
    if error is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(type(error).__name__, "PYTHON")
    if parent := os.environ.get(PARENT):
        namespace, job, run = parent.rsplit("/", 2)
        facets["parent"] = parent_run.ParentRunFacet(parent_run.Run(run), parent_run.Job(namespace, job))
    return facets


def _inputs(job: "Job", night: Night) -> list["InputDataset"]:
    from openlineage.client.event_v2 import InputDataset

    # Tonight's partition of a table and those of earlier nights are one dataset.
    read: dict[str, list[Partition]] = {}
    for name, partitions in night.inputs.items():
        read.setdefault(name.removeprefix("earlier "), []).extend(partitions)
    found = [
        InputDataset(TABLES_NAMESPACE, table, facets=_table_facets(TABLES[table], _version(partitions)))
        for table, partitions in read.items()
    ]
    if "source" in job.settings:
        found.append(InputDataset(SOURCES_NAMESPACE, shown(night.settings.source.location)))
    return found


def _version(partitions: list[Partition]) -> str | None:
    """The run that was read; None where there were none, or several."""
    return partitions[0].run_id if len(partitions) == 1 else None


def _output(table: str, night: Night) -> "OutputDataset":
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    facets = _table_facets(TABLES[table], night.run_id)
    if made_from := _column_lineage(table, night):
        facets["columnLineage"] = made_from
    found: dict[str, Any] = {}
    if _is_written(table, night):
        files = [file.stat().st_size for file in night.staged_files(table)]
        rows = sum(rows for (name, _), rows in night.staged.items() if name == table)
        found["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(
            rows, sum(files), len(files)
        )
    return OutputDataset(TABLES_NAMESPACE, table, facets=facets, outputFacets=found)


def _is_written(table: str, night: Night) -> bool:
    return any(name == table for name, _ in night.staged)


def _table_facets(table: Table, version: str | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset, documentation_dataset, schema_dataset

    facets: dict[str, Any] = {
        "documentation": documentation_dataset.DocumentationDatasetFacet(table.doc),
        "schema": schema_dataset.SchemaDatasetFacet(
            [
                schema_dataset.SchemaDatasetFacetFields(column.name, type_name(column.type), column.doc)
                for column in table.all_columns
            ]
        ),
    }
    if version:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(version)
    return facets


def _column_lineage(table: str, night: Night) -> Any:
    """Which columns each column is made from, for those of which it is known; None where it is of none."""
    from openlineage.client.facet_v2 import column_lineage_dataset as lineage

    fields = {
        column: lineage.Fields([lineage.InputField(TABLES_NAMESPACE, *origin) for origin in found])
        for column, found in origins(table, night.settings).items()
    }
    return lineage.ColumnLineageDatasetFacet(fields) if fields else None
