"""Both CI files: valid, made of the project's own verbs, and their shell really runs."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.parse import parse_qsl

import pytest
from helpers import BIN, TEMPLATE, Factory, git, run, shell
from ruamel.yaml import YAML

PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
OURS = TEMPLATE / ".github/workflows/ci.yml"
GITHUB = PROJECT / ".github/workflows/ci.yml"
CD = PROJECT / ".github/workflows/cd.yml"
GITLAB = PROJECT / ".gitlab-ci.yml"
LOOP = PROJECT / ".github/workflows/loop.yml"
GITLAB_CD = PROJECT / ".gitlab-cd.yml"
GITLAB_LOOP = PROJECT / ".gitlab-loop.yml"
SCHEMAS = {
    OURS: "vendor.github-workflows",
    GITHUB: "vendor.github-workflows",
    CD: "vendor.github-workflows",
    GITLAB: "vendor.gitlab-ci",
    GITLAB_CD: "vendor.gitlab-ci",
    LOOP: "vendor.github-workflows",
    GITLAB_LOOP: "vendor.gitlab-ci",
}

each_provider = pytest.mark.parametrize("path", [GITHUB, GITLAB], ids=["github", "gitlab"])
IDS = ["template", "github", "cd", "gitlab", "gitlab-cd", "loop", "gitlab-loop"]
each_file = pytest.mark.parametrize("path", SCHEMAS, ids=IDS)

# What the steps use of GitHub's CLI, over comments kept in a file; jq reads the real expressions.
GH = f"""#!{BIN}/python
import argparse, json, os, sys
from pathlib import Path
import jq

parser = argparse.ArgumentParser()
parser.add_argument("api", choices=["api"])
parser.add_argument("path")
parser.add_argument("--paginate", action="store_true")
parser.add_argument("--silent", action="store_true")
parser.add_argument("--jq")
parser.add_argument("--method", default="GET")
parser.add_argument("-F")
call = parser.parse_args()
store = Path(os.environ["COMMENTS"])
comments = json.loads(store.read_text())
if call.method == "GET" and call.path == "repos/org/project/issues/7/comments":
    print(*jq.compile(call.jq).input_value(comments).all(), sep="\\n")
elif os.environ["GH_TOKEN"] == "read-only":
    sys.exit("HTTP 403: Resource not accessible by integration")
else:
    body = Path(call.F.removeprefix("body=@")).read_text()
    if call.method == "POST" and call.path == "repos/org/project/issues/7/comments":
        comments.append({{"id": len(comments) + 1, "body": body}})
    elif call.method == "PATCH" and call.path.startswith("repos/org/project/issues/comments/"):
        comments[int(call.path.rpartition("/")[2]) - 1]["body"] = body
    else:
        sys.exit(f"unexpected: {{call}}")
    store.write_text(json.dumps(comments))
