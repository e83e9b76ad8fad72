"""Retraining without training: rows of the log, truths that are set aside, triggers, approval."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from mlops_loop.data.contract import load_contract
from mlops_loop.data.known_target import ID, find_definitions
from mlops_loop.database import database
from mlops_loop.models.model import model_hash
from mlops_loop.monitoring import decide, retrain, rows
from mlops_loop.monitoring.clone import Clone
from mlops_loop.monitoring.evidence import Evidence
from mlops_loop.monitoring.params import Candidate, LogRows, Retrain, read_section
from mlops_loop.project import UserError
from mlops_loop.serving import log_tables as log
from mlops_loop.tracking import history
from mlops_loop.tracking.registry import Registry
from project.data import prepare, sources, validate
from project.models import register
from project.models.metrics import SCORING
from project.monitoring import triggers
from project.params import load_params
from projects import DEFINITIONS, Project, gate, offer, registry_of, sales

TARGET, KEEP_ROWS = DEFINITIONS["TARGET"], DEFINITIONS["KEEP_ROWS"]
FIRST = date(2024, 3, 1)
NEW = {"train.base": None}  # a fit anew


def options(**changes: Any) -> Retrain:
    """Section `retrain` as in a new project."""
    given = {
        **{"schedule_days": None, "new_rows": None, "wait_days": 14, "cool_down_days": 14},
        **{"per_year": 12, "rows": "log", "delay_days": 0, "judge_days": 7},
        **{"candidates": {"all": {}}, "rollout": "promote", "approval": "auto"},
    }
    return read_section(Retrain, given | changes)


def entry(event: str, day: date, version: int | None = None, **content: Any) -> history.Entry:
    """An entry of the history."""
    content = {"day": str(day), "until": str(day), "set_aside": {}, **content}
    return history.Entry(1, datetime(2024, 3, 1), event, "loop", version, "", content)


def checked(ratios: list[float], alarms: tuple[int, ...] = ()) -> dict[str, Any]:
    """The content of a check of days with these ratios, with alarms on some."""
    days = [str(FIRST + timedelta(days=number)) for number in range(len(ratios))]
    return {
        "reference": {"last": str(FIRST - timedelta(days=1))},
        "alarms": [{"day": days[number], "level": "act", "about": "loss"} for number in alarms],
        "columns": [],
        "loss": {
            "by_day": [
                {"day": day, "rows": 100, "observed": ratio, "expected": 1.0, "ratio": ratio}
                for day, ratio in zip(days, ratios, strict=True)
            ]
        },
    }


def evidence(
    check: dict[str, Any], *entries: history.Entry, day: int = 60, **changes: Any
) -> Evidence:
    """The evidence of triggers so many days after FIRST."""
    return Evidence(FIRST + timedelta(days=day), check, entries, options(**changes))


class Log:
    """A project whose prediction log is filled by hand."""

    def __init__(self, project: Project) -> None:
        self.project, self.contract = project, load_contract(project.contract)
        project.log.parent.mkdir()
        self.engine = database(f"sqlite:///{project.log}")
        log.prepare(self.engine)

    def write(self, rows: pl.DataFrame, truths: list[Any], delay: int = 3, **facts: Any) -> None:
        """Log rows at their own time, with truths that come some days later."""
        known = {"request_id": "r", "version": 1, "alias": "champion", "strategy": "single"}
        known |= {"shown": True, "environment": "", "code_version": "", "latency_ms": 1.0} | facts
        asked = rows.drop("price").cast({pl.Datetime: pl.String}).to_dicts()
        said, told = [], []
        for at, inputs, truth in zip(rows["sold_at"], asked, truths, strict=True):
            inputs["sold_at"] = at.isoformat()
            said.append({"id": str(uuid.uuid4()), "time": at, "inputs": inputs, "output": {}})
            came = {"id": str(uuid.uuid4()), "prediction_id": said[-1]["id"], "actual": truth}
            told.append(came | {"time": at + timedelta(days=delay)})
        with self.engine.begin() as connection:
            log.insert(connection, log.predictions, [each | known for each in said])
            log.insert(connection, log.feedback, told)

    def tell(self, number: int, truth: Any) -> None:
        """Tell another truth of a prediction, later than any other."""
        with self.engine.begin() as connection:
            ids = connection.execute(log.predictions.select().order_by(log.predictions.c.time))
            known = {"id": str(uuid.uuid4()), "prediction_id": ids.all()[number].id}
            known |= {"time": datetime(2025, 1, 1), "actual": truth}
            log.insert(connection, log.feedback, [known])

    def open(self) -> rows.LabelledLog:
        """The log as a retraining reads it."""
        return rows.LabelledLog.open(self.project, self.contract, TARGET)

    def partitions(self, **options: Any) -> dict[str, pl.DataFrame]:
        """The rows that source `log` brings into data/raw."""
        given = LogRows.model_validate(options)
        found = rows.list_partitions(self.project, given, self.contract, TARGET)
        for partition in found:
            self.project.raw.mkdir(exist_ok=True)
            partition.fetch(self.project.raw / partition.name)
        return {path.stem: pl.read_parquet(path) for path in sorted(self.project.raw.iterdir())}


@pytest.fixture
def told(project: Project) -> Log:
    """A log of two months of sales."""
    made, sold = Log(project), sales(1_400).drop_nulls("price")
    made.write(sold, sold["price"].to_list())
    return made


def test_the_log_becomes_a_partition_a_month_with_the_latest_truths(told: Log) -> None:
    told.tell(0, 77)
    told.tell(1, "no number")
    sold = sales(1_400).drop_nulls("price")
    told.write(sold[:5], [1.0] * 5, shown=False)
    told.write(sold[:5], [1.0] * 5, request_id=log.DELIVERY)
    found = told.partitions()
    assert [*found] == ["log_2024-01", "log_2024-02"]
    every = pl.concat(found.values()).sort("sold_at")
    names = ["sold_at", "shop", "size", "items", "express", "euros", ID]
    assert (every.columns, every.height) == (names, sold.height - 1), "a truth is no number"
    assert every["euros"][:2].to_list() == [77.0, sold["price"][2]]
    assert every.drop("euros", ID).equals(
        sold.drop("price").with_row_index().filter(pl.col("index") != 1).drop("index")
    )
    one = told.partitions(since="2024-01-10", until="2024-01-10")["log_2024-01"]
    assert set(one["sold_at"].dt.date()) == {date(2024, 1, 10)}


def test_another_truth_makes_another_origin(told: Log) -> None:
    def origins() -> list[str]:
        found = rows.list_partitions(told.project, LogRows(), told.contract, TARGET)
        return [partition.origin for partition in found]

    before = origins()
    assert origins() == before
    told.tell(0, 5.0)
    assert [a == b for a, b in zip(before, origins(), strict=True)] == [False, True]


def test_rows_of_the_log_pass_beside_raw_ones_without_their_outcomes(told: Log) -> None:
    sold = sales(50, seed=1).with_columns(shop=pl.lit("a new shop"))
    told.write(sold, [149.0] * 25 + [151.0] * 25)
    months = told.partitions()
    whole = sales(1_000)
    told.project.put_raw(whole, *months.values())
    validate.main(told.project)
    prepare.main(told.project)
    kept = pl.read_parquet(told.project.interim / "*" / "*.parquet")
    bound = sum(
        frame.filter(pl.col("euros").is_between(0, 150)).height for frame in months.values()
    )
    assert kept.height == bound + whole["price"].is_between(0, 150).sum()
    assert kept.filter(pl.col("shop") == "a new shop")["euros"].to_list() == [149.0] * 25
    told.project.put_raw(whole.drop("price"))
    with pytest.raises(UserError, match="column not found"):
        validate.main(told.project)


def test_rules_of_the_target_hold_for_a_known_target(project: Project) -> None:
    start, end = pl.col("start"), pl.col("end")
    target = ((end - start) / 60).alias("minutes")
    ours = target.is_between(1, 60).alias("trips"), ((end - start) / 60 < 90).alias("unnamed")
    rules = [*ours, (end >= start).alias("needs the outcome"), (start > 0).alias("plain")]
    text = project.contract.read_text()
    column = "  - {name: NAME, dtype: Float64, role: ROLE, nullable: false, description: x}\n"
    for name, role in (("start", "input"), ("end", "outcome")):
        text += column.replace("NAME", name).replace("ROLE", role)
    project.contract.write_text(text)
    contract = load_contract(project.contract)
    held = [ID, "minutes", "start"]
    own, known, kept = find_definitions(held, contract, target, rules)
    assert [rule.meta.output_name() for rule in kept] == ["trips", "unnamed", "plain"]
    frame = pl.DataFrame({"start": [0.0, 1.0, 1.0], "minutes": [30.0, 61.0, 90.0]})
    assert frame.select(*kept).rows() == [
        (True, True, False),
        (False, True, True),
        (False, False, True),
    ]
    assert frame.select(known).columns == ["minutes"]
    assert "end" not in own.names("outcome") and "minutes" in own.names("outcome")
    assert find_definitions(held[1:], contract, target, rules) == (contract, target, rules)


def test_a_window_leaves_old_rows_out_but_for_a_stable_share(project: Project) -> None:
    def read() -> pl.DataFrame:
        prepare.main(project)
        return pl.read_parquet(project.interim / "*" / "*.parquet")

    sold = sales(2_000).with_columns(price=pl.lit(5.0))
    project.put_raw(sold)
    whole, since = read(), datetime(2024, 2, 15)
    project.edit(prepare__since="2024-02-15")
    assert read().sort("sold_at").equals(whole.filter(pl.col("sold_at") >= since).sort("sold_at"))
    project.edit(prepare__until="2024-02-20")
    end = datetime(2024, 2, 20)
    assert (
        read()
        .sort("sold_at")
        .equals(
            whole.filter(pl.col("sold_at").is_between(since, end, closed="left")).sort("sold_at")
        )
    )
    project.edit(prepare__until=None, prepare__old_share=0.25)
    kept = read().filter(pl.col("sold_at") < since)
    assert 0.2 < kept.height / whole.filter(pl.col("sold_at") < since).height < 0.3
    project.put_raw(sold[:1_800:2])
    again = read().filter(pl.col("sold_at") < since)
    assert set(again["sold_at"]) <= set(kept["sold_at"]), "a row stays whatever comes or goes"
    project.contract.write_text(project.contract.read_text().replace("role: time", "role: ignored"))
    with pytest.raises(UserError, match=r"prepare\.since and until need a time column"):
        prepare.main(project)


def test_truths_that_contradict_the_rest_are_set_aside(told: Log) -> None:
    fresh = sales(300, seed=2).drop_nulls("price")
    poisoned = fresh.with_columns(pl.col("sold_at") + timedelta(days=60, minutes=7))
    told.write(poisoned, (10 * poisoned["price"]).to_list(), delay=40)
    told.tell(0, 1e6)
    quiet = evidence(checked([1.0]))
    aside, number = rows.find_aside(told.open(), (-200.0, 400.0), quiet)
    days = poisoned["sold_at"].dt.date().unique().sort()
    assert list(aside.arrived) == [day + timedelta(days=40) for day in days]
    assert (aside.days, number) == ((), poisoned.height + 1)
    kept = pl.concat(told.partitions(set_aside=aside.model_dump()).values())
    assert kept.height == sales(1_400)["price"].count() - 1
    assert kept["euros"].max() < 400
    weekly = evidence(checked([9.0, *[1.0] * 10]) | {"every": "7d"})
    days = rows.find_aside(told.open(), None, weekly)[0].days
    assert days == tuple(FIRST + timedelta(days=number) for number in range(7))


@pytest.mark.parametrize(
    ("ratios", "days"),
    [
        ([1.0, 1.1, 0.9, 5.0, 6.0, 1.0, 1.0], [3, 4]),  # came back
        ([1.0] * 10 + [4.0] * 3, [10, 11, 12]),  # it may be real: it must last
        ([1.0] * 10 + [4.0] * 14, []),
        ([1.0, 1.3, 1.5, 1.6], []),
        ([4.0, 1.0], [0]),
        ([], []),
    ],
)
def test_a_jump_of_the_loss_is_learned_only_if_it_lasts(
    ratios: list[float], days: list[int]
) -> None:
    found = rows.find_jumps(evidence(checked(ratios)))
    assert found == [FIRST + timedelta(days=day) for day in days]


def test_a_page_that_lasts_is_learned_though_its_loss_falls_now_and_then() -> None:
    lasting = [1.0] * 10 + [
        2.4,
        1.9,
        2.3,
        2.2,
        7.0,
        1.8,
        2.5,
        2.1,
        1.9,
        2.6,
        2.2,
        1.7,
        2.3,
        2.4,
        2.2,
    ]
    known = evidence(checked([1.0, 3.0, *lasting], alarms=(12,)))
    assert rows.find_jumps(known) == [FIRST + timedelta(days=day) for day in (1, 16)]


def test_days_that_were_set_aside_stay_so_when_a_check_knows_them_no_longer(told: Log) -> None:
    earlier = {"days": ["2024-01-05"], "arrived": [], "between": None}
    before = entry("retrain", FIRST, outcome="promoted", set_aside=earlier)
    aside, number = rows.find_aside(told.open(), None, evidence(checked([1.0]), before))
    assert aside.days == (date(2024, 1, 5),)
    assert number == sum(
        day.date() == date(2024, 1, 5)
        for day in told.open().read((datetime(2024, 1, 1), datetime(2024, 2, 1)))["sold_at"]
    )


def test_a_page_starts_candidates_only_after_labelled_days() -> None:
    up = [1.0, 1.0, 1.4] + [1.3] * 20
    for days, fires in ((16, False), (17, True)):
        found = evidence(checked(up[:days], alarms=(2,)))
        assert bool(triggers.decide(found)) == fires
        assert found.page and found.page.onset == FIRST + timedelta(days=2)
    assert "+31% against the expected one since 2024-03-03" in triggers.performance(found)
    assert triggers.decide(evidence(checked(up))) == {}, "no alarm, no page"


def test_a_page_that_quietens_is_dropped() -> None:
    storm = [1.0, 1.5, 1.4, 1.5] + [1.0] * 20
    assert evidence(checked(storm[:8], alarms=(1, 2, 3))).page
    assert evidence(checked(storm[:9], alarms=(1, 2, 3))).page is None
    assert triggers.decide(evidence(checked(storm, alarms=(1, 2, 3)))) == {}
    again = evidence(checked([*storm, 1.5], alarms=(1, 2, 3, 24)))
    assert again.page and again.page.onset == FIRST + timedelta(days=24)


def test_alarms_of_the_last_weeks_do_not_keep_a_page_whose_days_are_calm() -> None:
    poisoned = [1.0] * 5 + [2.0] * 3 + [1.0] * 25
    found = evidence(checked(poisoned, alarms=tuple(range(5, 33))))
    assert triggers.decide(found) == {}


def test_a_page_begins_where_the_loss_rose_not_with_an_alarm_of_earlier_weeks() -> None:
    found = evidence(checked([1.0, 1.1, 0.9, 1.1, *[1.9] * 14], alarms=tuple(range(18))))
    assert found.page and found.page.onset == FIRST + timedelta(days=4)


def test_after_a_refusal_the_page_goes_on_and_after_the_third_it_waits_for_an_alarm() -> None:
    check = checked([1.3] * 40, alarms=(0,))

    def tried(*outcomes: str) -> Evidence:
        days = [FIRST + timedelta(days=15 + number) for number in range(len(outcomes))]
        entries = [
            entry("retrain", day, outcome=outcome)
            for day, outcome in zip(days, outcomes, strict=True)
        ]
        return evidence(check, *entries)

    page = tried("refused").page
    assert page and page.onset == FIRST + timedelta(days=16)
    assert tried("refused", "refused", "refused").page is None
    assert tried("refused", "promoted").page is None
    assert tried("failed").page.onset == FIRST  # type: ignore[union-attr]


def test_triggers_of_time_number_and_files() -> None:
    check = checked([1.0] * 10)
    assert triggers.decide(evidence(check)) == {}
    old = evidence(check, day=29, schedule_days=30)
    assert triggers.decide(old) == {"schedule": "the last training knows nothing after 2024-02-29"}
    assert triggers.decide(evidence(check, day=28, schedule_days=30)) == {}
    assert triggers.decide(evidence(check, new_rows=1_000)) == {"volume": "1000 new rows"}
    seen = entry("retrain", FIRST, outcome="refused")
    assert triggers.decide(evidence(check, seen, new_rows=1_000)) == {}
    files = Evidence(FIRST, check, (), options(), ["june.parquet"])
    assert triggers.decide(files) == {"data": "new data: june.parquet"}
    assert triggers.decide(evidence({}, schedule_days=1, new_rows=1)) == {}, "nothing is known"
    drifted = evidence(check | {"columns": [{"column": "shop", "alarm_days": 2}]})
    assert triggers.drift(drifted) == "drift of shop"


def test_cool_down_budget_and_a_waiting_version_forbid() -> None:
    def after(days: int, *entries: history.Entry, **changes: Any) -> str:
        return evidence({}, *entries, day=days, **changes).forbidden()

    done = entry("retrain", FIRST, 2, outcome="promoted")
    assert "the cool-down is 14 days" in after(13, done)
    assert after(14, done) == "" == after(13, entry("retrain", FIRST, outcome="failed"))
    assert "all that retrain.per_year allows" in after(364, done, per_year=1)
    assert after(365, done, per_year=1) == ""
    waits = entry("retrain", FIRST, 2, outcome="waiting")
    assert after(99, waits) == "version 2 waits for a decision"
    assert after(99, waits, entry("promote", FIRST, 1)) == "version 2 waits for a decision"
    for event in ("approve", "reject", "promote"):
        assert after(99, waits, entry(event, FIRST, 2)) == ""


def test_the_newest_day_is_a_whole_one_with_outcomes(project: Project) -> None:
    sold = sales(1_000)  # until 2024-02-11 15:00
    stray = sold[:1].with_columns(sold_at=datetime(2031, 1, 1))
    late = sales(1_100)[1_000:].with_columns(price=pl.lit(None, pl.Float64))
    project.put_raw(sold, stray, late)
    assert retrain.find_newest(project, TARGET, date(2030, 1, 1)) == date(2024, 2, 11)
    assert retrain.find_newest(project, TARGET, date(2024, 2, 5)) == date(2024, 2, 5)
    project.contract.write_text(project.contract.read_text().replace("role: time", "role: ignored"))
    assert retrain.find_newest(project, TARGET, date(2030, 1, 1)) is None


@pytest.mark.parametrize("group", [None, "shop"])
def test_a_candidate_has_its_window_and_all_have_the_same_test_rows(
    project: Project, group: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit(prepare__since="2020-01-01", prepare__old_share=0.5, prepare__group=group)
    text = project.params.read_text()
    facts = {"days": 10, "prepare.old_share": 0.2, "train.model": "linear"}
    needs = load_params(project.params), options(candidates={"all": {}, "fresh": facts})
    yours = retrain.Yours(*needs, *[None] * 6)  # type: ignore[arg-type]
    clone, done, windows = Clone(project, project, "", "manual"), [], []
    for step in ("repro", "commit"):
        monkeypatch.setattr(Clone, step, lambda _, *facts: done.append(facts[0]))
    for candidate in yours.options.candidates.values():
        project.params.write_text(text)
        retrain.try_candidate(clone, yours, candidate, date(2024, 2, 20), NEW, "why")
        params = load_params(project.params)
        window = params.prepare
        windows.append((window.since, window.old_share, window.test_from, params.train.model))
    test_from = None if group else date(2024, 2, 14)
    assert windows == [
        (None, 0.0, test_from, "lightgbm"),
        (date(2024, 2, 11), 0.2, test_from, "linear"),
    ]
    assert done[:3] == ["Retrain why", "evaluate", "Results of why"]
    with pytest.raises(UserError, match="no time column"):
        retrain.try_candidate(clone, yours, candidate, None, NEW, "why")


def test_a_stateful_candidate_continues_the_champion_on_the_days_since(
    trained: Project,
) -> None:
    offer(trained, "better")
    registry, clone = registry_of(trained), Clone(trained, trained, "", "manual")
    champion, wanted = registry.find("champion"), Candidate(stateful=3)
    assert retrain.bring_base(clone, registry, champion, Candidate()) == NEW
    learned = pl.read_parquet(trained.interim / "validation" / "*.parquet")["sold_at"].max()
    since = str(learned.date() + timedelta(days=1))  # type: ignore[union-attr]
    for _ in range(2):  # also where a base is there already
        found = retrain.bring_base(clone, registry, champion, wanted)
        assert found == {"train.base": 1, "prepare.since": since}
    assert model_hash(trained.base) == champion.tags["model_hash"]
    bases = {2: "1", 3: "2"}  # versions in a row, as their runs name them

    class Chain:
        """A registry in which version 3 continued version 2, and that version 1."""

        find = staticmethod(lambda name: replace(champion, number=int(name)))
        artifact, model_files = registry.artifact, registry.model_files

        @staticmethod
        def record(version: Any) -> Any:
            return SimpleNamespace(params={"train.base": bases.get(version.number, "None")})

    some: Any = Chain()
    for number, base in ((2, 2), (3, None)):
        last = replace(champion, number=number)
        assert retrain.bring_base(clone, some, last, wanted)["train.base"] == base


def test_trees_are_continued_on_the_same_features_and_known_categories_alone(
    trained: Project,
) -> None:
    trained.put_model("better")
    shutil.copytree(trained.candidate, trained.base)
    triggers.check_base(trained)
    [path] = (trained.processed / "validation").iterdir()
    rows = pl.read_parquet(path)
    rows.with_columns(shop=pl.lit("moon")).write_parquet(path)
    with pytest.raises(UserError, match=r"1\d\.\d% of the rows have a shop that the champion does"):
        triggers.check_base(trained)
    rows.write_parquet(path)
    features = trained.processed / "features.json"
    text = features.read_text()
    features.write_text(text.replace("size", "width"))
    with pytest.raises(UserError, match="of the same features"):
        triggers.check_base(trained)
    features.write_text(text)
    trained.edit(train__model="linear")
    with pytest.raises(UserError, match="only LightGBM"):
        triggers.check_base(trained)


def test_new_files_are_those_that_the_last_training_did_not_have(project: Project) -> None:
    files = {"a.parquet": "1", "b.parquet": "2"}
    assert retrain.find_new(project, files, []) == [], "nothing tells"
    project.put_raw(sales(10))
    assert retrain.find_new(project, files, []) == ["a.parquet", "b.parquet"]
    last = entry("retrain", FIRST, outcome="refused", files={"a.parquet": "1", "b.parquet": "1"})
    assert retrain.find_new(project, files, [last]) == ["b.parquet"]


@pytest.fixture
def decided(trained: Project, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A call of `run` in a project with a champion, whose training only says how it ended."""
    offer(trained, "better")
    ends: list[Any] = []

    def train(*_: Any) -> dict[str, Any]:
        if isinstance(end := ends.pop(), Exception):
            raise end
        facts = {"reason": "as the gate says", "version": 2, "until": str(FIRST), "branch": "b"}
        return {"outcome": end, "set_aside": {}, **facts}

    @contextmanager
    def clone(*_: Any) -> Iterator[None]:
        yield None

    monkeypatch.setattr(retrain, "train", train)
    monkeypatch.setattr(retrain, "open_clone", clone)
    params = load_params(trained.params)
    needs = (params, options(schedule_days=2, cool_down_days=5), sources, None, TARGET)
    yours = retrain.Yours(*needs, triggers.decide, triggers.check_base, register.register)  # type: ignore[arg-type]

    def run(day: int, end: Any = None, trigger: str = "") -> dict[str, Any]:
        ends.append(end)
        today = FIRST + timedelta(days=day)
        return retrain.run(trained, yours, checked([1.0] * 2), today, trigger)

    return run


