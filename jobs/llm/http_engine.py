"""Any OpenAI-compatible vLLM server over HTTP: bounded concurrency, timeouts, backoff."""

import asyncio
import queue
import random
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import httpx

from feature_store.errors import NightmillError
from feature_store.sections import HttpEngine as HttpSettings
from jobs.llm.request import Answer, Request
from jobs.llm.vllm_engine import choice_probabilities

RETRIED = {408, 409, 429, 500, 502, 503, 504}
LONGEST_WAIT = 60.0


class HttpEngine:
    """A client of a server somebody else runs.

    names: what the server may call the model, one of which it must serve. NightmillError when the server
    cannot be reached, or serves another model: its answers would be stored under the wrong name.
    """

    def __init__(
        self,
        settings: HttpSettings,
        names: Sequence[str],
        transport: httpx.AsyncBaseTransport | None = None,
        first_wait: float = 0.5,
    ) -> None:
        if not settings.url:
            raise NightmillError(
                'engine "http" has no server: set generation.http.url (NIGHTMILL_GENERATION__HTTP__URL), '
                'for example "http://127.0.0.1:8000/v1"'
            )
        self._settings, self._names, self._transport = settings, tuple(names), transport
        self._first_wait = first_wait
        self._model = asyncio.run(self._served_name())

    def generate(self, requests: Iterable[Request]) -> Generator[Answer, None, None]:
        """Stream answers as they arrive; a request that still fails after its retries has `error` set."""
        answers: queue.Queue[Answer | BaseException | None] = queue.Queue()
        stop = threading.Event()
        worker = threading.Thread(target=self._work, args=(requests, answers, stop), daemon=True)
        worker.start()
        try:
            while (answer := answers.get()) is not None:
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            stop.set()
            worker.join()

    def close(self) -> None:
        """The server is somebody else's; nothing is held."""

    def _client(self) -> httpx.AsyncClient:
        key = self._settings.api_key
        return httpx.AsyncClient(
            base_url=self._settings.url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=self._settings.timeout_seconds,
            limits=httpx.Limits(max_connections=self._settings.concurrency),
            transport=self._transport,
        )

    async def _served_name(self) -> str:
        url = self._settings.url
        async with self._client() as client:
            try:
                response = await client.get("models")
                response.raise_for_status()
                served = [model["id"] for model in response.json()["data"]]
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                raise NightmillError(
                    f"no model server answers at {url} ({error or type(error).__name__}); "
                    "start it, or correct generation.http.url"
                ) from None
        for name in self._names:
            if name in served:
                return name
        raise NightmillError(
            f"the server at {url} serves {', '.join(served)}, but generation.model is {self._names[0]}; "
            "make them the same (vLLM: --served-model-name)"
        )

    def _work(
        self,
        requests: Iterable[Request],
        answers: "queue.Queue[Answer | BaseException | None]",
        stop: threading.Event,
    ) -> None:
        try:
            asyncio.run(self._ask_all(requests, answers, stop))
            answers.put(None)
        except BaseException as error:  # handed to the thread that reads
            answers.put(error)

    async def _ask_all(
        self,
        requests: Iterable[Request],
        answers: "queue.Queue[Answer | BaseException | None]",
        stop: threading.Event,
    ) -> None:
        waiting = iter(requests)

        async def drain(client: httpx.AsyncClient) -> None:
            for request in waiting:
                if stop.is_set():
                    return
                answers.put(await self._ask(client, request))

        async with self._client() as client:
            await asyncio.gather(*(drain(client) for _ in range(self._settings.concurrency)))

    async def _ask(self, client: httpx.AsyncClient, request: Request) -> Answer:
        started = time.monotonic()
        body, problem, wait = _body(request, self._model), "", 0.0
        for attempt in range(self._settings.retries + 1):
            if attempt:
                await asyncio.sleep(wait)
            wait = min(LONGEST_WAIT, self._first_wait * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                response = await client.post("chat/completions", json=body)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            if response.status_code in RETRIED:
                problem = f"HTTP {response.status_code}"
                wait = _asked_to_wait(response) or wait
                continue
            if response.is_error:
                return Answer(request.key, error=f"HTTP {response.status_code}: {response.text[:300]}")
            try:
                return _answer(request, response.json(), time.monotonic() - started)
            except (ValueError, KeyError, IndexError, TypeError) as error:
                return Answer(request.key, error=f"not an answer: {type(error).__name__} {error}")
        return Answer(request.key, error=f"{problem} after {self._settings.retries + 1} attempts")


def _asked_to_wait(response: httpx.Response) -> float | None:
    """Seconds the server asks to wait, where it does so in seconds."""
    text = response.headers.get("retry-after", "")
    return min(LONGEST_WAIT, float(text)) if text.isdigit() else None


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
