"""A registered model where there is no project: its own requirements and the code that it carries."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import polars as pl
import pytest
from helpers import BIN, shell
from imports import find_modules, imports
from mlops_loop.models.model import load
from mlops_loop.project import load_settings
from mlops_loop.tracking import scoring_code
from project.models import register
from projects import Project, sales

from benchmarks.serving import free_port

PREDICT = """
import json, sys
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(pandas.read_parquet(sys.argv[2])).tolist()))
print(*{"mlops_loop", "ruamel", "rich"} & sys.modules.keys())
"""


def name_of(module: str) -> str:
    """The dotted name of a file of the machinery."""
    parts = ("mlops_loop", *Path(module).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


def test_the_code_is_all_that_it_imports() -> None:
    modules = find_modules("mlops_loop")
    taken = set(map(name_of, scoring_code.MODULES))
    needed, found = {"mlops_loop.tracking.pyfunc"}, set()
    while needed:
        found |= needed
        needed = {i for m in needed for i in imports(m, modules[m]) if i in modules} - found
    packages = {name.rpartition(".")[0] for name in found} - {""}
    assert taken == found | packages


def wait_for(address: str) -> None:
    """Wait until a server answers; a minute at most."""
    until = time.monotonic() + 60
    while True:
        try:
            assert httpx.get(f"http://{address}/ping").status_code == 200
            return
        except httpx.TransportError:
            assert time.monotonic() < until
            time.sleep(0.2)


@pytest.fixture
def elsewhere(trained: Project, tmp_path: Path) -> tuple[Path, str]:
    """A Python with the requirements of the champion and nothing else, and the champion's folder."""
    register.main(trained)
    (tmp_path / "model").mkdir()
    model = mlflow.artifacts.download_artifacts(
        f"models:/{load_settings(trained).project}@champion", dst_path=str(tmp_path / "model")
    )
    uv, python = [BIN / "uv", "--quiet"], tmp_path / "env" / "bin" / "python"
    subprocess.run([*uv, "venv", "--python", sys.executable, tmp_path / "env"], check=True)
    requirements = ["--requirement", f"{model}/requirements.txt"]
    subprocess.run([*uv, "pip", "install", "--python", python, *requirements], check=True)
    return python, model.rstrip("/")


def test_a_version_is_loaded_and_served_without_the_project(
    elsewhere: tuple[Path, str], trained: Project, tmp_path: Path
) -> None:
    python, model = elsewhere
    rows = sales(20, seed=2).drop("price", "note", strict=False)
    expected = load(trained.candidate).predict(rows)
    # Of pandas: a column of integers that may be missing is one of floats.
    rows.cast({"items": pl.Float64}).to_pandas().to_parquet(tmp_path / "rows.parquet")
    command = [python, "-I", "-c", PREDICT, model, tmp_path / "rows.parquet"]
    variables = shell() | {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    environment: dict[str, Any] = {"env": variables, "cwd": tmp_path}
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **environment)
    predictions, foreign = output.stdout.split("\n")[:2]
    assert np.allclose(json.loads(predictions), expected)
    assert foreign == ""

    address = f"127.0.0.1:{free_port()}"
    serve = [python, "-m", "mlflow", "models", "serve", "--model-uri", model]
    serve += ["--env-manager", "local", "--port", address.rpartition(":")[2]]
    body = {
        "dataframe_split": json.loads(rows.to_pandas().to_json(orient="split", date_format="iso"))
    }
    with subprocess.Popen(serve, **environment) as server:
        try:
            wait_for(address)
            answer = httpx.post(f"http://{address}/invocations", json=body, timeout=60)
        finally:
            server.terminate()
    assert np.allclose(answer.json()["predictions"], expected)
