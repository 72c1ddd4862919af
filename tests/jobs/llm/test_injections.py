"""Two hundred texts that try to be more than an item: in every place of a row, and all the way through a job.

injections.jsonl: one text a line, in more than twenty languages, or of a kind (marks of chat templates,
turns, JSON, control characters, code, markup).
"""

# ruff: noqa: RUF001 - letters of other alphabets are meant here

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.partitions import Store, read
from feature_store.settings import Settings
from jobs import ingest, profile_items, profile_users, simulate_cold_start
from jobs.llm import category_questions, fake_engine
from jobs.llm.generations import Generation
from jobs.llm.prompt import Prompt, load_prompt
from jobs.llm.request import Answer, ModelRef, Request, SamplingRef
from jobs.llm.validate import Refused, read_answer
from jobs.step import execute

LINES = (Path(__file__).parent / "injections.jsonl").read_text("utf-8").splitlines()
INJECTIONS = [json.loads(line) for line in LINES]
TEXTS = [injection["text"] for injection in INJECTIONS]
# Written here anew, so that the filter and its test cannot be wrong together.
CHAT_MARKS = re.compile(
    r"<\||\|>|<｜|｜>|\[/?INST|<</?SYS|</?s>|_of_turn>|\[/?SYSTEM_PROMPT\]|\[gMASK\]|<sop>|</?think>|tool_call>"
    r"|\[/?TOOL_CALLS\]|\[/?AVAILABLE_TOOLS\]|### ?(?:Instruction|Response|System)"
    r"|--- ?(?:system|user|assistant)",
    re.IGNORECASE,
)
DS = date(1998, 1, 2)


def item(title: str = "Toy Story", place: str = "", text: str = "") -> dict[str, Any]:
    """A row of profile_item; `text` stands in the place named."""
    row: dict[str, Any] = {
        "title": title,
        "categories": ["Comedy", "Drama"],
        "attributes": {"release_year": "1995"},
        "price": 4.5,
        "description": "A film.",
    }
    if place == "categories":
        row["categories"] = ["Comedy", text]
    elif place == "attributes":
        row["attributes"] = {"release_year": text}
    elif place:
        row[place] = text
    return row


def film(title: str = "Antz", categories: tuple[str, ...] = ("Animation",)) -> dict[str, Any]:
    return {"title": title, "categories": list(categories)}


def options(*categories: str) -> list[dict[str, str]]:
    return [{"letter": letter, "category": name} for letter, name in zip("AB", categories, strict=True)]


