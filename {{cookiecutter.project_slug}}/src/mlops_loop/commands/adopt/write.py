"""contract.yaml and params.yaml for a table that was adopted, with the comments that they have."""

import math
import re
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import Any

import polars as pl
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from ...project import Paths
from .profile import Profile, Table
from .roles import ColumnPlan, Task

COMMENTS = 28  # the column in which those of params.yaml stand
MOST_LISTED = 30  # categories; with more, a new one is nothing special
FEW_ROWS, FOLDS = 1_000, 5
PLAIN = re.compile(r"[^\W\d][\w./ -]*(?<! )")


def contract_text(path: Path, table: Table, task: Task, decisions: list[ColumnPlan]) -> str:
    """contract.yaml with its explanations, and a column for every decision."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    head = "".join(takewhile(lambda line: line.startswith("#"), lines))
    text = {"decimal": table.text.decimal, "thousands": table.text.thousands}
    duplicates = 1 - table.frame.hash_rows().n_unique() / table.frame.height
    content = CommentedMap(max_duplicate_share=round(max(0.01, 2 * duplicates), 2))
    content["text"] = CommentedMap(**text, missing=_flow(table.text.missing))
    content["columns"] = [_column(decision, table, task) for decision in decisions]
    content.yaml_set_comment_before_after_key("columns", before="\n")
    return f"{head}\n{dump(content)}"


def _column(decision: ColumnPlan, table: Table, task: Task) -> CommentedMap:
    profile = decision.profile
    column = CommentedMap(name=profile.name, dtype=profile.dtype, role=decision.role)
    column["nullable"] = profile.missing > 0
    if profile.formats:
        column["formats"] = _flow(profile.formats)
    if decision.role in ("input", "outcome", "time"):
        classes = decision.role == "outcome" and task.name != "regression"
        column.update(limits(profile, table.frame[profile.name], classes))
    column["description"] = decision.why
    column["pii"] = decision.pii
    column.update({key: True for key in ("slice", "sensitive") if getattr(decision, key)})
    return column


def limits(profile: Profile, values: pl.Series, classes: bool) -> dict[str, Any]:
    """Rules that leave room: a range as wide again on both sides, or the categories if few."""
    if profile.dtype in ("Date", "Datetime", "Boolean"):
        return {}
    if (profile.dtype == "String" and profile.distinct <= MOST_LISTED) or classes:
        return {"categories": _flow(values.drop_nulls().unique().sort())}
    if profile.dtype == "String":
        return {}
    room = profile.high - profile.low
    digits = 1 - math.floor(math.log10(room or 1))
    low = type(room)(0) if profile.low >= 0 else round(profile.low - room, digits)
    return {"min": low, "max": round(profile.high + room, digits)}


def _flow(values: Any) -> CommentedSeq:
    sequence = CommentedSeq(values)
    sequence.fa.set_flow_style()
    return sequence


def params_text(
    paths: Paths, folder: Path, task: Task, group: str | None, size: dict[str, int | None]
) -> str:
    """params.yaml with its comments, for this table."""
    content = YAML().load(paths.params.read_text(encoding="utf-8"))
    ingest = content["ingest"]
    for key in [key for key in ingest if key not in ("source", "path")]:
        del ingest[key]
    ingest["source"], ingest["path"] = "file", folder.relative_to(paths.root).as_posix()
    ingest.yaml_add_eol_comment("a module of data/sources", "source", column=COMMENTS)
    content["task"] = task.name
    content["prepare"].update(test_from=None, group=group)
    content["register"].update({key: _flow_map() for key in ("bars", "slices", "fairness")})
    content["train"]["lightgbm"].update(size)
    return dump(content)


def tree_size(rows: int, shuffled: bool) -> dict[str, int | None]:
    """LightGBM's own defaults, with smaller leaves where under 100 rows could hardly be divided.

    Few rows are cross-validated, unless time or a group ties them together.
    """
    folds = FOLDS if rows < FEW_ROWS and shuffled else None
    return {"num_leaves": 31, "min_child_samples": min(20, rows // 5), "folds": folds}


def _flow_map() -> CommentedMap:
    empty = CommentedMap()
    empty.fa.set_flow_style()
    return empty


def dump(content: Any) -> str:
    """YAML with comments, as the project's files are written."""
    yaml, stream = YAML(), StringIO()
    yaml.width = 4096
    yaml.representer.add_representer(type(None), _null)
    yaml.representer.add_representer(str, _text)
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(content, stream)
    return stream.getvalue()


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _text(representer: Any, value: str) -> Any:
    # ruamel leaves text without quotes that the faster reader of the stages takes for a mapping.
    style = None if PLAIN.fullmatch(value) else '"'
    return representer.represent_scalar("tag:yaml.org,2002:str", value, style=style)
