"""A role for each column of an unknown table, with its reason: a user reads and edits them."""

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

import polars as pl

from ...data.contract import DTYPES
from ...project import UserError
from .profile import NUMERIC, TEMPORAL, Profile, Table

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
    group: bool = False
    pii: bool = False
    slice: bool = False
    sensitive: bool = False


@dataclass(frozen=True)
class Task:
    """The task, its reason, and the classes that are left out as too rare to learn."""

    name: str
    why: str
    rare: tuple[Any, ...] = ()


def check_names(table: Table, **arguments: str | None) -> None:
    """Raise UserError for an argument that names no column."""
    for argument, name in arguments.items():
        if name is not None and name not in table.profiles:
            near = get_close_matches(name, table.profiles, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else "there are:"
            raise UserError(
                f"{argument.upper()}={name}: the table has no such column; {hint} "
                f"(columns: {', '.join(list(table.profiles)[:20])})"
            )


def find_task(table: Table, target: str, given: str | None) -> tuple[Table, Task]:
    """Find the task that the target's values suggest, or check that they allow the given one.

    Returns the table with the target as floats or as integers, whichever the task needs.
    Raises UserError for a target that cannot be predicted, or not as given.
    """
    profile, values = table.profiles[target], table.frame[target].drop_nulls()
    if profile.filled < LEAST_ROWS:
        raise UserError(
            f"{target}: {profile.filled} rows have a value; at least {LEAST_ROWS} are needed."
        )
    if profile.distinct < 2:
        raise UserError(f"{target}: holds one value only; there is nothing to predict.")
    if profile.dtype in TEMPORAL:
        raise UserError(f"{target}: holds dates; predict a number or a class, e.g. days until it.")
    number = profile.dtype in NUMERIC
    whole = number and bool((values == values.round()).all())
    name, why = suggest_task(profile, whole)
    if given == "classification":
        given = "binary" if profile.distinct == 2 else "multiclass"
    if given and given != name:
        name, why = given, "asked for"
    if name == "regression" and not number:
        raise UserError(f"{target}: is {profile.dtype}; a regression needs numbers.")
    if name == "binary" and profile.distinct != 2:
        raise UserError(f"{target}: has {profile.distinct} values; binary needs two.")
    if name == "multiclass" and not 2 < profile.distinct <= MOST_CLASSES:
        raise UserError(
            f"{target}: has {profile.distinct} different values; multiclass needs 3 to "
            f"{MOST_CLASSES}; group them, or name another column."
        )
    if name != "regression" and number and not whole:
        raise UserError(f"{target}: holds fractions, which are no classes.")
    if number:
        # Prices in whole euros may have cents next month; classes stay whole.
        dtype = "Float64" if name == "regression" else "Int64"
        frame = table.frame.with_columns(pl.col(target).cast(DTYPES[dtype]))
        profiles = {**table.profiles, target: replace(profile, dtype=dtype)}
        table = replace(table, frame=frame, profiles=profiles)
    if name == "regression":
        return table, Task(name, why)
    counts = table.frame[target].drop_nulls().alias("class").value_counts(sort=True)
    rare = counts.filter(pl.col("count") < LEAST_PER_CLASS)["class"]
    if counts.height - len(rare) < 2:
        raise UserError(
            f"{target}: at most one value has {LEAST_PER_CLASS} rows; there is nothing to learn."
        )
    return table, Task(name, why, tuple(rare))


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
    dates = [p for p in table.profiles.values() if p.dtype in TEMPORAL and p.name != target]
    complete = [p.name for p in dates if p.filled == p.rows and p.distinct > LEAST_PER_CLASS]
    when = None if time == "none" else time
    if time is None and len(dates) == len(complete) == 1 and not BIRTH.search(complete[0]):
        when = complete[0]
    plans = []
    for name, profile in table.profiles.items():
        values = table.frame[name]
        if name == target:
            plans.append(ColumnPlan(profile, "outcome", f"the target: {task.why}"))
        elif name == group:
            pii = find_personal(profile, values) is not None
            why = "its rows stay in one split"
            plans.append(ColumnPlan(profile, "id", why, group=True, pii=pii))
        elif name == when:
            reason = "asked for" if time else "the only complete date column"
            plans.append(ColumnPlan(profile, "time", f"rows are split by it: {reason}", "date"))
        else:
            plans.append(plan_column(profile, values, similarity(some, profile, target, task)))
    few = [p for p in plans if p.kind == "category" and p.profile.distinct <= MOST_GROUPS]
    return [
        replace(
            plan,
            slice=plan in few[:MOST_SLICED],
            sensitive=plan.role == "input"
            and any(SENSITIVE.fullmatch(word) for word in WORD.findall(plan.profile.name)),
        )
        for plan in plans
    ]


def plan_column(profile: Profile, values: pl.Series, link: float) -> ColumnPlan:
    """Plan a column that may be an input by the first rule that applies."""
    if profile.filled <= HARDLY_FILLED * profile.rows:
        few = f"only {profile.filled} values" if profile.filled else "no value at all"
        return ColumnPlan(profile, "ignored", few)
    people = find_personal(profile, values)
    if people:
        role = "id" if profile.distinct == profile.rows else "ignored"
        return ColumnPlan(profile, role, f"personal data: looks like {people}", pii=True)
    if profile.distinct == 1 and profile.filled == profile.rows:
        return ColumnPlan(profile, "ignored", f"one value only: {values[0]}")
    if link >= COPY:
        why = "leakage: a copy of the target in other words or numbers"
        return ColumnPlan(profile, "ignored", why)
    role, why, kind = by_type(profile, values)
    if link >= SUSPICIOUS and kind:
        why += f"; follows the target closely ({link:.3f}): make it an outcome if it is known"
        why += " only afterwards"
    return ColumnPlan(profile, role, why, kind)


def by_type(profile: Profile, values: pl.Series) -> tuple[str, str, Kind | None]:
    """Return role, reason and kind of feature of a column by its type and number of values."""
    unique, coded = profile.distinct == profile.rows, CODE.search(profile.name)
    if profile.dtype in TEMPORAL:
        return "input", "date: year, month, weekday", "date"
    if profile.dtype in ("Boolean", "Float64"):
        return "input", "yes or no" if profile.dtype == "Boolean" else "number", "number"
    if profile.dtype == "String":
        own = profile.distinct / profile.filled
        words = values.drop_nulls().head(LOOKED_AT).str.count_matches(r"\S+").median()
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


def find_personal(profile: Profile, values: pl.Series) -> str | None:
    """Name the kind of personal data that a column seems to hold, by its name and values."""
    if profile.dtype not in ("String", "Int64") or not profile.filled:
        return None
    texts = values.drop_nulls().unique(maintain_order=True).head(LOOKED_AT).cast(pl.String)
    for what, title, pattern, alone in PERSONAL:
        share = int(texts.str.contains(pattern).sum()) / len(texts)
        titled = re.search(title, profile.name, re.I) and share > OWN_VALUE_SHARE
        if titled or (alone and share >= ALONE):
            return what
    cards = sum(map(is_card_number, texts))
    return "card numbers" if cards > 0.9 * len(texts) else None


def is_card_number(text: str) -> bool:
    """Check the digits of a payment card by Luhn's sum (ISO/IEC 7812-1)."""
    bare = re.sub(r"[ -]", "", text)
    # No card begins with 1, as times counted from 1970 do.
    if not re.fullmatch(r"[2-6]\d{12,18}", bare, re.ASCII):
        return False
    digits = [int(digit) for digit in reversed(bare)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * d, 10)) for d in digits[1::2])) % 10 == 0


def similarity(some: pl.DataFrame, profile: Profile, target: str, task: Task) -> float:
    """Compare a column with the target: rank correlation, or 1 if each value stands for a class."""
    both = some.select(profile.name, target).drop_nulls()
    if task.name == "regression":
        if profile.dtype not in NUMERIC or profile.filled < LEAST_ROWS:
            return 0.0
        value = both.select(pl.corr(profile.name, target, method="spearman")).item()
        return abs(value) if value is not None and value == value else 0.0
    classes = some[target].n_unique()
    if profile.distinct != classes or both.height < LEAST_ROWS:
        return 0.0
    return float(both.n_unique() == classes == both[profile.name].n_unique())