"""


def scripts(path: Path) -> list[str]:
    """Every piece of shell in a CI file."""
    jobs = YAML(typ="safe").load(path)
    if path.name.startswith(".gitlab"):
        return ["\n".join(job["script"]) for job in jobs.values() if "script" in job]
    steps = [step for job in jobs["jobs"].values() for step in job["steps"]]
    return [step["run"] for step in steps if "run" in step]


def step(name: str) -> str:
    """The shell of a named step of the GitHub workflow."""
    jobs = YAML(typ="safe").load(GITHUB)["jobs"].values()
    return next(s["run"] for job in jobs for s in job["steps"] if s.get("name") == name)


def verbs(folder: Path) -> set[str]:
    """The documented targets of a Makefile and of the files that it includes."""
    files = [folder / "Makefile", *folder.glob("make/*.mk")]
    return {v for f in files for v in re.findall(r"^([a-z-]+):.*## ", f.read_text(), re.MULTILINE)}


def bash(script: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does, and GitLab nearly so."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=cwd,
        env=shell() | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@each_file
def test_matches_its_schema(path: Path) -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", SCHEMAS[path], path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_the_bot_updates_the_actions() -> None:
    bot = PROJECT / ".github/dependabot.yml"
    run(PROJECT, BIN / "check-jsonschema", "--builtin-schema", "vendor.dependabot", bot)
    assert "github-actions" in bot.read_text()


@each_file
def test_calls_verbs_that_exist(path: Path) -> None:
    called = {
        word
        for script in scripts(path)
        for line in re.findall(r"^\s*make (.*)", script, re.MULTILINE)
        for word in re.findall(r"(?:^|\s)([a-z]+)(?=\s|$)", re.split("[>|]", line)[0])
    }
    assert called
    assert called <= verbs(TEMPLATE if path == OURS else PROJECT)


@each_provider
def test_checks_tests_trains_and_compares(path: Path) -> None:
    text = "\n".join(scripts(path))
    for verb in ("make check", "make test", "make pull", "make train", "make --silent metrics"):
        assert verb in text


def test_every_secret_of_the_pipeline_is_explained() -> None:
    secrets = set(re.findall(r"secrets\.(\w+)", GITHUB.read_text()))
    page = (PROJECT / "docs/moving.md").read_text()
    assert "PII_KEY" in secrets
    assert all(f"`{name}`" in page for name in secrets)


def test_both_deliver_alike_and_production_only_what_passed_staging() -> None:
    found = [
        set(re.findall(r"make deliver .*?ENVIRONMENT=(\w+).*?( ASK=1)?$", text, re.MULTILINE))
        for text in ("\n".join(scripts(path)) for path in (CD, GITLAB_CD))
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 5
    jobs = YAML(typ="safe").load(GITLAB_CD)
    assert jobs["staging"]["needs"] == ["deliver"]
    assert jobs["production"]["needs"] == ["deliver", "staging"]
    assert jobs[jobs["staging"]["extends"]]["rules"][0]["when"] == "manual"
    included = YAML(typ="safe").load(GITLAB)["include"]
    assert [PROJECT / each["local"] for each in included] == [GITLAB_CD, GITLAB_LOOP]


@each_file
def test_shell_is_sound(path: Path, tmp_path: Path) -> None:
    for number, script in enumerate(scripts(path)):
        (tmp_path / f"{number}.sh").write_text(script)
    command = [BIN / "shellcheck", "--shell=bash", *sorted(tmp_path.glob("*.sh"))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", [OURS, GITHUB, CD, LOOP])
def test_actions_are_githubs_own_and_pinned_by_major_version(path: Path) -> None:
    used = re.findall(r"uses: (\S+)", path.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", action)


@pytest.fixture
def comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pull request with a comment of another workflow, and `gh` to talk to it."""
    store = tmp_path / "comments.json"
    store.write_text(json.dumps([{"id": 1, "body": "Deployed."}]))
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COMMENTS", str(store))
    monkeypatch.setenv("GITHUB_REPOSITORY", "org/project")
    monkeypatch.setenv("NUMBER", "7")
    return store


def comment(folder: Path, text: str, token: str) -> subprocess.CompletedProcess[str]:
    (folder / "metrics.md").write_text(text)
    return bash(step("Comment"), folder, GH_TOKEN=token)


def bodies(store: Path) -> list[str]:
    return [entry["body"] for entry in json.loads(store.read_text())]


def test_comment_updates_itself_and_no_other(comments: Path, tmp_path: Path) -> None:
    for text in ("rmse 5.0\n", "rmse 4.0\n"):
        result = comment(tmp_path, text, "writable")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert bodies(comments) == ["Deployed.", "<!-- metrics of the pipeline -->\nrmse 4.0\n"]


def test_comment_without_the_right_to_write_does_not_fail(comments: Path, tmp_path: Path) -> None:
    result = comment(tmp_path, "rmse 5.0\n", "read-only")
    assert result.returncode == 0
    assert "::notice::" in result.stdout
    assert bodies(comments) == ["Deployed."]


class Api(BaseHTTPRequestHandler):
    """The part of the REST interfaces of GitHub and GitLab that the steps use: one request."""

    taken: ClassVar[list[tuple[str, str, str]]] = []
    secret = "writable"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        tokens = self.headers["PRIVATE-TOKEN"], self.headers["Authorization"]
        allowed = tokens in ((self.secret, None), (None, f"Bearer {self.secret}"))
        self.send_response(201 if allowed else 403)
        self.end_headers()
        self.wfile.write(b'{"html_url": "https://example.org/7"}' if allowed else b"forbidden")
        if allowed:
            self.taken.append((self.path, self.headers["content-type"], body))

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def api() -> Iterator[str]:
    """The address of a server that takes proposals."""
    Api.taken.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", [LOOP, GITLAB_LOOP], ids=["github", "gitlab"])
