"""The HTTP service; routes and middleware of your own go here."""

from fastapi import FastAPI

from mlops_loop.serving import api
from mlops_loop.serving.service import Core


def create_app(core: Core, keys: tuple[str, ...]) -> FastAPI:
    """The service's application; `keys` are the hashes of the API keys that it accepts."""
    return api.create_app(core, keys)
