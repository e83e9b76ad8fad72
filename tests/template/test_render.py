"""Renders of the template, without running them."""

import ast
import itertools
import json
import re
import tomllib
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from helpers import BIN, CHOICES, QUESTIONS, SOURCE, TEMPLATE, Factory, files, package, render, run
from reserved import names_in_hook, reserved_names
from ruamel.yaml import YAML

TAG = re.compile(r"(?<!\$)\{\{|\{%|\{#|^#%", re.MULTILINE)
COMBINATIONS = 24
NAMED = {
    "default": {},
    "gitlab-proprietary": {"ci": "gitlab", "license": "Proprietary"},
    "deployment": {"level": "deployment"},
    "operations": {"level": "operations"},
}
HOSTILE = [
    'O\'Hara "X" \\ ü',
    '"""',
    "'''",
    "\\N{DASH} \\u0041 \\",
    "# not: a comment, [or] {a} table %",
    "日本 🚕 Ærø",
]
# The example may leave: only these files know what it is about.
EXAMPLE = {
    "contract.yaml",
    "docs/charter.md",
    "params.yaml",
    "src/my_project/data/sources/sample.py",
    "src/my_project/data/sources/tlc.py",
    "src/my_project/features/definitions.py",
    "tests/behaviour.yaml",
    "tests/test_features_example.py",
}
# What a project may weigh at most, by level: files, lines of the user's package, of machinery with its
# scripts, of tests. They are never raised: when something must come in, something of less worth goes.
BUDGETS = {
    "training": (120, 1_600, 5_500, 750),
    "deployment": (170, 1_700, 8_500, 750),
    "operations": (200, 1_850, 11_500, 750),
}
# Lines of machinery above the budget: a debt of the loop (issues 15 to 17) and of the linear start, for which
# nothing of as much weight went out. It is to be lowered, and the budgets stay.
DEBT = {"training": 2_084, "deployment": 2_317, "operations": 3_105}
# Nodes of the syntax tree a line: not by denser code. 7.8 is the aim at each level.
NODES_A_LINE = {"training": 7.88, "deployment": 7.8, "operations": 8.1}
VERBS = {"training": 24, "deployment": 34, "operations": 42}
IFS = 15
EXAMPLE_WORDS = re.compile(
    r"\b(taxi|trips?|tlc|nyc|pick_?up|drop_?off|fares?|passengers?)(?=\b|_)", re.IGNORECASE
)


def parse(path: Path) -> None:
    """Read a file as what its name says."""
    text = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".py":
            ast.parse(text)
        case ".toml":
            tomllib.loads(text)
        case ".yaml" | ".yml":
            list(YAML(typ="safe").load_all(text))
        case ".json" | ".ipynb":
            json.loads(text)


def contents(project: Path) -> dict[Path, bytes]:
    return {path: (project / path).read_bytes() for path in files(project)}


def test_every_combination_is_rendered(combinations: dict[tuple[str, ...], Path]) -> None:
    assert len(combinations) == COMBINATIONS


def test_every_file_parses(combinations: dict[tuple[str, ...], Path]) -> None:
    for project in combinations.values():
        assert (project / "LICENSE").read_text().strip()
        for path in files(project):
            parse(project / path)


def test_no_tag_is_left(combinations: dict[tuple[str, ...], Path]) -> None:
    for project in combinations.values():
        left = [path for path in files(project) if "mlops_loop" not in path.parts]
        rendered = [path for path in left if path.suffix != ".j2"]
        assert [path for path in rendered if TAG.search((project / path).read_text())] == []


@pytest.mark.parametrize("name", ["A", "Model of a very long name " + "x" * 23])
def test_python_is_formatted_and_linted_whatever_the_name(name: str, tmp_path: Path) -> None:
    project = render(tmp_path, project_name=name, level="operations")
    before = contents(project)
    run(project, BIN / "ruff", "check", ".")
    run(project, BIN / "isort", "--check", ".")
    run(project, BIN / "black", "--check", "--quiet", ".")
    assert before == {path: (project / path).read_bytes() for path in before}


