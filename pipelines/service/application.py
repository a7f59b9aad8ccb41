"""The service's paths, as an ASGI application."""

import logging
import time
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.redaction import place_of
from pipelines.service.answer import Readiness, Refusal, ScoreAnswer, Status
from pipelines.service.holder import Holder
from pipelines.service.limits import Limits, Slots, json_body
from pipelines.service.metrics import Metrics
from pipelines.service.served import RefusedRequest

TITLE = "Fashion returns"
DESCRIPTION = """Scores order lines: how probable is it that each is returned?

The lines of a request are scored together, as one file of `predict` is: what is remembered counts
up to the first day among them, and lines that share a basket hear each other."""

REFUSALS: dict[int | str, dict[str, Any]] = {
    408: {"model": Refusal, "description": "The request did not arrive in time"},
    413: {"model": Refusal, "description": "The request is too large"},
    415: {"model": Refusal, "description": "The request is no JSON"},
    422: {"model": Refusal, "description": "The request cannot be scored, and why"},
    429: {"model": Refusal, "description": "Too many requests at once"},
}
MEASURED = ("/score", "/health", "/ready", "/metrics")

logger = logging.getLogger(__name__)


def application(holder: Holder, metrics: Metrics, limits: Limits) -> ASGIApp:
    """The service.

    Args:
        holder: Holds the model that serves.
        metrics: Counts.
        limits: What a client may ask.
    """
    app = FastAPIOffline(title=TITLE, description=DESCRIPTION, redoc_url=None, version="1")
    slots, threads = Slots(limits.most_at_once), CapacityLimiter(limits.threads)

    @app.post("/score", response_model=ScoreAnswer, responses=REFUSALS)
    async def score(request: Request) -> Response:
        """Score the order lines of one basket or of many."""
        with slots.taken(), metrics.in_progress.track_inprogress():
            body = await json_body(request, limits.most_bytes)
            served = holder.current
            answer = await to_thread.run_sync(served.answer, body, limiter=threads)
        metrics.scored(answer.lines)
        return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")

    @app.get("/health")
    async def health() -> Status:
        """Whether the service lives."""
        return Status(status="alive")

    @app.get("/ready")
    async def ready() -> Readiness:
        """Whether requests are answered, and by which model."""
        served = holder.current
        return Readiness(
            status="ready",
            model=served.model,
            loaded_at=served.loaded_at.isoformat(timespec="seconds"),
            last_failure=holder.last_failure,
        )

    @app.get("/metrics", response_class=Response, responses=_plain_text())
    async def prometheus() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")

    @app.exception_handler(RefusedRequest)
    async def refuse(request: Request, refused: RefusedRequest) -> JSONResponse:
        faults = [fault.model_dump() for fault in refused.faults]
        return JSONResponse({"detail": faults}, 422)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return JSONResponse({"detail": "the body did not arrive"}, 400)

    app.openapi = lambda: _schema(app, holder)  # type: ignore[method-assign]
    return Observed(app, metrics)


class Observed:
    """Counts and logs every request, and answers those that failed; no body is written anywhere."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Observe an application.

        Args:
            app: The application.
            metrics: Counts.
        """
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception as error:
            logger.error("%s failed: %s", _path(scope), place_of(error))
            if not status:
                response = JSONResponse({"detail": "the service failed"}, 500)
                await response(scope, receive, observed)
        finally:
            seconds = time.perf_counter() - began
            self._metrics.requests.labels(_path(scope), status).inc()
            self._metrics.seconds.labels(_path(scope)).observe(seconds)
            logger.info("%s %s %d %.1f ms", scope["method"], _path(scope), status, 1e3 * seconds)


def _path(scope: Scope) -> str:
    """The path if it is one of ours: others are as many as clients please."""
    path: str = scope["path"]
    return path if path in MEASURED else "other"


def _schema(app: FastAPI, holder: Holder) -> dict[str, Any]:
    """The OpenAPI schema, with the columns that the model which serves reads."""
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    request = holder.current.request_type.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    components = schema["components"]["schemas"]
    components |= request.pop("$defs", {})
    components["ScoreRequest"] = request
    schema["paths"]["/score"]["post"]["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ScoreRequest"}}},
    }
    return schema


def _plain_text() -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