def test_what_was_retrained_is_proposed_with_its_reason(
    path: Path, tmp_path: Path, api: str
) -> None:
    """The last step alone, against a server that speaks as much of the interface."""
    jobs = YAML(typ="safe").load(path)
    if path == LOOP:
        script = jobs["jobs"]["loop"]["steps"][-1]["run"]
        variables = {"GITHUB_API_URL": api, "GITHUB_REPOSITORY": "org/project"}
        variables |= {"GITHUB_REF_NAME": "main", "GH_TOKEN": Api.secret}
    else:
        script = jobs["loop"]["script"][-1]
        variables = {"CI_API_V4_URL": api, "CI_PROJECT_ID": "5", "CI_COMMIT_BRANCH": "main"}
        variables["LOOP_TOKEN"] = Api.secret
    project = tmp_path / "project"
    git(tmp_path, "init", "--quiet", "--bare", "team.git")
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "project")
    git(project, "remote", "add", "origin", str(tmp_path / "team.git"))
    git(project, "commit", "--quiet", "--allow-empty", "--message", "Project")
    text = 'act: version 1\n  the loss is "30 %" above & rising\n'
    (project / "turn.txt").write_text(text)
    for branch, wait in (("loop/2026-01-01-1", 0), ("loop/2026-01-02-1", 1)):
        said = bash(script, project, **variables)
        assert (said.returncode, Api.taken) == (0, []), "neither without a branch nor an own one"
        assert "nothing to propose" in said.stdout
        git(project, "checkout", "--quiet", "-b", branch)
        message = f"Results of fresh & old, performance: day {wait}"
        when = f"2026-01-0{wait + 1}T00:00:00"
        commit = ("commit", "--quiet", "--allow-empty", "--date", when, "--message", message)
        run(project, "git", *commit, GIT_COMMITTER_DATE=when)
    git(project, "push", "--quiet", "origin", branch)
    refused = bash(script, project, **variables | dict.fromkeys(["GH_TOKEN", "LOOP_TOKEN"], "no"))
    assert refused.returncode != 0 and "403" in refused.stderr
    said = bash(script, project, **variables)
    assert (said.returncode, "https://example.org/7" in said.stdout) == (0, True), said.stderr
    [(place, kind, body)] = Api.taken
    if path == LOOP:
        assert place == "/repos/org/project/pulls"
        found = json.loads(body)
        assert found == {"head": branch, "base": "main", "title": message, "body": text}
    else:
        assert (place, kind) == (
            "/projects/5/merge_requests",
            "application/x-www-form-urlencoded",
        )
        assert dict(parse_qsl(body)) == {
            **{"source_branch": branch, "target_branch": "main"},
            **{"title": message, "description": text},
        }


@pytest.fixture(scope="module")
def better(make_project: Factory) -> Path:
    """A project whose pipeline reached a lower error than the last commit's."""
    project = make_project()
    metrics = project / "reports" / "metrics.json"
    metrics.parent.mkdir(exist_ok=True)
    metrics.write_text(json.dumps({"test": {"rmse": 5.0, "rows": 100}}))
    git(project, "add", "reports/metrics.json")
    git(project, "commit", "--quiet", "--no-verify", "--message", "Metrics of the target")
    metrics.write_text(json.dumps({"test": {"rmse": 4.0, "rows": 100}}))
    return project