def test_every_choice_changes_the_output(combinations: dict[tuple[str, ...], Path]) -> None:
    questions = [question for question in CHOICES if question != "setup"]
    for position, question in enumerate(questions):
        seen: dict[tuple[str, ...], list[dict[Path, bytes]]] = {}
        for answers, project in combinations.items():
            others = answers[:position] + answers[position + 1 :]
            seen.setdefault(others, []).append(contents(project))
        for outputs in seen.values():
            assert len(outputs) == len(CHOICES[question])
            assert all(outputs.count(output) == 1 for output in outputs), question


def test_every_text_reaches_the_output(tmp_path: Path) -> None:
    texts = [question for question in QUESTIONS if question not in CHOICES]
    plain = contents(render(tmp_path / "plain", project_name="Plain"))
    for question in texts:
        answers = {"project_name": "Plain", question: "other"}
        other = contents(render(tmp_path / question, **answers))
        assert other != plain, question


def test_keep_names_every_branching_choice_and_real_paths() -> None:
    hook = ast.parse((TEMPLATE / "hooks" / "post_gen_project.py").read_text())
    [keep] = [
        ast.literal_eval(node.value)
        for node in hook.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "KEEP"
    ]
    for question, owned in keep.items():
        assert list(owned) == CHOICES[question]
        names = {"package_name": "{{cookiecutter.package_name}}"}
        for path in (path for paths in owned.values() for path in paths):
            assert (SOURCE / path.format(**names)).exists(), path


def test_pre_gen_knows_the_choices() -> None:
    hook = ast.parse((TEMPLATE / "hooks" / "pre_gen_project.py").read_text())
    [choices] = [
        ast.literal_eval(node.value)
        for node in hook.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHOICES"
    ]
    assert choices == CHOICES


def test_pre_gen_reserves_what_the_environment_holds(environment: Path) -> None:
    assert names_in_hook() == reserved_names(environment.parent)


