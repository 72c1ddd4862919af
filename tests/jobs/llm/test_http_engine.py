"""The HTTP engine against a server played by httpx: payload, answers, retries, refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from feature_store.errors import NightmillError
from feature_store.sections import HttpEngine as HttpSettings
from feature_store.settings import Settings
from jobs.assets import ResolvedModel
from jobs.llm import http_engine
from jobs.llm.engine import EngineDied, open_engine
from jobs.llm.http_engine import HttpEngine

from .conftest import SCHEMA, make_request

SETTINGS = HttpSettings(
    url="http://model.test/v1",
    api_key=SecretStr("secret"),
    concurrency=2,
    timeout_seconds=5,
    retries=2,
    outage_seconds=0.3,
)
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}


def completion(text: str = "{}", logprobs: Any = None) -> dict[str, Any]:
    choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": logprobs}
    return {"choices": [choice], "usage": USAGE}


class Server:
    """Plays a server: `replies` are given in turn, the last one again and again."""

    def __init__(self, *replies: Callable[[], httpx.Response], models: tuple[str, ...] = ("tiny",)) -> None:
        self.replies, self.models = list(replies), models
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[httpx.Headers] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": name} for name in self.models]})
        assert request.url.path == "/v1/chat/completions"
        self.bodies.append(json.loads(request.content))
        self.headers.append(request.headers)
        return (self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])()

    def engine(self, settings: HttpSettings = SETTINGS) -> HttpEngine:
        return HttpEngine(settings, ("tiny", "/models/tiny"), httpx.MockTransport(self), first_wait=0.001)


def reply(status: int = 200, **kwargs: Any) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(status, **kwargs)


def broken() -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def test_it_asks_as_vllm_wants_to_be_asked() -> None:
    server = Server(reply(json=completion('{"tag":"red"}')))
    (answer,) = server.engine().generate([make_request()])
    assert server.bodies == [
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": "What is e1?"}],
            "max_tokens": 16,
            "temperature": 0.0,
            "seed": 0,
            "structured_outputs": {"json": SCHEMA},
        }
    ]
    assert server.headers[0]["authorization"] == "Bearer secret"
    assert (answer.text, answer.finish_reason, answer.error) == ('{"tag":"red"}', "stop", None)
    assert (answer.prompt_tokens, answer.cached_tokens, answer.output_tokens) == (9, 4, 3)


def test_choices_come_with_their_probabilities() -> None:
    top = [{"token": "A", "logprob": -0.6931471805599453}, {"token": "B", "logprob": -1.3862943611198906}]
    server = Server(reply(json=completion("A", {"content": [{"top_logprobs": top}]})))
    (answer,) = server.engine().generate([make_request(schema=None, choices=("A", "B"))])
    assert server.bodies[0]["structured_outputs"] == {"choice": ["A", "B"]}
    # exp of the two are 1/2 and 1/4
    assert answer.choice_probabilities == pytest.approx({"A": 2 / 3, "B": 1 / 3})


@pytest.mark.parametrize(
    "failing", [reply(429), reply(429, headers={"retry-after": "0"}), reply(503), reply(500), broken]
)
def test_passing_failures_are_tried_again(failing: Callable[[], httpx.Response]) -> None:
    server = Server(failing, failing, reply(json=completion()))
    (answer,) = server.engine().generate([make_request()])
    assert answer.error is None
    assert len(server.bodies) == 3


def test_after_the_last_retry_the_request_has_an_error() -> None:
    server = Server(reply(500))
    answers = {a.key: a for a in server.engine().generate([make_request("e1"), make_request("e2")])}
    assert {a.error for a in answers.values()} == {"HTTP 500 after 3 attempts"}
    assert len(answers) == 2


def test_a_storm_of_429_is_waited_out() -> None:
    server = Server(*[reply(429)] * 20, reply(json=completion()))
    patient = SETTINGS.model_copy(update={"outage_seconds": 30})
    answers = list(server.engine(patient).generate([make_request(f"e{n}") for n in range(4)]))
    assert [answer.error for answer in answers] == [None] * 4
    assert len(server.bodies) == 24


@pytest.mark.parametrize("away", [reply(429), reply(503), broken])
def test_a_server_that_stays_away_stops_the_run(away: Callable[[], httpx.Response]) -> None:
    with pytest.raises(NightmillError, match=r"answered nothing for 0 s .*answers so far are kept"):
        list(Server(away).engine().generate([make_request()]))


def lost() -> httpx.Response:
    raise httpx.RemoteProtocolError("server disconnected")


def test_a_request_that_lost_its_server_is_asked_again() -> None:
    server = Server(lost, reply(json=completion()))
    (answer,) = server.engine().generate([make_request()])
    assert answer.error is None


def test_a_request_that_loses_its_server_twice_may_be_what_kills_it() -> None:
    with pytest.raises(EngineDied, match="went away twice: RemoteProtocolError"):
        list(Server(lost).engine().generate([make_request()]))


def test_a_server_that_comes_back_is_waited_for() -> None:
    server = Server(lost, reply(json=completion()))
    looks = iter([True, False, False, True])

    def plays(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models" and not next(looks, True):
            raise httpx.ConnectError("connection refused")
        return server(request)

    engine = HttpEngine(SETTINGS, ("tiny",), httpx.MockTransport(plays), first_wait=0.001)
    (answer,) = engine.generate([make_request()])
    assert answer.error is None
    assert next(looks, None) is None


def test_a_request_the_server_refuses_is_not_tried_again() -> None:
    server = Server(reply(400, text="prompt too long"))
    (answer,) = server.engine().generate([make_request()])
    assert answer.error == "HTTP 400: prompt too long"
    assert len(server.bodies) == 1


@pytest.mark.parametrize("body", [reply(json={"choices": []}), reply(text="<html>"), reply(json=[1])])
def test_what_is_not_an_answer_is_an_error_of_that_request(body: Callable[[], httpx.Response]) -> None:
    (answer,) = Server(body).engine().generate([make_request()])
    assert answer.error is not None
    assert answer.error.startswith("not an answer")


def test_all_of_many_requests_are_answered() -> None:
    server = Server(reply(json=completion()))
    requests = [make_request(f"e{n}") for n in range(50)]
    assert {a.key for a in server.engine().generate(requests)} == {r.key for r in requests}
    assert list(server.engine().generate([])) == []


def test_a_reader_that_stops_early_leaves_no_thread_behind() -> None:
    server = Server(reply(json=completion()))
    answers = server.engine().generate([make_request(f"e{n}") for n in range(50)])
    next(answers)
    answers.close()
    assert len(server.bodies) <= 50


def test_a_server_with_another_model_is_refused() -> None:
    with pytest.raises(NightmillError, match=r"serves other, but generation\.model is tiny"):
        Server(reply(), models=("other",)).engine()


def test_a_server_that_is_not_there_is_named() -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(NightmillError, match=r"no model server answers at http://model\.test/v1"):
        HttpEngine(SETTINGS, ("tiny",), httpx.MockTransport(gone))


def test_without_a_url_the_remedy_is_named() -> None:
    with pytest.raises(NightmillError, match=r"set generation\.http\.url"):
        HttpEngine(SETTINGS.model_copy(update={"url": ""}), ("tiny",))


@pytest.mark.parametrize(("adapter", "served"), [("", ("tiny", "tiny", "/tiny")), ("films", ("films",))])
def test_a_server_must_serve_the_adapter_under_its_folders_name(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, adapter, served
) -> None:
    asked: list[tuple[str, ...]] = []

    def opened(_: HttpSettings, names: tuple[str, ...]) -> SimpleNamespace:
        asked.append(names)
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(http_engine, "HttpEngine", opened)
    folder = str(tmp_path / adapter) if adapter else ""
    settings = make_settings(GENERATION__ENGINE="http", GENERATION__MODEL="tiny", GENERATION__ADAPTER=folder)
    with open_engine(settings, ResolvedModel("/tiny", "tiny", "1")):
        pass
    assert asked == [served]
