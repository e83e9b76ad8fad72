"""`make export`: a version as ONNX, for where neither Python nor Polars runs.

The graph takes encoded `features` and gives `scores`, as `Model.score_matrix` does. The encoding is
written beside it; the expressions that make features from raw columns cannot be exported. Features
are compared in 64 bits, as by LightGBM; ONNX adds up trees in 32 bits.
"""

from typing import Any

import numpy as np
from onnx import checker, helper, numpy_helper, parser

from ..commands.explain import read_test
from ..console import Arguments, parse
from ..data.contract import Contract
from ..files import Content, replaced, write_json
from ..models.model import Model
from ..models.persistence import LightGBM, Linear
from ..models.types import Array, Floats
from ..project import Paths, UserError
from ..tracking import open_registry

TOLERANCE = 1e-5
LINKS = {"regression": "Identity", "binary": "Sigmoid", "multiclass": "Softmax"}
SCORES = {
    "regression": "the value",
    "binary": "the probability of the second class, which is predicted from threshold on",
    "multiclass": "the probability of each class",
}
ENCODING = "a category is its place in the list, from 0; true is 1; missing or unknown is NaN"
MODEL = """
<ir_version: 9, opset_import: ["" : 18, "ai.onnx.ml" : 3]>
model (double[rows, {features}] features) => (float[rows, {scores}] scores) {{
  {nodes}
  linked = {link} ({value})
  scores = Cast <to = 1> (linked)
}}
"""
TREES = "trees = ai.onnx.ml.TreeEnsembleRegressor (features)"
LINEAR = """
  number = Gather <axis = 1> (features, numbers)
  number_is_missing = IsNaN (number)
  filled = Where (number_is_missing, fill, number)
  no_less = Max (filled, low)
  no_more = Min (no_less, high)
  difference = Sub (no_more, fill)
  text = Gather <axis = 1> (features, texts)
  text_is_missing = IsNaN (text)
  code = Where (text_is_missing, no_code, text)
  is_code = Equal (code, codes)
  one_hot = Cast <to = 11> (is_code)
  table = Concat <axis = 1> (difference, one_hot)
  product = MatMul (table, weights)
  line = Add (product, intercept)
"""
SUM = """
  trees_64 = Cast <to = 11> (trees)
  value = Add (line, trees_64)
"""
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


class Trees:
    """LightGBM's trees as rows of NODES and LEAVES; a test of several categories is one of each."""

    def __init__(self, booster: Any) -> None:
        dump = booster.dump_model()
        self.targets = dump["num_tree_per_iteration"]
        self.nodes: list[list[Any]] = []
        self.leaves: list[tuple[int, int, int, float]] = []
        for tree, root in enumerate(dump["tree_info"]):
            self.add(root["tree_structure"], tree, len(self.nodes))

    def add(self, node: Content, tree: int, start: int) -> int:
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
    """The ONNX model of a LightGBM or a linear model; raises UserError for any other."""
    estimator = model.estimator
    if isinstance(estimator, LightGBM):
        line, booster = estimator.start, estimator.fitted
        value, nodes = ("value", TREES + LINEAR + SUM) if line else ("trees", TREES)
    elif isinstance(estimator, Linear):
        line, booster, value, nodes = estimator, None, "line", LINEAR
    else:
        name = type(estimator.fitted).__name__
        raise UserError(f"{name} cannot be exported; set train.model: lightgbm or linear.")
    text = MODEL.format(
        features=len(model.encoder.names),
        scores=len(model.classes) if model.task == "multiclass" else 1,
        nodes=nodes,
        value=value,
        link=LINKS[model.task],
    )
    made = parser.parse_model(text)
    if booster:
        for name, values in trees(booster, base(model)).items():
            made.graph.node[0].attribute.append(helper.make_attribute(name, values))
    for name, values in constants(line, 0 if booster else base(model)).items() if line else ():
        made.graph.initializer.append(numpy_helper.from_array(values, name))
    checker.check_model(made)
    return made


def trees(booster: Any, base: Floats) -> Content:
    """The attributes of LightGBM's trees as one node, whose output is their sum and `base`."""
    found = Trees(booster)
    attributes: Content = dict(zip(NODES, zip(*found.nodes, strict=True), strict=True))
    attributes |= dict(zip(LEAVES, zip(*found.leaves, strict=True), strict=True))
    attributes["base_values_as_tensor"] = base
    for name, values in attributes.items():
        if name.endswith("_as_tensor"):
            attributes[name] = numpy_helper.from_array(np.array(values, np.float64), name)
    return attributes | {"n_targets": found.targets}


def constants(line: Linear, base: Floats | int) -> dict[str, Array]:
    """The constants of the linear model, whose output gets `base` added."""
    found = line.fitted
    low, high = [-np.inf, np.inf] if found["limits"] is None else found["limits"]
    codes = [np.roll(np.arange(-1.0, len(table) - 1), -1) for table in found["tables"]]
    return {
        "numbers": np.array(found["numbers"], np.int64),
        "fill": found["fill"],
        "low": np.array(low),
        "high": np.array(high),
        "texts": np.repeat(np.array(found["text"], np.int64), [len(each) for each in codes]),
        "codes": np.concatenate([np.empty(0), *codes]),
        "no_code": np.array(NO_CODE),
        "weights": np.concatenate([found["weights"], *found["tables"]]),
        "intercept": found["intercept"] + base,
    }


def base(model: Model) -> Floats:
    """The sum that takes class weights, factors of the odds, out of raw scores."""
    factors = model.weights or [1.0] * max(1, len(model.classes))
    logs = -np.log(factors)
    if model.task == "binary":
        return logs[1:] - logs[:1]
    return logs


def difference(content: bytes, model: Model, matrix: Floats) -> float:
    """The largest relative difference between the graph's scores and the model's.

    Each row is scored once more with a feature missing: maybe no row lacks it by itself.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(content)
    rows = np.arange(len(matrix))
    gaps = matrix.copy()
    gaps[rows, rows % matrix.shape[1]] = np.nan
    matrix = np.concatenate([matrix, gaps])
    expected = model.score_matrix(matrix)
    scores = session.run(["scores"], {"features": matrix})[0].reshape(expected.shape)
    return float(np.abs(scores - expected).max() / max(1, np.abs(expected).max()))


def encoding(model: Model, contract: Contract) -> Content:
    """The description of the graph's inputs and outputs, and of the columns behind them."""
    features = [
        {"name": name, "categories": model.encoder.categories.get(name), "from": str(expression)}
        for name, expression in zip(model.encoder.names, model.features, strict=True)
    ]
    return {
        "target": model.target,
        "task": model.task,
        "features": features,
        "contract": contract.model_dump(mode="json"),
        "encoding": ENCODING,
        "scores": SCORES[model.task],
        "classes": model.classes,
        "threshold": model.threshold if model.task == "binary" else None,
    }


def main(paths: Paths, arguments: Arguments) -> None:
    """Write VERSION to export/<version>, if it scores the test rows as the model does."""
    name = parse("export", arguments, version="champion").version
    registry = open_registry(paths)
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
        write_json(folder / "encoding.json", encoding(model, registry.contract(version)))
    print(f"{target.relative_to(paths.root)}: model.onnx, {len(content) / 1e6:.1f} MB; {found}, of")
    print(f"  {TOLERANCE:.0e} allowed. encoding.json describes how features become numbers.")
