"""Stages from `prepare` to `train`, in processes that differ in all that must not matter."""

import os
import subprocess
import sys
from pathlib import Path

from project.data import ingest
from projects import Project

MODELS = "lightgbm", "random_forest", "linear"
SCRIPT = """
import sys, pytest
from pathlib import Path
from projects import Project, use_sales
from project.data import prepare
from project.features import featurize
from mlops_loop.files import read_json
from project.models import train

use_sales(pytest.MonkeyPatch())
project = Project(Path(sys.argv[1]))
for stage in (prepare, featurize):
    stage.main(project)
for model in sys.argv[3:]:
    project.edit(train__model=model, train__threads=int(sys.argv[2]))
    train.main(project)
    print(read_json(project.run)["model_hash"])
"""


def hashes(project: Project, threads: str, hash_seed: str) -> list[str]:
    """The hash of each model, trained in a process of its own."""
    variables = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent.parent)]),
    }
    command = [sys.executable, "-c", SCRIPT, project.root, threads, *MODELS]
    return subprocess.check_output(command, env=variables, text=True).splitlines()


def test_processes_train_the_same_models(project: Project) -> None:
    ingest.main(project)
    first = hashes(project, threads="1", hash_seed="1")
    assert len(set(first)) == len(MODELS)
    assert hashes(project, threads="3", hash_seed="2") == first
