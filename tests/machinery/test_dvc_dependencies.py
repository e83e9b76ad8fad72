"""Each stage of dvc.yaml depends on the code that it imports."""

import pytest
from helpers import SOURCE
from imports import SRC, find_modules, imports
from ruamel.yaml import YAML

PACKAGE = "{{cookiecutter.package_name}}"
TEXT = (SOURCE / "dvc.yaml").read_text().replace("{{ cookiecutter.package_name }}", PACKAGE)
STAGES = YAML(typ="safe").load(TEXT)["stages"]
MODULES = {**find_modules("mlops_loop"), **find_modules("project")}
EXEMPT = {
    "mlops_loop/console.py": "progress and tables on the terminal",
    "mlops_loop/database.py": "the history, which a result does not depend on",
    "mlops_loop/lineage.py": "tags of a run, which a result does not depend on",
    f"{PACKAGE}/params.py": "values of params.yaml, of which DVC compares those that count",
}


def closure(name: str) -> set[str]:
    """A module with every module of the two packages that it imports, directly or not."""
    found, todo = set(), {name}
    while todo:
        found.add(name := todo.pop())
        if name == "project.params":  # it imports kinds of estimators for their parameters alone
            continue
        todo |= (set(imports(name, MODULES[name])) & MODULES.keys()) - found
        if name == "project.data.sources":  # whose modules are imported by name
            todo |= {other for other in MODULES if other.startswith(f"{name}.")} - found
        # What the log holds is not DVC's to know: a retraining ingests it each time.
        todo.discard("project.data.sources.log")
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_modules_that_it_imports(stage: str) -> None:
    module = STAGES[stage]["cmd"].removeprefix("python -m ").replace(PACKAGE, "project")
    listed = {SOURCE / dependency for dependency in STAGES[stage]["deps"]}
    paths = {MODULES[name] for name in closure(module)}
    assert len(paths) > 5
    needed = {
        path
        for path in paths
        if path.name != "__init__.py"  # which hold a docstring, or where the project is
        and str(path.relative_to(SRC)) not in EXEMPT
    }
    missing = [path for path in needed if not listed & {path, *path.parents}]
    assert not missing, f"add to dvc.yaml, or to EXEMPT with the reason: {sorted(missing)}"
    code = {path for path in listed if SRC in path.parents and path.suffix != ".j2"}
    unused = [path for path in code if not any(path in {p, *p.parents} for p in paths)]
    assert not unused, f"not imported: {sorted(unused)}"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("folder", ["commands", "serving", "monitoring"])
def test_no_stage_depends_on_what_comes_after_the_pipeline(stage: str, folder: str) -> None:
    for dependency in STAGES[stage]["deps"]:
        assert f"mlops_loop/{folder}" not in dependency
        assert dependency not in ("src", "src/mlops_loop")
