"""A project with its user's edits climbs level by level and takes a newer template.

Trees are compared, not what the tools print: with fresh renders of both versions, every file tells
what ought to have become of it.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import BIN, SOURCE, git, render, run
from test_docs import MOVING, section

ANSWERS = Path(".cruft.json"), Path(".copier-answers.yml")
MINE = "src/my_project/"
OURS = "src/{{cookiecutter.package_name}}/"
UPDATE = "To a higher level, or a newer template"
Update = Callable[[str], None]


def contents(project: Path) -> dict[Path, str]:
    """The text of every file that git tracks or could, but for the tools' answers."""
    listed = git(project, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    found = {Path(name) for name in listed if (project / name).is_file()} - {*ANSWERS}
    return {path: (project / path).read_text(encoding="utf-8") for path in found}


def change(path: Path, old: str, new: str) -> None:
    """Replace a text that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path}: {old}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def settle(project: Path, message: str) -> None:
    """Commit through the gate, on the environment that tests share."""
    run(project, "make", "--eval", "stamp: ; @touch $(LOCKED)", "stamp")
    git(project, "add", "--all")
    run(project, "git", "commit", "--message", message)
    assert git(project, "status", "--porcelain") == ""


@pytest.fixture(params=["cruft", "copier"])
def lived_in(
    request: pytest.FixtureRequest,
    template_repository: Path,
    tmp_path: Path,
    environment: Path,
    copier: Path,
) -> tuple[Path, Update]:
    """A project, made by cookiecutter or Copier, that has a table and edits; how to update it."""
    project = tmp_path / "my-project"
    if request.param == "cruft":
        run(tmp_path, BIN / "cookiecutter", template_repository, "--no-input", "setup=no")
    else:
        options = ("copy", "--trust", "--defaults", "--data", "setup=no")
        run(tmp_path, copier, *options, template_repository, project)
    (project / ".venv").symlink_to(environment)
    run(project, "make", "setup")

    program = BIN / "cruft" if request.param == "cruft" else copier
    # For a branch without tags, and for no questions.
    more = "--skip-apply-ask" if request.param == "cruft" else "--defaults --vcs-ref HEAD"
    documented = dict(code.split(" ", 1) for _, code in section(MOVING, UPDATE))[request.param]

    def update(level: str) -> None:
        command = f"{program} {documented.strip().replace('deployment', level)} {more}"
        assert "Left to do" not in run(project, "sh", "-c", command).stdout

    return project, update


def live_in(project: Path, table: Path) -> None:
    """Adopt a table, then edit the definitions, a stage and the README."""
    rows = (f"{20 + n % 97},{n % 5},{40 + n % 97 * 2 + n % 5}" for n in range(400))
    table.write_text("\n".join(["size,age,price", *rows]) + "\n")
    run(project, "make", "adopt", f"DATA={table}", "TARGET=price")
    definition = '(pl.col("size") * pl.col("age")).alias("both"),'
    place = '    pl.col("age"),\n'
    change(project / MINE / "features/definitions.py", place, f"{place}    {definition}\n")
    change(project / MINE / "models/train.py", '"""', '"""Mine: ')
    change(project / "README.md", "# My Project", "# My Prices")
    settle(project, "My table")


def publish(repository: Path) -> None:
    """Commit a newer template: beside the user's edits, on the same line, and in other files."""
    source = repository / SOURCE.name
    change(source / OURS / "models/train.py", '"""', '"""News: ')
    change(source / "README.md", "| to | read |", "| to do | read |")
    with (source / "src/mlops_loop/lineage.py").open("a") as lineage:
        lineage.write("\n\n# news\n")
    (source / "src/mlops_loop/data/new.py").write_text('"""A new module."""\n')
    (source / "AGENTS.md").unlink()
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "News")


def merged(ours: str, base: str, theirs: str, folder: Path) -> str | None:
    """Merge two edits of a text as git does; None where they meet."""
    paths = [folder / name for name in ("ours", "base", "theirs")]
    for path, text in zip(paths, (ours, base, theirs), strict=True):
        path.write_text(text, encoding="utf-8")
    done = subprocess.run(["git", "merge-file", "-p", *paths], capture_output=True, text=True)
    return None if done.returncode else done.stdout


def compare(before: Path, after: Path, mine: dict[Path, str], project: Path) -> set[Path]:
    """Assert that every file is what two renders and the user's edits make; returns conflicts."""
    old, new, now = contents(before), contents(after), contents(project)
    conflicts = set()
    for path in old.keys() | new.keys() | mine.keys() | now.keys():
        texts = [tree.get(path) for tree in (old, new, mine)]
        was, becomes, edited = texts
        if was == becomes or (was is not None and edited is None):
            expected = edited  # the template left it alone; or the user removed it
        elif was == edited:
            expected = becomes
        else:
            assert None not in texts, f"{path}: removed on one side, changed on the other"
            expected = merged(*map(str, (edited, was, becomes)), project.parent)
        if expected is None and edited is not None and becomes is not None:
            conflicts.add(path)
            assert {"<<<<<<<", "=======", ">>>>>>>"} <= {
                line[:7] for line in now[path].splitlines()
            }
        else:
            assert now.get(path) == expected, path
    return conflicts


def test_edits_live_through_all_levels_and_a_newer_template(
    lived_in: tuple[Path, Update], template_repository: Path, tmp_path: Path
) -> None:
    project, update = lived_in
    live_in(project, tmp_path / "prices.csv")
    old = render(tmp_path / "training")
    for level in ("deployment", "operations"):
        mine = contents(project)
        new = render(tmp_path / level, level=level)
        update(level)
        assert compare(old, new, mine, project) == set()
        settle(project, f"Climb to {level}")
        old = new

    publish(template_repository)
    mine = contents(project)
    new = render(tmp_path / "news", template=template_repository, level="operations")
    update("operations")
    assert compare(old, new, mine, project) == {Path(MINE) / "models/train.py"}
    conflict = project / MINE / "models/train.py"
    said = run(project, "git", "commit", "--all", "--message", "Early", succeeds=False).stdout
    assert "Merge conflict string" in said
    conflict.write_text(mine[Path(MINE) / "models/train.py"].replace("Mine:", "Mine and news:"))
    settle(project, "Newer template")

    run(project, "make", "check")
    assert "version 1" in run(project, "make", "train").stdout
    trained = json.loads((project / "reports/explanations.json").read_text())
    assert "both" in json.dumps(trained)
