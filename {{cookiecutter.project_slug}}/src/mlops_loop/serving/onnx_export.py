"""`make export`: a version as ONNX, for where neither Python nor Polars runs.

The graph takes encoded `features` and gives `scores`, as `Model.score_matrix` does. The encoding is
written beside it; the expressions that make features from raw columns cannot be exported. Features
are compared in 64 bits, as by LightGBM; ONNX adds up trees in 32 bits.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from ..commands.explain import read_test
from ..console import parse
from ..files import replaced, write_json
from ..models.model import Model
from ..models.types import Array, Floats
from ..project import Paths, UserError, load_settings

TOLERANCE = 1e-5
SOME_ROWS = 2_000
LINKS = {"regression": "Identity", "binary": "Sigmoid", "multiclass": "Softmax"}
SCORES = {
    "regression": "the value",
    "binary": "the probability of the second class, which is predicted from threshold on",
    "multiclass": "the probability of each class",
}
ENCODING = "a category is its place in the list, from 0; true is 1; missing or unknown is NaN"
OPSETS = (("", 18), ("ai.onnx.ml", 3))
NO_CODE = -1.0  # stands for a missing category
NODES = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_modes",
    "nodes_values_as_tensor",
    "nodes_missing_value_tracks_true",
    "nodes_truenodeids",
    "nodes_falsenodeids",
)
LEAVES = ("target_treeids", "target_nodeids", "target_ids", "target_weights_as_tensor")


class Graph:
    """Nodes in the order of their computation, and the constants that they use."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str | Array, **attributes: Any) -> str:
        """Add a node on outputs of other nodes and on constants; returns its output's name."""
        names = []
        for value in inputs:
            if not isinstance(value, str):
                name = f"constant_{len(self.constants)}"
                self.constants.append(numpy_helper.from_array(value, name))
                value = name
            names.append(value)
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def finish(self, features: int, scores: int) -> Any:
        """The checked ONNX model; its last node gives the scores."""
        last = self.nodes[-1].output
        self.nodes.append(helper.make_node("Cast", last, ["scores"], to=TensorProto.FLOAT))
        given = helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["rows", features])
        result = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", scores])
        graph = helper.make_graph(self.nodes, "model", [given], [result], self.constants)
        opsets = [helper.make_opsetid(*opset) for opset in OPSETS]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        checker.check_model(model)
        return model


class Trees:
    """LightGBM's trees as rows of NODES and LEAVES; a test of several categories is one of each."""

    def __init__(self, booster: Any) -> None:
        dump = booster.dump_model()
        self.targets = dump["num_tree_per_iteration"]
        self.nodes: list[list[Any]] = []
        self.leaves: list[tuple[int, int, int, float]] = []
        for tree, root in enumerate(dump["tree_info"]):
            self.add(root["tree_structure"], tree, len(self.nodes))

    def add(self, node: dict[str, Any], tree: int, start: int) -> int:
        """Add a node and those below it to the tree that starts at a row; returns its number."""
        number = len(self.nodes) - start
        if "leaf_value" in node:
            self.nodes.append([tree, number, 0, "LEAF", 0.0, 0, 0, 0])
            self.leaves.append((tree, number, tree % self.targets, node["leaf_value"]))
            return number
        tests = [("BRANCH_EQ", code, 0) for code in str(node["threshold"]).split("||")]
        if node["decision_type"] == "<=":
            # LightGBM takes a missing value for 0 if training had none in the feature.
            is_known = node["missing_type"] == "NaN"
            is_left = node["default_left"] if is_known else node["threshold"] >= 0
            tests = [("BRANCH_LEQ", node["threshold"], int(is_left))]
        feature = node["split_feature"]
        rows = [
            [tree, number + place, feature, mode, float(value), missing]
            for place, (mode, value, missing) in enumerate(tests)
        ]
        self.nodes += rows
        left = self.add(node["left_child"], tree, start)
        right = self.add(node["right_child"], tree, start)
        following = [row[1] for row in rows[1:]]
        for row, otherwise in zip(rows, [*following, right], strict=True):
            row += [left, otherwise]
        return number


def to_onnx(model: Model) -> Any:
    """The ONNX model of a LightGBM or a linear model; raises UserError for a forest."""
    kinds = {"Booster": add_booster, "Pipeline": add_linear}
    kind = type(model.estimator).__name__
    if kind not in kinds:
        raise UserError(f"{kind} cannot be exported; set train.model: lightgbm or linear.")
    graph = Graph()
    graph.add(LINKS[model.task], kinds[kind](graph, model))
    scores = len(model.classes) if model.task == "multiclass" else 1
    return graph.finish(len(model.encoder.names), scores)


