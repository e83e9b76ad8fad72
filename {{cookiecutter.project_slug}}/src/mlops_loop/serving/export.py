"""`make export`: a version as ONNX, for where neither Python nor Polars runs.

The graph takes encoded features. How they become numbers is written beside it; the expressions that
make them from raw columns cannot be exported.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..commands.explain import read_test
from ..files import replaced, write_json
from ..models.model import Model
from ..models.types import Floats
from ..project import Paths, UserError, load_settings

TOLERANCE, SOME_ROWS = 1e-5, 2_000

SCORES = {
    "regression": "the value",
    "binary": "the probability of the second class, answered from threshold on",
    "multiclass": "the probability of each class",
}

HOW = "a category is its place in the list, from 0; true is 1; anything missing or unknown is NaN"


def difference(content: bytes, model: Model, matrix: Floats) -> float:
    """The largest difference between the graph's scores and the model's.

    Also of some rows in which one feature after the other is missing: no row may lack it by itself.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(content)
    worst = 0.0
    for gone in range(-1, matrix.shape[1]):
        rows = matrix if gone < 0 else matrix[:SOME_ROWS].copy()
        if gone >= 0:
            rows[:, gone] = np.nan
        expected = model.score_matrix(rows)
        scores = session.run(["scores"], {"features": rows})[0].reshape(expected.shape)
        worst = max(worst, float(np.abs(scores - expected).max() / max(1, np.abs(expected).max())))
    return worst


def encoding(model: Model) -> dict[str, Any]:
    """What the graph takes and gives."""
    features = [
        {"name": name, "categories": model.encoder.categories.get(name), "from": str(expression)}
        for name, expression in zip(model.encoder.names, model.features, strict=True)
    ]
    return {
        "target": model.target,
        "task": model.task,
        "features": features,
        "encoding": HOW,
        "scores": SCORES[model.task],
        "classes": model.classes,
        "threshold": model.threshold if model.task == "binary" else None,
    }


def parse(arguments: Sequence[str]) -> str:
    """The version or alias that is asked for."""
    parser = argparse.ArgumentParser(prog="make export")
    parser.add_argument("--version")
    return parser.parse_args(arguments).version or "champion"


def main(paths: Paths, arguments: Sequence[str]) -> None:
    """Write VERSION to export/<version>, if it answers as the model does on the test rows."""
    from ..tracking import registry as tracking
    from .onnx_graph import graph

    name, registry = parse(arguments), tracking.connect(paths, load_settings(paths))
    version = registry.find(name)
    model = registry.load(version.name)
    content = graph(model).SerializeToString()
    matrix = model.encoder.encode(model.compute(read_test(paths, model, version)))
    worst = difference(content, model, matrix)
    said = f"largest relative difference {worst:.1e} on {len(matrix)} test rows"
    if not worst <= TOLERANCE:
        raise UserError(f"{version}: {said}, more than {TOLERANCE:.0e}; nothing was exported.")
    target = paths.root / "export" / str(version).replace(" ", "-")
    with replaced(target) as folder:
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(content)
        write_json(folder / "encoding.json", encoding(model))
    print(f"{target.relative_to(paths.root)}: model.onnx, {len(content) / 1e6:.1f} MB; {said}, of")
    print(f"  {TOLERANCE:.0e} allowed. encoding.json tells how features become its numbers.")
