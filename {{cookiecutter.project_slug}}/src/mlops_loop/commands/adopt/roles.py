"""A role for each column of an unknown table, with its reason: a user reads and edits them."""

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from ...data.contract import DTYPES
from ...project import UserError
from .profile import NUMERIC, TEMPORAL, Profile, Table, share

Kind = Literal["number", "category", "date"]
LEAST_ROWS = 20
LEAST_PER_CLASS = 3
MOST_CLASSES = 100
FEW_CODES = 10  # this many whole numbers from 0 or 1 on are classes rather than amounts
MANY_CATEGORIES = 50
CODE_SHARE = 0.05  # a code with fewer values per row is a category, with more an identifier
HARDLY_FILLED = 0.005  # a share: most samples of the rows would hold no value
OWN_VALUE_SHARE = 0.5  # a text with more values per row says nothing about other rows
WORDS_OF_PROSE = 4
COPY, SUSPICIOUS = 0.9999, 0.95  # rank correlation with the target
COMPARED_ROWS = 100_000
LOOKED_AT = 1_000
MOST_SLICED, MOST_GROUPS = 5, 10  # columns, and values of each

CODE = re.compile(
    r"(^|[\s_.-])((?i:id|uuid|guid|key|idx|index|code|nr|no|zip|postcode))$"
    r"|^(?i:unnamed.*|column_1)$|[a-z](ID|Id)$"
)
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
SENSITIVE = re.compile(
    "age|disability|ethnicity|gender|marital|nationality|race|religion|sex", re.I
)
BIRTH = re.compile(r"birth|\bdob\b|born", re.I)

NAME = r"^\p{Lu}[\p{L}'.-]+,? (?:[\p{L}'.()\"-]+ )*[\p{Lu}(\"][\p{L}'.()\"-]*$"
PHONE = r"^(?:\+\d[\d\s()./-]{6,}|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4})$"
ACCOUNT = r"(card|account|acct|konto)[\s_.-]*(no|nr|num|number|nummer|id)?\.?$"
PEOPLE = r"customer|client|patient|employee|contact|person"
ALONE = 0.8  # share of the values that are personal data under any title

# Personal data: title and values together tell, or enough of the values alone (True).
PERSONAL = (
    ("e-mail addresses", r"e-?mail", r"^[^@\s]+@[^@\s]+\.[^@\s]+$", True),
    ("phone numbers", r"phone|mobile|telefon|\b(tel|fax)\b", r"^\+?[\d\s()./-]{6,}$", False),
    ("phone numbers", r"^$", PHONE, True),
    ("card or account numbers", ACCOUNT, r"^(?:\d[ -]?){5,}$", False),
    ("card numbers", r"card|payment", r"^[2-6]\d{12,18}$", False),
    ("card numbers", r"^$", r"^[2-6]\d{3}(?:[ -]\d{4}){2,3}(?:[ -]?\d{1,4})?$", True),
    ("account numbers", r"iban", r"^[A-Z]{2}\d\d(?: ?[A-Z0-9]){10,30}$", True),
    ("identity numbers", r"\bssn\b|social.?sec|passport", r"\d{3}", False),
    ("identity numbers", r"^$", r"^\d{3}-\d{2}-\d{4}$", True),
    ("addresses", r"address|street|adresse|stra(ß|ss)e", r"\d.*\p{L}|\p{L}.*\d", False),
    ("names of people", rf"^(full|{PEOPLE})?[\s_.-]*name$|^({PEOPLE})$", NAME, False),
    ("names of people", r"(first|given|last|sur|family|vor|nach)[\s_.-]*name", r"\p{L}", False),
)


@dataclass(frozen=True)
class ColumnPlan:
    """A column's role in the contract, its reason, and the kind of its feature, if it is one."""

    profile: Profile
    role: str
    why: str
    kind: Kind | None = None
    pii: bool = False
    slice: bool = False
    sensitive: bool = False


@dataclass(frozen=True)
class Task:
    """The task, its reason, the target's dtype, and the classes too rare to learn."""

    name: str
    why: str
    dtype: str
    rare: tuple[Any, ...] = ()


