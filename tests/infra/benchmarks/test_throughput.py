"""What the sides of the throughput benchmark are given, and the rows of what they measured."""

from infra.benchmarks.throughput import naive, rows_of
from jobs.llm.request import ModelRef, PromptRef, Request, SamplingRef


def request(name):
    messages = (
        {"role": "system", "content": "Choose."},
        {"role": "user", "content": "Example"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": f"Row {name}"},
    )
    prompt, model = PromptRef("choose_item", "1", "hash"), ModelRef("tiny", "1")
    return Request(name, messages, prompt, model, SamplingRef(1), choices=("A", "B"))


def test_naive_questions_are_the_same_with_the_row_first_and_in_no_order():
    asked = [request(f"{n}") for n in range(20)]
    turned = naive(asked)
    assert sorted(r.entity_id for r in turned) == sorted(r.entity_id for r in asked)
    assert [r.entity_id for r in turned] != [r.entity_id for r in asked]
    (first,) = next(r for r in turned if r.entity_id == "7").messages
    assert first == {"role": "user", "content": "Row 7\n\nChoose.\n\nExample\n\nA"}
    assert turned == naive(asked)
    assert {r.choices for r in turned} == {("A", "B")}


def side(tokens, cached, requests):
    return {
        "profile_items": {
            "output_tokens": tokens,
            "prompt_tokens": 100,
            "cached_tokens": cached,
            "seconds": 2,
        },
        "simulate_cold_start": {
            "prompt_tokens": 100,
            "cached_tokens": cached,
            "requests": requests,
            "seconds": 4,
        },
    }


def test_rows_are_medians_over_the_rounds():
    ours, bare = [side(100, 60, 40), side(200, 80, 40)], [side(300, 0, 20), side(100, 20, 20)]
    del ours[1]["simulate_cold_start"], bare[1]["simulate_cold_start"]
    found = {row.measure: (row.ours, row.peer) for row in rows_of(ours, bare)}
    assert found == {
        "tokens_per_second_vs_bare": (75, 100),
        "prefix_cached_share_profiles": (0.7, 0.1),
        "prefix_cached_share_ab": (0.6, 0.0),
        "ab_requests_per_second": (10, 5),
    }
