import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from feature_store.settings import REPOSITORY

ITEMS = {"item_profiles": {"prompt_name": "profile_item", "prompt_version": 3, "model_id": "m", "rows": 7}}
USERS = {"user_profiles": {"prompt_name": "profile_user", "prompt_version": 2, "model_id": "m"}}
VECTORS = {"item_embeddings": {"model_id": "minilm", "rows": 7}}


@pytest.fixture(scope="module")
def notes() -> ModuleType:
    """The plugin's file, loaded as Airflow does, with nothing of Airflow's that sets itself up on import."""
    stand_in = {
        "airflow": ModuleType("airflow"),
        "airflow.listeners": SimpleNamespace(hookimpl=lambda method: method),
        "airflow.plugins_manager": SimpleNamespace(AirflowPlugin=object),
    }
    path = REPOSITORY / "infra" / "airflow" / "plugins" / "nightmill_notes.py"
    spec = importlib.util.spec_from_file_location("nightmill_notes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = {name: sys.modules.get(name) for name in stand_in}
    sys.modules.update(stand_in)  # type: ignore[arg-type]
    try:
        spec.loader.exec_module(module)
    finally:
        for name, found in before.items():
            sys.modules.pop(name) if found is None else sys.modules.update({name: found})
    return module


def ended(notes: ModuleType, note: str | None, dag: str = "nightly", *published: Any) -> str | None:
    run = SimpleNamespace(dag_id=dag, note=note)
    listener = notes.RunNotes()
    listener.published = lambda _: list(published)
    listener.on_dag_run_success(run, "")
    return run.note


def test_prompts_and_models(notes: ModuleType) -> None:
    assert notes.note([VECTORS, USERS, ITEMS]) == "Nightmill: profile_item/v3, profile_user/v2; asked m"
    revised = {"item_profiles": ITEMS["item_profiles"] | {"model_revision": "abc"}}
    assert notes.note([revised]) == "Nightmill: profile_item/v3; asked m@abc"


def test_a_night_that_asked_nothing_gets_no_note(notes: ModuleType) -> None:
    assert notes.note([VECTORS, {}]) == ""
    assert ended(notes, None, "nightly", VECTORS) is None


def test_what_a_person_wrote_stays_and_what_an_earlier_try_wrote_does_not(notes: ModuleType) -> None:
    assert ended(notes, "ask Ada first", "nightly", ITEMS) == "ask Ada first"
    assert ended(notes, "Nightmill: old", "nightly", ITEMS) == "Nightmill: profile_item/v3; asked m"


def test_runs_of_others_are_left_alone(notes: ModuleType) -> None:
    assert ended(notes, None, "somebody_elses", ITEMS) is None