def find_task(profile: Profile, given: str | None) -> Task:
    """Find the task that the target's values suggest, or check that they allow the given one.

    Raises UserError for a target that cannot be predicted, or not as given.
    """
    values, number = profile.values.drop_nulls(), profile.dtype in NUMERIC
    whole = number and bool((values == values.round()).all())
    name, why = suggest_task(profile, whole)
    if given == "classification":
        given = "binary" if profile.distinct == 2 else "multiclass"
    if given and given != name:
        name, why = given, "asked for"
    classes = name != "regression"
    counts = values.alias("class").value_counts(sort=True)
    rare = counts.filter(pl.col("count") < LEAST_PER_CLASS)["class"]
    if profile.filled < LEAST_ROWS:
        problem = f"{profile.filled} rows have a value; at least {LEAST_ROWS} are needed"
    elif profile.distinct < 2:
        problem = "holds one value only; there is nothing to predict"
    elif profile.dtype in TEMPORAL:
        problem = "holds dates; predict a number or a class, e.g. days until it"
    elif not classes and not number:
        problem = f"is {profile.dtype}; a regression needs numbers"
    elif name == "binary" and profile.distinct != 2:
        problem = f"has {profile.distinct} values; binary needs two"
    elif name == "multiclass" and not 2 < profile.distinct <= MOST_CLASSES:
        problem = f"has {profile.distinct} different values; multiclass needs 3 to {MOST_CLASSES}"
        problem += "; group them, or name another column"
    elif classes and number and not whole:
        problem = "holds fractions, which are no classes"
    elif classes and counts.height - len(rare) < 2:
        problem = f"at most one value has {LEAST_PER_CLASS} rows; there is nothing to learn"
    elif not classes:
        return Task(name, why, "Float64")  # prices in whole euros may have cents next month
    else:
        dtype = "Int64" if number else profile.dtype
        return Task(name, why, dtype, tuple(rare.cast(DTYPES[dtype])))
    raise UserError(f"{profile.name}: {problem}.")


def suggest_task(profile: Profile, whole: bool) -> tuple[str, str]:
    """Suggest a task and its reason for a target, whose numbers may be whole."""
    if profile.distinct == 2 and (whole or profile.dtype not in NUMERIC):
        return "binary", "two values"
    if profile.dtype not in NUMERIC:
        return "multiclass", f"{profile.distinct} labels"
    codes = whole and profile.distinct <= FEW_CODES and profile.low in (0, 1)
    if codes and profile.high - profile.low + 1 == profile.distinct:
        return "multiclass", f"whole numbers from {profile.low:g} to {profile.high:g}"
    return "regression", f"a number with {profile.distinct} values"


def plan_columns(
    table: Table, target: str, task: Task, time: str | None, group: str | None
) -> list[ColumnPlan]:
    """Plan every column; without `time` the only complete date column is the time."""
    some = table.frame.filter(pl.col(target).is_not_null())
    some = some.sample(min(some.height, COMPARED_ROWS), seed=0)
    dates = [p for p in table.profiles.values() if p.dtype in TEMPORAL]
    complete = [p.name for p in dates if p.filled == p.rows and p.distinct > LEAST_PER_CLASS]
    when, reason = None if time == "none" else time, "asked for"
    if time is None and len(dates) == len(complete) == 1 and not BIRTH.search(complete[0]):
        when, reason = complete[0], "the only complete date column"
    plans = []
    for name, profile in table.profiles.items():
        if name == target:
            profile = replace(profile, dtype=task.dtype)
            plans.append(ColumnPlan(profile, "outcome", f"the target: {task.why}"))
        elif name == group:
            pii = find_personal(profile) is not None
            plans.append(ColumnPlan(profile, "id", "its rows stay in one split", pii=pii))
        elif name == when:
            plans.append(ColumnPlan(profile, "time", f"rows are split by it: {reason}", "date"))
        else:
            plans.append(plan_column(profile, similarity(some, profile, target, task)))
    few = [p for p in plans if p.kind == "category" and p.profile.distinct <= MOST_GROUPS]
    traits = [p for p in plans if any(map(SENSITIVE.fullmatch, WORD.findall(p.profile.name)))]
    return [
        replace(p, slice=p in few[:MOST_SLICED], sensitive=p in traits and p.role == "input")
        for p in plans
    ]