def rows_with(text: str) -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
    """For each prompt, rows with the text in one place, and the same rows with an ordinary word there."""

    def pair(make: Callable[[str], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
        return make(text), make("word")

    return {
        "profile_item": [
            pair(lambda t, place=place: item(place=place, text=t))  # type: ignore[misc]
            for place in ("title", "description", "attributes", "categories")
        ],
        "profile_user": [
            pair(lambda t: {"history": [film(t), film()]}),
            pair(lambda t: {"history": [film(categories=("Comedy", t))]}),
        ],
        "choose_item": [
            pair(lambda t: {"about": [], "history": [film()], "a": film(t), "b": film()}),
            pair(lambda t: {"about": [], "history": [film(t)], "a": film(), "b": film(categories=(t,))}),
            pair(lambda t: {"about": [f"town: {t}"], "history": [], "a": film(), "b": film()}),
        ],
        "choose_category": [
            pair(lambda t: {"title": t, "description": None, "options": options("Comedy", "Drama")}),
            pair(lambda t: {"title": "Antz", "description": t, "options": options("Comedy", "Drama")}),
            pair(lambda t: {"title": "Antz", "description": None, "options": options("Comedy", t)}),
        ],
    }


PROMPTS = {
    name: load_prompt(name, version)
    for name, version in (("profile_item", 2), ("profile_user", 2), ("choose_item", 3))
}
PROMPTS["choose_category"] = load_prompt("choose_category", 1)


def request_of(prompt: Prompt, row: dict[str, Any]) -> Request:
    return prompt.request("id", row, ModelRef("m", "r"), SamplingRef(96))


def test_there_are_enough_of_them() -> None:
    assert len(set(TEXTS)) >= 200
    assert len({i["language"] for i in INJECTIONS if len(i["language"]) == 2}) >= 10


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", PROMPTS)
def test_a_row_stays_between_its_marks(name: str, text: str) -> None:
    prompt = PROMPTS[name]
    for row, ordinary_row in rows_with(text)[name]:
        request, ordinary = request_of(prompt, row), request_of(prompt, ordinary_row)
        # all turns but the last, the schema and the vocabulary are those of any row
        assert request.messages[:-1] == ordinary.messages[:-1]
        assert request.messages[-1]["role"] == "user"
        assert (request.schema, request.choices) == (ordinary.schema, ordinary.choices)
        last, lines = request.messages[-1]["content"], ordinary.messages[-1]["content"].split("\n")
        mark = lines[0].strip("<>")
        assert re.findall(r"<\s*/?\s*items?\b", unicodedata.normalize("NFKC", last)) == [
            f"<{mark}",
            f"</{mark}",
        ]
        # every line begins as the template has it begin: none was added, none was closed early
        assert last.split("\n")[0] == lines[0]
        assert last.split("\n")[-1] == lines[-1]
        assert last.count("\n") == len(lines) - 1
        assert not CHAT_MARKS.search(last)
        assert not forgeries(last.replace("\n", ""))


def forgeries(text: str) -> list[str]:
    """Characters that could end a line, move a cursor or turn the direction of what is printed."""
    return [
        c
        for c in text
        if unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cs"}
        or "\u202a" <= c <= "\u202e"
        or c in "\u200b\u2066"
    ]


@pytest.mark.parametrize("text", TEXTS)
def test_no_other_row_changes(text: str) -> None:
    prompt = load_prompt("profile_item", 2)
    others = [item("Toy Story"), item("Antz"), item("Hoop Dreams")]
    before = [request_of(prompt, row) for row in others]
    for place in ("title", "description", "attributes", "categories"):
        rows = [others[0], item(place=place, text=text), *others[1:]]
        requests = [request_of(prompt, row) for row in rows]
        after = [requests[0], *requests[2:]]
        assert [r.messages for r in after] == [r.messages for r in before]
        assert [r.key for r in after] == [r.key for r in before]


def answer_with(text: str) -> str:
    return json.dumps(
        {"description": (text + " is a film")[:158], "tags": ["drama", "dark"], "audience": "adults"}
    )


@pytest.mark.parametrize("text", TEXTS)
def test_an_answer_that_repeats_it_is_refused_or_cleaned(text: str) -> None:
    request = request_of(PROMPTS["profile_item"], item(text))
    generation = Generation(request.key, answer_with(text), "stop", None)
    try:
        published = read_answer(request, generation, profile_items.read_profile)["llm_description"]
        detail = ""
    except Refused as refused:
        published, detail = "refused", refused.detail
    assert not forgeries(published + detail)
    assert not CHAT_MARKS.search(published)
    assert not re.search(r"</?[a-z!]|&lt;|&#|\]\(|https?://|www\.", published, re.IGNORECASE)
    assert published[0] not in "=+-@\t"


@pytest.fixture
def catalogue(make_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Settings]:
    """`catalogue(texts)`: three ordinary items and one for each text, with events of two users."""

    def make(texts: list[str]) -> Settings:
        folder = tmp_path / f"source{len(texts)}"
        folder.mkdir()
        titles = ["Toy Story", "Antz", "Hoop Dreams", *texts]
        ids = [f"m{number}" for number in range(len(titles))]
        moment = datetime(1998, 1, 1)
        events = {"user": ["ann", "bob"], "item": ["m0", ids[-1]], "time": [moment, moment]}
        pq.write_table(pa.table(events), folder / "interactions.parquet")
        items = {"item": ids, "title": titles, "description": ["A film.", None, None, *texts]}
        pq.write_table(pa.table(items), folder / "items.parquet")
        made = make_settings(
            DATA=str(tmp_path / f"data{len(texts)}"),
            SOURCE__LOCATION=str(folder),
            SOURCE__USER="user",
            SOURCE__ITEM="item",
            SOURCE__TIME="time",
            SOURCE__VALUE="",
            SOURCE__TITLE="title",
            SOURCE__DESCRIPTION="description",
            SOURCE__CATEGORIES="",
            SOURCE__ITEM_ATTRIBUTES="[]",
            GENERATION__ENGINE="fake",
            PROFILES__ITEM_MIN_EVENTS="0",
        )
        execute(ingest.JOB, DS, made)
        return made

    return make


def repeating(request: Request, *_: object) -> Answer:
    """The answer of a model that does what the row says: it writes the row's text down."""
    shown = request.messages[-1]["content"]
    said = TEXTS[int(request.entity_id[1:]) - 3] if request.entity_id not in {"m0", "m1", "m2"} else shown[:9]
    return Answer(request.key, answer_with(said), "stop", 9, 0, 9)


def test_a_night_of_them_forges_nothing(
    catalogue: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [text.replace("\ud800", "") for text in TEXTS]  # Parquet holds no half of a pair
    monkeypatch.setattr(fake_engine, "_answer", repeating)
    keys = []
    for settings in (catalogue([]), catalogue(texts)):
        capsys.readouterr()
        outcome = execute(profile_items.JOB, DS, settings)
        printed = capsys.readouterr()
        partition = Store(settings.data_root).published("item_profiles", DS)
        assert partition is not None
        rows = read("item_profiles", partition.files).to_pylist()
        quarantine = partition.quarantine
        refused = pq.read_table(quarantine).to_pylist() if quarantine else []
        keys.append({r.get("item_id") or r["entity_id"]: r["generation_key"] for r in [*rows, *refused]})
        for row in rows:
            assert not forgeries(row["llm_description"])
        assert not [row["detail"] for row in refused if forgeries(row["detail"])]
        assert not [note for note in outcome.notes if forgeries(note)]
        for line in (printed.out + printed.err).split("\n"):
            assert not forgeries(line)
            assert not re.match(r"\s*(?:ERROR|WARNING|CRITICAL)", line)
    ordinary, attacked = keys
    assert len(attacked) == len(texts) + 3
    assert {name: attacked[name] for name in ordinary} == ordinary


def test_every_prompt_of_the_night_is_tried() -> None:
    asking = (profile_items, profile_users, simulate_cold_start, category_questions)
    assert {module.PROMPT for module in asking} == set(PROMPTS)
