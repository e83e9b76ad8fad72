"""API keys (`make key` creates one) and limits of a request's body."""

import asyncio
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence, Sized
from contextlib import suppress

import orjson
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from ..project import Paths, UserError
from .params import Serving

LARGE = 20_000  # bytes; the problems of a smaller body are found in a few milliseconds
LOCAL = ("127.0.0.1", "localhost", "::1")


def key_hashes(host: str) -> tuple[str, ...]:
    """The SHA-256 of each accepted key, from API_KEY_HASHES; several allow rotation.

    Raises UserError where the service is open to other machines and has no key.
    """
    hashes = tuple(filter(None, os.environ.get("API_KEY_HASHES", "").replace(" ", "").split(",")))
    if any(len(each) != 64 or set(each) - set("0123456789abcdef") for each in hashes):
        raise UserError("API_KEY_HASHES: not a SHA-256 in hex; make one with `make key`.")
    if not hashes and host not in LOCAL:
        raise UserError(f"HOST={host} is open to others: set API_KEY_HASHES (`make key`).")
    return hashes


def is_allowed(request: Request, hashes: tuple[str, ...]) -> bool:
    """Compare the key of a request, in X-API-Key or a bearer token, in constant time."""
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")  # as Prometheus
    given = hashlib.sha256(request.headers.get("x-api-key", bearer).encode()).hexdigest()
    matches = [hmac.compare_digest(given, known) for known in hashes]  # all of them: same time
    return any(matches) or not hashes


async def read_body(request: Request, limits: Serving, fields: Sized) -> bytes:
    """Read a JSON body of records with these fields, within the limits.

    Raises HTTPException 400, 408, 413, 415 or 422.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "send application/json")
    content = bytearray()
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > limits.max_bytes:
                    most = f"{limits.max_bytes:,} bytes"
                    raise HTTPException(413, f"a request holds at most {most}")
    except TimeoutError:
        raise HTTPException(408, "the body did not arrive in time") from None
    except ClientDisconnect:
        raise HTTPException(400, "the body ended too early") from None
    if len(content) > LARGE and (rule := broken_rule(content, len(fields))):
        raise HTTPException(422, [{"field": "body", "rule": rule}])
    return bytes(content)


def broken_rule(content: bytes | bytearray, max_fields: int) -> str | None:
    """The problem of a record with more fields than are known, if any.

    Validating each of 100,000 fields would delay other requests.
    """
    with suppress(orjson.JSONDecodeError):  # which validation names
        found = orjson.loads(content)
        records = found if isinstance(found, list) else [found]
        most = max((len(each) for each in records if isinstance(each, dict)), default=0)
        if most > max_fields:
            return f"a record has {most:,} fields, and only {max_fields} are known"
    return None


def main(paths: Paths, arguments: Sequence[str] = ()) -> None:
    """Print a new key, and its hash for API_KEY_HASHES."""
    key = secrets.token_urlsafe(32)
    print(f"key   {key}\nhash  {hashlib.sha256(key.encode()).hexdigest()}")
