"""Data shared through a folder and an S3-compatible server, and what a colleague gets of them."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from helpers import Factory, git, run
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "key-of-a-test", "AWS_SECRET_ACCESS_KEY": "secret-of-a-test"}
CLOSED = "http://127.0.0.1:9"

Clone = Callable[[], Path]


@pytest.fixture(scope="module", autouse=True)
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Somebody whom Amazon's tools do not know, and who does not try twice."""
    nothing = tmp_path_factory.mktemp("aws") / "config"
    nothing.touch()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", str(nothing))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nothing))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield


@pytest.fixture(scope="module")
def project(make_project: Factory) -> Path:
    """A project with a table of its own and the stages up to features, nothing of it committed."""
    created = make_project()
    params = created / "params.yaml"
    params.write_text(params.read_text().replace("_month: 50000", "_month: 200"))
    git(created, "commit", "--quiet", "--no-verify", "--all", "--message", "Fewer rows")
    return created


@pytest.fixture(scope="module")
def committed(project: Path) -> Path:
    """The same after its first commit of data."""
    refused = run(project, "make", "remote", "URL=/anywhere", succeeds=False).stdout
    assert "there are no data to share yet; run `make train`, commit, and try again" in refused
    (project / "data/external/zones.csv").write_text("zone,name\n1,Newark\n2,Jamaica Bay\n")
    run(project, ".venv/bin/dvc", "add", "--quiet", "data/external/zones.csv")
    run(project, "make", "data")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--no-verify", "--message", "Data")
    return project


@pytest.fixture
def clone(committed: Path, tmp_path: Path) -> Iterator[Clone]:
    """Clones of what the project says now, on the shared environment."""

    def make() -> Path:
        git(committed, "commit", "--quiet", "--no-verify", "--message=Remote", ".dvc/config")
        git(tmp_path, "clone", "--quiet", str(committed), "clone")
        (tmp_path / "clone/.venv").symlink_to((committed / ".venv").resolve())
        return tmp_path / "clone"

    head = git(committed, "rev-parse", "HEAD")
    yield make
    git(committed, "reset", "--quiet", "--hard", head)
    (committed / ".env").unlink(missing_ok=True)


def data(folder: Path) -> dict[str, bytes]:
    """Every file that DVC keeps for the project."""
    paths = (path for path in (folder / "data").rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.name[0] != "."}


def hashes(project: Path) -> set[str]:
    """The MD5 hashes of these files, but for the .dvc files, which are git's."""
    kept = {name: content for name, content in data(project).items() if not name.endswith(".dvc")}
    return {hashlib.md5(content).hexdigest() for content in kept.values()}


def config(project: Path) -> str:
    return (project / ".dvc/config").read_text()


def test_a_folder_is_filled_and_proven(committed: Path, clone: Clone, tmp_path: Path) -> None:
    store = tmp_path / "a store"
    said = run(committed, "make", "remote", f"URL={store}").stdout
    assert "Installing" not in said
    assert f"{store} is the remote" in said
    objects = {p.parent.name + p.name for p in store.rglob("*") if p.is_file() and not p.suffix}
    assert objects == hashes(committed)
    before = config(committed)
    run(committed, "make", "remote", f"URL={store}")
    assert config(committed) == before
    colleague = clone()
    run(colleague, "make", "pull")
    assert data(colleague) == data(committed)
    assert git(colleague, "status", "--porcelain") == ""


def test_a_relative_path_is_made_absolute(committed: Path, clone: Clone) -> None:
    run(committed, "make", "remote", "URL=../beside")
    assert f"url = {committed.parent / 'beside'}\n" in config(committed)
    clone()


def test_the_commit_is_shared_not_what_came_after(
    committed: Path, clone: Clone, tmp_path: Path
) -> None:
    table = committed / "data/external/zones.csv"
    before = table.read_text()
    table.write_text("zone,name\n3,Allerton\n")
    run(committed, ".venv/bin/dvc", "add", "--quiet", table)
    run(committed, "make", "remote", f"URL={tmp_path / 'store'}")
    colleague = clone()
    run(colleague, "make", "pull")
    assert (colleague / "data/external/zones.csv").read_text() == before
    git(committed, "checkout", "--quiet", "data")
    run(committed, ".venv/bin/dvc", "checkout", "--quiet", table)


