"""Who wrote a review is taken out; titles with dashes and lists of properties are not bylines."""

# ruff: noqa: RUF001 - letters of other alphabets are meant here

import pytest

from jobs.llm.bylines import redact_bylines


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Great pot. Review by Jane Doe. Great lid", "Great pot. Review by [name]. Great lid"),
        ("Reviewed by: J. R. R. Tolkien, London", "Reviewed by: [name], London"),
        ("Reviewer: bookworm82 says yes", "Reviewer: [name] says yes"),
        ("Rezension von Hans von Müller: gut", "Rezension von [name]: gut"),
        ("Avis de Jean D.", "Avis de [name]"),
        ("Reseña de María José: buena", "Reseña de [name]: buena"),
        ("Avaliação de João Silva", "Avaliação de [name]"),
        ("Recensione di Luca Rossi", "Recensione di [name]"),
        ("Recensie van Jan de Vries", "Recensie van [name]"),
        ("Отзыв от Ивана Петрова: хорошо", "Отзыв от [name]: хорошо"),
        ("投稿者: 山田太郎 良い", "投稿者: [name] 良い"),
        ("山田さんのレビュー", "[name]さんのレビュー"),
        ("राम कुमार द्वारा समीक्षा", "[name] द्वारा समीक्षा"),
        ("Ayşe Yılmaz tarafından yazıldı", "[name] tarafından yazıldı"),
        ("Lovely - Jane D.", "Lovely - [name]"),
        ("A nice set. - Jane Smith", "A nice set. - [name]"),
        ('"Loved it" — Jane', '"Loved it" — [name]'),
    ],
)
def test_the_name_in_a_byline_is_taken_out(text: str, redacted: str) -> None:
    assert redact_bylines(text) == redacted
    assert redact_bylines(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "Mission: Impossible - Ghost Protocol",
        "Monsters, Inc. - Special Edition",
        "Spike Lee - Malcolm X",
        "- Cotton Fabric\n- Machine Washable",
        "Critique de la raison pure",
        "Reviewed by experts",
        "Written by Stephen King",
        "– 七人の侍",
    ],
)
def test_titles_and_lists_are_no_bylines(text: str) -> None:
    assert redact_bylines(text) == text
