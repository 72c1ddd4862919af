"""Questions of one user and two items, each asked in both orders, and what the answers say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jobs.llm.ask import Outcome, ask
from jobs.llm.calibration import Calibration, calibrate
from jobs.llm.engine import Model, find_model, sampling_ref
from jobs.llm.preference import Pair, Preference, lean, read_preferences
from jobs.llm.prompt import Prompt, load_prompt
from jobs.llm.recovery import OpenEngine
from jobs.llm.request import Request
from jobs.llm.wording import Wording
from jobs.night import Night
from jobs.recommender.synthetic import Question

PROMPT = "choose_item"
JOB_NAME = "simulate_cold_start"


@dataclass(frozen=True)
class Answered:
    """A question with its accepted answers: `item` shown first, and second."""

    question: Question
    straight: Outcome
    flipped: Outcome

    @property
    def pair(self) -> Pair:
        """The probabilities of the answer "first"."""
        return Pair((self.straight.values or {})["first"], (self.flipped.values or {})["first"])


@dataclass(frozen=True)
class Judged:
    """All answers of a night."""

    answers: Sequence[Answered]

    @cached_property
    def preferences(self) -> list[Preference]:
        """What each question's two answers say, with the lean of all of them taken out."""
        return read_preferences([answer.pair for answer in self.answers])

    @cached_property
    def calibration(self) -> Calibration:
        """What the known questions among them say of the judge."""
        both = zip(self.answers, self.preferences, strict=True)
        return calibrate([said for answer, said in both if answer.question.source == "check"])

    def wanted(self) -> list[tuple[Answered, Preference]]:
        """The questions asked in earnest on which both orders agree."""
        both = zip(self.answers, self.preferences, strict=True)
        return [(answer, said) for answer, said in both if said.agree and answer.question.source != "check"]

    def account(self) -> dict[str, Any]:
        """What a manifest says of the judge; nothing where nothing was answered."""
        if not self.answers:
            return {}
        pairs, found = [answer.pair for answer in self.answers], self.calibration
        firsts = [p for pair in pairs for p in (pair.first_when_first, pair.first_when_second)]
        return {
            "answers": len(firsts),
            "answers_first_share": sum(p > 0.5 for p in firsts) / len(firsts),
            "position_lean_log_odds": lean(pairs),
            "agreement_rate": sum(said.agree for said in self.preferences) / len(pairs),
            "checks": found.checks,
            "checks_agreed": found.agreed,
            "checks_right": found.right,
            "judge_accuracy": found.accuracy,
            "judge_accuracy_low": found.low,
            "judge_accuracy_high": found.high,
            "calibration_slope": found.slope,
            "judge_verdict": found.verdict,
        }


class Judge:
    """A model that is asked which of two items a user would take."""

    def __init__(
        self, night: Night, items: Mapping[str, Mapping[str, Any]], open_: OpenEngine | None = None
    ) -> None:
        """items: by id, title and categories. open_: opens an engine in place of the settings' own."""
        self._night, self._items, self._open = night, items, open_
        self.model: Model = find_model(night.settings)
        self._sampling = sampling_ref(night.settings, 1)
        self.prompt: Prompt = load_prompt(
            PROMPT, night.settings.cold_start.prompt_version, wording=Wording.of(night.settings, self.model)
        )

    def ask(self, questions: Sequence[Question]) -> list[Answered]:
        """The questions with an accepted answer in both orders; the others go to quarantine.

        A shard asks its share and has no answers to give: the run that publishes finds them stored.
        """
        requests = [self._request(question, way) for question in questions for way in (False, True)]
        outcomes = ask(self._night, requests, _read, self.model, JOB_NAME, self._open)
        if self._night.shard is not None:
            return []
        by_entity = {outcome.request.entity_id: outcome for outcome in outcomes}
        answered = []
        for question in questions:
            both = [by_entity[question.entity(way)] for way in (False, True)]
            bad = next((outcome for outcome in both if outcome.values is None), None)
            if bad is None:
                answered.append(Answered(question, *both))
            else:
                said = bad.reason, bad.detail, bad.raw, bad.request.key
                self._night.quarantine(question.entity(False), *said)
        return answered

    def _request(self, question: Question, flipped: bool) -> Request:
        a, b = (question.other, question.item) if flipped else (question.item, question.other)
        row = {
            "about": list(question.about),
            "history": [self._items[item] for item in question.history],
            "a": self._items[a],
            "b": self._items[b],
        }
        entity = question.entity(flipped)
        return self.prompt.request(entity, row, self.model.ref, self._sampling, question.user_id)


def _read(request: Request, value: Any) -> Mapping[str, float]:
    return {"first": value[request.choices[0]]}
