"""What goes over the wire, and the description of it that programs read (OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from whichtune.handover.serve.limits import Limits
from whichtune.version import VERSION


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SentEntity(TypedDict):
    """Words in a row that are one thing."""

    type: str
    text: str
    start: int
    end: int
    probability: float


class Prediction(TypedDict, total=False):
    """A class with the probabilities of all, labels with theirs, a number, words with their tags, or a written text."""

    label: str
    labels: list[str]
    number: float
    probabilities: dict[str, float] | list[float | None]
    words: list[str]
    tags: list[str]
    entities: list[SentEntity]
    text: str


class PredictRequest(_Wire):
    """Texts to be answered."""

    texts: list[str] | list[dict[str, str]] | list[list[str]] = Field(
        description="one or more; objects with the fields by name where texts have several (see /metadata); where "
        "words are tagged, texts or lists of words",
        min_length=1,
    )


class ClassPrediction(_Wire):
    """A class, and the probability of each."""

    label: str
    probabilities: dict[str, float] = Field(description="none where a task of one's own gives none")


class LabelsPrediction(_Wire):
    """Any number of labels, and the probability of each there is."""

    labels: list[str]
    probabilities: dict[str, float]


class NumberPrediction(_Wire):
    """A number, in the unit of the study's data; of ordered classes the nearest one beside it."""

    number: float
    label: str | None = None


class Entity(_Wire):
    """Words in a row that are one thing."""

    type: str
    text: str
    start: int = Field(description="of its first sign in the text; words that came in a list have one blank between")
    end: int = Field(description="behind its last sign")
    probability: float = Field(description="of the tag of its least sure word")


class TagsPrediction(_Wire):
    """A tag for each word, and the entities that these mark."""

    words: list[str]
    tags: list[str]
    probabilities: list[float | None] = Field(description="of the tags; null for a word that the context does not hold")
    entities: list[Entity]


class WrittenText(_Wire):
    """What was written for a text."""

    text: str


class RowPredictions(_Wire):
    """What one row answers, a prediction for each text in the request's order."""

    row: str = Field(description="the row's name")
    predictions: (
        list[ClassPrediction]
        | list[LabelsPrediction]
        | list[NumberPrediction]
        | list[TagsPrediction]
        | list[WrittenText]
    )


class PredictResponse(RowPredictions):
    """What the row answers, and what the one beside it does."""

    compared: RowPredictions | None = Field(None, description="with --compare only")


class ErrorBody(_Wire):
    """Why a request was not answered."""

    code: str = Field(description="for programs")
    message: str = Field(description="one sentence for people")


class ErrorResponse(_Wire):
    """An error."""

    error: ErrorBody


class Health(_Wire):
    """The server answers."""

    status: str


class SaidFigures(_Wire):
    """How often a class was the answer on the test set, and how often it was right."""

    texts: int
    right: int


class RowInfo(_Wire):
    """A row that is served."""

    row: str
    run_id: str
    seed: int | None
    method: str
    model: str | None = Field(description="null for a row without a language model")
    chosen: str = Field(description="why this run is served")
    test_texts: int | None
    test: dict[str, float] = Field(description="figures on the study's test set")
    said: dict[str, SaidFigures] = Field(description="by the class that was the answer")
    made_with: dict[str, str] = Field(description="versions that the run was made with")


class Evidence(_Wire):
    """What the study found."""

    recommended: str | None
    headline: str
    reasons: list[str]
    warnings: list[str]


class Metadata(_Wire):
    """What is served, and what is known of it."""

    study: str
    task: str
    metric: str | None = Field(description="null for an exported row, whose folder does not tell it")
    answers: Literal["classes", "numbers", "labels", "tags", "texts"]
    fields: list[str] = Field(description="the names of a text's fields; none where a text has one")
    classes: list[str] = Field(description="classes, labels or tags; none of numbers, and where texts are written")
    rows: list[RowInfo]
    evidence: Evidence | None
    limits: Limits
    versions: dict[str, str] = Field(description="of this server")


MODELS = (PredictRequest, PredictResponse, ErrorResponse, Health, Metadata)
FILES = ("text/csv", "application/jsonl", "application/x-ndjson")


def openapi(secured: bool) -> dict[str, Any]:
    """The description of the server as a JSON value; `secured` says that it asks for a token."""
    _, schemas = models_json_schema(
        [(model, "serialization") for model in MODELS], ref_template="#/components/schemas/{model}"
    )
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "whichtune serve", "version": VERSION},
        "paths": {
            "/predict": {"post": _operation("predict", "Answer texts", PredictResponse, _json(PredictRequest))},
            "/batch": {"post": _batch()},
            "/health": {"get": {**_operation("health", "Whether the server answers", Health), "security": []}},
            "/metadata": {"get": _operation("metadata", "What is served, and what is known of it", Metadata)},
        },
        "components": components,
    }
    if secured:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
    return described


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": _ref(model)}}, "required": True}


def _operation(name: str, summary: str, answer: type[BaseModel], body: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(answer)}}
    found: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": answer.__doc__, "content": content}, **_errors(body is not None)},
    }
    return found if body is None else {**found, "requestBody": body}


def _errors(takes_texts: bool) -> dict[str, Any]:
    found = {"401": "The token is missing or wrong."}
    if takes_texts:
        found |= {
            "400": "The body is no JSON.",
            "413": "The body, a text or the number of texts is too large.",
            "415": "The body is of a type that is not read.",
            "422": "The texts cannot be answered.",
            "503": "Too many texts wait already.",
        }
    content = {"application/json": {"schema": _ref(ErrorResponse)}}
    return {status: {"description": text, "content": content} for status, text in sorted(found.items())}


def _batch() -> dict[str, Any]:
    files = {kind: {"schema": {"type": "string"}} for kind in FILES}
    return {
        "operationId": "batch",
        "summary": "Answer a file: a table with a column of texts, given back with the answers in the same format",
        "parameters": [
            {
                "name": "text_column",
                "in": "query",
                "schema": {"type": "string"},
                "description": "the column of the texts, where it has no usual name",
            }
        ],
        "requestBody": {"content": files, "required": True},
        "responses": {
            "200": {"description": "The answers, row by row in the file's order.", "content": files},
            **_errors(True),
        },
    }
