"""What answers requests: one interface, and the choice of the kind that the settings name."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from feature_store.errors import NightmillError
from feature_store.sections import Settings
from jobs.assets import ResolvedModel, resolve_adapter, resolve_model
from jobs.llm.request import Answer, ModelRef, Request, SamplingRef


class EngineDied(NightmillError):
    """The engine stopped or hangs; what it had not answered may be asked of a new one."""


class Engine(Protocol):
    """Answers requests, in the order they finish."""

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Stream one answer a request; one that cannot be answered has `error` set.

        Requests are taken as there is room for them: those taken and unanswered are what may have killed an
        engine that raises EngineDied.
        """
        ...

    def close(self) -> None:
        """Let go of what the engine holds."""
        ...


class SteppingEngine(Protocol):
    """An engine that takes requests while it works on others; one thread drives it."""

    @property
    def busy(self) -> bool:
        """Whether submitted requests are still unanswered."""
        ...

    def submit(self, request: Request) -> Answer | None:
        """Queue a request; an Answer comes back at once only where the engine refuses to take it."""
        ...

    def step(self) -> list[Answer]:
        """Work a little; the answers that became complete."""
        ...

    def abort(self, keys: set[str]) -> None:
        """Drop requests nobody waits for any more."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds."""
        ...


@dataclass(frozen=True)
class Model:
    """The model the settings name: where it is, and as what it stands in a request's key."""

    resolved: ResolvedModel
    ref: ModelRef


def asks(settings: Settings) -> bool:
    """Whether any question is to be asked; with the engine `none` the tables of answers are empty."""
    return settings.generation.engine != "none"


def find_model(settings: Settings) -> Model:
    """The model the settings name; the fake engine has one of its own, so that its answers stay its own."""
    generation = settings.generation
    if not asks(settings):
        return Model(ResolvedModel("", "none", ""), ModelRef("none", ""))
    if generation.engine == "fake":
        return Model(ResolvedModel("", "fake", "1"), ModelRef("fake", "1"))
    model = resolve_model(generation.model, settings)
    adapter = resolve_adapter(generation.adapter)
    identity = adapter.identity if adapter else ""
    ref = ModelRef(model.model_id, model.revision, generation.quantization, identity)
    return Model(model, ref)


def sampling_ref(settings: Settings, max_tokens: int) -> SamplingRef:
    """The settings' sampling with a cap of `max_tokens`."""
    return SamplingRef(max_tokens, **settings.generation.sampling.model_dump())


def generation_fingerprint(settings: Settings) -> dict[str, Any]:
    """What of the generation settings changes answers; how they are computed is left out."""
    return {
        "model": asdict(find_model(settings).ref),
        "sampling": settings.generation.sampling.model_dump(),
        "retry": settings.generation.retry and settings.generation.retry_temperature,
    }


@contextmanager
def open_engine(settings: Settings, model: ResolvedModel) -> Iterator[Engine]:
    """The engine the settings name, ready to answer, closed afterwards.

    NightmillError when it cannot be started or reached; the message names it and the remedy.
    """
    engine = _open(settings, model)
    try:
        yield engine
    finally:
        engine.close()


def _open(settings: Settings, model: ResolvedModel) -> Engine:
    generation = settings.generation
    if generation.engine == "fake":
        from jobs.llm.fake_engine import FakeEngine

        return FakeEngine()
    if generation.engine == "http":
        from jobs.llm.http_engine import HttpEngine

        # A server gives an adapter a name of its own (vLLM: --lora-modules NAME=FOLDER).
        served = (generation.model, model.model_id, model.path)
        return HttpEngine(generation.http, (Path(generation.adapter).name,) if generation.adapter else served)
    if generation.engine == "vllm":
        from jobs.llm.vllm_engine import VllmEngine, engine_arguments

        return VllmEngine(engine_arguments(generation, model), generation.adapter)
    from jobs.llm.server import connect

    return connect(settings, model)
