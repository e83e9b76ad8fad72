"""Expectations on this project's own data. Raise or add to them as you learn what is normal."""

import polars as pl
from conftest import Project

from {{ cookiecutter.package_name }}.data.contract import KNOWN, load_contract
from {{ cookiecutter.package_name }}.data.validate import validate
from {{ cookiecutter.package_name }}.features.definitions import FEATURES, TARGET
from {{ cookiecutter.package_name }}.files import partitions, read_json
from {{ cookiecutter.package_name }}.params import load_params
from {{ cookiecutter.package_name }}.paths import SPLITS

TARGET_NAME = TARGET.meta.output_name()
MOST_DROPPED = 0.3
MOST_CORRELATED = 0.99995


def read(project: Project, stage: str) -> dict[str, pl.DataFrame]:
    """The splits as a stage (interim or processed) left them."""
    folder = getattr(project, stage)
    return {split: pl.read_parquet(folder / split / "*.parquet") for split in SPLITS}


def test_raw_data_keep_the_contract(own: Project) -> None:
    contract = load_contract(own.contract)
    for path in partitions(own.raw):
        assert validate(pl.read_parquet(path), contract, path.name) == []


def test_no_row_is_in_two_splits(own: Project) -> None:
    if any(c.pii and c.role == "id" for c in load_contract(own.contract).columns):
        return  # without their person, the rows of two people may look the same
    train, validation, test = (frame.hash_rows() for frame in read(own, "interim").values())
    assert not set(train) & set(test)
    assert not set(train) & set(validation)
    assert not set(validation) & set(test)


def test_splits_follow_each_other_in_time(own: Project) -> None:
    time = load_contract(own.contract).names("time")
    if time and not load_params(own.params).prepare.group:
        train, validation, test = (frame[time[0]] for frame in read(own, "interim").values())
        assert train.max() < validation.min()
        assert validation.max() < test.min()


def test_most_rows_with_a_target_are_used(own: Project) -> None:
    report = read_json(own.prepare_report)
    reasons = {**report["dropped"], "target is missing": 0}
    dropped, used = sum(reasons.values()), sum(report["rows"].values())
    assert dropped / (dropped + used) < MOST_DROPPED


def test_the_target_is_known_and_varies(own: Project) -> None:
    for frame in read(own, "processed").values():
        target = frame[TARGET_NAME]
        assert target.null_count() == 0
        assert not target.dtype.is_float() or target.is_finite().all()
    assert read(own, "processed")["train"][TARGET_NAME].n_unique() > 1


def test_features_are_finite_and_filled_where_their_columns_are(own: Project) -> None:
    filled = {c.name for c in load_contract(own.contract).columns if not c.nullable}
    plain = [feature for feature in FEATURES if feature.meta.root_names()]  # no selectors
    whole = [f.meta.output_name() for f in plain if {*f.meta.root_names()} <= filled]
    for split, frame in read(own, "processed").items():
        assert not any(frame.select(whole).null_count().row(0)), split
        for values in frame.drop(TARGET_NAME).select(pl.selectors.float()):
            assert values.drop_nulls().is_finite().all(), (split, values.name)


def test_no_feature_sees_what_is_known_only_afterwards(own: Project) -> None:
    known = set(load_contract(own.contract).names(*KNOWN))
    for feature in FEATURES:
        assert set(feature.meta.root_names()) <= known, feature


def test_no_feature_is_the_target_in_disguise(own: Project) -> None:
    frame = pl.concat(read(own, "processed").values())
    ranks = frame.select(
        pl.selectors.numeric().exclude(TARGET_NAME).rank(), pl.col(TARGET_NAME).rank()
    )
    for name in ranks.drop(TARGET_NAME).columns:
        correlation = (
            ranks.select(name, TARGET_NAME).drop_nulls().select(pl.corr(name, TARGET_NAME))
        )
        assert not abs(correlation.item() or 0) > MOST_CORRELATED, name
