"""A role for each column of an unknown table, with its reason: a user reads and edits them."""

import re
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from ...data.contract import DTYPES
from ...data.splits import time_cuts
from ...project import UserError
from .profile import NUMERIC, TEMPORAL, Kind, Profile

LEAST_ROWS = 20
LEAST_PER_CLASS = 3
MOST_CLASSES = 100
FEW_CODES = 10  # this many whole numbers from 0 or 1 on are classes rather than amounts
MANY_CATEGORIES = 50
CODE_SHARE = 0.05  # a code with fewer values per row is a category, with more an identifier
HARDLY_FILLED = 0.005  # a share: most samples of the rows would hold no value
OWN_VALUE_SHARE = 0.5  # a text with more values per row says nothing about other rows
MAGNITUDES = 20  # between the tenths at both ends; numbers that are names have as many digits
PROSE, WORDS_OF_PROSE = "free text", 4
COPY, SUSPICIOUS = 0.9999, 0.95  # how far a column alone tells the target
COMPARED_ROWS, ROWS_PER_VALUE = 100_000, 5
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
    values, distinct, dtype = profile.values.drop_nulls(), profile.distinct, profile.column.dtype
    number = dtype in NUMERIC
    whole = number and bool((values == values.round()).all())
    name, why = suggest_task(profile, whole)
    if given and (given == "regression") != (name == "regression"):
        name, why = given if given == "regression" else "multiclass", "asked for"
    classes = name != "regression"
    counts = values.alias("class").value_counts(sort=True)
    rare = counts.filter(pl.col("count") < LEAST_PER_CLASS)["class"]
    problem = ""
    if profile.filled < LEAST_ROWS:
        problem = f"{profile.filled} rows have a value; at least {LEAST_ROWS} are needed"
    elif distinct < 2:
        problem = "holds one value only; there is nothing to predict"
    elif dtype in TEMPORAL:
        problem = "holds dates; predict a number or a class, e.g. days until it"
    elif not classes and not number:
        problem = f"is {dtype}; a regression needs numbers"
    elif classes and distinct > MOST_CLASSES:
        problem = f"has {distinct} different values; classes are at most {MOST_CLASSES}; group them"
    elif classes and number and not whole:
        problem = "holds fractions, which are no classes"
    elif classes and counts.height - len(rare) < 2:
        problem = f"at most one value has {LEAST_PER_CLASS} rows; there is nothing to learn"
    if problem:
        text = f" It is text: {values[0]!r} is no number." if dtype == "String" and distinct else ""
        raise UserError(f"{profile.column.name}: {problem}.{text}")
    if not classes:
        return Task(name, why, "Float64")  # prices in whole euros may have cents next month
    dtype = "Int64" if number else dtype
    return Task(name, why, dtype, tuple(rare.cast(DTYPES[dtype])))


def suggest_task(profile: Profile, whole: bool) -> tuple[str, str]:
    """Suggest a task and its reason for a target, whose numbers may be whole."""
    number, distinct = profile.column.dtype in NUMERIC, profile.distinct
    if distinct == 2 and (whole or not number):
        return "binary", "two values"
    if not number:
        return "multiclass", f"{distinct} labels"
    low, high = profile.limits
    if whole and low in (0, 1) and high - low + 1 == distinct <= FEW_CODES:
        return "multiclass", f"whole numbers from {low:g} to {high:g}"
    return "regression", f"a number with {distinct} values"


def plan_columns(
    profiles: dict[str, Profile], target: str, task: Task, time: str | None, group: str | None
) -> list[Profile]:
    """Plan every column; without `time` the only date column is the time, if it can be."""
    table = pl.DataFrame([profile.values for profile in profiles.values()])
    some = table.filter(pl.col(target).is_not_null())
    some = some.sample(min(some.height, COMPARED_ROWS), seed=0)
    dates = [p for p in profiles.values() if p.column.dtype in TEMPORAL and not p.clock]
    reason = "asked for"
    if time is None and [p.filled for p in dates] == [table.height] and can_split(dates[0]):
        time, reason = dates[0].column.name, "the only complete date column"
    elif time not in (None, "none") and not can_split(profiles[time]):
        raise UserError(f"TIME={time}: its dates cannot split the rows; choose TIME=none.")
    plans = []
    for name, profile in profiles.items():
        if name == target:
            plan = decide(profile, "outcome", f"the target: {task.why}", dtype=task.dtype)
        elif name == group:
            pii = find_personal(profile) is not None
            plan = decide(profile, "id", "its rows stay in one split", pii=pii)
        elif name == time:
            plan = decide(profile, "time", f"rows are split by it: {reason}", "date")
        else:
            plan = plan_column(profile, similarity(some[name], some[target], task))
        plans.append(plan)
    few = [p for p in plans if p.kind == "category" and p.distinct <= MOST_GROUPS]
    for plan in few[:MOST_SLICED]:
        sliced = plan.column.model_copy(update={"slice": True})
        plans[plans.index(plan)] = replace(plan, column=sliced)
    return plans


def find_totals(profiles: dict[str, Profile]) -> list[int]:
    """The position of a row of totals, if there is one: it would be learned as an observation.

    Of most of its numbers that are amounts, each is the sum of all others in its column.
    """
    shares = [
        profile.values / profile.values.sum()
        for profile in profiles.values()
        if profile.column.dtype in NUMERIC
        and profile.distinct > MOST_GROUPS
        and profile.limits[0] >= 0
    ]
    if not shares:
        return []
    halves = pl.DataFrame(shares).select(pl.all().is_close(0.5))
    rows = halves.mean_horizontal() >= OWN_VALUE_SHARE
    return rows.arg_true().to_list()


