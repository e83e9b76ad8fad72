"""API keys, and the errors that a caller without one sees."""

import hashlib
import re
import socket

import pytest
from fastapi.testclient import TestClient
from mlops_loop.project import UserError
from mlops_loop.serving import auth
from mlops_loop.serving import predictor as predict
from mlops_loop.serving import server
from mlops_loop.serving.api import create_app
from services import Change, Service

KEYS = ("first key", "second key")
OPEN = {"/health", "/ready"}
HASHES = tuple(hashlib.sha256(key.encode()).hexdigest() for key in KEYS)


def test_without_a_key_only_this_machine_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_KEY_HASHES", raising=False)
    assert auth.key_hashes("127.0.0.1") == ()
    with pytest.raises(UserError, match="is open to others: set API_KEY_HASHES"):
        auth.key_hashes("0.0.0.0")
    monkeypatch.setenv("API_KEY_HASHES", ", ".join(HASHES))
    assert auth.key_hashes("0.0.0.0") == HASHES
    monkeypatch.setenv("API_KEY_HASHES", "a key in the clear")
    with pytest.raises(UserError, match="not a SHA-256"):
        auth.key_hashes("127.0.0.1")


def test_an_address_that_is_taken_is_said_before_anything_is_begun(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for value, words in [
            (str(port), f"PORT={port} is in use by another program"),
            ("80x", "PORT=80x: invalid literal"),
            ("65536", "PORT=65536: .*must be 0-65535"),
        ]:
            monkeypatch.setenv("PORT", value)
            with pytest.raises(UserError, match=words):
                server.main(service.project, service.options(), create_app)
    monkeypatch.setenv("HOST", "nowhere.invalid")
    monkeypatch.setenv("PORT", str(port))
    with pytest.raises(UserError, match=f"HOST=nowhere.invalid, PORT={port}: "):
        server.main(service.project, service.options(), create_app)
    assert not service.outbox.exists()


def test_each_of_several_keys_opens_and_no_other(service: Service, record: Change) -> None:
    service.keys = HASHES
    with service.running() as client:
        for key in KEYS:
            answer = client.post("/predict", json=record(), headers={"x-api-key": key})
            assert answer.status_code == 200
        described = client.get("/openapi.json").json()["paths"]
        for wrong in ({}, {"x-api-key": "third"}, {"x-api-key": HASHES[0]}):
            answers = {
                path: client.request(method, path, json=record(), headers=wrong).status_code
                for path, methods in described.items()
                for method in methods
            }
            assert {path for path, code in answers.items() if code != 401} == OPEN
            assert {answers[path] for path in OPEN} == {200}
    assert len(service.logged()) == 2


def test_an_error_tells_a_stranger_nothing(
    service: Service, record: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret in /home/of/somebody")

    with service.running() as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "present", fail)
        answer = client.post("/predict", json=record(note=...))
        assert (answer.status_code, answer.json()) == (500, {"detail": "internal error"})
    said = capsys.readouterr().out
    assert "RuntimeError" in said
    assert "secret" not in said


def test_a_request_id_that_could_forge_a_line_is_replaced(client: TestClient) -> None:
    for given in ("a b", "x" * 65, '"}{', "ä"):
        answer = client.get("/health", headers={"x-request-id": given.encode()})
        assert len(answer.headers["x-request-id"]) == 36


def test_the_documentation_needs_no_other_host(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "http" not in page
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [asset.rpartition(".")[2] for asset in assets] == ["css", "png", "js"]
    for asset in assets:
        assert client.get(asset).content
    assert client.get("/redoc").status_code == 404


def test_the_documentation_has_a_field_for_the_key(service: Service, client: TestClient) -> None:
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]
    service.keys = HASHES
    with service.running() as locked:
        described = locked.get("/openapi.json").json()
    [scheme] = described["components"]["securitySchemes"].values()
    assert scheme["name"] == "X-API-Key"
    assert described["paths"]["/predict"]["post"]["security"]
