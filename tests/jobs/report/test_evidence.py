"""Evaluations as the report reads them, those of an older Nightmill included."""

from collections.abc import Callable
from datetime import date

import pyarrow.parquet as pq

from feature_store.partitions import Store
from feature_store.settings import Settings
from jobs.report.evidence import evaluations

DS, JUDGED = date(1998, 1, 14), date(1998, 1, 7)


def test_a_night_from_before_there_were_slices_is_about_everything(
    publish: Callable[..., None], make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings()
    row = {"evaluated_ds": JUDGED, "stage": "als", "metric": "ndcg_at_k", "k": 10, "value": 0.1, "users": 3}
    publish(settings, "evaluate", DS, {"evaluations": [row | {"slice": "all", "horizon_days": 7}]})
    store = Store(settings.data_root)
    published = store.published("evaluations", DS)
    assert published is not None
    (file,) = published.files
    pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["slice", "compared_ds"]), file)
    (found,) = evaluations(store, DS)
    measure = found.find("als", "ndcg_at_k", 10)
    assert measure is not None
    assert (measure.value, measure.slice, measure.compared_ds) == (0.1, "all", None)
    assert found.against_earlier is None