def plan_column(profile: Profile, link: float) -> ColumnPlan:
    """Plan a column that may be an input by the first rule that applies."""
    if profile.filled <= HARDLY_FILLED * profile.rows:
        few = f"only {profile.filled} values" if profile.filled else "no value at all"
        return ColumnPlan(profile, "ignored", few)
    if people := find_personal(profile):
        role = "id" if profile.distinct == profile.rows else "ignored"
        return ColumnPlan(profile, role, f"personal data: looks like {people}", pii=True)
    if profile.distinct == 1 and profile.filled == profile.rows:
        return ColumnPlan(profile, "ignored", f"one value only: {profile.values[0]}")
    if link >= COPY:
        why = "leakage: a copy of the target in other words or numbers"
        return ColumnPlan(profile, "ignored", why)
    role, why, kind = by_type(profile)
    if link >= SUSPICIOUS and kind:
        why += f"; follows the target closely ({link:.3f}): make it an outcome if it is known"
        why += " only afterwards"
    return ColumnPlan(profile, role, why, kind)


def by_type(profile: Profile) -> tuple[str, str, Kind | None]:
    """Return role, reason and kind of feature of a column by its type and number of values."""
    unique, coded = profile.distinct == profile.rows, CODE.search(profile.name)
    if profile.dtype in TEMPORAL:
        return "input", "date: year, month, weekday", "date"
    if profile.dtype in ("Boolean", "Float64"):
        return "input", "yes or no" if profile.dtype == "Boolean" else "number", "number"
    if profile.dtype == "String":
        own = profile.distinct / profile.filled
        words = profile.values.drop_nulls().head(LOOKED_AT).str.count_matches(r"\S+").median()
        prose = isinstance(words, float) and words >= WORDS_OF_PROSE
        if prose and (own > OWN_VALUE_SHARE or profile.distinct > MANY_CATEGORIES):
            return "ignored", "free text", None
        if unique:
            return "id", "identifier: another value in every row", None
        if own > OWN_VALUE_SHARE:
            return "ignored", f"{own:.0%} of the values occur only here", None
        high = "high cardinality: " if profile.distinct > MANY_CATEGORIES else ""
        return "input", f"{high}{profile.distinct} categories", "category"
    if unique and coded:
        return "id", "identifier: another value in every row", None
    if unique and profile.low in (0, 1) and profile.high - profile.low + 1 == profile.rows:
        return "ignored", "row number", None
    if not coded:
        return "input", "whole number", "number"
    if profile.distinct <= max(MANY_CATEGORIES, CODE_SHARE * profile.filled):
        return "input", f"code with {profile.distinct} values", "category"
    why = f"identifier that repeats; GROUP={profile.name} keeps its rows in one split"
    return "ignored", why, None


def find_personal(profile: Profile) -> str | None:
    """Name the kind of personal data that a column seems to hold, by its name and values."""
    if profile.dtype not in ("String", "Int64"):
        return None
    texts = profile.values.drop_nulls().unique(maintain_order=True).head(LOOKED_AT)
    for what, title, pattern, alone in PERSONAL:
        personal = share(texts.cast(pl.String), pattern)
        titled = re.search(title, profile.name, re.I) and personal > OWN_VALUE_SHARE
        if titled or (alone and personal >= ALONE):
            return what
    return None


def similarity(some: pl.DataFrame, profile: Profile, target: str, task: Task) -> float:
    """Compare a column with the target: rank correlation, or 1 if each value stands for a class."""
    both = some.select(profile.name, target).drop_nulls()
    if task.name == "regression":
        if profile.dtype not in NUMERIC or profile.filled < LEAST_ROWS:
            return 0.0
        link = pl.corr(profile.name, target, method="spearman").abs()
        return float(both.select(link.fill_nan(0).fill_null(0)).item())
    classes = some[target].n_unique()
    if profile.distinct != classes or both.height < LEAST_ROWS:
        return 0.0
    return float(both.n_unique() == classes == both[profile.name].n_unique())
