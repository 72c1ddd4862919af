"""An OpenAI-compatible server without a model, to be killed: `python model_server.py PORT SECONDS`.

It answers every request after so many seconds with what the fake engine makes of its schema, and says at
/in_flight how many it has taken and not answered.
"""

import asyncio
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

from jobs.llm.fake_engine import FakeEngine
from jobs.llm.request import ModelRef, PromptRef, Request, SamplingRef

MODEL = "smollm2-135m-instruct"
NOBODY = PromptRef("", "", "")


def server(seconds: float) -> FastAPI:
    """The application."""
    app = FastAPI()
    waiting: set[int] = set()

    @app.get("/v1/models")
    async def models() -> Any:
        return {"data": [{"id": MODEL}]}

    @app.get("/in_flight")
    async def in_flight() -> int:
        return len(waiting)

    @app.post("/v1/chat/completions")
    async def complete(body: dict[str, Any]) -> Any:
        waiting.add(id(body))
        try:
            await asyncio.sleep(seconds)
            return completion(body)
        finally:
            waiting.discard(id(body))

    return app


def completion(body: dict[str, Any]) -> dict[str, Any]:
    """What the fake engine says to a request, in the words of the API."""
    wanted = body.get("structured_outputs", {})
    sampling = SamplingRef(body["max_tokens"], body["temperature"], body["seed"])
    request = Request("", tuple(body["messages"]), NOBODY, ModelRef(MODEL, ""), sampling, wanted.get("json"))
    (answer,) = FakeEngine().generate([request])
    usage = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.output_tokens}
    message = {"message": {"content": answer.text}, "finish_reason": answer.finish_reason}
    return {"choices": [message], "usage": usage}


if __name__ == "__main__":
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    uvicorn.run(server(seconds), host="127.0.0.1", port=port, log_level="warning", backlog=1024)
