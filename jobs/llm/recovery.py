"""Answers in spite of engines that die: a new engine, half the batch, until the killing request is alone."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing

from feature_store.errors import NightmillError
from jobs.llm.engine import Engine, EngineDied
from jobs.llm.request import Answer, Request

Stream = Generator[tuple[Request, Answer], None, None]
OpenEngine = Callable[[], AbstractContextManager[Engine]]
# An engine may die of something else just then, so a request has to be caught alone this often.
ALONE = 2


class Batch:
    """Requests on their way into an engine: which were taken, which are answered, which still wait."""

    def __init__(self, requests: Sequence[Request], admits: Callable[[Request], bool]) -> None:
        self._waiting = list(reversed(requests))
        self._taken: dict[str, Request] = {}
        self._admits = admits
        self.began = False

    @property
    def suspects(self) -> list[Request]:
        """Taken and not answered: one of them is in the engine when it dies."""
        return list(self._taken.values())

    @property
    def rest(self) -> list[Request]:
        """Not taken yet, in order."""
        return self._waiting[::-1]

    def answers(self, engine: Engine) -> Stream:
        """Each request that is admitted, with its answer; an error where the engine gives none."""
        for answer in engine.generate(self._feed()):
            request = self._taken.pop(answer.key, None)
            if request is None:
                raise NightmillError(f"the engine answered {answer.key} twice or unasked; this is a defect")
            yield request, answer
        for request in self.suspects:
            del self._taken[request.key]
            yield request, Answer(request.key, error="the engine gave no answer")

    def _feed(self) -> Iterator[Request]:
        while self._waiting and self._admits(self._waiting[-1]):
            request = self._waiting.pop()
            self._taken[request.key], self.began = request, True
            yield request


def answers(
    open_: OpenEngine,
    requests: Sequence[Request],
    restarts: int,
    note: Callable[[str], None],
    admits: Callable[[Request], bool] = lambda _: True,
) -> Stream:
    """Stream requests with their answers, from one engine after the other where they die.

    A request that kills engines has `error` set, like one that cannot be answered. What `admits` turns away
    while nothing else is in flight is left out. EngineDied when more than `restarts` engines died.
    """
    batches, deaths, alone = [list(requests)] if requests else [], 0, Counter[str]()
    while batches:
        batch = None
        try:
            with open_() as engine:
                while batches:
                    batch = Batch(batches.pop(), admits)
                    with closing(batch.answers(engine)) as stream:
                        yield from stream
                    if batch.rest and not batch.began:
                        return
                    batches += filter(None, [batch.rest])
        except EngineDied as death:
            deaths += 1
            if batch is None or deaths > restarts:
                raise EngineDied(
                    f"{death} ({deaths} engines died; generation.engine_restarts allows {restarts})"
                ) from death
            suspects = batch.suspects
            note(f"{death}; starting engine {deaths + 1}, {len(suspects):,} requests were in the dead one")
            batches += filter(None, [batch.rest, *_halves(suspects)])
            if len(suspects) == 1:
                (request,) = suspects
                alone[request.key] += 1
                if alone[request.key] >= ALONE:
                    batches.remove([request])
                    yield request, Answer(request.key, error=f"it kills the engine: {death}")


def _halves(requests: list[Request]) -> tuple[list[Request], list[Request]]:
    """The second half and the first, which is the next to be taken from a stack."""
    middle = (len(requests) + 1) // 2
    return requests[middle:], requests[:middle]
