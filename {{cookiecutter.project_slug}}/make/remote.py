"""The team's copy of the data: `remote` names, fills and proves it, `pull` fetches from it.

Credentials come from where the tools of S3, Google Cloud and SSH look, or from .env.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from dotenv import load_dotenv
from dvc.exceptions import CheckoutError, DownloadError
from dvc.repo import Repo
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / ".dvc" / "config"
EXTERNAL = ROOT / "data" / "external"
NAME = "storage"
SCHEMES = ("s3", "gs", "ssh")


class Refused(Exception):
    """Something the user can mend: the text names it and says what to do."""


def git(*arguments: str | Path) -> str:
    """The output of a git command in this project, whatever an outer git command has set."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.check_output(["git", *arguments], cwd=ROOT, env=kept, text=True).strip()


def address(url: str) -> str:
    """The URL, or a folder's absolute path; raises Refused for what .dvc/config must not hold."""
    scheme, separator, _ = url.partition("://")
    if separator and scheme not in SCHEMES:
        raise Refused(f"URL={url}: give s3://bucket/…, gs://bucket/…, ssh://host/… or a folder.")
    if separator and urlsplit(url).password:
        raise Refused("URL: git would keep the password in it; leave it out, see .env.example.")
    if separator:
        return url
    folder = Path(url).expanduser().resolve()
    if folder.is_relative_to(ROOT):
        raise Refused(f"URL={url}: lies in the project itself; name a folder outside of {ROOT}.")
    return str(folder)


def check_committed() -> None:
    """Raise Refused where a clone would find nothing to pull."""
    if not git("rev-list", "--max-count=1", "--all", "--", "dvc.lock", "*.dvc"):
        raise Refused("there are no data to share yet; run `make train`, commit, and try again.")


@contextmanager
def restored_on_failure(path: Path) -> Iterator[None]:
    """Leave the file as it was when anything goes wrong."""
    before = path.read_bytes()
    try:
        yield
    except BaseException:
        path.write_bytes(before)
        raise


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn whatever DVC or a storage library raises into one sentence."""
    try:
        yield
    except (CheckoutError, DownloadError) as error:
        raise Refused(f"{url}: data of this commit are missing there; push them first.") from error
    except Exception as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        cure = "check the folder and its permissions"
        if "://" in url:
            cure = "check the address and your credentials (.env.example names them)"
        raise Refused(f"{url}: {said.splitlines()[0]}; {cure}.") from error


def set_remote(url: str, endpoint: str) -> str:
    """Make the URL the default remote of .dvc/config; returns the folder of this cache."""
    with Repo(ROOT) as repo, repo.config.edit("repo") as config:
        config["remote"][NAME] = {"url": url, **({"endpointurl": endpoint} if endpoint else {})}
        config["core"]["remote"] = NAME
        return str(repo.cache.local_cache_dir)


@contextmanager
def cloned() -> Iterator[Path]:
    """A temporary clone of the last commit, on the same disk, with this checkout's remotes."""
    with TemporaryDirectory(dir=CONFIG.parent / "tmp") as folder:
        git("clone", "--quiet", git("rev-parse", "--show-toplevel"), folder)
        clone = Path(folder, git("rev-parse", "--show-prefix"))
        for config in CONFIG.parent.glob("config*"):
            shutil.copy(config, clone / ".dvc")
        yield clone


def fetch(repo: Repo, url: str) -> list[tuple[Path, str]]:
    """Pull the data of this commit and return each file with the MD5 hash that DVC recorded."""
    # A stage that has not run yet has outputs without a hash, which DVC would look for in vain.
    outs = [out for out in repo.index.outs if out.use_cache and out.hash_info]
    if outs:
        with explained(url):
            repo.pull(targets=[out.fs_path for out in outs])
    files = []
    for out in outs:
        inner = out.get_obj() if out.is_dir_checksum else [((), None, out.hash_info)]
        files += [(Path(out.fs_path, *key), info.value) for key, _, info in inner]
    return files


def md5(path: Path) -> str:
    """The MD5 hash of a file, as DVC computes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def share(clone: Path, url: str, cache: str) -> tuple[int, int]:
    """Push what the clone asks for, pull it into the clone's own empty cache, compare every hash.

    Returns the number of files and of bytes; raises Refused for a file that differs.
    """
    with explained(url), Repo(clone, config={"cache": {"dir": cache}}) as repo:
        repo.push()
    with Repo(clone, config={"cache": {"dir": str(clone / ".dvc" / "cache")}}) as repo:
        files = fetch(repo, url)
    for path, digest in files:
        if md5(path) != digest:
            raise Refused(f"{path.relative_to(clone)}: came back with another hash; try again.")
    return len(files), sum(path.stat().st_size for path, _ in files)


def remote(url: str, endpoint: str) -> None:
    """Name the remote, push, and prove that a colleague's clone would have every file."""
    url = address(url)
    check_committed()
    with restored_on_failure(CONFIG):
        cache = set_remote(url, endpoint)
        with cloned() as clone:
            files, size = share(clone, url, cache)
    print(f"{url} is the remote: a clone of this commit pulled {files} files with {size:,} bytes,")
    print("each with the hash that DVC recorded. From now on `git push` pushes the data too. Next:")
    print('  git commit -m "Name the data remote" .dvc/config')


def why_absent(url: str) -> str:
    """Why nothing can be pulled from the URL of the remote; empty if it can be tried."""
    if not url:
        return ".dvc/config names no remote"
    return "" if "://" in url or Path(url).is_dir() else f"the remote {url} is not on this machine"


def missing_source() -> list[str]:
    """What `ingest.source: file` reads and is not here."""
    ingest = YAML(typ="safe").load(ROOT / "params.yaml")["ingest"]
    if ingest["source"] != "file":
        return []
    tracked = (path.with_suffix("").relative_to(ROOT) for path in EXTERNAL.rglob("*.dvc"))
    needed = {str(ingest["path"]), *map(str, tracked)}
    return sorted(name for name in needed if not (ROOT / name).exists())


def pull(why_not: str) -> None:
    """Fetch what this commit names, as far as a remote has it and the pipeline needs it.

    Where the data cannot be had here, raises Refused, or writes the reason to the file `why_not`.
    """
    with Repo(ROOT) as repo:
        name = repo.config["core"].get("remote")
        url = repo.config["remote"].get(name, {}).get("url", "")
        absent = why_absent(url)
        if not absent:
            fetch(repo, url)
            print(f"The data of this commit came from {url}.")
            return
    missing = missing_source()
    if not missing:
        print(f"Nothing was pulled, because {absent}; the pipeline can run without.")
        return
    reason = (
        f"{', '.join(missing)}: not in this checkout, and {absent}; "
        "run `make remote URL=...` where the data are, and commit .dvc/config."
    )
    if not why_not:
        raise Refused(reason)
    Path(why_not).write_text(f"{reason}\n", encoding="utf-8")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what matters of the libraries' chatter is in their errors
    load_dotenv(ROOT / ".env")
    try:
        {"remote": remote, "pull": pull}[sys.argv[1]](*sys.argv[2:])
    except Refused as refusal:
        sys.exit(f"error: {refusal}")
