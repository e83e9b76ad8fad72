"""The HTTP API: routes, and the responses to errors."""

import asyncio
import uuid
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.security import APIKeyHeader
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..database import now
from ..files import Content
from ..lineage import runtime
from ..models.explanations import unit
from . import auth
from . import log_tables as log
from . import schema, telemetry
from .predictor import FAILURES, Prediction, Predictor, describe
from .service import Service

JSON = "application/json"
KEY = APIKeyHeader(name="X-API-Key", auto_error=False)  # a field for it at /docs
KEYED: Any = {401: {}}
FOUND: Any = {code: {} for code in (401, 404, 422, 503)}
POSTED: Any = {code: {} for code in (400, 401, 408, 413, 415, 422, 500, 503)}


class Feedback(BaseModel):
    """The true value of a prediction."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)

    prediction_id: str = Field(pattern=r"^[0-9a-f-]{36}$")
    actual: bool | schema.Int64 | float | schema.Text = Field(union_mode="left_to_right")


class Job(BaseModel):
    """The state of a job, with its result once it is done, or the reason why it failed."""

    job_id: str
    status: Literal["queued", "running", "done", "failed"]
    result: Prediction | list[Prediction] | None = None
    detail: str | list[dict[str, str]] | None = None


def create_app(service: Service, key_hashes: tuple[str, ...]) -> FastAPI:
    """Create the application; the background work starts and ends with it."""

    async def check_key(request: Request) -> None:
        if not auth.is_allowed(request, key_hashes):
            raise HTTPException(401, "send a valid key in the header X-API-Key")

    # A redirect would repeat the request's Host header, and ReDoc loads a picture from its maker.
    app = FastAPIOffline(
        title=service.project,
        lifespan=lambda _: service.running(),
        redirect_slashes=False,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # see `telemetry`
    )
    app.add_middleware(telemetry.TelemetryMiddleware, max_requests=service.options.max_requests)
    for kind, (status, _) in FAILURES.items():
        app.add_exception_handler(kind, partial(_refuse, service, status))
    # No router of their own, which would cost a request 30 microseconds.
    keyed = [Depends(check_key), Security(KEY)] if key_hashes else []
    versions, body = service.predictor.router.versions, Content()

    def openapi() -> Content:
        """The description of the API, with the requests that the champion takes now."""
        body.update(versions.champion.requests.json_schema())
        app.description = versions.champion.model.task_signature
        app.version, app.openapi_schema = str(versions.champion.version), None
        return FastAPI.openapi(app)

    app.openapi = openapi  # type: ignore[method-assign]
    add_predictions(app, service.predictor, keyed, body)
    add_jobs(app, service, keyed, body)
    add_reports(app, service, keyed)
    return app


def add_predictions(app: FastAPI, predictor: Predictor, keyed: list[Any], body: Content) -> None:
    """Add the routes of predictions and feedback; `body` is the JSON schema of a request."""
    options, versions = predictor.options, predictor.router.versions

    @app.post("/predict", response_model=Prediction | list[Prediction], **_posted(keyed, body))
    async def predict(request: Request, explain: bool = False) -> Response:
        """Predict one record, or each of a list; on request with the contribution of features."""
        content = await auth.read_body(request, options, versions.champion.requests.columns)
        key = request.headers.get("x-sticky-key", "")
        predictions = await predictor.predict(content, request.state.request_id, key, explain)
        return Response(predictions, media_type=JSON)

    @app.post("/feedback", status_code=202, **_posted(keyed, Feedback.model_json_schema()))
    async def feedback(request: Request) -> dict[str, str]:
        """Log the true value of a prediction."""
        content = await auth.read_body(request, options, Feedback.model_fields)
        given = Feedback.model_validate_json(content)
        if not predictor.is_label(given.actual):
            kind = "one of the classes" if versions.champion.model.classes else "a number"
            rule = f"must be {kind}, like the prediction"
            raise HTTPException(422, [{"field": "actual", "rule": rule}])
        record = {"id": str(uuid.uuid4()), "time": now(), **vars(given)}
        predictor.outbox.append(log.feedback, [record])
        return {"feedback_id": record["id"]}


def _posted(keyed: list[Any], body: Content) -> Content:
    content = {"requestBody": {"required": True, "content": {JSON: {"schema": body}}}}
    return {"dependencies": keyed, "responses": POSTED, "openapi_extra": content}


def add_jobs(app: FastAPI, service: Service, keyed: list[Any], body: Content) -> None:
    """Add the routes of jobs, which `make work` predicts later."""
    jobs, versions = service.jobs, service.predictor.router.versions

    @app.post("/jobs", status_code=202, **_posted(keyed, body))
    async def queue(request: Request, response: Response, explain: bool = False) -> dict[str, str]:
        """Queue a body of `/predict`, to be predicted later."""
        requests = versions.champion.requests
        content = await auth.read_body(request, service.options, requests.columns)
        requests.validate(content)
        key = request.headers.get("x-sticky-key", "")
        job_id = await jobs.run(jobs.put, content, key, explain)
        if job_id is None:
            raise HTTPException(503, "too many jobs wait; try again later")
        response.headers["location"] = f"/jobs/{job_id}"
        return {"job_id": job_id, "status": "queued"}

    @app.get("/jobs/{job_id}", dependencies=keyed, response_model=Job, responses=FOUND)
    async def find_job(job_id: uuid.UUID) -> Response:
        """The state of a job; once it is done, with the response of `/predict`."""
        found = await jobs.run(jobs.find, str(job_id))
        if found is None:
            raise HTTPException(404, "there is no such job, or it was forgotten")
        return Response(found, media_type=JSON)


def add_reports(app: FastAPI, service: Service, keyed: list[Any]) -> None:
    """Add the routes of model, metrics and health."""
    predictor, versions = service.predictor, service.predictor.router.versions

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/model", dependencies=keyed, responses=KEYED)
    async def model() -> Content:
        """The champion: lineage, test metrics, and the contract of a request."""
        served, model = versions.champion, versions.champion.model
        return {
            "version": served.version,
            "predicts": model.task_signature,
            "target": model.target,
            "classes": model.classes,
            "threshold": model.threshold if model.task == "binary" else None,
            "contributions_in": unit(model) if model.estimator.is_additive else None,
            "lineage": served.tags,
            "metrics": served.metrics,
            "environment": predictor.context["environment"],
            "runtime": runtime(),
            "contract": served.contract.model_dump(mode="json"),
            "example": served.requests.example,
        }

    @app.get("/metrics", dependencies=keyed, responses=KEYED, response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counters in Prometheus' text."""
        telemetry.version.clear()
        for alias, served in versions.served.items():
            telemetry.version.labels(alias).set(served.version)
        for alias, is_refused in versions.refused.items():
            telemetry.refused.labels(alias).set(is_refused)
        telemetry.outbox_bytes.set(predictor.outbox.waiting)
        telemetry.job_wait.set(await service.jobs.run(service.jobs.wait_seconds))
        await asyncio.to_thread(service.checks.refresh)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """The process is alive."""
        return {"status": "alive"}

    @app.get("/ready")
    async def ready() -> Content:
        """A model is loaded; with the problems of registry and log, if any."""
        return {
            "status": "ready",
            "version": versions.champion.version,
            "strategy": predictor.router.strategy(versions.served),
            "versions": {alias: served.version for alias, served in versions.served.items()},
            "registry": versions.problem,
            "log": service.shipper.problem,
            "outbox_bytes": predictor.outbox.waiting,
        }


async def _refuse(
    service: Service, status: int, request: Request, error: Exception
) -> JSONResponse:
    is_delivery = request.state.request_id == log.DELIVERY
    if isinstance(error, ValidationError | RequestValidationError) and not is_delivery:
        columns = service.predictor.router.versions.champion.requests.columns
        fields = {column.name for column in columns} | Feedback.model_fields.keys()
        broken = {find_rule(problem, fields) for problem in error.errors()}
        for each in broken:
            telemetry.refusals.labels(*each).inc()
            service.shipper.refusals.put((now().date(), *each))
    return JSONResponse({"detail": describe(error)}, status)


def find_rule(problem: Mapping[str, Any], fields: Collection[str]) -> tuple[str, str]:
    """The field and the rule of a problem; a field that nobody knows is no label, but `other`."""
    known = [str(part) for part in problem["loc"] if part in fields]
    return next(iter(known), "other"), str(problem["type"])
