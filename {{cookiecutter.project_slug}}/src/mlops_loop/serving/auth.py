"""Who may ask, and how much: API keys (`make key` makes one), and limits on a request."""

import asyncio
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence

import orjson
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from ..project import Paths, UserError
from .params import Serving

LARGE = 20_000  # bytes; what is wrong with fewer is found in a few milliseconds
LOCAL = ("127.0.0.1", "localhost", "::1")


def key_hashes(host: str) -> tuple[str, ...]:
    """The SHA-256 of each key that is accepted, from API_KEY_HASHES; several allow rotation.

    Raises UserError where the service is open to others and has no key.
    """
    hashes = tuple(filter(None, os.environ.get("API_KEY_HASHES", "").replace(" ", "").split(",")))
    wrong = [h for h in hashes if len(h) != 64 or set(h) - set("0123456789abcdef")]
    if wrong:
        raise UserError("API_KEY_HASHES: not a SHA-256 in hex; make one with `make key`.")
    if not hashes and host not in LOCAL:
        raise UserError(f"HOST={host} is open to others: set API_KEY_HASHES (`make key`).")
    return hashes


def is_allowed(request: Request, hashes: tuple[str, ...]) -> bool:
    """Whether the request has one of the keys, compared in constant time.

    In X-API-Key or, as Prometheus sends it, as a bearer token.
    """
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    given = hashlib.sha256(request.headers.get("x-api-key", bearer).encode()).hexdigest()
    # Every one is compared: how long it takes tells nothing about which key is right.
    matches = [hmac.compare_digest(given, known) for known in hashes]
    return any(matches) or not hashes


async def body(request: Request, limits: Serving, most_fields: int) -> bytes:
    """The body, as JSON and of bearable size; raises HTTPException 408, 413, 415 or 422."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "send application/json")
    length = request.headers.get("content-length", "0")
    too_large = HTTPException(413, f"a request holds at most {limits.max_bytes:,} bytes")
    if not length.isdecimal() or int(length) > limits.max_bytes:
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > limits.max_bytes:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, "the body did not arrive in time") from None
    except ClientDisconnect:
        raise HTTPException(400, "the body ended too early") from None
    if len(content) > LARGE:
        check_width(content, most_fields)
    return bytes(content)


def check_width(content: bytes | bytearray, most_fields: int) -> None:
    """Raise HTTPException 422 where a record has fields that cannot all be known.

    Finding a rule that each of 100,000 fields breaks would keep others waiting.
    """
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _wrong(f"no JSON: {error}") from None
    records = found if isinstance(found, list) else [found]
    most = max((len(each) for each in records if isinstance(each, dict)), default=0)
    if most > most_fields:
        raise _wrong(f"a record has {most:,} fields, and only {most_fields} are known")


def _wrong(rule: str) -> HTTPException:
    return HTTPException(422, [{"field": "body", "rule": rule}])


def main(paths: Paths, arguments: Sequence[str] = ()) -> None:
    """Print a new key for who asks, and its hash for API_KEY_HASHES."""
    key = secrets.token_urlsafe(32)
    print(f"key   {key}\nhash  {hashlib.sha256(key.encode()).hexdigest()}")
