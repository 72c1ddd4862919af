"""One request over the API of OpenAI-compatible vLLM servers: what is sent, what comes back, what fails."""

import time
from typing import Any

import httpx

from jobs.llm.request import Answer, Request
from jobs.llm.vllm_engine import choice_probabilities

# The server has no room just now: waited out. The others may be the request's own fault: tried a few times.
BUSY = {429, 503}
FAILED = {408, 409, 500, 502, 504}
AWAY = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Trouble(Exception):
    """Why a request has no answer yet; `wait`: seconds the server asks to be left alone."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class Busy(Trouble):
    """The server is away or full; that says nothing about the request."""


class Lost(Trouble):
    """The connection broke in the middle: the server may have died of the request."""


async def served_models(client: httpx.AsyncClient) -> list[str]:
    """The names under which the server serves models; Trouble where it does not say."""
    try:
        response = await client.get("models")
        response.raise_for_status()
        return [model["id"] for model in response.json()["data"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise Trouble(str(error) or type(error).__name__) from None


async def complete(client: httpx.AsyncClient, request: Request, model: str) -> Answer:
    """What the server answers, `error` set where it refuses the request; Trouble where it may yet answer."""
    started = time.monotonic()
    try:
        response = await client.post("chat/completions", json=_body(request, model))
    except AWAY as error:
        raise Busy(f"{type(error).__name__}: {error}") from None
    except httpx.TimeoutException as error:
        raise Trouble(f"{type(error).__name__}: {error}") from None
    except httpx.TransportError as error:
        raise Lost(f"{type(error).__name__}: {error}") from None
    status = response.status_code
    if status in BUSY or status in FAILED:
        kind = Busy if status in BUSY else Trouble
        raise kind(f"HTTP {status}", _asked_to_wait(response))
    if response.is_error:
        return Answer(request.key, error=f"HTTP {status}: {response.text[:300]}")
    try:
        return _answer(request, response.json(), time.monotonic() - started)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return Answer(request.key, error=f"not an answer: {type(error).__name__} {error}")


def _asked_to_wait(response: httpx.Response) -> float | None:
    """Seconds the server asks to wait, where it does so in seconds."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdigit() else None


def _body(request: Request, model: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": list(request.messages),
        "max_tokens": request.sampling.max_tokens,
        "temperature": request.sampling.temperature,
        "seed": request.sampling.seed,
    }
    if request.choices:
        body |= {"logprobs": True, "top_logprobs": len(request.choices)}
        body["structured_outputs"] = {"choice": list(request.choices)}
    elif request.schema is not None:
        body["structured_outputs"] = {"json": dict(request.schema)}
    return body


def _answer(request: Request, body: dict[str, Any], seconds: float) -> Answer:
    choice, usage = body["choices"][0], body["usage"]
    probabilities = None
    if request.choices:
        first = choice["logprobs"]["content"][0]["top_logprobs"]
        probabilities = choice_probabilities(
            request.choices, {entry["token"]: entry["logprob"] for entry in first}
        )
    details = usage.get("prompt_tokens_details") or {}
    return Answer(
        request.key,
        choice["message"]["content"] or "",
        str(choice["finish_reason"]),
        usage["prompt_tokens"],
        details.get("cached_tokens") or 0,
        usage["completion_tokens"],
        probabilities,
        seconds,
    )
