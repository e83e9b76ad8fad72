"""`make export`: a version as ONNX, for where neither Python nor Polars runs.

The graph takes encoded features and compares them in 64 bits, as LightGBM does; ONNX adds up the
trees to 32 bits. How features become numbers is written beside it; the expressions that make them
from raw columns cannot be exported.
"""

import argparse
import sys
from typing import Any

import numpy as np

from ..errors import UserError, run
from ..files import replaced, write_json
from ..models.boosting import lightgbm
from ..models.explain import read_test
from ..models.model import Floats, Model
from ..paths import PROJECT, Paths
from ..settings import load_settings

TOLERANCE, SOME_ROWS = 1e-5, 2_000
LINKS = {"regression": "Identity", "binary": "Sigmoid", "multiclass": "Softmax"}
OPSETS = (("", 18), ("ai.onnx.ml", 3))


class Trees:
    """LightGBM's trees as the attributes of a TreeEnsembleRegressor."""

    def __init__(self, booster: lightgbm.Booster) -> None:
        dump = booster.dump_model()
        self.targets = dump["num_tree_per_iteration"]
        self.nodes: list[tuple[int, int, int, str, float, int, int, int]] = []
        self.leaves: list[tuple[int, int, int, float]] = []
        for number, tree in enumerate(dump["tree_info"]):
            self._tree, self._next = number, 0
            self._add(tree["tree_structure"])

    def _add(self, node: dict[str, Any]) -> int:
        """Add what hangs below a node, itself first; returns its number within the tree."""
        if "leaf_value" in node:
            number = self._put(0, "LEAF", 0.0, False)
            target = self._tree % self.targets
            self.leaves.append((self._tree, number, target, node["leaf_value"]))
            return number
        if node["decision_type"] == "<=":
            tests = [("BRANCH_LEQ", float(node["threshold"]), _missing_is_left(node))]
        else:
            codes = node["threshold"].split("||")
            tests = [("BRANCH_EQ", float(code), False) for code in codes]
        numbers = [self._put(node["split_feature"], *test) for test in tests]
        left, right = self._add(node["left_child"]), self._add(node["right_child"])
        for number, otherwise in zip(numbers, [*numbers[1:], right], strict=True):
            place = len(self.nodes) - self._next + number
            self.nodes[place] = (*self.nodes[place][:5], left, otherwise, self.nodes[place][7])
        return numbers[0]

    def _put(self, feature: int, mode: str, value: float, missing_is_left: bool) -> int:
        number = self._next
        self.nodes.append((self._tree, number, feature, mode, value, 0, 0, int(missing_is_left)))
        self._next += 1
        return number


def _missing_is_left(node: dict[str, Any]) -> bool:
    """Where a missing value goes: LightGBM takes it for 0 if training had none in the feature."""
    left: bool = node["default_left"]
    return left if node["missing_type"] == "NaN" else node["threshold"] >= 0


def graph(model: Model) -> Any:
    """The ONNX model: `features` in, `scores` out, as `Model.score_matrix` gives them.

    Raises UserError for an estimator that is not LightGBM's.
    """
    from onnx import TensorProto, checker, helper

    if not isinstance(model.estimator, lightgbm.Booster):
        raise UserError("only LightGBM can be exported; set train.model: lightgbm.")
    trees = Trees(model.estimator)
    nodes = [_ensemble(trees, _base(model, trees.targets))]
    nodes.append(helper.make_node(LINKS[model.task], ["raw"], ["scores"]))
    width = len(model.encoder.names)
    given = helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["rows", width])
    answer = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", trees.targets])
    opsets = [helper.make_opsetid(*opset) for opset in OPSETS]
    whole = helper.make_graph(nodes, "model", [given], [answer])
    made = helper.make_model(whole, opset_imports=opsets, ir_version=9)
    checker.check_model(made)
    return made


def _base(model: Model, targets: int) -> Floats:
    """What is added to raw scores: class weights are factors of the odds, and taken out again."""
    if not model.weights:
        return np.zeros(targets)
    logs = -np.log(model.weights)
    return logs if targets > 1 else logs[1:] - logs[:1]


def _ensemble(trees: Trees, base: Floats) -> Any:
    from onnx import helper, numpy_helper

    ids, numbers, features, modes, values, true, false, missing = zip(*trees.nodes, strict=True)
    leaf_trees, leaf_numbers, targets, weights = zip(*trees.leaves, strict=True)

    def tensor(content: Any, name: str) -> Any:
        return numpy_helper.from_array(np.array(content, np.float64), name)

    return helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["raw"],
        domain="ai.onnx.ml",
        n_targets=trees.targets,
        base_values_as_tensor=tensor(base, "base"),
        nodes_treeids=ids,
        nodes_nodeids=numbers,
        nodes_featureids=features,
        nodes_modes=modes,
        nodes_values_as_tensor=tensor(values, "values"),
        nodes_truenodeids=true,
        nodes_falsenodeids=false,
        nodes_missing_value_tracks_true=missing,
        target_treeids=leaf_trees,
        target_nodeids=leaf_numbers,
        target_ids=targets,
        target_weights_as_tensor=tensor(weights, "weights"),
    )


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
    """What the graph takes and gives: a category is its place in the list, anything else NaN."""
    categories = model.encoder.categories
    return {
        "target": model.target,
        "task": model.task,
        "features": [{"name": n, "categories": categories.get(n)} for n in model.encoder.names],
        "classes": model.classes,
        "threshold": model.threshold if model.task == "binary" else None,
    }


def parse(arguments: list[str]) -> str:
    """The version or alias that is asked for."""
    parser = argparse.ArgumentParser(prog="make export")
    parser.add_argument("--version")
    return parser.parse_args(arguments).version or "champion"


def main(paths: Paths = PROJECT) -> None:
    """Write VERSION to export/<version>, if it answers as the model does on the test rows."""
    from .. import tracking

    name, registry = parse(sys.argv[1:]), tracking.connect(paths, load_settings(paths))
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


if __name__ == "__main__":
    run(main)
