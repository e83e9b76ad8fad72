"""The HTTP service; routes and middleware of your own go here."""

from fastapi import FastAPI

from mlops_loop.serving import api
from mlops_loop.serving.service import Service


def create_app(service: Service, keys: tuple[str, ...]) -> FastAPI:
    """Create the application; `keys` are the hashes of the API keys that it accepts."""
    return api.create_app(service, keys)
