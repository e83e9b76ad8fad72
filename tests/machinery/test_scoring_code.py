"""A registered model where there is no project: its own requirements and the code that it carries."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import lightgbm
import mlflow
import numpy as np
import polars as pl
import pytest
from helpers import BIN, render, shell
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
    packages = {name.rpartition(".")[0] for name in found} & modules.keys()
    assert taken == found | packages


def test_no_bytecode_travels_with_a_version(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    register.main(trained)
    found = {path.name for path in (trained.artifacts.rglob("code/*/*"))}
    assert "tracking" in found and not list(trained.artifacts.rglob("*.pyc"))


def test_two_versions_in_one_process_are_scored_by_the_code_of_each(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    register.main(trained)
    changed = trained.root / "machinery"
    shutil.copytree(scoring_code.MACHINERY, changed)
    pyfunc = changed / "tracking" / "pyfunc.py"
    pyfunc.write_text(pyfunc.read_text().replace("predict(frame)", "predict(frame) + 1000"))
    monkeypatch.setattr(scoring_code, "MACHINERY", changed)
    trained.put_model("worse")
    register.main(trained)
    name = load_settings(trained).project
    rows = sales(20, seed=2).cast({"items": pl.Float64}).to_pandas()
    first, second = (mlflow.pyfunc.load_model(f"models:/{name}/{number}") for number in (1, 2))
    versions = [load(trained.root / model / "models/candidate") for model in ("better", "worse")]
    expected = [model.predict(sales(20, seed=2)) for model in versions]
    assert np.allclose(first.predict(rows), expected[0])
    assert np.allclose(second.predict(rows), expected[1] + 1000)
    loaded = {type(each._model_impl).__module__ for each in (first, second)}
    assert len(loaded) == 2 and all(module.startswith("mlops_loop_") for module in loaded)


INSTALLED = """
import json, sys
from mlops_loop.project import UserError
from my_project.models.predict import load_champion
import polars
model = load_champion(name="shop", tracking_uri=sys.argv[1])
print(json.dumps(model.predict(polars.read_parquet(sys.argv[2])).tolist()))
try:
    load_champion(name="shop")
except UserError as error:
    print(error)
"""


def test_the_champion_is_loaded_from_an_installed_wheel(trained: Project, tmp_path: Path) -> None:
    register.main(trained)
    place, rows = tmp_path / "python/lib/site-packages", sales(20, seed=2)
    build = [BIN / "uv", "--quiet", "--offline", "build", "--wheel", "--out-dir", tmp_path]
    subprocess.run([*build, render(tmp_path, project_slug="my-project")], check=True)
    install = [BIN / "uv", "--quiet", "--offline", "pip", "install", "--no-deps"]
    [wheel] = tmp_path.glob("*.whl")
    subprocess.run([*install, "--target", place, wheel], check=True)
    rows.write_parquet(tmp_path / "rows.parquet")
    before = set(place.parent.parent.rglob("*"))
    command = [sys.executable, "-c", INSTALLED, f"sqlite:///{trained.store}", "rows.parquet"]
    variables = shell() | {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    output = subprocess.run(command, env=variables, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    predictions, said = output.stdout.splitlines()
    assert np.allclose(json.loads(predictions), load(trained.candidate).predict(rows))
    assert said == f"{place.parent} is no project: name= and tracking_uri= tell what to load."
    assert set(place.parent.parent.rglob("*")) == before


def test_a_booster_of_a_version_is_plain_lightgbm(trained: Project) -> None:
    register.main(trained)
    name, model = load_settings(trained).project, load(trained.candidate)
    folder = mlflow.artifacts.download_artifacts(f"models:/{name}@champion")
    booster = lightgbm.Booster(model_file=Path(folder) / "data/candidate/booster.txt")
    matrix = model.encoder.encode(model.compute(sales(20, seed=2)))
    assert np.allclose(booster.predict(matrix), model.predict(sales(20, seed=2)))


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
