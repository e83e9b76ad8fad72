"""The steps of a Dockerfile, run in a folder instead of a container: no engine is needed.

Left out is what belongs to the operating system: base images, apt-get, useradd, users, isolation.
The rest is what an engine does: which files the context has, what is copied where, the commands of
RUN, the variables of ENV, HEALTHCHECK and CMD.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from helpers import shell

SYSTEM = ("apt-get", "useradd")
IMAGES_PATHS = re.compile(r"(?<![\w./-])/(?=(opt|app|build)\b)")


@dataclass(frozen=True)
class Stage:
    """A stage as far as it is built: its files lie in `root`."""

    root: Path
    folder: str = "/"
    variables: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)

    def at(self, path: str) -> Path:
        """The place of a path of the image on this machine."""
        return self.root / os.path.normpath(Path(self.folder, path)).lstrip("/")

    def here(self, text: str) -> str:
        """A text with the image's paths as this machine's."""
        return IMAGES_PATHS.sub(f"{self.root}/", text)

    def environment(self) -> dict[str, str]:
        """The variables of a process: the image's, and of this machine those that find packages."""
        python = Path(sys.executable).resolve().parent
        own = {name: self.here(value) for name, value in self.variables.items()}
        theirs = ("PYTHON", "MLFLOW", "VIRTUAL_ENV")
        base = {name: v for name, v in shell().items() if not name.startswith(theirs)}
        path = own.get("PATH", "$PATH").replace("$PATH", f"{self.root}/usr/local/bin:{python}")
        # Compiling and copying would be most of the time that a build takes.
        quick = {"UV_COMPILE_BYTECODE": "0", "UV_LINK_MODE": "hardlink"}
        return base | own | quick | {"PATH": f"{path}:/usr/bin:/bin"}

    def command(self, name: str) -> list[str]:
        """CMD, or that of HEALTHCHECK."""
        return [self.here(word) for word in json.loads(self.commands[name])]


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Name and argument of each instruction."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line:
            name, _, argument = line.partition(" ")
            yield name, argument


def sent(project: Path) -> list[Path]:
    """The files of the build context: of .dockerignore the last pattern that fits one decides."""
    lines = (project / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    found = (path.relative_to(project) for path in project.rglob("*") if path.is_file())
    return [path for path in found if ".venv" not in path.parts and _is_sent(path, patterns)]


def _is_sent(path: Path, patterns: list[str]) -> bool:
    names = [f"/{name}" for name in (path, *path.parents[:-1])]
    fitting = [
        pattern
        for pattern in patterns
        if any(fnmatch(name, f"/{pattern.strip('!/')}".replace("/**/", "/*")) for name in names)
    ]
    return not fitting or fitting[-1].startswith("!")


class Build:
    """A build of the project's Dockerfile up to a stage, in `folder`."""

    def __init__(self, project: Path, folder: Path, uv: Path) -> None:
        self.context, self.folder, self.uv = folder / "context", folder, uv
        for path in sent(project):
            (self.context / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(project / path, self.context / path)
        self.dockerfile = project / "deploy/Dockerfile"
        self.stages: dict[str, Stage] = {}

    def stage(self, wanted: str) -> Stage:
        """Build a stage and, as BuildKit does, only those that it needs."""
        if wanted not in self.stages:
            steps = self._steps(wanted)
            self.stages[wanted] = self._begin(wanted, steps[0][1].split()[0])
            for name, argument in steps[1:]:
                self.stages[wanted] = self._step(self.stages[wanted], name, argument)
        return self.stages[wanted]

    def _steps(self, wanted: str) -> list[tuple[str, str]]:
        steps: list[tuple[str, str]] = []
        for name, argument in instructions(self.dockerfile):
            if name == "FROM" and steps:
                break
            if steps or (name == "FROM" and argument.endswith(f" AS {wanted}")):
                steps.append((name, argument))
        return steps

    def _begin(self, name: str, parent: str) -> Stage:
        root = self.folder / name
        if ":" in parent:  # an image of the operating system
            root.mkdir()
            return Stage(root)
        shutil.copytree(self.stage(parent).root, root, symlinks=True)
        return replace(self.stage(parent), root=root)

    def _step(self, stage: Stage, name: str, argument: str) -> Stage:
        if name == "WORKDIR":
            stage = replace(stage, folder=argument)
            stage.at(".").mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            self._copy(stage, argument)
        elif name == "RUN":
            self._run(stage, argument)
        elif name in ("ENV", "ARG"):
            given = dict(pair.split("=", 1) for pair in argument.split())
            given = {key: value.replace("$CODE_VERSION", "none") for key, value in given.items()}
            return replace(stage, variables={**stage.variables, **given})
        elif name in ("CMD", "HEALTHCHECK"):
            command = argument.rpartition(" CMD ")[2].removeprefix("CMD ")
            return replace(stage, commands={**stage.commands, name: command})
        else:
            assert name in ("USER", "EXPOSE"), name
        return stage

    def _copy(self, stage: Stage, argument: str) -> None:
        words = argument.split()
        options = [word for word in words if word.startswith("--")]
        *sources, target = [word for word in words if word not in options]
        place = stage.at(target)
        [origin] = [o.partition("=")[2] for o in options if o.startswith("--from=")] or [""]
        if origin:
            found = self.uv if "/uv:" in origin else self.stage(origin).at(sources[0])
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(found)
            return
        for source in (self.context / name for name in sources):
            if source.is_dir():
                shutil.copytree(source, place, dirs_exist_ok=True)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)

    def _run(self, stage: Stage, argument: str) -> None:
        if argument.startswith(SYSTEM):
            return
        script = stage.here(argument)
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=stage.at("."),
            env=stage.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"RUN {argument}\n{done.stdout}{done.stderr}"
