"""What asking will take, said before it begins: requests, share answered before, tokens, time, cost."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from feature_store.sections import Generation
from jobs.llm.ledger import Entry, Ledger, cost, expected_tokens
from jobs.llm.request import Request
from jobs.report.units import span

# So many earlier runs with the same prompt and model tell what a request takes.
RUNS = 20


def estimate(
    missing: Sequence[Request], requests: int, ledger: Ledger, ds: date, settings: Generation
) -> str:
    """One sentence about `missing` of `requests`: by what such requests took before, else by their length."""
    prompt, model = missing[0].prompt.name, missing[0].model.model_id
    before = ledger.recent(prompt, model, RUNS)
    answered = requests - len(missing)
    counted = (
        f"{requests:,} requests, {answered:,} answered before ({answered / requests:.0%}), "
        f"{len(missing):,} to ask: "
    )
    told = _from_before(before, len(missing), settings) if before else _from_length(missing)
    return counted + told + _budget(ledger, ds, settings.budget.tokens)


def _from_before(before: Sequence[Entry], missing: int, settings: Generation) -> str:
    asked = sum(entry.asked for entry in before)
    share = missing / asked
    total = replace(
        before[-1],
        prompt_tokens=round(share * sum(e.prompt_tokens for e in before)),
        cached_tokens=round(share * sum(e.cached_tokens for e in before)),
        output_tokens=round(share * sum(e.output_tokens for e in before)),
    )
    price = cost([total], settings.price)
    return (
        f"about {total.prompt_tokens:,} tokens read ({total.cached_tokens / max(total.prompt_tokens, 1):.0%} "
        f"from the prefix cache), {total.output_tokens:,} written, "
        f"{span(share * sum(e.seconds for e in before))}"
        + ("" if price is None else f", {price:,.2f} {settings.price.currency}")
        + f" (as the last {asked:,} answers took)"
    )


def _from_length(missing: Sequence[Request]) -> str:
    most = sum(map(expected_tokens, missing))
    return f"at most some {most:,} tokens, by their length (this model has not answered this prompt before)"


def _budget(ledger: Ledger, ds: date, budget: int) -> str:
    if not budget:
        return ""
    spent = sum(entry.tokens for entry in ledger.entries(ds))
    return f"; the night has {max(budget - spent, 0):,} of {budget:,} tokens left"
