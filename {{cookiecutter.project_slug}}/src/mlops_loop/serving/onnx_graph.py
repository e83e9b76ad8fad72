"""A model as an ONNX graph: encoded `features` in, `scores` out as `Model.score_matrix` has them.

Features are compared in 64 bits, as the model's library does; ONNX adds up trees to 32 bits.
"""

from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from ..models.model import Model
from ..models.types import Array, Floats

LINKS = {"regression": "Identity", "binary": "Sigmoid", "multiclass": "Softmax"}
OPSETS = (("", 18), ("ai.onnx.ml", 3))
NO_CODE = -1.0  # stands for a missing category


class Graph:
    """Nodes in the order of their computation, and the constants that they use."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str | Array, **attributes: Any) -> str:
        """Add a node on the outputs of others and on constants; returns its output's name."""
        output = f"{kind}_{len(self.nodes)}"
        names = [given if isinstance(given, str) else self._keep(given) for given in inputs]
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def _keep(self, constant: Array) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(constant, name))
        return name

    def made(self, features: int, scores: int) -> Any:
        """The checked ONNX model; its last node gives the scores."""
        self.nodes.append(
            helper.make_node("Cast", self.nodes[-1].output, ["scores"], to=TensorProto.FLOAT)
        )
        given = helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["rows", features])
        answer = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", scores])
        opsets = [helper.make_opsetid(*opset) for opset in OPSETS]
        whole = helper.make_graph(self.nodes, "model", [given], [answer], self.constants)
        made = helper.make_model(whole, opset_imports=opsets, ir_version=9)
        checker.check_model(made)
        return made


class Trees:
    """Trees as the attributes of a TreeEnsembleRegressor."""

    def __init__(self, targets: int) -> None:
        self.targets = targets
        self.nodes: list[tuple[int, int, int, str, float, int, int, int]] = []
        self.leaves: list[tuple[int, int, int, float]] = []

    def add_to(self, graph: Graph, features: str, base: Floats) -> str:
        """Add the operator; returns the name of `base` plus the sum of the leaves."""
        ids, numbers, columns, modes, values, true, false, missing = zip(*self.nodes, strict=True)
        leaf_trees, leaf_numbers, targets, weights = zip(*self.leaves, strict=True)
        return graph.add(
            "TreeEnsembleRegressor",
            features,
            domain="ai.onnx.ml",
            n_targets=self.targets,
            base_values_as_tensor=_tensor(base, "base"),
            nodes_treeids=ids,
            nodes_nodeids=numbers,
            nodes_featureids=columns,
            nodes_modes=modes,
            nodes_values_as_tensor=_tensor(values, "values"),
            nodes_truenodeids=true,
            nodes_falsenodeids=false,
            nodes_missing_value_tracks_true=missing,
            target_treeids=leaf_trees,
            target_nodeids=leaf_numbers,
            target_ids=targets,
            target_weights_as_tensor=_tensor(weights, "weights"),
        )


def _tensor(content: Any, name: str) -> Any:
    return numpy_helper.from_array(np.array(content, np.float64), name)


class Boosted(Trees):
    """LightGBM's trees: a test of several categories becomes one of each."""

    def __init__(self, booster: Any) -> None:
        dump = booster.dump_model()
        super().__init__(dump["num_tree_per_iteration"])
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


class Forest(Trees):
    """The trees of scikit-learn's forest; each target's leaves are multiplied by its factor."""

    def __init__(self, trees: list[Any], factors: Floats) -> None:
        super().__init__(len(factors))
        for number, fitted in enumerate(trees):
            self._add(number, fitted.tree_, factors / len(trees))

    def _add(self, number: int, tree: Any, factors: Floats) -> None:
        columns = tree.feature, tree.threshold, tree.children_left, tree.children_right
        rows = zip(*(each.tolist() for each in (*columns, tree.missing_go_to_left)), strict=True)
        values = (tree.value[:, 0] * factors).tolist()
        for place, (feature, threshold, left, right, missing) in enumerate(rows):
            if left >= 0:
                test = (feature, "BRANCH_LEQ", threshold, left, right, missing)
                self.nodes.append((number, place, *test))
                continue
            self.nodes.append((number, place, 0, "LEAF", 0.0, 0, 0, 0))
            self.leaves += [(number, place, *target) for target in enumerate(values[place])]


def graph(model: Model) -> Any:
    """The ONNX model."""
    kinds = {"Booster": boosted, "Pipeline": linear}
    made = Graph()
    kinds.get(type(model.estimator).__name__, forest)(made, model)
    several = model.task == "multiclass"
    return made.made(len(model.encoder.names), len(model.classes) if several else 1)


def boosted(graph: Graph, model: Model) -> None:
    """Add LightGBM's trees."""
    raw = Boosted(model.estimator).add_to(graph, "features", _base(model))
    graph.add(LINKS[model.task], raw)


def forest(graph: Graph, model: Model) -> None:
    """Add the trees of a random forest; class weights are taken out of their leaves."""
    estimator: Any = model.estimator
    trees = Forest(estimator.estimators_, 1 / _weights(model))
    # scikit-learn rounds a feature to 32 bits before it compares it.
    rounded = graph.add("Cast", "features", to=TensorProto.FLOAT)
    exact = graph.add("Cast", rounded, to=TensorProto.DOUBLE)
    raw = trees.add_to(graph, exact, np.zeros(trees.targets))
    if model.task != "regression":
        shares = graph.add("Div", raw, graph.add("ReduceSum", raw, np.array([1])))
        if model.task == "binary":
            graph.add("Gather", shares, np.array([1]), axis=1)


def linear(graph: Graph, model: Model) -> None:
    """Add ridge or logistic regression behind its scaling and one-hot encoding."""
    estimator: Any = model.estimator
    fitted, regression = estimator[0].transformers_, estimator[-1]
    parts = [
        prepare(graph, transformer, np.array(places))
        for prepare, (_, transformer, places) in zip((_scaled, _one_hot), fitted, strict=True)
        if places
    ]
    table = graph.add("Concat", *parts, axis=1)
    factors = np.atleast_2d(regression.coef_).T
    base = regression.intercept_ + _base(model)
    raw = graph.add("Add", graph.add("MatMul", table, factors), base)
    graph.add(LINKS[model.task], raw)


def _scaled(graph: Graph, pipeline: Any, places: Array) -> str:
    imputer, scaler = pipeline[0], pipeline[1]
    picked = graph.add("Gather", "features", places, axis=1)
    filled = graph.add("Where", graph.add("IsNaN", picked), imputer.statistics_, picked)
    return graph.add("Div", graph.add("Sub", filled, scaler.mean_), scaler.scale_)


def _one_hot(graph: Graph, encoder: Any, places: Array) -> str:
    lists = [np.nan_to_num(codes, nan=NO_CODE) for codes in encoder.categories_]
    sources = np.repeat(places, [len(codes) for codes in lists])
    picked = graph.add("Gather", "features", sources, axis=1)
    known = graph.add("Where", graph.add("IsNaN", picked), np.array(NO_CODE), picked)
    is_code = graph.add("Equal", known, np.concatenate(lists))
    return graph.add("Cast", is_code, to=TensorProto.DOUBLE)


def _weights(model: Model) -> Floats:
    return np.array(model.weights or [1.0] * max(1, len(model.classes)))


def _base(model: Model) -> Floats:
    """What is added to raw scores: class weights are factors of the odds, and taken out again."""
    logs = -np.log(_weights(model))
    return logs[1:] - logs[:1] if model.task == "binary" else logs
