"""Which items of a catalogue have categories, and which categories tell items apart."""

from typing import Any

from jobs.taxonomy import split


def row(item_id: str, *categories: str, title: str = "A title", listed: bool = True) -> dict[str, Any]:
    return {
        "item_id": item_id,
        "title": title,
        "description": None,
        "categories": list(categories),
        "listed": listed,
    }


def test_items_with_and_without_categories() -> None:
    found = split([row("a", "War"), row("b"), row("c", "Drama")], checks=1, wanted=9)
    assert {item.item_id for item in found.known} == {"a", "c"}
    assert [item.item_id for item in found.wanted] == ["b"]
    assert found.checks == found.known[:1]


def test_the_text_does_not_give_the_categories_away() -> None:
    (item,) = split([row("a", "War", title="Glory")], checks=9, wanted=9).known
    assert item.text == "Glory"


def test_items_without_a_word_and_those_only_events_know_are_left_alone() -> None:
    found = split(
        [row("a", title=""), row("b", listed=False), row("c", "War", title=" ")], checks=9, wanted=9
    )
    assert (found.known, found.wanted) == ([], [])


def test_the_commonest_category_comes_first_and_one_of_all_items_is_none() -> None:
    items = [row(f"w{n}", "Films", "War") for n in range(3)] + [row("d", "Films", "Drama"), row("x")]
    assert split(items, checks=9, wanted=9).names == ["War", "Drama"]


def test_equally_common_categories_stand_in_the_order_of_the_alphabet() -> None:
    assert split([row("a", "War"), row("b", "Art")], checks=9, wanted=9).names == ["Art", "War"]


def test_a_category_an_item_has_twice_counts_once() -> None:
    items = [row("a", "War", "War"), row("b", "Art"), row("c", "Art")]
    assert split(items, checks=9, wanted=9).names == ["Art", "War"]


def test_which_ones_are_taken_does_not_depend_on_the_order_of_rows() -> None:
    rows = [row(f"i{n}", *(["War"] if n % 2 else [])) for n in range(40)]
    found, turned = split(rows, 5, 6), split(rows[::-1], 5, 6)
    assert found == turned
    assert (len(found.checks), len(found.wanted)) == (5, 6)
    # more of them are these and others
    assert split(rows, 9, 9).checks[:5] == found.checks
