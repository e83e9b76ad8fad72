"""Your project: data, features, model. Machinery is in mlops_loop."""

from pathlib import Path

from mlops_loop.project import Paths

PROJECT = Paths(Path(__file__).resolve().parents[2], Path(__file__).parent)