def can_split(profile: Profile) -> bool:
    """True for dates, of no one's birth, that leave no split without rows."""
    validation, test = time_cuts(profile.values.drop_nulls(), None)
    birth = BIRTH.search(profile.column.name)
    return not birth and bool((profile.values < validation).any()) and validation < test


def decide(
    profile: Profile, role: str, why: str, kind: Kind | None = None, **rules: object
) -> Profile:
    """Plan a column with this role; the reason is followed by the remarks on its values."""
    rules |= {"role": role, "nullable": profile.filled < len(profile.values)}
    rules["description"] = "; ".join((why, *profile.remarks))
    words = WORD.findall(profile.column.name)
    rules["sensitive"] = role == "input" and any(map(SENSITIVE.fullmatch, words))
    return replace(profile, column=profile.column.model_copy(update=rules), kind=kind)


def plan_column(profile: Profile, link: float) -> Profile:
    """Plan a column that may be an input by the first rule that applies."""
    filled, distinct = profile.filled, profile.distinct
    unique = distinct == len(profile.values)
    if filled <= HARDLY_FILLED * len(profile.values):
        return decide(profile, "ignored", f"only {filled} values" if filled else "no value at all")
    if people := find_personal(profile):
        role = "id" if unique else "ignored"
        return decide(profile, role, f"personal data: looks like {people}", pii=True)
    if distinct == 1 and filled == len(profile.values):
        return decide(profile, "ignored", f"one value only: {profile.values[0]}")
    if link >= COPY:
        return decide(profile, "ignored", "leakage: its values alone tell the target")
    why, kind = find_kind(profile)
    if unique and why != PROSE and not is_amount(profile):
        return decide(profile, "id", "identifier: another value in every row")
    if kind is None:
        return decide(profile, "ignored", why)
    if link >= SUSPICIOUS:
        why += f"; follows the target closely ({link:.3f}): make it an outcome if it is known"
        why += " only afterwards"
    return decide(profile, "input", why, kind)


def is_amount(profile: Profile) -> bool:
    """True for numbers that count something: of fractions, below zero or of several magnitudes."""
    dtype = profile.column.dtype
    if dtype != "Int64" or CODE.search(profile.column.name):
        return dtype not in ("Int64", "String")
    ordered = profile.values.sort()
    tenth, most = (ordered[len(ordered) * part // 10] for part in (1, 9))
    return bool(most > MAGNITUDES * tenth)


def find_kind(profile: Profile) -> tuple[str, Kind | None]:
    """Return what a column holds and the kind of its feature, by its type and number of values."""
    name, dtype, distinct = profile.column.name, profile.column.dtype, profile.distinct
    high = "high cardinality: " if distinct > MANY_CATEGORIES else ""
    if dtype in TEMPORAL:
        return f"{'clock time' if profile.clock else 'date'}: {', '.join(profile.parts)}", "date"
    if dtype == "String":
        own = distinct / profile.filled
        words = profile.values.drop_nulls().head(LOOKED_AT).str.count_matches(r"\S+").median()
        rare = CODE_SHARE if high else OWN_VALUE_SHARE
        if isinstance(words, float) and words >= WORDS_OF_PROSE and own > rare:
            return PROSE, None
        if own > OWN_VALUE_SHARE:
            return f"{own:.0%} of the values occur only here", None
        return f"{high}{distinct} categories", "category"
    if dtype == "Int64" and CODE.search(name):
        if distinct <= max(MANY_CATEGORIES, CODE_SHARE * profile.filled):
            return f"code with {distinct} values", "category"
        return f"identifier that repeats; GROUP={name} keeps its rows in one split", None
    return {"Boolean": "yes or no", "Int64": "whole number"}.get(dtype, "number"), "number"


def find_personal(profile: Profile) -> str | None:
    """Name the kind of personal data that a column seems to hold, by its name and values."""
    if profile.column.dtype not in ("String", "Int64"):
        return None
    texts = profile.values.drop_nulls().unique(maintain_order=True).head(LOOKED_AT)
    for what, title, pattern, alone in PERSONAL:
        personal = texts.cast(pl.String).str.contains(pattern).sum() / max(1, len(texts))
        titled = re.search(title, profile.column.name, re.I) and personal > OWN_VALUE_SHARE
        if titled or (alone and personal >= ALONE):
            return what
    return None


def similarity(values: pl.Series, target: pl.Series, task: Task) -> float:
    """Association of a column with the target; 1 if each value, or a missing one, is of one class.

    By rank correlation in a regression. That a class begins at a limit of a number shows in the
    test: the gate doubts a model without error.
    """
    both = pl.DataFrame({"value": values, "target": target})
    if task.name == "regression":
        both = both.drop_nulls()
        if not values.dtype.is_numeric() or both.height < LEAST_ROWS:
            return 0.0
        link = both.select(pl.corr("value", "target", method="spearman").abs())
        return float(link.fill_nan(0).fill_null(0).item())
    few = ROWS_PER_VALUE * values.n_unique() <= both.height
    value = pl.col("value") if few else pl.col("value").is_null()
    most = pl.col("target").unique_counts().max().cast(pl.Int64)
    guessed, rows = both.select(most).item(), both.height
    told = both.group_by(value.alias("value")).agg(most).select(pl.sum("target")).item()
    return float((told - guessed) / (rows - guessed))