def test_every_decision_is_recorded_with_its_reason(decided: Any, trained: Project) -> None:
    assert decided(0) == {"outcome": None, "reason": "no trigger fires"}
    assert decided(2, "promoted")["trigger"] == "schedule"
    assert "cool-down is 5 days" in decided(4)["reason"]
    assert decided(4, "refused", trigger="manual")["outcome"] == "refused"
    with pytest.raises(UserError, match="no space left"):
        decided(30, UserError("no space left"))
    events = [(e.event, e.reason, e.day) for e in history.read(trained, "trigger", "retrain")]
    days = [FIRST + timedelta(days=number) for number in (0, 2, 4, 30)]
    known = "the last training knows nothing after"
    assert events == [
        ("trigger", "no trigger fires", days[0]),
        ("trigger", f"{known} 2024-02-29", days[1]),
        ("retrain", "as the gate says", days[1]),
        (
            "trigger",
            f"{known} 2024-03-01; the last retraining was on 2024-03-03, and the cool-down is 5 days",
            days[2],
        ),
        ("trigger", "TRIGGER=manual", days[2]),
        ("retrain", "as the gate says", days[2]),
        ("trigger", f"{known} 2024-03-01", days[3]),
        ("retrain", "no space left", days[3]),
    ]


def test_a_freeze_stops_all_but_a_person(decided: Any, trained: Project) -> None:
    decide.freeze(trained, ["--reason=audit"])
    assert decided(2)["reason"].endswith("audit")
    assert decided(2, trigger="nightly")["outcome"] is None
    assert decided(2, "promoted", trigger="manual")["outcome"] == "promoted"
    decide.freeze(trained, ["--off=1"])
    assert decided(20, "promoted")["outcome"] == "promoted"


