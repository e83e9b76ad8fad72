"""A live service, attacked: it answers, spends no memory on it, and goes on."""

import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlops_loop.serving.server import server
from services import Change, Service

POST = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
PIECE = b"1" * 100_000
MIB = 1 << 20
TIMEOUT = 1.0
HANGS_UP = (BrokenPipeError, ConnectionResetError)


class Live:
    """The address of a service on a real socket."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connect(self) -> socket.socket:
        """A connection that waits ten seconds at most."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def send(self, *pieces: bytes, more: Iterable[bytes] = ()) -> bytes:
        """Send these bytes; returns the response, nothing where the service hangs up."""
        with self.connect() as connection:
            try:
                for part in (*pieces, *more):
                    connection.sendall(part)
                return connection.recv(65_536)
            except HANGS_UP:
                return b""

    def ask(self, method: str, path: str, content: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of an ordinary request."""
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = None if content is None else json.dumps(content)
        asked.request(method, path, body, {"Content-Type": "application/json", **headers})
        answer = asked.getresponse()
        return answer.status, json.loads(answer.read())


@contextmanager
def on_a_socket(service: Service, **changed: Any) -> Iterator[Live]:
    """The service as `make serve` runs it, with a shorter patience."""
    changed = {"timeout_seconds": TIMEOUT, **changed}
    with service.running(**changed) as client:
        options = service.options(**changed)
        running = server(client.app, options, "127.0.0.1", 0)
        running.config.lifespan = "off"  # `client` has begun what it begins
        thread = threading.Thread(target=running.run)
        thread.start()
        while not running.started:
            time.sleep(0.01)
        yield Live(running.servers[0].sockets[0].getsockname()[1])
        running.should_exit = True
        thread.join()


@pytest.fixture
def live(service: Service) -> Iterator[Live]:
    """The service on a real socket."""
    with on_a_socket(service) as live:
        yield live


@pytest.fixture(autouse=True)
def _goes_on(live: Live, record: Change, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """After each attack an ordinary client is answered, and no log holds a stack trace."""
    yield
    assert live.ask("POST", "/predict", record())[0] == 200
    assert "Traceback" not in "".join(capfd.readouterr())


def memory() -> int:
    """Bytes that the process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("head", "piece", "answer"),
    [
        (POST + b"Content-Length: 100000000\r\n\r\n", PIECE, b"HTTP/1.1 413"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"186a0\r\n%b\r\n" % PIECE, b"HTTP/1.1 413"),
        (b"GET /health HTTP/1.1\r\nX-Long: ", PIECE, b""),
        (b"GET /health HTTP/1.1\r\n", b"X-Many: a\r\n" * 10_000, b""),
        (b"GET /health?", PIECE, b""),
        (b"", b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 3_000, None),
        (
            b"GET /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X: a\r\n" * 9_999,
            None,
        ),
    ],
    ids=["declared", "chunked", "long header", "many headers", "query", "pipeline", "trailers"],
)
def test_a_hundred_megabytes_cost_no_memory(
    live: Live, head: bytes, piece: bytes, answer: bytes | None
) -> None:
    before, started = memory(), time.monotonic()
    answered = live.send(head, more=(piece for _ in range(1_000)))
    assert answer is None or answered[:12] == answer
    assert memory() - before < 20 * MIB
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nX-Slow: ", POST + b"Content-Length: 9\r\n\r\n"],
)
def test_who_sends_slowly_is_not_waited_for(live: Live, sent: bytes) -> None:
    with live.connect() as connection:
        connection.sendall(sent)
        started = time.monotonic()
        said = connection.recv(100)
        assert TIMEOUT / 2 < time.monotonic() - started < 3 * TIMEOUT
        assert said.startswith(b"HTTP/1.1 408") == sent.startswith(POST)


def test_who_drips_is_not_waited_for(live: Live) -> None:
    with live.connect() as connection, pytest.raises(HANGS_UP):
        for _ in range(100):
            connection.sendall(b"\r\n")
            time.sleep(TIMEOUT / 10)


def test_who_does_not_read_is_not_waited_for(live: Live, record: Change) -> None:
    many = json.dumps([record()] * 1_000).encode()
    asked = POST + b"Content-Length: %d\r\n\r\n" % len(many) + many
    with live.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with pytest.raises(HANGS_UP):
            for _ in range(100):
                connection.sendall(asked)
                time.sleep(TIMEOUT / 10)


