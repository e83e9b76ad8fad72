"""What each column of an unknown table is for, and why: decisions that a user reads and edits."""

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

import polars as pl

from ...data.contract import DTYPES
from ...project import UserError
from .profile import Profile, Table

Kind = Literal["number", "category", "date", "none"]
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

CODE = re.compile(
    r"(^|[\s_.-])(id|uuid|guid|key|idx|index|code|nr|no|zip|postcode)$|^(unnamed.*|column_1)$", re.I
)

CAMEL_CODE = re.compile(r"[a-z](ID|Id)$")
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")

SENSITIVE = re.compile(
    "age|disability|ethnicity|gender|marital|nationality|race|religion|sex", re.IGNORECASE
)

MOST_SLICED, MOST_GROUPS = 5, 10  # columns, and values of each
BIRTH = re.compile(r"birth|\bdob\b|born", re.I)


@dataclass(frozen=True)
class Personal:
    """Data about people: told by title and values together, or by enough of the values alone."""

    what: str
    title: str
    values: str
    alone: float = 1.1


NAME = r"^\p{Lu}[\p{L}'.-]+,? (?:[\p{L}'.()\"-]+ )*[\p{Lu}(\"][\p{L}'.()\"-]*$"
PHONE = r"^(?:\+\d[\d\s()./-]{6,}|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4})$"
PEOPLE = r"customer|client|patient|employee|contact|person"

PERSONAL = (
    Personal("e-mail addresses", r"e-?mail", r"^[^@\s]+@[^@\s]+\.[^@\s]+$", alone=0.8),
    Personal("phone numbers", r"phone|mobile|telefon|\b(tel|fax)\b", r"^\+?[\d\s()./-]{6,}$"),
    Personal("phone numbers", r"^$", PHONE, alone=0.8),
    Personal(
        "card or account numbers",
        r"(card|account|acct|konto)[\s_.-]*(no|nr|num|number|nummer|id)?\.?$",
        r"^(?:\d[ -]?){5,}$",
    ),
    Personal("account numbers", r"iban", r"^[A-Z]{2}\d\d(?: ?[A-Z0-9]){10,30}$", alone=0.8),
    Personal("identity numbers", r"\bssn\b|social.?sec|passport", r"\d{3}"),
    Personal("identity numbers", r"^$", r"^\d{3}-\d{2}-\d{4}$", alone=0.8),
    Personal("addresses", r"address|street|adresse|stra(ß|ss)e", r"\d.*\p{L}|\p{L}.*\d"),
    Personal("names of people", rf"^(full|{PEOPLE})?[\s_.-]*name$|^({PEOPLE})$", NAME),
    Personal("names of people", r"(first|given|last|sur|family|vor|nach)[\s_.-]*name", r"\p{L}"),
)


@dataclass(frozen=True)
class ColumnPlan:
    """A column, its role in the contract, how it becomes a feature, and why."""

    profile: Profile
    role: str
    kind: Kind
    why: str
    pii: bool = False
    slice: bool = False
    sensitive: bool = False


@dataclass(frozen=True)
class Task:
    """What is predicted; classes too rare to learn are left out."""

    name: str
    why: str
    rare: tuple[Any, ...] = ()