@pytest.mark.usefixtures("clone")
def test_what_does_not_come_back_is_noticed(committed: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run(committed, "make", "remote", f"URL={store}")
    [spoilt] = (p for p in store.rglob("*") if p.parent.name + p.name in md5_of(committed, "zones"))
    spoilt.chmod(0o644)
    spoilt.write_text("zone,name\n")
    spoilt.chmod(0o444)  # DVC takes an object that it protected for whole, but for `verify`
    said = run(committed, "make", "remote", f"URL={store}", succeeds=False).stdout
    assert "Checkout failed for following targets:\ndata/external/zones.csv" in said


def md5_of(project: Path, name: str) -> set[str]:
    return {hashlib.md5((project / f"data/external/{name}.csv").read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "give URL=, as in: make remote URL=s3://bucket/path"),
        ("ftp://host/path", "use s3://bucket/…, gs://bucket/…, ssh://host/… or a folder"),
        ("ssh://me:word@host/path", "URL: git would store the password"),
        ("data/store", "data/store: name a folder outside of the project"),
        ("/dev/null/store", "Not a directory: '/dev/null/store"),
    ],
)
def test_a_place_that_will_not_do(committed: Path, url: str, message: str) -> None:
    before = config(committed)
    assert message in run(committed, "make", "remote", f"URL={url}", succeeds=False).stdout
    assert config(committed) == before


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A local S3-compatible server with one bucket."""
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    s3(f"http://{host}:{port}").create_bucket(Bucket="team")
    yield f"http://{host}:{port}"
    server.stop()


def s3(endpoint: str):
    names = ("aws_access_key_id", "aws_secret_access_key")
    keys = dict(zip(names, KEYS.values(), strict=True))
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)


def test_a_bucket_is_filled_and_proven(
    committed: Path, clone: Clone, endpoint: str, tmp_path: Path
) -> None:
    for stamp in (committed / ".venv").glob(".ready-remote-*"):
        stamp.unlink()
    env = "".join(f"{name}={value}\n" for name, value in KEYS.items())
    (committed / ".env").write_text(env)  # which `clone` removes
    place = ["URL=s3://team/project", f"ENDPOINT={endpoint}"]
    said = run(committed, "make", "remote", *place).stdout
    assert "Installing requirements/remote.txt" in said
    assert "s3://team/project is the remote" in said
    keys = [entry["Key"] for entry in s3(endpoint).list_objects_v2(Bucket="team")["Contents"]]
    objects = {"".join(key.split("/")[-2:]) for key in keys}
    assert {name for name in objects if not name.endswith(".dir")} == hashes(committed)
    assert not any(value in config(committed) for value in KEYS.values())
    colleague = clone()
    run(colleague, "make", "pull", **KEYS)
    assert data(colleague) == data(committed)


def test_git_push_pushes_the_data(committed: Path, clone: Clone, endpoint: str) -> None:
    run(committed, "make", "remote", "URL=s3://team/pushed", f"ENDPOINT={endpoint}", **KEYS)
    colleague = clone()
    git(colleague, "checkout", "--quiet", "-b", "newer")
    run(colleague, "make", "pull", **KEYS)
    (colleague / "data/external/zones.csv").write_text("zone,name\n3,Allerton\n")
    run(colleague, ".venv/bin/dvc", "add", "--quiet", "data/external/zones.csv")
    git(colleague, "commit", "--quiet", "--no-verify", "--all", "--message", "Newer zones")
    run(colleague, ".venv/bin/pre-commit", "install")
    run(colleague, "git", "push", "--quiet", "origin", "newer", succeeds=False)
    env = "".join(f"{name}={value}\n" for name, value in KEYS.items())
    (colleague / ".env").write_text(env)
    run(colleague, "git", "push", "--quiet", "origin", "newer")
    [digest] = md5_of(colleague, "zones")
    key = f"pushed/files/md5/{digest[:2]}/{digest[2:]}"
    assert s3(endpoint).get_object(Bucket="team", Key=key)["Body"].read().endswith(b"Allerton\n")


@pytest.mark.parametrize(
    ("bucket", "closed", "keys", "message"),
    [
        ("nowhere", False, KEYS, "The specified bucket does not exist"),
        ("team", False, {}, "Unable to locate credentials"),
    ],
    ids=["no bucket", "no credentials"],
)
def test_a_bucket_that_will_not_do(
    committed: Path, endpoint: str, bucket: str, closed: bool, keys: dict[str, str], message: str
) -> None:
    before = config(committed)
    place = [f"URL=s3://{bucket}/project", f"ENDPOINT={CLOSED if closed else endpoint}"]
    said = run(committed, "make", "remote", *place, succeeds=False, **keys).stdout
    assert message in said and "Traceback" not in said
    assert config(committed) == before