def add_booster(graph: Graph, model: Model) -> str:
    """Add LightGBM's trees; returns the name of their sum."""
    trees = Trees(model.estimator)
    nodes = zip(*trees.nodes, strict=True)
    leaves = zip(*trees.leaves, strict=True)
    attributes: dict[str, Any] = dict(zip(NODES, nodes, strict=True))
    attributes |= dict(zip(LEAVES, leaves, strict=True))
    attributes["base_values_as_tensor"] = base(model)
    tensors = [name for name in attributes if name.endswith("_as_tensor")]
    for name in tensors:
        values = np.array(attributes[name], np.float64)
        attributes[name] = numpy_helper.from_array(values, name)
    known = {"domain": "ai.onnx.ml", "n_targets": trees.targets}
    return graph.add("TreeEnsembleRegressor", "features", **known, **attributes)


def add_linear(graph: Graph, model: Model) -> str:
    """Add scaling, one-hot encoding and the linear function; returns the name of its value."""
    estimator: Any = model.estimator
    of_numbers, of_texts = estimator[0].transformers_
    _, scaling, numbers = of_numbers
    _, encoder, texts = of_texts
    parts = []
    if numbers:
        picked = graph.add("Gather", "features", np.array(numbers), axis=1)
        is_missing = graph.add("IsNaN", picked)
        filled = graph.add("Where", is_missing, scaling[0].statistics_, picked)
        centred = graph.add("Sub", filled, scaling[1].mean_)
        parts.append(graph.add("Div", centred, scaling[1].scale_))
    if texts:
        codes = [np.nan_to_num(known, nan=NO_CODE) for known in encoder.categories_]
        places = np.repeat(texts, [len(known) for known in codes])
        picked = graph.add("Gather", "features", places, axis=1)
        is_missing = graph.add("IsNaN", picked)
        filled = graph.add("Where", is_missing, np.array(NO_CODE), picked)
        is_code = graph.add("Equal", filled, np.concatenate(codes))
        parts.append(graph.add("Cast", is_code, to=TensorProto.DOUBLE))
    table = graph.add("Concat", *parts, axis=1)
    linear = estimator[-1]
    product = graph.add("MatMul", table, np.atleast_2d(linear.coef_).T)
    return graph.add("Add", product, linear.intercept_ + base(model))


def base(model: Model) -> Floats:
    """The sum that takes class weights, factors of the odds, out of raw scores."""
    factors = model.weights or [1.0] * max(1, len(model.classes))
    logs = -np.log(factors)
    if model.task == "binary":
        return logs[1:] - logs[:1]
    return logs


def difference(content: bytes, model: Model, matrix: Floats) -> float:
    """The largest relative difference between the graph's scores and the model's.

    Some rows are repeated with each feature missing in turn: maybe no row lacks it by itself.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(content)
    worst = 0.0
    for feature in range(-1, matrix.shape[1]):
        rows = matrix if feature < 0 else matrix[:SOME_ROWS].copy()
        if feature >= 0:
            rows[:, feature] = np.nan
        expected = model.score_matrix(rows)
        scores = session.run(["scores"], {"features": rows})[0].reshape(expected.shape)
        scale = max(1, np.abs(expected).max())
        found = float(np.abs(scores - expected).max() / scale)
        worst = max(worst, found)
    return worst


def encoding(model: Model) -> dict[str, Any]:
    """The description of the graph's inputs and outputs."""
    features = [
        {"name": name, "categories": model.encoder.categories.get(name), "from": str(expression)}
        for name, expression in zip(model.encoder.names, model.features, strict=True)
    ]
    return {
        "target": model.target,
        "task": model.task,
        "features": features,
        "encoding": ENCODING,
        "scores": SCORES[model.task],
        "classes": model.classes,
        "threshold": model.threshold if model.task == "binary" else None,
    }


def main(paths: Paths, arguments: Sequence[str]) -> None:
    """Write VERSION to export/<version>, if it scores the test rows as the model does."""
    from ..tracking.registry import connect

    name = parse("export", arguments, version="champion").version
    registry = connect(paths, load_settings(paths))
    version = registry.find(name)
    model = registry.load(version.name)
    content = to_onnx(model).SerializeToString()
    rows = read_test(paths, model, version)
    matrix = model.encoder.encode(model.compute(rows))
    worst = difference(content, model, matrix)
    found = f"largest relative difference {worst:.1e} on {len(matrix)} test rows"
    if not worst <= TOLERANCE:
        raise UserError(f"{version}: {found}, more than {TOLERANCE:.0e}; nothing was exported.")
    target = paths.root / "export" / str(version).replace(" ", "-")
    with replaced(target) as folder:
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(content)
        write_json(folder / "encoding.json", encoding(model))
    print(f"{target.relative_to(paths.root)}: model.onnx, {len(content) / 1e6:.1f} MB; {found}, of")
    print(f"  {TOLERANCE:.0e} allowed. encoding.json describes how features become numbers.")