class Kill(BaseException):
    """The end of a process."""


@pytest.mark.parametrize("killed", ["keep 1", "register", "tag", "keep 2"])
def test_killed_after_any_step_it_starts_over(
    killed: str, trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(trained, "worse")
    trained.put_model("better")
    refs: dict[str, str] = {}
    steps: list[str] = []

    def step(name: str, action: Any = lambda *_: None) -> Any:
        def act(*given: Any) -> Any:
            result = action(*given)
            steps.append(name)
            done = {name, f"{name} {steps.count(name)}"}
            if killed in done and not refs.get("killed"):
                refs["killed"] = "yes"
                raise Kill
            return result

        return act

    @contextmanager
    def clone(*_: Any) -> Iterator[Clone]:
        steps.clear()
        yield Clone(trained, trained, "", "manual")

    taken = {"restore": None, "publish": None, "keep": None}
    taken["keep"] = lambda _, commit, *names: refs.update(dict.fromkeys(names, commit))
    for name, action in taken.items():
        monkeypatch.setattr(Clone, name, step(name, *filter(None, [action])))
    monkeypatch.setattr(Clone, "find_branch", lambda *_: f"loop/{len(refs)}")
    monkeypatch.setattr(Clone, "find_commit", lambda *_: "abc")
    monkeypatch.setattr(retrain, "open_clone", clone)
    monkeypatch.setattr(retrain, "take_rows", lambda *_: {"set_aside": {}, "rows_aside": 0})
    monkeypatch.setattr(retrain, "try_candidate", lambda *_: "abc")
    needs = load_params(trained.params), options(approval="human"), sources, SCORING["regression"]
    registering = step("register", register.register)
    yours = retrain.Yours(*needs, TARGET, triggers.decide, triggers.check_base, registering)
    monkeypatch.setattr(Registry, "tag", step("tag", Registry.tag))
    with pytest.raises(Kill):
        retrain.run(trained, yours, {}, FIRST, "manual")
    assert registry_of(trained).aliases()["champion"] == 1
    done = retrain.run(trained, yours, {}, FIRST, "manual")
    assert (done["outcome"], done["version"]) == ("waiting", 2)
    assert registry_of(trained).aliases() == {"champion": 1, "challenger": 2}
    assert refs["refs/loop/v2"] == "abc" == refs[f"refs/heads/{done['branch']}"]
    assert registry_of(trained).find(2).tags[decide.APPROVAL] == "waiting"


@pytest.fixture
def waiting(trained: Project) -> Project:
    """A project whose version 2 is better than the champion, and was kept back."""
    registry = registry_of(trained)
    trained.put_model("worse")
    register.register(registry, trained)
    trained.put_model("better")
    register.register(registry, trained, "kept back for a person")
    registry.tag(2, {decide.APPROVAL: "waiting"})
    return trained


def test_a_better_version_is_kept_back_and_approved(waiting: Project) -> None:
    registry, judged = registry_of(waiting), gate(waiting)
    assert (judged["decision"], judged["alias"]) == ("hold", "challenger")
    assert judged["reasons"][-1] == "kept back for a person"
    assert registry.aliases() == {"champion": 1, "challenger": 2}
    decide.decide(waiting, "approve", ["--reason=looks right"])
    assert registry.aliases() == {"champion": 2, "previous": 1}
    events = [(e.event, e.version, e.reason) for e in history.read(waiting, "approve", "promote")]
    assert events[-2:] == [("approve", 2, "looks right"), ("promote", 2, "looks right")]
    with pytest.raises(UserError, match="version 2 does not wait for a decision"):
        decide.decide(waiting, "approve", ["--version=2"])


def test_a_rejected_version_does_not_come_back(waiting: Project) -> None:
    registry = registry_of(waiting)
    with pytest.raises(UserError, match="give a reason"):
        decide.decide(waiting, "reject", ["--reason= "])
    assert registry.aliases() == {"champion": 1, "challenger": 2}
    decide.decide(waiting, "reject", ["--reason=unfair to the north"])
    assert registry.aliases() == {"champion": 1}
    assert registry.find(2).tags["reason"] == "unfair to the north"
    register.register(registry, waiting)
    assert (registry.aliases(), gate(waiting)["decision"]) == ({"champion": 1}, "hold")


def test_the_section_of_a_new_project_is_valid(project: Project) -> None:
    section = read_section(Retrain, load_params(project.params).retrain)
    assert {name: each.days for name, each in section.candidates.items()} == {
        "old_and_fresh": 42,
        "fresh": 14,
    }
    with pytest.raises(UserError, match=r"retrain\.wait_days"):
        options(wait_days=0)
