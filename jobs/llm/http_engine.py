"""Any OpenAI-compatible vLLM server over HTTP: bounded concurrency, timeouts, backoff, outages waited out."""

import asyncio
import queue
import random
import threading
import time
from collections.abc import Generator, Iterable, Sequence

import httpx

from feature_store.errors import NightmillError
from feature_store.sections import HttpEngine as HttpSettings
from jobs.llm.engine import EngineDied
from jobs.llm.openai_api import Busy, Lost, Trouble, complete, served_models
from jobs.llm.request import Answer, Request

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
        self._heard = time.monotonic()
        self._model = asyncio.run(self._served_name())

    def generate(self, requests: Iterable[Request]) -> Generator[Answer, None, None]:
        """Stream answers as they arrive; a request that still fails after its retries has `error` set.

        EngineDied when a request lost its server twice; NightmillError when nothing was heard from the
        server for outage_seconds.
        """
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
        key = self._settings.api_key.get_secret_value()
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
                served = await served_models(client)
            except Trouble as trouble:
                raise NightmillError(
                    f"no model server answers at {url} ({trouble}); start it, or correct generation.http.url"
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
        since = time.monotonic()
        failures = losses = attempt = 0
        while True:
            try:
                answer = await complete(client, request, self._model)
            except Trouble as trouble:
                problem = trouble
            else:
                self._heard = time.monotonic()
                return answer
            if isinstance(problem, Lost):
                await self._until_back(client, problem)
                losses, since = losses + 1, time.monotonic()
                if losses > 1:
                    raise EngineDied(f"the server at {self._settings.url} went away twice: {problem}")
            elif not isinstance(problem, Busy):
                failures += 1
            if failures > self._settings.retries:
                return Answer(request.key, error=f"{problem} after {failures} attempts")
            if time.monotonic() - since > self._settings.outage_seconds:
                self._refuse_outage(problem)
                return Answer(request.key, error=f"{problem} for {self._settings.outage_seconds:.0f} s")
            await asyncio.sleep(min(LONGEST_WAIT, problem.wait or self._backoff(attempt)))
            attempt += 1

    async def _until_back(self, client: httpx.AsyncClient, problem: Trouble) -> None:
        """Wait for the server to be there again; NightmillError when it is not in outage_seconds."""
        attempt = 0
        while True:
            try:
                await served_models(client)
            except Trouble:
                self._refuse_outage(problem)
                await asyncio.sleep(self._backoff(attempt))
                attempt += 1
            else:
                self._heard = time.monotonic()
                return

    def _refuse_outage(self, problem: Trouble) -> None:
        if time.monotonic() - self._heard > self._settings.outage_seconds:
            raise NightmillError(
                f"the server at {self._settings.url} answered nothing for "
                f"{self._settings.outage_seconds:.0f} s (generation.http.outage_seconds): {problem}. Bring "
                "it back and run again: answers so far are kept"
            )

    def _backoff(self, attempt: int) -> float:
        """Seconds to wait after the attempt of that number, from 0: doubled each time, with jitter."""
        return min(LONGEST_WAIT, self._first_wait * 2.0 ** min(attempt, 20)) * random.uniform(0.5, 1.0)
