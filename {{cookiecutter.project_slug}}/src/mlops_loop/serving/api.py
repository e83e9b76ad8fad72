"""The HTTP service: routes, and what an error looks like from outside."""

import uuid
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field

from ..data.contract import request_columns
from ..lineage import runtime
from ..models.explanations import is_additive, unit
from . import auth as guard
from . import errors as refusals
from . import schema
from . import telemetry as observe
from .predictor import Prediction, Predictor
from .service import Core

JSON = "application/json"
KEY = APIKeyHeader(name="X-API-Key", auto_error=False)  # a field for it at /docs


class Feedback(BaseModel):
    """What turned out to be true for a prediction."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)

    prediction_id: str = Field(pattern=r"^[0-9a-f-]{36}$")
    actual: bool | schema.Int64 | float | schema.Text = Field(union_mode="left_to_right")


class Refusal(BaseModel):
    """Why a request is not answered."""

    detail: str


class Problem(BaseModel):
    """A field of a request, and the rule that it breaks."""

    field: str
    rule: str


class Problems(BaseModel):
    """What is wrong with a request; of a list, with the first record that is wrong."""

    detail: list[Problem]


class Accepted(BaseModel):
    """A job that waits for its turn."""

    job_id: str
    status: Literal["queued"] = "queued"


class Job(BaseModel):
    """How far a job is, and what came out: an answer, or why there is none."""

    job_id: str
    status: Literal["queued", "running", "done", "failed"]
    result: Prediction | list[Prediction] | None = None
    detail: str | list[Problem] | None = None


class Direct(APIRoute):
    """A POST that FastAPI checks only where there is something to check: a query.

    Finding out each time that there is none takes half of the time of routing a request.
    """

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["query_string"] or scope["method"] != "POST":
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive, send)
        for check in self.dependencies:
            await check.dependency(request)  # type: ignore[misc]
        response = await self.endpoint(request)
        await response(scope, receive, send)


KEYED: dict[int | str, dict[str, Any]] = {401: {"model": Refusal}}
POSTED = KEYED | {code: {"model": Refusal} for code in (400, 408, 413, 415, 500, 503)}

POSTED |= {422: {"model": Problems}}

# So that who reads the description knows where a job is found.
LINK = {"operationId": "find_job", "parameters": {"job_id": "$response.body#/job_id"}}
QUEUED = POSTED | {202: {"links": {"job": LINK}}}
FOUND = KEYED | {404: {"model": Refusal}, 422: {"model": Problems}, 503: {"model": Refusal}}


def create_app(core: Core, key_hashes: tuple[str, ...]) -> FastAPI:
    """The application; its background work begins and ends with it."""

    async def check_key(request: Request) -> None:
        if not guard.is_allowed(request, key_hashes):
            raise HTTPException(401, "send a valid key in the header X-API-Key")

    # A redirect would repeat the Host header of the request, whatever it says; ReDoc asks its
    # maker's host for a picture.
    app = FastAPIOffline(
        title="Predictions",
        lifespan=lambda _: core.running(),
        redirect_slashes=False,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # see `observe`
    )
    app.add_middleware(observe.Observed, max_requests=core.options.max_requests)
    for kind in refusals.STATUS:
        app.add_exception_handler(kind, _refuse)
    app.add_exception_handler(RequestValidationError, _no_such_question)
    keyed = [Depends(check_key), Security(KEY)] if key_hashes else []
    add_predictions(app, core.predictor, keyed)
    add_jobs(app, core, keyed)
    add_reports(app, core, keyed)
    return app


def add_predictions(app: FastAPI, predictor: Predictor, keyed: list[Any]) -> None:
    """Routes that take records: predictions, and what became of them."""
    options, width = predictor.options, len(request_columns(predictor.contract))

    async def predict(request: Request, explain: bool = False) -> Response:
        """Predict one record, or each of a list; with what each feature contributed, if asked."""
        content = await guard.body(request, options, width)
        key = request.headers.get("x-sticky-key", "")
        answer = await predictor.answer(content, request.state.request_id, key, explain)
        return Response(answer, media_type=JSON)

    app.router.add_api_route(
        "/predict",
        predict,
        methods=["POST"],
        route_class_override=Direct,
        dependencies=keyed,
        response_model=Prediction | list[Prediction],
        responses=POSTED,
        openapi_extra=_documented(_one_or_several(predictor)),
    )

    @app.post(
        "/feedback",
        dependencies=keyed,
        status_code=202,
        responses=POSTED,
        openapi_extra=_documented(Feedback.model_json_schema()),
    )
    async def feedback(request: Request) -> dict[str, str]:
        """Tell what turned out to be true for a prediction."""
        content = await guard.body(request, options, len(Feedback.model_fields))
        given = Feedback.model_validate_json(content)
        if not predictor.can_be(given.actual):
            raise HTTPException(422, [{"field": "actual", "rule": "is no answer of the model"}])
        now = datetime.now(UTC).replace(tzinfo=None)
        record = {"table": "feedback", "id": str(uuid.uuid4()), "time": now, **vars(given)}
        predictor.outbox.append([record])
        return {"feedback_id": record["id"]}


def _one_or_several(predictor: Predictor) -> dict[str, Any]:
    one = predictor.one.json_schema()
    most = predictor.options.max_rows
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": most}
    return {"anyOf": [one, several], "example": one["example"]}


def _documented(body: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {JSON: {"schema": body}}}}


def add_jobs(app: FastAPI, core: Core, keyed: list[Any]) -> None:
    """Routes for records that are answered later, by `make work`."""
    predictor, jobs = core.predictor, core.jobs
    width = len(request_columns(predictor.contract))

    @app.post(
        "/jobs",
        dependencies=keyed,
        status_code=202,
        response_model=Accepted,
        responses=QUEUED,
        openapi_extra=_documented(_one_or_several(predictor)),
    )
    async def put(request: Request, response: Response, explain: bool = False) -> Accepted:
        """Take what `/predict` takes, and answer it later."""
        content = await guard.body(request, predictor.options, width)
        predictor.validate(content)
        key = request.headers.get("x-sticky-key", "")
        job_id = await jobs.run(jobs.put, content, key, explain)
        if job_id is None:
            raise HTTPException(503, "too many jobs wait; try again later")
        response.headers["location"] = f"/jobs/{job_id}"
        return Accepted(job_id=job_id)

    @app.get(
        "/jobs/{job_id}",
        dependencies=keyed,
        operation_id="find_job",
        response_model=Job,
        responses=FOUND,
    )
    async def find(job_id: uuid.UUID) -> Response:
        """How far a job is; once it is done, the answer that `/predict` would have given."""
        found = await jobs.run(jobs.find, str(job_id))
        if found is None:
            raise HTTPException(404, "there is no such job, or it was forgotten")
        return Response(found, media_type=JSON)


def add_reports(app: FastAPI, core: Core, keyed: list[Any]) -> None:
    """Routes that tell how the service is."""
    predictor, outbox = core.predictor, core.predictor.outbox
    versions = predictor.router.versions

    @app.get("/model", dependencies=keyed, responses=KEYED)
    async def model() -> dict[str, Any]:
        """The served version: lineage, test metrics, and the contract of a request."""
        return _about(predictor)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """The process is alive."""
        return {"status": "alive"}

    @app.get("/ready")
    async def ready() -> dict[str, Any]:
        """A model is loaded; and what is wrong beside it, if anything."""
        return {
            "status": "ready",
            "version": versions.champion.version,
            "strategy": predictor.router.strategy,
            "versions": {alias: served.version for alias, served in versions.served.items()},
            "registry": versions.problem,
            "log": core.shipper.problem,
            "outbox_bytes": outbox.waiting,
        }

    @app.get("/metrics", dependencies=keyed, responses=KEYED, response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counters in Prometheus' text."""
        served = {alias: served.version for alias, served in versions.served.items()}
        queued = await core.jobs.run(core.jobs.wait_seconds)
        text = observe.exposed(served, versions.refused, outbox.waiting, queued)
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _about(predictor: Predictor) -> dict[str, Any]:
    served = predictor.router.versions.champion
    model = served.model
    return {
        "version": served.version,
        "predicts": model.task_signature,
        "classes": model.classes,
        "threshold": model.threshold if model.task == "binary" else None,
        "contributions_in": unit(model) if is_additive(model) else None,
        "lineage": served.tags,
        "metrics": served.metrics,
        "environment": predictor.origin.environment,
        "runtime": runtime(),
        "contract": predictor.contract.model_dump(mode="json"),
    }


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    [status] = [code for kind, code in refusals.STATUS.items() if isinstance(error, kind)]
    return JSONResponse({"detail": refusals.detail(error)}, status)


async def _no_such_question(_: Request, error: Any) -> JSONResponse:
    """The same for what follows the path."""
    return JSONResponse({"detail": refusals.listed(error.errors())}, 422)