@pytest.mark.parametrize("case", NAMED)
def test_tree_is_the_committed_one(
    case: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    project = render(tmp_path, **NAMED[case])
    tree = "".join(f"{path}\n" for path in files(project))
    committed = Path(__file__).parent / "trees" / f"{case}.txt"
    if request.config.getoption("--update-trees"):
        committed.write_text(tree)
    assert tree == committed.read_text(), 'make test ARGS="-k tree --update-trees" accepts it'


def lines(project: Path, *patterns: str) -> int:
    """Lines of the files that any of the patterns matches."""
    paths = {path for pattern in patterns for path in project.glob(pattern) if path.is_file()}
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


@pytest.mark.parametrize("level", BUDGETS)
def test_a_project_stays_within_its_budgets(level: str, tmp_path: Path) -> None:
    project = render(tmp_path, level=level)
    yours = lines(project, "src/my_project/**/*")
    scripts = ("Makefile", "make/*", "deploy/*.sh", "docs/*.j2")
    machinery = lines(project, "src/mlops_loop/**/*", *scripts)
    machinery -= DEBT[level]
    weights = (
        len([*files(project), ".cruft.json"]),
        yours,
        machinery,
        lines(project, "tests/**/*.py"),
    )
    assert [f"{w} of {b}" for w, b in zip(weights, BUDGETS[level], strict=True) if w > b] == []


@pytest.mark.parametrize("level", NODES_A_LINE)
def test_code_is_not_denser(level: str, tmp_path: Path) -> None:
    paths = list((render(tmp_path, level=level) / "src").rglob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    nodes = sum(1 for text in texts for _ in ast.walk(ast.parse(text)))
    assert nodes / sum(len(text.splitlines()) for text in texts) <= NODES_A_LINE[level]


@pytest.mark.parametrize("level", VERBS)
def test_help_lists_few_verbs(level: str, tmp_path: Path) -> None:
    project = render(tmp_path, level=level)
    verbs = [line for line in run(project, "make").stdout.splitlines() if line.startswith("  ")]
    assert 0 < len(verbs) <= VERBS[level]


def test_machinery_is_copied_as_it_is(tmp_path: Path) -> None:
    project = render(tmp_path, level="operations")
    copied, original = project / "src/mlops_loop", SOURCE / "src/mlops_loop"
    names = [path.relative_to(copied) for path in copied.rglob("*") if path.is_file()]
    assert all((copied / name).read_bytes() == (original / name).read_bytes() for name in names)
    here = {path.relative_to(original).as_posix() for path in original.rglob("*.*")}
    assert {name.as_posix() for name in names} == {n for n in here if "__pycache__" not in n}
    attribute = run(project, "git", "check-attr", "linguist-vendored", "src/mlops_loop/files.py")
    assert attribute.stdout.endswith(": linguist-vendored: set\n")


def test_caches_of_tools_in_the_template_folder_are_left_behind(template_repository: Path) -> None:
    source = template_repository / SOURCE.name
    for name in ("src/mlops_loop/__pycache__/files.pyc", ".ruff_cache/x", "tests/.pytest_cache/x"):
        (source / name).parent.mkdir(parents=True)
        (source / name).write_bytes(b"\xff{{ cookiecutter.nothing }}")
    answers = {"setup": "no", "project_name": "Clean"}
    project = cookiecutter(
        str(template_repository),
        no_input=True,
        extra_context=answers,
        output_dir=str(template_repository.parent),
    )
    assert not [path for path in files(Path(project)) if "cache" in str(path)]


def test_few_ifs_and_none_inside_another() -> None:
    ifs = 0
    for path in files(SOURCE):
        if path.name in {".gitlab-ci.yml", ".gitlab-cd.yml"} or "workflows" in path.parts:
            continue
        if path.parts[:2] == ("src", "mlops_loop") or path.suffix == ".j2":
            continue
        text = (SOURCE / path).read_text(encoding="utf-8")
        tags = re.findall(r"(?:\{%-?|^#%)\s*(if|endif)\b", text, re.MULTILINE)
        assert tags == ["if", "endif"] * (len(tags) // 2), path
        ifs += len(tags) // 2 + len(re.findall(r"\{\{[^}]*\bif\b[^}]*\}\}", text))
        if path.parts[0] == "src":
            assert not TAG.search(text), f"{path}: no Jinja in src/"
    assert ifs <= IFS


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_survive(text: str, tmp_path: Path) -> None:
    answers = {"project_name": text, "description": text, "author": text}
    project = render(tmp_path, project_slug="hostile", package_name="hostile", **answers)
    for path in files(project):
        parse(project / path)
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["description"] == text
    assert metadata["authors"] == [{"name": text}]
    assert text in (project / "LICENSE").read_text(encoding="utf-8")
    assert text in (project / "README.md").read_text(encoding="utf-8")


def test_names_are_derived(tmp_path: Path) -> None:
    project = render(tmp_path, project_name="Über Größe 2.0!")
    assert project.name == "uber-grosse-2-0"
    assert package(project).name == "uber_grosse_2_0"


def test_the_example_keeps_to_its_files(tmp_path: Path) -> None:
    project = render(tmp_path)
    known = {
        str(path)
        for path in files(project)
        if EXAMPLE_WORDS.search((project / path).read_text(encoding="utf-8"))
    }
    assert known <= EXAMPLE


def test_the_charter_without_its_quotes_knows_no_example(tmp_path: Path) -> None:
    lines = (render(tmp_path) / "docs/charter.md").read_text(encoding="utf-8").splitlines()
    example = [line for line in lines if line.startswith(">")]
    charter = [line for line in lines if not line.startswith(">")]
    assert EXAMPLE_WORDS.search("\n".join(example))
    assert not EXAMPLE_WORDS.search("\n".join(charter))
    assert ("", "") not in itertools.pairwise(charter), "no gap is left"
    headings = [i for i, line in enumerate(charter) if line.startswith("#")]
    assert len(headings) == 9
    assert all(charter[i + 2] and not charter[i + 2].startswith("#") for i in headings)


def test_a_clone_keeps_data_folders_and_data_modules(make_project: Factory, tmp_path: Path) -> None:
    project = make_project()
    for ignored in ("data/raw/x.parquet", "data/external/x.csv", "models/x", "mlflow.db", ".env"):
        (project / ignored).parent.mkdir(parents=True, exist_ok=True)
        (project / ignored).write_text("not for git")
    run(project, "git", "add", "--all")
    run(tmp_path, "git", "clone", "--quiet", project, "clone")
    clone = tmp_path / "clone"
    assert (clone / "data" / "external").is_dir()
    modules = {path.name for path in (package(project) / "data").glob("*.py")}
    assert {"ingest.py", "validate.py", "prepare.py"} <= modules
    assert {path.name for path in (package(clone) / "data").glob("*.py")} == modules
    assert run(project, "git", "status", "--porcelain").stdout == ""
