"""The documents keep their word: what they tell to type runs, what they name is there."""

import base64
import json
import os
import re
import runpy
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from helpers import BIN, TEMPLATE, Factory, blocks, check_tree, git, render, run, shell

ROWS = 2_000
SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}"
README = TEMPLATE / "README.md"
OPTIONS, WALKTHROUGH = TEMPLATE / "docs/options.md", TEMPLATE / "docs/walkthrough.md"
MOVING = SOURCE / "docs/moving.md"
PAGES = [
    *sorted(TEMPLATE.glob("*.md")),
    *sorted((TEMPLATE / "docs").glob("*.md")),
    *sorted(SOURCE.glob("*.md")),
    *sorted((SOURCE / "docs").glob("*.md")),
]
COMMAND_LINE = 'cookiecutter PATH_OR_URL --no-input project_name="House Prices" ci=gitlab'
# The place that runs each command of the pages that are not played here from top to bottom.
RUN_BY = {
    "cookiecutter PATH_OR_URL": "tests/journeys/test_setup.py: def test_birth",
    "cd my-project": "tests/journeys/test_setup.py: def test_birth",
    COMMAND_LINE: "tests/template/test_docs.py: def test_answers_on_the_command_line",
    "make train": "tests/journeys/test_users_day.py: def test_training_ends_with_a_champion",
    "make adopt DATA=~/sales.csv TARGET=price": 'tests/journeys/test_adopt.py: run(project, "make", "adopt"',
    "make predict INPUT=new.csv OUTPUT=scored.csv": "docs/walkthrough.md: make predict INPUT=new.csv OUTPUT=scored.csv",
    "make explain": "docs/walkthrough.md: make explain",
    "make compare": "docs/walkthrough.md: make compare",
    "make reproduce VERSION=1": "docs/walkthrough.md: make reproduce VERSION=1",
    "make tune": 'tests/journeys/test_tune.py: "make", "tune"',
    'make experiment SET="train.learning_rate=0.05"': 'docs/walkthrough.md: make experiment SET="train.learning_rate=0.05"',
    "make experiment": "docs/walkthrough.md: make experiment\n",
    "make data REFRESH=1": 'tests/journeys/test_adopt.py: landed("REFRESH=1")',
    "make serve": "tests/journeys/test_serving.py: def test_a_prediction_is_the_champions",
    "make work": 'tests/journeys/test_serving.py: "make", "work"',
    "make stream < records.jsonl > predicted.jsonl": 'tests/journeys/test_serving.py: "make", "stream"',
    "make batch INPUT=new.parquet TABLE=scores": 'tests/journeys/test_serving.py: "make", "batch"',
    "make app": 'tests/journeys/test_serving.py: ("make", "app"',
    "make rollout": "tests/journeys/test_serving.py: def test_a_challenger_answers_some_until_it_is_promoted_and_rolled_back",
    "make deliver": 'tests/journeys/test_serving.py: run(project, "make", "deliver"',
    "make export": 'tests/journeys/test_serving.py: "make", "export"',
    "make replay": 'tests/journeys/test_replay.py: "make", "replay"',
    "make monitor": 'tests/journeys/test_monitoring.py: ["make", "monitor"]',
    "make monitor SINCE=2026-01-01": 'tests/journeys/test_monitoring.py: ["make", "monitor", "SINCE=',
    "make feedback FILE=truths.csv": 'tests/journeys/test_monitoring.py: "make", "feedback"',
    "make label N=50 OUTPUT=to_label.csv": 'tests/journeys/test_monitoring.py: "make", "label"',
    "make monitor BATCH=labelled.parquet": 'tests/journeys/test_monitoring.py: "make", "monitor"',
    "make loop": 'tests/journeys/test_monitoring.py: "make", "loop"',
    "make retrain": 'tests/journeys/test_retrain.py: "make", "retrain"',
    "make retrain TRIGGER=manual": 'tests/journeys/test_retrain.py: "make", "retrain", "TRIGGER=manual"',
    "make approve REASON='looks right'": 'tests/journeys/test_retrain.py: "make", "approve", "REASON=looks right"',
    "make reject REASON='unfair to the north'": 'tests/machinery/test_retrain.py: "reject", ["--reason=unfair to the north"]',
    "make airflow-test DATE=2023-05-05": 'tests/journeys/test_airflow.py: run(created, "make", "airflow-test", f"DATE={DAY}")',
    "make freeze REASON='an audit'": 'tests/journeys/test_monitoring.py: "make", "freeze", "REASON=an audit"',
    "make freeze OFF=1": 'tests/journeys/test_monitoring.py: "make", "freeze", "OFF=1"',
    "make history": 'tests/journeys/test_monitoring.py: "make", "history")',
    "make history EVENT=gate": 'tests/journeys/test_monitoring.py: "EVENT=gate"',
    "make history PREDICTION=7": 'tests/journeys/test_monitoring.py: "PREDICTION=7"',
    "make image": 'tests/journeys/test_serving.py: "make", "image"',
}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TEMPLATE)))


