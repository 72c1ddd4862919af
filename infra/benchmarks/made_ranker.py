"""A ranker for made candidates, trained by the project's own code on a made taste."""

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from infra.benchmarks.made_night import AS_OF, DS, SEED, Scale, ids
from jobs.night import Night
from jobs.scoring_rows import CANDIDATES, Joined

_USERS, _TAKEN = 600, 5


def made_ranker(night: Night, scale: Scale) -> dict[str, Any]:
    """A row of `rankers`, learnt from the first users: half of them are the older of two windows."""
    from feature_store.in_order import UsersInOrder
    from jobs.recommender import ranker
    from jobs.recommender.groups import FEATURES
    from jobs.recommender.history import codes
    from jobs.recommender.queries import queries

    users = min(_USERS, scale.users)
    first, last = ids("user", np.array([0, users - 1])).to_pylist()
    rows = UsersInOrder("candidates", night.files("candidates"), CANDIDATES).between(first, last)
    names = ids("item", np.arange(scale.items))
    rows = Joined(night, names, FEATURES).rows(rows, codes(rows["item_id"], names).astype(np.int64))
    number = np.repeat(np.arange(users), scale.candidates)
    window = pa.array([DS - timedelta(days=14 if n % 2 else 7) for n in number], pa.date32())
    labels = _labels(rows, users)
    relevant = pa.array(np.full(len(number), labels[: scale.candidates].sum()))
    moment = pa.repeat(pa.scalar(AS_OF, pa.timestamp("us", "UTC")), len(number))
    more = {"window": window, "label": labels, "relevant_count": relevant, "query_time": moment}
    for name, values in more.items():
        rows = rows.append_column(name, pa.array(values))
    fitted = ranker.fit(queries(rows), FEATURES, night.settings.ranker)
    return {
        "status": "trained",
        "model_text": fitted.model_text,
        "features": list(FEATURES),
        "margin_channels": list(fitted.weights),
        "margin_weights": list(fitted.weights.values()),
        "trained_ds": DS,
        "rounds": fitted.rounds,
    }


def _labels(rows: pa.Table, users: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """1 for the items a user with this taste takes: several features count, and so does chance."""

    def values(name: str) -> Any:
        return np.nan_to_num(np.asarray(rows[name], dtype=float)).reshape(users, -1)

    taste = (
        60 / (60 + values("als_rank"))
        + 4 * values("llm_pair_embedding_similarity_top3")
        + 3 * values("pair_category_affinity_90d")
        + 0.5 * values("llm_pair_interests_overlap")
        + values("item_price_percentile_category") * values("user_returns_share_90d")
        + 0.01 * values("item_events_count_7d")
        + 0.3 * np.random.default_rng(SEED + 3).gumbel(size=(users, len(rows) // users))
    )
    labels = np.zeros(taste.shape, dtype=np.int64)
    taken = min(_TAKEN, taste.shape[1] // 2)
    np.put_along_axis(labels, np.argsort(-taste, axis=1)[:, :taken], 1, axis=1)
    return labels.ravel()
