"""Expectations of your data. Tighten them, and add others, as you learn what is normal."""

import polars as pl

from mlops_loop.data.contract import FEATURE_ROLES, load_contract
from mlops_loop.data.validation import validate
from mlops_loop.files import partitions, read_json
from mlops_loop.project import SPLITS, Paths

from {{ cookiecutter.package_name }}.data import validate as stage
from {{ cookiecutter.package_name }}.features import definitions
from {{ cookiecutter.package_name }}.params import load_params

MOST_DROPPED = 0.3
MOST_CORRELATED = 0.99995


def target() -> str:
    """The name of the target's column."""
    return definitions.TARGET.meta.output_name()


def read(own: Paths, stage: str) -> dict[str, pl.DataFrame]:
    """The splits as a stage (interim or processed) left them."""
    folder = getattr(own, stage)
    return {split: pl.read_parquet(folder / split / "*.parquet") for split in SPLITS}


def test_raw_data_keep_the_contract(own: Paths) -> None:
    contract = load_contract(own.contract)
    for path in partitions(own.raw):
        assert validate(pl.read_parquet(path), contract, path.name, stage.CHECKS) == []


def test_no_row_is_in_two_splits(own: Paths) -> None:
    if any(c.pii and c.role == "id" for c in load_contract(own.contract).columns):
        return  # without their person, the rows of two people may look the same
    train, validation, test = (set(frame.hash_rows()) for frame in read(own, "interim").values())
    assert train.isdisjoint(test)
    assert train.isdisjoint(validation)
    assert validation.isdisjoint(test)


def test_splits_follow_each_other_in_time(own: Paths) -> None:
    time = load_contract(own.contract).names("time")
    if time and not load_params(own.params).prepare.group:
        train, validation, test = (frame[time[0]] for frame in read(own, "interim").values())
        assert train.max() < validation.min()
        assert validation.max() < test.min()


def test_most_rows_with_a_target_are_used(own: Paths) -> None:
    report = read_json(own.prepare_report)
    reasons = {**report["dropped"], "target is missing": 0}
    dropped, used = sum(reasons.values()), sum(report["rows"].values())
    assert dropped / (dropped + used) < MOST_DROPPED


def test_the_target_is_known_and_varies(own: Paths) -> None:
    for frame in read(own, "processed").values():
        assert frame[target()].null_count() == 0
        assert not frame[target()].dtype.is_float() or frame[target()].is_finite().all()
    assert read(own, "processed")["train"][target()].n_unique() > 1


def test_features_are_finite_and_filled_where_their_columns_are(own: Paths) -> None:
    filled = {c.name for c in load_contract(own.contract).columns if not c.nullable}
    plain = [each for each in definitions.FEATURES if each.meta.root_names()]  # no selectors
    whole = [f.meta.output_name() for f in plain if {*f.meta.root_names()} <= filled]
    for split, frame in read(own, "processed").items():
        assert not any(frame.select(whole).null_count().row(0)), split
        for values in frame.drop(target()).select(pl.selectors.float()):
            assert values.drop_nulls().is_finite().all(), (split, values.name)


def test_no_feature_sees_what_is_known_only_afterwards(own: Paths) -> None:
    known = set(load_contract(own.contract).names(*FEATURE_ROLES))
    for feature in definitions.FEATURES:
        assert set(feature.meta.root_names()) <= known, feature


def test_no_feature_is_the_target_in_disguise(own: Paths) -> None:
    frame = pl.concat(read(own, "processed").values())
    numbers = (pl.selectors.numeric() | pl.selectors.boolean()).exclude(target())
    ranks = frame.select(numbers.rank(), pl.col(target()).rank())
    for name in ranks.drop(target()).columns:
        both = ranks.select(name, target()).drop_nulls()
        correlation = both.select(pl.corr(name, target())).item() or 0
        assert not abs(correlation) > MOST_CORRELATED, name
