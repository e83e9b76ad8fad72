"""Expectations on this project's own data. Raise or add to them as you learn what is normal."""

import polars as pl
from conftest import Project

from {{ cookiecutter.package_name }}.data.contract import load_contract
from {{ cookiecutter.package_name }}.data.validate import validate
from {{ cookiecutter.package_name }}.features.definitions import TARGET
from {{ cookiecutter.package_name }}.files import partitions, read_json
from {{ cookiecutter.package_name }}.params import load_params
from {{ cookiecutter.package_name }}.paths import SPLITS

TARGET_NAME = TARGET.meta.output_name()
LEAST_FILLED = 0.5
MOST_DROPPED = 0.3
MOST_CORRELATED = 0.999


def read(project: Project, stage: str) -> dict[str, pl.DataFrame]:
    """The splits as a stage (interim or processed) left them."""
    folder = getattr(project, stage)
    return {split: pl.read_parquet(folder / split / "*.parquet") for split in SPLITS}


def test_raw_data_keep_the_contract(own: Project) -> None:
    contract = load_contract(own.contract)
    for path in partitions(own.raw):
        assert validate(pl.read_parquet(path), contract, path.name) == []


def test_no_row_is_in_two_splits(own: Project) -> None:
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


def test_most_rows_are_used(own: Project) -> None:
    report = read_json(own.prepare_report)
    dropped, used = sum(report["dropped"].values()), sum(report["rows"].values())
    assert dropped / (dropped + used) < MOST_DROPPED


def test_the_target_is_known_and_varies(own: Project) -> None:
    for frame in read(own, "processed").values():
        target = frame[TARGET_NAME]
        assert target.null_count() == 0
        assert not target.dtype.is_float() or target.is_finite().all()
        assert target.n_unique() > 1


def test_features_are_filled_and_finite_in_every_split(own: Project) -> None:
    for split, frame in read(own, "processed").items():
        for values in frame.drop(TARGET_NAME):
            assert values.count() >= LEAST_FILLED * len(values), (split, values.name)
            if values.dtype.is_float():
                assert values.drop_nulls().is_finite().all(), (split, values.name)


def test_no_feature_is_the_target_in_disguise(own: Project) -> None:
    frame = read(own, "processed")["train"]
    target = (
        frame[TARGET_NAME]
        if frame[TARGET_NAME].dtype.is_numeric()
        else frame[TARGET_NAME].rank("dense")
    )
    numbers = frame.drop(TARGET_NAME).select(pl.selectors.numeric())
    correlations = numbers.select(pl.corr(pl.all(), target).abs())
    for name, [correlation] in correlations.to_dict(as_series=False).items():
        assert not correlation > MOST_CORRELATED, name