def rows(table: Path) -> list[list[str]]:
    """The cells of a Markdown table."""
    lines = [line for line in table.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


LOWER = ["reports/metrics.json", "test.rmse", "5.0", "4.0", "-1.0"]
SAME = ["reports/metrics.json", "test.rows", "100", "100", "0"]


def test_summary_shows_the_metrics_against_the_target(better: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    result = bash(step("Metrics"), better, BASE="HEAD", GITHUB_STEP_SUMMARY=str(summary))
    assert result.returncode == 0, result.stderr
    assert summary.read_text().startswith("### Metrics against HEAD\n\n|")
    assert LOWER in rows(summary)
    assert SAME in rows(summary)
    assert summary.read_text() == (better / "metrics.md").read_text()


def test_summary_of_a_project_whose_target_has_no_metrics(better: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    result = bash(step("Metrics"), better, BASE="HEAD~1", GITHUB_STEP_SUMMARY=str(summary))
    assert result.returncode == 0, result.stderr
    assert ["reports/metrics.json", "test.rmse", "-", "4.0", "-"] in rows(summary)


def test_gitlab_keeps_the_same_table(better: Path) -> None:
    script = scripts(GITLAB)[-1].replace("make train", "true")
    result = bash(script, better, CI_MERGE_REQUEST_DIFF_BASE_SHA=git(better, "rev-parse", "HEAD"))
    assert result.returncode == 0, result.stderr
    assert LOWER in rows(better / "metrics.md")
    assert result.stdout.startswith("Nothing was pulled, because .dvc/config names no remote")
    assert result.stdout.endswith((better / "metrics.md").read_text())


@pytest.fixture(scope="module")
def own_table(make_project: Factory) -> Path:
    """A project whose table is under DVC and nowhere else."""
    project = make_project()
    (project / "data/external/sales.csv").write_text("size,price\n1,2\n")
    run(project, ".venv/bin/dvc", "add", "--quiet", "data/external/sales.csv")
    params = (project / "params.yaml").read_text().replace("source: sample", "source: file")
    params = params.replace("path: null", "path: data/external/sales.csv")
    (project / "params.yaml").write_text(params)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--no-verify", "--message", "Own table")
    return project


def run_pipeline(path: Path, project: Path, folder: Path) -> tuple[str, Path]:
    """Output of the job `pipeline` in a clone, where training is a line in trained.txt."""
    git(folder, "clone", "--quiet", str(project), "clone")
    clone = folder / "clone"
    (clone / ".venv").symlink_to((project / ".venv").resolve())
    job = YAML(typ="safe").load(path)
    steps = [{"run": scripts(path)[-1]}] if path == GITLAB else job["jobs"]["pipeline"]["steps"]
    said = ""
    for each in [s for s in steps if "run" in s and s.get("name") != "Comment"]:
        if "if" in each:
            [absent] = re.findall(r"^hashFiles\('(.*)'\) == ''$", each["if"])
            if (clone / absent).exists():
                continue
        script = each["run"].replace("make train", "echo trained > trained.txt")
        summary = {"BASE": "HEAD", "GITHUB_STEP_SUMMARY": str(clone / "summary.md")}
        done = bash(script, clone, PYTHONPATH=str(clone / "src"), **summary)
        assert done.returncode == 0, done.stderr
        said += done.stdout
    return said, clone


@each_provider
def test_pipeline_without_its_data_is_not_run_and_says_so(
    path: Path, own_table: Path, tmp_path: Path
) -> None:
    said, clone = run_pipeline(path, own_table, tmp_path)
    assert not (clone / "trained.txt").exists()
    reason = "data/external/sales.csv: not in this checkout, and .dvc/config names no remote"
    metrics = (clone / "metrics.md").read_text()
    assert metrics.startswith(f"### The pipeline was not run\n\n{reason}")
    if path == GITHUB:
        assert f"::notice title=The pipeline was not run::{reason}" in said
        assert (clone / "summary.md").read_text() == metrics
    else:
        assert said == metrics


@each_provider
def test_pipeline_gets_its_data_from_the_remote(
    path: Path, own_table: Path, tmp_path: Path
) -> None:
    run(own_table, "make", "remote", f"URL={tmp_path / 'store'}")
    git(own_table, "commit", "--quiet", "--no-verify", "--all", "--message", "Remote")
    said, clone = run_pipeline(path, own_table, tmp_path)
    git(own_table, "reset", "--quiet", "--hard", "HEAD~1")
    assert "fetched" in said
    table = Path("data/external/sales.csv")
    assert (clone / table).read_bytes() == (own_table / table).read_bytes()
    assert (clone / "trained.txt").exists()
    assert "not run" not in (clone / "metrics.md").read_text()


def test_pull_without_data_is_an_error_for_a_user(own_table: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(own_table), "clone")
    (tmp_path / "clone/.venv").symlink_to((own_table / ".venv").resolve())
    said = run(tmp_path / "clone", "make", "pull", succeeds=False).stdout
    assert "run `make remote URL=…` where the data are, and commit .dvc/config" in said