def test_a_thousand_parallel_connections_are_answered(live: Live, record: Change) -> None:
    body = json.dumps(record()).encode()
    asked = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    crowd = [live.connect() for _ in range(990)]
    for connection in crowd:
        connection.sendall(asked)
    answers = [connection.recv(65_536)[:12] for connection in crowd]
    assert set(answers) == {b"HTTP/1.1 200"}
    for connection in crowd:
        connection.close()
    time.sleep(0.1)


def test_more_requests_than_allowed_are_turned_away_and_health_is_told(
    service: Service, record: Change
) -> None:
    begun = POST + b"Content-Length: 9\r\n\r\n"
    with on_a_socket(service, max_requests=5) as live:
        crowd = [live.connect() for _ in range(5)]
        for connection in crowd:
            connection.sendall(begun)
        time.sleep(0.2)
        status, told = live.ask("POST", "/predict", record())
        assert (status, told) == (503, {"detail": "too many requests at once; try again later"})
        assert live.ask("GET", "/ready")[0] == 200
        for connection in crowd:
            connection.close()
        time.sleep(0.2)
        assert live.ask("POST", "/predict", record())[0] == 200


def test_more_connections_than_requests_need_are_turned_away(service: Service) -> None:
    asked = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    with on_a_socket(service, max_requests=2) as live:
        crowd = [live.connect() for _ in range(3)]
        assert live.send(asked).startswith(b"HTTP/1.1 503")
        for connection in crowd:
            connection.close()
        time.sleep(0.1)
        assert live.send(asked).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "line",
    [
        b"X-Request-Id: a\rSet-Cookie: b",
        b"X-Request-Id: a\r\n Set-Cookie: b",
        b"X-Request-Id: a\0b",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: -1",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
    ],
)
def test_an_injected_header_is_no_header(live: Live, line: bytes) -> None:
    answer = live.send(b"POST /predict HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % line)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Set-Cookie" not in answer


@pytest.mark.parametrize(
    "path",
    [
        b"//predict",
        b"/predict/",
        b"/%2e%2e/%2e%2e/etc/passwd",
        b"/../../etc/passwd",
        b"/docs/..%2f..%2fparams.yaml",
        b"/predict%00",
        b"/predict\0",
        b"/\xff",
        b"/%ff",
        b"/" + b"a" * 60_000,
        b"/" + b"a" * 100_000,
    ],
)
def test_no_path_leads_elsewhere(live: Live, path: bytes) -> None:
    answer = live.send(b"GET %b HTTP/1.1\r\nHost: evil.example\r\n\r\n" % path)
    assert answer[9:12] in (b"404", b"400", b"")
    assert b"evil.example" not in answer


def test_wrong_content_is_answered_in_few_words(live: Live, record: Change) -> None:
    wide = {str(number): 1 for number in range(50_000)}
    several = [record(**{str(number): 1 for number in range(100)})] * 500
    for content in (wide, several, [record()] * 30_000, [{}] * 1_000_000):
        status, said = live.ask("POST", "/predict", content)
        assert status in (413, 422)
        assert len(str(said)) < 300
    said = live.ask("POST", "/feedback", wide)[1]
    rule = "a record has 50,000 fields, and only 2 are known"
    assert said["detail"] == [{"field": "body", "rule": rule}]


def test_what_is_wrong_is_listed_as_far_as_it_helps(live: Live, record: Change) -> None:
    extra = {f"extra{number}": 1 for number in range(120)}
    told = live.ask("POST", "/predict", record(**extra))[1]["detail"]
    assert [problem["field"] for problem in told[:20]] == [*extra][:20]
    assert told[20:] == [{"field": "body", "rule": "100 more problems"}]
    [problem] = live.ask("POST", "/predict", [record(), record(size=-1.0), {}])[1]["detail"]
    assert problem["field"] == "1.size"


def test_feedback_of_any_size_is_kept_or_refused(live: Live) -> None:
    known = {"prediction_id": "0" * 36}
    for actual, expected in ((1, 202), (10**30, 202), (10**400, 422), ("a" * 20_000, 422)):
        assert live.ask("POST", "/feedback", {**known, "actual": actual})[0] == expected