def section(page: Path, title: str) -> list[tuple[str, str]]:
    """The blocks below a heading."""
    below = rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)"
    [text] = re.findall(below, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return blocks(text)


def play(project: Path, script: list[tuple[str, str]], **values: str) -> str:
    """Run blocks of commands in order and hold what they print against the blocks of output."""
    output = ""
    for language, text in script:
        if language == "bash":
            for placeholder, value in values.items():
                text = text.replace(placeholder, value)
            output = run(project, "bash", "-euc", text).stdout
        else:
            assert_printed(text, output)
    return output


def assert_printed(expected: str, output: str) -> None:
    """Every expected line is printed, in this order; … stands for anything."""
    position = 0
    for line in expected.splitlines():
        pattern = ".*".join(re.escape(part) for part in line.rstrip().split("…"))
        found = re.compile(pattern).search(output, position)
        assert found, f"{line!r} is missing after character {position} of\n{output}"
        position = found.end()


def commands(page: Path) -> set[str]:
    """The commands of a page, without their comments."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line for language, code in blocks(text) if language == "bash" for line in code.split("\n")
    ]
    return {line.split("  ")[0] for line in lines if line}


def verbs(folder: Path) -> set[str]:
    """The targets that `make` lists in a folder."""
    makefiles = [folder / "Makefile", *folder.glob("make/*.mk")]
    return {
        v for f in makefiles for v in re.findall(r"^([a-z-]+):.*## ", f.read_text(), re.MULTILINE)
    }


@each_page
def test_every_verb_exists(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return  # it also names verbs that went
    named = set(
        re.findall(r"(?:`|^|! )make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert named <= verbs(SOURCE) | (set() if SOURCE in page.parents else verbs(TEMPLATE))


@each_page
def test_links_resolve(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_every_command_is_run() -> None:
    assert set().union(*map(commands, set(PAGES) - {WALKTHROUGH, MOVING})) == RUN_BY.keys()
    for place in RUN_BY.values():
        name, text = place.split(": ", 1)
        assert text in (TEMPLATE / name).read_text(encoding="utf-8"), place


def test_options_are_those_of_cookiecutter_json() -> None:
    page = runpy.run_path(str(TEMPLATE / "docs/options.py"))["page"]()
    assert OPTIONS.read_text(encoding="utf-8") == page, "run .venv/bin/python docs/options.py"


def test_answers_on_the_command_line(tmp_path: Path) -> None:
    command = COMMAND_LINE.replace("cookiecutter PATH_OR_URL", f"{BIN}/cookiecutter {TEMPLATE}")
    run(tmp_path, "bash", "-c", f"{command} setup=no")
    assert (tmp_path / "house-prices/.gitlab-ci.yml").exists()


def test_notebook_is_committed_clean_and_formatted(tmp_path: Path) -> None:
    book = json.loads((SOURCE / "notebooks/01-explore.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    for number, cell in enumerate(code):
        text = "".join(cell["source"]).replace("{{ cookiecutter.package_name }}", "name")
        (tmp_path / f"cell_{number}.py").write_text(f"{text}\n")
    run(tmp_path, BIN / "black", "--line-length=100", "--check", ".")


def test_notebook_without_data_says_what_it_needs(environment: Path, tmp_path: Path) -> None:
    project = render(tmp_path)
    book = json.loads((project / "notebooks/01-explore.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    (tmp_path / "cells.py").write_text("\n".join(cells[:2]))
    said = run(project, environment / "bin/python", tmp_path / "cells.py", succeeds=False).stdout
    assert "There are no data yet: run `make data`" in said


@pytest.fixture(scope="module")
def project(make_project: Factory) -> Path:
    """The project of the walkthrough, with fewer rows than a user's."""
    created = make_project()
    params = created / "params.yaml"
    params.write_text(params.read_text().replace("_month: 50000", f"_month: {ROWS}"))
    git(created, "commit", "--quiet", "--no-verify", "--all", "--message", "Fewer rows")
    return created


@pytest.fixture(scope="module")
def trained(project: Path) -> Path:
    """The project after the half of the walkthrough that uses the sample."""
    (_, creation), *start = section(WALKTHROUGH, "Start")
    assert set(creation.splitlines()) <= commands(README)
    play(project, start)
    for title in ("The first champion", "Commit", "Predict", "Change one thing"):
        play(project, section(WALKTHROUGH, title))
    return project


def test_walkthrough_leaves_what_it_says(trained: Path) -> None:
    rows = (trained / "scored.csv").read_text().splitlines()[1:]
    assert [bool(row.split(",")[-2]) for row in rows] == [False] + [True] * 19
    assert git(trained, "log", "--format=%s", "-1") == "First champion"
    assert git(trained, "diff", "--name-only", "HEAD", "--", "params.yaml", "reports") == ""


def test_readmes_draw_the_tree_that_is_there(trained: Path) -> None:
    for readme in (README, trained / "README.md"):
        check_tree(readme, trained)


@pytest.mark.parametrize("folder", ["notebooks"])
def test_notebook_runs_and_shows_pictures(trained: Path, folder: str, tmp_path: Path) -> None:
    execute = f"""
import nbclient, nbformat
book = nbformat.read("{trained}/notebooks/01-explore.ipynb", as_version=4)
resources = {{"metadata": {{"path": "{trained / folder}"}}}}
nbclient.NotebookClient(book, timeout=120, resources=resources).execute()
nbformat.write(book, "{tmp_path}/run.ipynb")
"""
    run(trained, trained / ".venv/bin/python", "-c", execute)
    cells = json.loads((tmp_path / "run.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    pictures = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 6
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert not any(output.get("name") == "stderr" for output in outputs)


PREDICT = ("make", "predict", "INPUT=new.csv", "OUTPUT=scored.csv")


@pytest.fixture(scope="module")
def moved(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained project in another folder; its store still names the old one."""
    folder = tmp_path_factory.mktemp("moved") / "my-project"
    shutil.copytree(trained, folder, symlinks=True)
    return folder


def test_a_moved_store_works_behind_a_link_or_is_begun_anew(moved: Path, trained: Path) -> None:
    assert "see docs/moving.md" in run(moved, *PREDICT, succeeds=False).stdout
    link, new_store = section(MOVING, "To another folder of this machine")
    away = trained.rename(trained.with_name("away"))
    try:
        play(moved, [link], **{"/path/of/the/old/folder": str(trained)})
        assert "19 of 20 rows" in run(moved, *PREDICT).stdout
    finally:
        trained.unlink()
        away.rename(trained)
    said = play(moved, [new_store])
    assert re.findall(r"Running stage '(\w+)'", said) == ["register"]
    assert "version 1 is the champion" in said
    assert "19 of 20 rows" in run(moved, *PREDICT).stdout


def test_a_clone_gets_data_and_registers_what_is_trained(moved: Path, tmp_path: Path) -> None:
    (_, origin), (_, clone) = section(MOVING, "To another machine, by git")
    play(moved, [("bash", origin)], **{"/path/or/url/of/a/store": str(tmp_path / "store")})
    git(tmp_path, "clone", "--quiet", str(moved), "my-project")
    (tmp_path / "my-project/.venv").symlink_to(moved / ".venv")
    said = play(tmp_path / "my-project", [("bash", clone)])
    assert re.findall(r"Running stage '(\w+)'", said) == ["register"]
    assert "version 1 is the champion" in said
    trained_once = json.loads((moved / "models/run.json").read_text())["training_id"]
    with sqlite3.connect(tmp_path / "my-project/mlflow.db") as store:
        [(logged,)] = store.execute("select value from tags where key = 'training_id'")
    assert logged == trained_once


@pytest.fixture
def server(environment: Path, tmp_path: Path) -> Iterator[str]:
    """`make ui` of a project in which nothing has been run, as a team's server."""
    hub = render(tmp_path / "hub")
    (hub / ".venv").symlink_to(environment)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {**shell(), "PYTHONPATH": str(hub / "src")}
    log = (tmp_path / "ui.log").open("w")
    ui = subprocess.Popen(
        ["make", "ui", f"PORT={port}"],
        cwd=hub,
        env=variables,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield wait_for(f"http://127.0.0.1:{port}", ui)
    finally:
        os.killpg(ui.pid, signal.SIGTERM)
        ui.wait(timeout=30)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> str:
    """The address, once somebody answers there."""
    for _ in range(600):
        try:
            with urlopen(f"{url}/health"):
                return url
        except URLError:
            assert process.poll() is None, "the server ended"
            time.sleep(0.1)
    raise AssertionError(f"nobody answers at {url}")


def test_a_team_has_a_server(moved: Path, server: str, tmp_path: Path) -> None:
    member = tmp_path / "my-project"
    shutil.copytree(moved, member, symlinks=True)
    said = play(
        member, section(MOVING, "To a team's server"), **{"https://mlflow.example.org": server}
    )
    assert re.findall(r"Running stage '(\w+)'", said) == ["register"]
    opened = (tmp_path / "ui.log").read_text()
    assert f"{server}/#/experiments/1/runs (MLflow's usage data are off)" in opened
    query = "api/2.0/mlflow/registered-models/alias?name=my-project&alias=champion"
    with urlopen(f"{server}/{query}") as answer:
        version = json.load(answer)["model_version"]
    assert (version["version"], version["status"]) == ("1", "READY")
    assert "up to date" in run(member, "make", "train").stdout
    assert "19 of 20 rows" in run(member, *PREDICT).stdout


def test_walkthrough_ends_with_a_champion_on_ones_own_table(trained: Path) -> None:
    for title in ("Defend it", "Try and tune", "Your own table"):
        play(trained, section(WALKTHROUGH, title))
    gate = json.loads((trained / "reports/gate.json").read_text())
    assert (gate["version"], gate["champion_version"]) == (4, 3)
    metrics = json.loads((trained / "reports/metrics.json").read_text())
    assert metrics["test"]["rmse"] < 0.5 * metrics["baseline"]["rmse"]
    assert sum(metrics["rows"].values()) == 1_200
    assert git(trained, "log", "--format=%s", "-1") == "House prices"
    assert "data/external/sales_1.dvc" in git(trained, "ls-files", "data").splitlines()
    assert not (trained / "src/my_project/data/sources/sample.py").exists()
