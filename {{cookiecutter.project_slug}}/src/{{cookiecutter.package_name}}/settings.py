"""What differs between machines: environment variables and .env, read once per command."""

import os
import tomllib
from dataclasses import dataclass

from dotenv import load_dotenv

from .errors import UserError
from .paths import Paths


@dataclass(frozen=True)
class Settings:
    """The project's name and where its runs and models are kept."""

    project: str
    template_version: str
    tracking_uri: str
    trigger: str


def load_settings(paths: Paths) -> Settings:
    """Read pyproject.toml, .env and the environment, which wins over .env."""
    load_dotenv(paths.root / ".env")
    pyproject = tomllib.loads(paths.pyproject.read_text(encoding="utf-8"))
    return Settings(
        project=pyproject["project"]["name"],
        template_version=pyproject["tool"]["mlops-loop"]["template_version"],
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.store}",
        trigger=os.environ.get("TRIGGER") or "manual",
    )


def pii_key(paths: Paths) -> str:
    """The secret that hides personal data; raises UserError that tells how to make one."""
    load_dotenv(paths.root / ".env")
    key = os.environ.get("PII_KEY")
    if not key:
        raise UserError(
            "params.yaml: prepare.pii: hash needs PII_KEY in .env or the environment; make one "
            'with python -c "import secrets; print(secrets.token_hex(32))".'
        )
    return key
