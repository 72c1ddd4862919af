"""fit_recall: who took what, and what texts say -> candidates for every active user.

The night's tuning says how the channels are set up. Each proposes up to recall.per_channel items (unseen
ones, unless recall.repeats); weighted reciprocal rank fusion merges them into recall.candidates, of which
each channel has a quota for sure, and every candidate keeps which channels proposed it, at which rank and
score.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feature_store.sections import Recall
from jobs.night import Night, stamped
from jobs.recommender import channels, fusion, item_words, tuning
from jobs.recommender.als import Als
from jobs.recommender.cold_start import ColdTables
from jobs.recommender.history import COLUMNS, History, encode
from jobs.recommender.quotas import Blend
from jobs.step import Input, Job

# Users whose proposals are in memory at once.
_USERS = 4096


def run(night: Night) -> None:
    """Fit the channels on everything before as_of and stage factors and candidates."""
    items = night.read("items", ["item_id", "categories"])
    history = encode(night.read("interactions", COLUMNS), items["item_id"], night.as_of)
    tables = channels.Tables(
        items,
        night.read("item_embeddings", ["item_id", "embedding", "model_id"]),
        night.read("synthetic_interactions", ["user_id", "item_id", "confidence"]),
        cold_tables(night),
    )
    (row,) = night.read("tunings").to_pylist()
    settings, blend = tuning.applied(row, night.settings.recall)
    fitted = channels.fit(history, tables, settings)
    _write_factors(night, fitted.als, history)
    night.write("candidates", stamped(_candidates(night, fitted, history, settings, blend), history.newest))


def cold_tables(night: Night) -> ColdTables:
    """What the channel cold_start is made of tonight."""
    (alignment,) = night.read("alignments").to_pylist()
    return ColdTables(
        night.read("items", item_words.ITEM_COLUMNS),
        night.read("item_profiles", item_words.PROFILE_COLUMNS),
        night.read("aligned_items", ["item_id", "shown", "wanted", "model_id"]),
        alignment,
        night.settings.cold_start.max_events,
    )


def _candidates(
    night: Night, fitted: channels.Channels, history: History, settings: Recall, blend: Blend
) -> pa.Table:
    users = history.active(night.settings.activity.days)
    found = []
    with night.progress(len(users), "fit_recall", "user") as progress:
        for start in range(0, len(users), _USERS):
            block = users[start : start + _USERS]
            merged = channels.candidates(fitted, history, block, settings, blend)
            found.append(fusion.as_rows(merged, block, history.user_ids, history.item_ids))
            progress.update(len(block))
    night.count(selected=len(users))
    return pa.concat_tables(found) if found else fusion.empty()


def _write_factors(night: Night, fitted: Als, history: History) -> None:
    rows = _factor_rows("user_id", history.user_ids, fitted.user_factors, fitted.known_users)
    night.write("user_factors", stamped(rows, history.newest))
    rows = _factor_rows("item_id", history.item_ids, fitted.item_factors, fitted.known_items)
    night.write("item_factors", stamped(rows, history.newest))


def _factor_rows(key: str, ids: pa.Array, factors: NDArray[np.float32], known: NDArray[np.bool_]) -> pa.Table:
    kept = factors[known]
    offsets = pa.array(np.arange(len(kept) + 1, dtype=np.int32) * kept.shape[1])
    vectors = pa.ListArray.from_arrays(offsets, pa.array(kept.ravel()))
    return pa.table({key: ids.filter(pa.array(known)), "factors": vectors})


JOB = Job(
    name="fit_recall",
    summary="interactions and vectors -> recall model and candidates",
    inputs=(
        Input("interactions"),
        Input("items"),
        Input("item_embeddings"),
        Input("item_profiles"),
        Input("aligned_items"),
        Input("alignments"),
        Input("synthetic_interactions"),
        Input("tunings"),
    ),
    outputs=("user_factors", "item_factors", "candidates"),
    run=run,
    settings=("activity", "recall", "cold_start"),
)
