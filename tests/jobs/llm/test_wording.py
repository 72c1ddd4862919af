"""What a prompt is rendered with besides its row."""

from collections.abc import Callable
from pathlib import Path

import pytest

from feature_store.settings import Settings
from jobs.llm.engine import find_model
from jobs.llm.prompt import Prompt, load_prompt
from jobs.llm.request import ModelRef, SamplingRef
from jobs.llm.wording import Wording, wording_fingerprint

TEMPLATE = """\
--- system
In {{ language }}, without {{ protected | join(", ") }}.
--- user
{{ row.title | field("title", 3) }}
{{ row.tags | fields("tags", 3) }}
"""


def make(folder: Path, wording: Wording | None = None) -> Prompt:
    folder = folder / "p" / "v1"
    folder.mkdir(parents=True)
    (folder / "prompt.jinja").write_text(TEMPLATE, "utf-8")
    (folder / "output_schema.json").write_text("{}", "utf-8")
    (folder / "golden.jsonl").write_text("", "utf-8")
    return load_prompt("p", 1, folder.parent.parent, wording)


def test_language_and_attributes_come_from_the_settings(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings(
        GENERATION__ENGINE="fake",
        PROFILES__LANGUAGE="Deutsch",
        PRIVACY__ALLOWED_ATTRIBUTES='["age","race","sex","health","politics","religion","ethnicity"]',
    )
    prompt = make(tmp_path, Wording.of(settings, find_model(settings)))
    system, _ = prompt.render({"title": "x", "tags": []})
    assert system["content"] == "In Deutsch, without gender, sexual orientation."


def test_what_was_cut_is_recorded_on_the_request(tmp_path: Path) -> None:
    prompt = make(tmp_path)
    model, sampling = ModelRef("m", "r"), SamplingRef(1)
    whole = prompt.request("a", {"title": "one two three", "tags": ["x", "y"]}, model, sampling)
    assert whole.cut_fields == ()
    cut = prompt.request("b", {"title": "one two three four", "tags": ["x y", "z w", "v"]}, model, sampling)
    assert cut.messages[-1]["content"] == "one two three\nx y"
    assert cut.cut_fields == ("title", "tags")
    # nothing is left from the row before
    assert prompt.request("c", {"title": "one", "tags": []}, model, sampling).cut_fields == ()


def test_turns_that_say_nothing_of_a_row_are_shared(tmp_path: Path) -> None:
    prompt = make(tmp_path)
    first, second = (prompt.render({"title": title, "tags": []}) for title in "ab")
    assert first[0] is second[0]
    assert first[1] != second[1]


def test_rows_are_redacted_before_a_template_sees_them(tmp_path: Path) -> None:
    row = {"title": "jane@example.org", "tags": ["Review by Jane Doe"]}
    assert make(tmp_path).render(row)[1]["content"] == "[email]\nReview by [name]"
    as_they_are = make(tmp_path / "other", Wording(redact=None))
    assert as_they_are.render(row)[1]["content"] == "jane@example.org\nReview by Jane"


def test_a_value_that_is_too_long_by_itself_is_cut_like_a_text(tmp_path: Path) -> None:
    row = {"title": "x", "tags": ["one two three four", "five"]}
    assert make(tmp_path).render(row)[1]["content"] == "x\none two three"


@pytest.mark.parametrize(
    "change",
    [
        {"PROFILES__LANGUAGE": "German"},
        {"PRIVACY__REDACT": "false"},
        {"PRIVACY__ALLOWED_ATTRIBUTES": '["age"]'},
    ],
)
def test_what_changes_a_result_changes_the_fingerprint(
    make_settings: Callable[..., Settings], change: dict[str, str]
) -> None:
    assert wording_fingerprint(make_settings(**change)) != wording_fingerprint(make_settings())


def test_another_name_in_the_list_changes_the_fingerprint(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    settings = make_settings(PRIVACY__NAMES_FILE=str(names))
    names.write_text("Jane Doe\n", "utf-8")
    before = wording_fingerprint(settings)
    names.write_text("Jane Doe\nJohn Doe\n", "utf-8")
    assert wording_fingerprint(settings) != before
