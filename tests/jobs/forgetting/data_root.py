"""A data root with two nights, made by hand, in which two users are wherever users can be."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_store import data_docs
from feature_store.partitions import Store
from feature_store.settings import Settings
from jobs.llm.generations import Generations
from jobs.llm.request import Answer, ModelRef, PromptRef, Request, SamplingRef
from jobs.recommender.synthetic import Question

# Ids that other texts begin with or contain, and that JSON and HTML write in another way.
ANN, KEEPER = "änn|x&y-4711", "lighthouse-keeper-9f3"
NEAR = "änn"
NIGHTS = (date(1998, 1, 7), date(1998, 1, 14))
USERS = (ANN, "bob", NEAR)


def key_of(user: str, ds: date) -> str:
    """The key of the answer about a user; on the first night all but ANN have the same history."""
    return f"key-of-{'both' if user != ANN and ds == NIGHTS[0] else user}-{ds}"


def question(user: str) -> str:
    """What quarantine and records call a question about a user."""
    return Question(user, "m1", "m2").entity(False)


def about(user: str, key: str, text: str) -> tuple[Request, Answer]:
    """An answer about a user, as it is stored."""
    request = Request(
        user, (), PromptRef("profile_user", "1", "h"), ModelRef("m", "1"), SamplingRef(8), user_id=user
    )
    request.__dict__["key"] = key
    return request, Answer(key, text)


def _night(publish: Callable[..., None], settings: Settings, ds: date, users: tuple[str, ...]) -> None:
    def each(**values: Any) -> list[dict[str, Any]]:
        return [{"user_id": user} | values for user in users]

    def made(user: str) -> dict[str, Any]:
        key = key_of(user, ds)
        return {"user_id": user, "generation_key": key, "llm_summary": f"likes what {user} likes"}

    events = [
        {"user_id": u, "item_id": f"m{n}", "event_time": datetime(ds.year, ds.month, ds.day, n, tzinfo=UTC)}
        for u in users
        for n in (1, 2)
    ]
    raw = {"user_id": users[0], "item_id": "m1", "timestamp": "never"}
    malformed = [
        {"entity_id": "x.inter:3", "reason": "malformed", "detail": "no time", "raw": json.dumps(raw)},
        {"entity_id": "x.inter:4", "reason": "malformed", "detail": "no time", "raw": '{"user_id": "bob"}'},
    ]
    known = [
        {"user_id": u, "attributes": f'{{"occupation": "{KEEPER if u == ANN else "cook"}"}}'} for u in users
    ]
    publish(
        settings,
        "ingest",
        ds,
        {"interactions": events, "items": [{"item_id": "m1"}], "users": known},
        {},
        malformed,
    )
    said = [
        {
            "entity_id": u,
            "reason": "unsafe",
            "detail": "x",
            "raw": f"{u} is ill",
            "generation_key": f"bad-{u}",
        }
        for u in users
    ]
    publish(settings, "profile_users", ds, {"user_profiles": [made(u) for u in users]}, {}, said)
    publish(settings, "embed", ds, {"item_embeddings": [], "user_embeddings": each()})
    judged = [row | {"item_id": "m1", "other_item_id": "m2"} for row in each(other_generation_key="")]
    asked = [{"entity_id": question(u), "reason": "invalid_json", "detail": "x", "raw": "{"} for u in users]
    publish(settings, "simulate_cold_start", ds, {"synthetic_interactions": judged}, {}, asked)
    noon = datetime(ds.year, ds.month, ds.day, 12, tzinfo=UTC)
    ever = {"events_count": 1, "first_event_time": noon, "last_event_time": noon}
    lived = [{"entity": "user", "entity_id": u} | ever for u in users]
    # An item may be called as a user is.
    lived += [{"entity": "item", "entity_id": "bob"} | ever, {"entity": "item", "entity_id": NEAR} | ever]
    learnt = each(item_id="m1", query_time=noon, window=ds)
    publish(settings, "build_features", ds, {"lifetimes": lived, "user_features": each()})
    publish(settings, "fit_recall", ds, {"user_factors": each(), "candidates": each(item_id="m1", rank=1)})
    publish(settings, "build_training_set", ds, {"training_set": learnt, "synthetic_pairs": learnt})
    publish(settings, "train_ranker", ds, {"rankers": [{"status": "trained", "trained_ds": ds}]})
    publish(settings, "recommend", ds, {"recommendations": each(item_id="m1", rank=1)})


def _answers(root: Path) -> None:
    kept = Generations(root)
    for ds in NIGHTS:
        kept.add([about(user, key_of(user, ds), f"{user} of {ds}") for user in USERS])
    kept.add([about(ANN, "asked-and-named-nowhere", f"{ANN} again")])
    # An answer from before answers said about whom they were: a refused row names it.
    kept.add([about("", f"bad-{ANN}", f"{ANN} is ill"), about("", "bad-bob", "bob is ill")])
    damaged = root / "generations" / "profile_user" / "damaged"
    damaged.mkdir()
    (damaged / "part-1.parquet").write_text(f"PAR1 {ANN}")


def _texts(root: Path, store: Store) -> None:
    inputs = root / "inputs"
    inputs.mkdir()
    for job, entity in (("profile_users", str), ("simulate_cold_start", question)):
        lines = [
            json.dumps({"entity_id": entity(u), "input": f"{u} took m1"}, ensure_ascii=False) for u in USERS
        ]
        (inputs / f"{job}-{NIGHTS[0]}-r.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    logs = root / "airflow" / "logs" / "dag_id=nightly"
    logs.mkdir(parents=True)
    (logs / "attempt=1.log").write_text(
        f'{{"event": "fails on 1 of 2 rows: user_id={ANN} item_id=m1"}}\n', "utf-8"
    )
    (root / "airflow" / "airflow.cfg").write_text("[core]\n")
    reports = root / "reports"
    reports.mkdir()
    (reports / f"{NIGHTS[1]}.html").write_text("<bdi>änn|x&amp;y-4711</bdi>", "utf-8")
    (root / "report.html").write_text("<bdi>änn|x&amp;y-4711</bdi>", "utf-8")
    page = root / "data_docs" / "validations" / "page.html"
    page.parent.mkdir(parents=True)
    page.write_text(f"<td>{ANN}</td>", "utf-8")
    for failures in ([f"fails on 1 of 2 rows: user_id={ANN}"], ["fails on 1 of 2 rows: user_id=bob"]):
        check = data_docs.Check("user_profiles", NIGHTS[0], "r", 2, 9, failures, "validations/page.html")
        data_docs.record(
            root, check if ANN in failures[0] else data_docs.Check("users", NIGHTS[0], "r", 2, 9, failures)
        )
    scratch = root / "scratch" / "recommend-1998-01-07" / "key"
    scratch.mkdir(parents=True)
    pq.write_table(pa.table({"user_id": [ANN]}), scratch / "block-00000000.parquet")
    staged = store.run_folder("user_profiles", NIGHTS[1], "killed")
    staged.mkdir(parents=True)
    (staged / "part-00000.parquet").write_bytes(b"PAR1" + ANN.encode())


def make_tables(settings: Settings, publish: Callable[..., None]) -> None:
    """Publish both nights, the second twice."""
    for ds in (*NIGHTS, NIGHTS[1]):
        _night(publish, settings, ds, USERS)


def make(settings: Settings, publish: Callable[..., None]) -> None:
    """Publish both nights, the second twice, and put down everything else that a data root may have."""
    make_tables(settings, publish)
    _answers(settings.data_root)
    _texts(settings.data_root, Store(settings.data_root))
