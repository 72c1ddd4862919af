"""Asking the model which category an item belongs to: six at most to choose from, shown in two orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs.llm.accounts import describe
from jobs.llm.ask import Outcome, ask
from jobs.llm.engine import find_model, sampling_ref
from jobs.llm.letters import Lean, Reading, Shown, lean, read, two_orders
from jobs.llm.prompt import load_prompt
from jobs.llm.request import Request
from jobs.llm.wording import Wording
from jobs.night import Night

PROMPT = "choose_category"


@dataclass(frozen=True)
class Question:
    """An item's title, description and text, and the categories to choose from."""

    item_id: str
    row: Mapping[str, Any]
    text: str
    options: tuple[str, ...]

    @property
    def orders(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The options as they are shown; items with the same text and options are one question."""
        return two_orders(self.options, self.text)


@dataclass(frozen=True)
class Answered:
    """What the model said of an item; reading: None where an answer was refused.

    outcome: the answer to the first of the two orders, or the one that was refused.
    """

    reading: Reading | None
    outcome: Outcome


class Questions:
    """The questions of one night.

    lean: how the model leans to places, as it showed the first time it was asked.
    """

    def __init__(self, night: Night, job: str) -> None:
        self._night, self._job = night, job
        self._model, self._sampling = find_model(night.settings), sampling_ref(night.settings, 1)
        wording = Wording.of(night.settings, self._model)
        version = night.settings.profiles.category_prompt_version
        self._prompt = load_prompt(PROMPT, version, wording=wording)
        # One tuple for each number of options: a request's hash is begun once for all that share it.
        self._letters = {n: self._prompt.choices[:n] for n in range(2, self.most + 1)}
        self.lean: Lean | None = None

    @property
    def most(self) -> int:
        """As many options as the prompt has letters."""
        return len(self._prompt.choices)

    def ask(self, questions: Sequence[Question]) -> dict[str, Answered]:
        """What the model says, by item; with --shard only of those whose two answers the shard has."""
        requests = [self._request(question, turn) for question in questions for turn in (0, 1)]
        outcomes = ask(self._night, requests, _read, self._model, self._job)
        by_entity = {outcome.request.entity_id: outcome for outcome in outcomes}
        pairs: dict[str, tuple[Question, Outcome, Outcome]] = {}
        for question in questions:
            first, second = (by_entity.get(_entity(question, turn)) for turn in (0, 1))
            if first and second:
                pairs[question.item_id] = (question, first, second)
        return self._answered(pairs)

    def describe(self) -> None:
        """Put the prompt and the model into the night's manifest."""
        describe(self._night, self._prompt, self._model)

    def _request(self, question: Question, turn: int) -> Request:
        options = [
            {"letter": letter, "category": category}
            for letter, category in zip(self._prompt.choices, question.orders[turn], strict=False)
        ]
        row = {**question.row, "options": options}
        request = self._prompt.request(_entity(question, turn), row, self._model.ref, self._sampling)
        return replace(request, choices=self._letters[len(options)])

    def _answered(self, pairs: Mapping[str, tuple[Question, Outcome, Outcome]]) -> dict[str, Answered]:
        found: dict[str, Answered] = {}
        shown: dict[str, tuple[Shown, Shown]] = {}
        for item, (question, first, second) in pairs.items():
            if first.values is None or second.values is None:
                found[item] = Answered(None, second if first.values else first)
                continue
            straight, turned = question.orders
            shown[item] = (
                Shown(straight, tuple(first.values.values())),
                Shown(turned, tuple(second.values.values())),
            )
        if self.lean is None:
            self.lean = lean(each for both in shown.values() for each in both)
        return found | {
            item: Answered(read(*both, self.lean), pairs[item][1]) for item, both in shown.items()
        }


def _entity(question: Question, turn: int) -> str:
    return f"{question.item_id}|{turn}"


def _read(request: Request, value: Any) -> Mapping[str, float]:
    """The probabilities in the order of the letters."""
    return {letter: value[letter] for letter in request.choices}