def check_names(table: Table, **asked: str | None) -> None:
    """Raise UserError for an argument that names no column."""
    for argument, name in asked.items():
        if name is not None and name not in table.profiles:
            near = get_close_matches(name, table.profiles, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else "there are:"
            raise UserError(
                f"{argument.upper()}={name}: the table has no such column; {hint} "
                f"(columns: {', '.join(list(table.profiles)[:20])})"
            )


def find_task(table: Table, target: str, asked: str | None) -> tuple[Table, Task]:
    """The task that the target's values speak for, or the one asked for if they allow it.

    Returns the table with the target as floats or as integers, whichever the task needs.
    Raises UserError for a target that cannot be predicted, or not as asked.
    """
    profile = table.profiles[target]
    if profile.filled < LEAST_ROWS:
        raise UserError(
            f"{target}: {profile.filled} rows have a value; at least {LEAST_ROWS} are needed."
        )
    if profile.distinct < 2:
        raise UserError(f"{target}: holds one value only; there is nothing to predict.")
    if profile.dtype.startswith("Date"):
        raise UserError(f"{target}: holds dates; predict a number or a class, e.g. days until it.")
    values = table.frame[target].drop_nulls()
    name, why = _suggest(profile, values)
    if asked == "classification":
        asked = "binary" if profile.distinct == 2 else "multiclass"
    if asked and asked != name:
        name, why = asked, "asked for"
    _check_task(name, profile, values)
    # Prices in whole euros may have cents next month; classes stay whole.
    if profile.dtype in ("Int64", "Float64"):
        table = _as(table, target, "Float64" if name == "regression" else "Int64")
    return table, Task(name, why, _rare(name, table.frame[target].drop_nulls(), target))


def _suggest(profile: Profile, values: pl.Series) -> tuple[str, str]:
    number = profile.dtype in ("Int64", "Float64")
    if profile.distinct == 2 and (not number or _whole(values)):
        return "binary", "two values"
    if not number:
        return "multiclass", f"{profile.distinct} labels"
    codes = profile.distinct <= FEW_CODES and profile.low in (0, 1) and _whole(values)
    if codes and profile.high - profile.low + 1 == profile.distinct:
        return "multiclass", f"whole numbers from {profile.low:g} to {profile.high:g}"
    return "regression", f"a number with {profile.distinct} values"


def _check_task(name: str, profile: Profile, values: pl.Series) -> None:
    number = profile.dtype in ("Int64", "Float64")
    if name == "regression" and not number:
        raise UserError(f"{profile.name}: is {profile.dtype}; a regression needs numbers.")
    if name == "binary" and profile.distinct != 2:
        raise UserError(f"{profile.name}: has {profile.distinct} values; binary needs two.")
    if name == "multiclass" and not 2 < profile.distinct <= MOST_CLASSES:
        raise UserError(
            f"{profile.name}: has {profile.distinct} different values; multiclass needs 3 to "
            f"{MOST_CLASSES}; group them, or name another column."
        )
    if name != "regression" and number and not _whole(values):
        raise UserError(f"{profile.name}: holds fractions, which are no classes.")


def _whole(values: pl.Series) -> bool:
    return bool((values.cast(pl.Float64) == values.cast(pl.Float64).round()).all())


def _as(table: Table, target: str, dtype: str) -> Table:
    frame = table.frame.with_columns(pl.col(target).cast(DTYPES[dtype]))
    changed = replace(table.profiles[target], dtype=dtype)
    return replace(table, frame=frame, profiles={**table.profiles, target: changed})


def _rare(task: str, values: pl.Series, target: str) -> tuple[Any, ...]:
    if task == "regression":
        return ()
    counts = dict(values.value_counts(sort=True).iter_rows())
    rare = tuple(value for value, count in counts.items() if count < LEAST_PER_CLASS)
    if len(counts) - len(rare) < 2:
        raise UserError(
            f"{target}: at most one value has {LEAST_PER_CLASS} rows; there is nothing to learn."
        )
    return rare


def decide(
    table: Table, target: str, task: Task, time: str | None, group: str | None
) -> list[ColumnPlan]:
    """A decision for every column; without `time` the only complete date column is the time."""
    links = likeness(table, target, task)
    when = None if time == "none" else time or _only_date(table, target)
    decisions = []
    for profile in table.profiles.values():
        if profile.name == target:
            decisions.append(ColumnPlan(profile, "outcome", "none", f"the target: {task.why}"))
        elif profile.name == group:
            people = personal(profile, table.frame[profile.name]) is not None
            decisions.append(
                ColumnPlan(profile, "id", "none", "its rows stay in one split", people)
            )
        elif profile.name == when:
            asked = "asked for" if time else "the only complete date column"
            decisions.append(ColumnPlan(profile, "time", "date", f"rows are split by it: {asked}"))
        else:
            decisions.append(_decide(profile, table.frame[profile.name], links.get(profile.name)))
    return sliced(decisions)


def sliced(decisions: list[ColumnPlan]) -> list[ColumnPlan]:
    """Inputs whose names are sensitive, and the first few of few categories, become slices."""
    few = [d for d in decisions if d.kind == "category" and d.profile.distinct <= MOST_GROUPS]
    names = [decision.profile.name for decision in few[:MOST_SLICED]]
    return [
        replace(
            decision,
            slice=decision.profile.name in names,
            sensitive=decision.role == "input" and is_sensitive(decision.profile.name),
        )
        for decision in decisions
    ]


def is_sensitive(name: str) -> bool:
    """Whether a word of a column's name is that of a trait which people are discriminated by."""
    return any(SENSITIVE.fullmatch(word) for word in WORD.findall(name))


def _only_date(table: Table, target: str) -> str | None:
    dates = [p for p in table.profiles.values() if p.dtype.startswith("Date") and p.name != target]
    complete = [p.name for p in dates if not p.missing and p.distinct > LEAST_PER_CLASS]
    return (
        complete[0] if len(dates) == len(complete) == 1 and not BIRTH.search(complete[0]) else None
    )


def _decide(profile: Profile, values: pl.Series, likeness: float | None) -> ColumnPlan:
    """The first rule that applies."""
    if profile.filled <= HARDLY_FILLED * profile.rows:
        few = f"only {profile.filled} values" if profile.filled else "no value at all"
        return ColumnPlan(profile, "ignored", "none", few)
    people = personal(profile, values)
    if people:
        role = "id" if profile.distinct == profile.rows else "ignored"
        return ColumnPlan(profile, role, "none", f"personal data: looks like {people}", pii=True)
    if profile.distinct == 1 and not profile.missing:
        return ColumnPlan(profile, "ignored", "none", f"one value only: {values.drop_nulls()[0]}")
    if likeness is not None and likeness >= COPY:
        why = "leakage: a copy of the target in other words or numbers"
        return ColumnPlan(profile, "ignored", "none", why)
    decision = _by_type(profile, values)
    if likeness is not None and likeness >= SUSPICIOUS and decision.kind != "none":
        doubt = f"; follows the target closely ({likeness:.3f}): make it an outcome if it is"
        return replace(decision, why=f"{decision.why}{doubt} known only afterwards")
    return decision


def _by_type(profile: Profile, values: pl.Series) -> ColumnPlan:
    if profile.dtype.startswith("Date"):
        return ColumnPlan(profile, "input", "date", "date: year, month, weekday")
    if profile.dtype == "String":
        return _text(profile, values)
    if profile.dtype == "Int64":
        return _integer(profile)
    return ColumnPlan(
        profile, "input", "number", "yes or no" if profile.dtype == "Boolean" else "number"
    )


def _text(profile: Profile, values: pl.Series) -> ColumnPlan:
    own = profile.distinct / profile.filled
    words = values.drop_nulls().head(LOOKED_AT).str.count_matches(r"\S+").median()
    prose = isinstance(words, float) and words >= WORDS_OF_PROSE
    if prose and (own > OWN_VALUE_SHARE or profile.distinct > MANY_CATEGORIES):
        return ColumnPlan(profile, "ignored", "none", "free text")
    if profile.distinct == profile.rows:
        return ColumnPlan(profile, "id", "none", "identifier: another value in every row")
    if own > OWN_VALUE_SHARE:
        return ColumnPlan(profile, "ignored", "none", f"{own:.0%} of the values occur only here")
    if profile.distinct > MANY_CATEGORIES:
        return ColumnPlan(
            profile, "input", "category", f"high cardinality: {profile.distinct} categories"
        )
    return ColumnPlan(profile, "input", "category", f"{profile.distinct} categories")


def _integer(profile: Profile) -> ColumnPlan:
    unique = profile.distinct == profile.rows
    coded = bool(CODE.search(profile.name) or CAMEL_CODE.search(profile.name))
    if unique and coded:
        return ColumnPlan(profile, "id", "none", "identifier: another value in every row")
    if unique and profile.low in (0, 1) and profile.high - profile.low + 1 == profile.rows:
        return ColumnPlan(profile, "ignored", "none", "row number")
    if not coded:
        return ColumnPlan(profile, "input", "number", "whole number")
    if profile.distinct <= max(MANY_CATEGORIES, CODE_SHARE * profile.filled):
        return ColumnPlan(profile, "input", "category", f"code with {profile.distinct} values")
    why = f"identifier that repeats; GROUP={profile.name} keeps its rows in one split"
    return ColumnPlan(profile, "ignored", "none", why)


def personal(profile: Profile, values: pl.Series) -> str | None:
    """What data about people a column seems to hold, by its name and its values."""
    if profile.dtype not in ("String", "Int64"):
        return None
    said = values.drop_nulls().unique(maintain_order=True).head(LOOKED_AT).cast(pl.String)
    for kind in PERSONAL:
        share = int(said.str.contains(kind.values).sum()) / len(said)
        titled = re.search(kind.title, profile.name, re.IGNORECASE)
        if share >= kind.alone or (titled and share > OWN_VALUE_SHARE):
            return kind.what
    if int(said.map_elements(is_card_number, return_dtype=pl.Boolean).sum()) > 0.9 * len(said):
        return "card numbers"
    return None


def is_card_number(said: str) -> bool:
    """Whether digits pass the check of Luhn (ISO/IEC 7812-1), as those of payment cards do."""
    bare = re.sub(r"[ -]", "", said)
    # No card begins with 1, as times counted from 1970 do.
    if not re.fullmatch(r"[2-6]\d{12,18}", bare, re.ASCII):
        return False
    digits = [int(digit) for digit in bare]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def likeness(table: Table, target: str, task: Task) -> dict[str, float]:
    """How nearly each comparable column is the target: rank correlation, or 1 if each of its
    values stands for exactly one class."""
    some = table.frame.filter(pl.col(target).is_not_null())
    some = some.sample(min(some.height, COMPARED_ROWS), seed=0)
    if task.name == "regression":
        numbers = [
            p.name
            for p in table.profiles.values()
            if p.dtype in ("Int64", "Float64") and p.name != target and p.filled >= LEAST_ROWS
        ]
        return {name: _rank_correlation(some, name, target) for name in numbers}
    classes = some[target].n_unique()
    same = [p.name for p in table.profiles.values() if p.distinct == classes and p.name != target]
    return {name: 1.0 for name in same if _stands_for(some, name, target, classes)}


def _rank_correlation(frame: pl.DataFrame, name: str, target: str) -> float:
    both = frame.select(name, target).drop_nulls()
    value = both.select(pl.corr(name, target, method="spearman")).item()
    return abs(value) if value is not None and value == value else 0.0


def _stands_for(frame: pl.DataFrame, name: str, target: str, classes: int) -> bool:
    both = frame.select(name, target).drop_nulls()
    return both.height >= LEAST_ROWS and both.n_unique() == classes == both[name].n_unique()
