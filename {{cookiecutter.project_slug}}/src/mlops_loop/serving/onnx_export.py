"""`make export`: a version as ONNX, for where neither Python nor Polars runs.

The graph takes encoded `features` and gives `scores`, as `Model.score_matrix` does. The encoding is
written beside it; the expressions that make features from raw columns cannot be exported. Features
are compared in 64 bits, as by the model's library; ONNX adds up trees in 32 bits.
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

TOLERANCE, SOME_ROWS = 1e-5, 2_000
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
    """Rows of NODES and LEAVES, the attributes of ONNX's TreeEnsembleRegressor."""

    def __init__(self, targets: int) -> None:
        self.targets = targets
        self.nodes: list[list[Any]] = []
        self.leaves: list[tuple[int, int, int, float]] = []

    def add_boosted(self, tree: int, root: dict[str, Any]) -> None:
        """Add a tree as LightGBM dumps it: a test of several categories becomes one of each."""
        start = len(self.nodes)

        def put(feature: int, mode: str, value: float, missing_is_left: bool) -> list[Any]:
            number = len(self.nodes) - start
            self.nodes.append([tree, number, feature, mode, value, int(missing_is_left), 0, 0])
            return self.nodes[-1]

        def add(node: dict[str, Any]) -> int:
            if "leaf_value" in node:
                number: int = put(0, "LEAF", 0.0, False)[1]
                self.leaves.append((tree, number, tree % self.targets, node["leaf_value"]))
                return number
            feature = node["split_feature"]
            if node["decision_type"] == "<=":
                # LightGBM takes a missing value for 0 if training had none in the feature.
                has_missing, is_left = node["missing_type"] == "NaN", node["default_left"]
                left_if_missing = is_left if has_missing else node["threshold"] >= 0
                tests = [put(feature, "BRANCH_LEQ", float(node["threshold"]), left_if_missing)]
            else:
                codes = map(float, node["threshold"].split("||"))
                tests = [put(feature, "BRANCH_EQ", code, False) for code in codes]
            left, right = add(node["left_child"]), add(node["right_child"])
            for test, otherwise in zip(tests, [*(t[1] for t in tests[1:]), right], strict=True):
                test[-2:] = left, otherwise
            return int(tests[0][1])

        add(root)

    def add_fitted(self, number: int, tree: Any, factors: Floats) -> None:
        """Add a tree of scikit-learn's forest, the leaves of each target times its factor."""
        tests = tree.feature, tree.threshold, tree.missing_go_to_left
        children = tree.children_left, tree.children_right
        rows = zip(*(column.tolist() for column in (*tests, *children)), strict=True)
        values = (tree.value[:, 0] * factors).tolist()
        for place, (feature, threshold, missing, left, right) in enumerate(rows):
            if left >= 0:
                test = [feature, "BRANCH_LEQ", threshold, missing, left, right]
                self.nodes.append([number, place, *test])
                continue
            self.nodes.append([number, place, 0, "LEAF", 0.0, 0, 0, 0])
            self.leaves += [(number, place, *target) for target in enumerate(values[place])]

    def add_to(self, graph: Graph, features: str, base: Floats) -> str:
        """Add the operator; returns the name of `base` plus the sum of the leaves."""
        attributes: dict[str, Any] = dict(zip(NODES, zip(*self.nodes, strict=True), strict=True))
        attributes |= dict(zip(LEAVES, zip(*self.leaves, strict=True), strict=True))
        attributes["base_values_as_tensor"] = base
        for name in [name for name in attributes if name.endswith("_as_tensor")]:
            values = np.array(attributes[name], np.float64)
            attributes[name] = numpy_helper.from_array(values, name)
        known = {"domain": "ai.onnx.ml", "n_targets": self.targets}
        return graph.add("TreeEnsembleRegressor", features, **known, **attributes)


def to_onnx(model: Model) -> Any:
    """The ONNX model of a LightGBM booster, a forest or a linear pipeline."""
    kinds = {"Booster": add_booster, "Pipeline": add_linear}
    graph = Graph()
    kinds.get(type(model.estimator).__name__, add_forest)(graph, model)
    scores = len(model.classes) if model.task == "multiclass" else 1
    return graph.finish(len(model.encoder.names), scores)


def add_booster(graph: Graph, model: Model) -> None:
    """Add LightGBM's trees."""
    estimator: Any = model.estimator
    dump = estimator.dump_model()
    trees = Trees(dump["num_tree_per_iteration"])
    for number, tree in enumerate(dump["tree_info"]):
        trees.add_boosted(number, tree["tree_structure"])
    graph.add(LINKS[model.task], trees.add_to(graph, "features", base(model)))


def add_forest(graph: Graph, model: Model) -> None:
    """Add the trees of a forest; class weights are taken out of their leaves."""
    estimator: Any = model.estimator
    factors = 1 / class_weights(model)
    trees = Trees(len(factors))
    for number, fitted in enumerate(estimator.estimators_):
        trees.add_fitted(number, fitted.tree_, factors / len(estimator.estimators_))
    # scikit-learn rounds a feature to 32 bits before it compares it.
    rounded = graph.add("Cast", "features", to=TensorProto.FLOAT)
    exact = graph.add("Cast", rounded, to=TensorProto.DOUBLE)
    raw = trees.add_to(graph, exact, np.zeros(trees.targets))
    if model.task != "regression":
        shares = graph.add("Div", raw, graph.add("ReduceSum", raw, np.array([1])))
        if model.task == "binary":
            graph.add("Gather", shares, np.array([1]), axis=1)


def add_linear(graph: Graph, model: Model) -> None:
    """Add ridge or logistic regression behind its scaling and one-hot encoding."""
    estimator: Any = model.estimator
    (_, scaling, numbers), (_, encoder, texts) = estimator[0].transformers_
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
        filled = graph.add("Where", graph.add("IsNaN", picked), np.array(NO_CODE), picked)
        is_code = graph.add("Equal", filled, np.concatenate(codes))
        parts.append(graph.add("Cast", is_code, to=TensorProto.DOUBLE))
    table = graph.add("Concat", *parts, axis=1)
    product = graph.add("MatMul", table, np.atleast_2d(estimator[-1].coef_).T)
    raw = graph.add("Add", product, estimator[-1].intercept_ + base(model))
    graph.add(LINKS[model.task], raw)


def class_weights(model: Model) -> Floats:
    """The weight of each class in training; one weight of 1 for a regression."""
    return np.array(model.weights or [1.0] * max(1, len(model.classes)))


def base(model: Model) -> Floats:
    """The sum that takes class weights, factors of the odds, out of raw scores."""
    logs = -np.log(class_weights(model))
    return logs[1:] - logs[:1] if model.task == "binary" else logs


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
        worst = max(worst, float(np.abs(scores - expected).max() / max(1, np.abs(expected).max())))
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
    matrix = model.encoder.encode(model.compute(read_test(paths, model, version)))
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
