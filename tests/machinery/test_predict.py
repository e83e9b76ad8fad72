"""Batch prediction: every row comes back, scored or with the reason why not."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.commands import predict
from mlops_loop.data.contract import load_contract
from mlops_loop.data.tables import read_table
from mlops_loop.models.model import load
from mlops_loop.project import UserError
from project.models import register
from project.models.predict import load_champion
from projects import CONTRACT, DEFINITIONS, Project, offer, sales

ROWS = sales(30, seed=3).drop("price")
TARGET = DEFINITIONS["TARGET"]


def score(project: Project, rows: pl.DataFrame, output: str = "scored.parquet") -> Path:
    """Run the command on a file of these rows; the output's path."""
    source, target = project.root / "new.parquet", project.root / output
    rows.write_parquet(source)
    predict.main(project, TARGET, files(source, target))
    return target


def files(source: Path | str, target: Path | str) -> list[str]:
    """The arguments that name the input and the output."""
    return [f"--input={source}", f"--output={target}"]


def predicted(project: Project, rows: pl.DataFrame) -> pl.DataFrame:
    """The candidate's predictions."""
    return predict.predict(rows, load(project.candidate), load_contract(project.contract))


@pytest.mark.parametrize("output", ["out/scored.csv", "out/scored.parquet"])
def test_the_champion_scores_a_file(
    trained: Project, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    register.main(trained)
    scored = read_table(score(trained, ROWS, output))
    assert scored.columns == [*ROWS.columns, "prediction", "error"]
    expected = load(trained.candidate).predict(ROWS)
    assert np.allclose(scored["prediction"].cast(pl.Float64).to_numpy(), expected)
    assert np.allclose(load_champion(trained).predict(ROWS), expected)


def test_the_rows_themselves_are_never_overwritten(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    register.main(trained)
    with pytest.raises(UserError, match="is INPUT; name another file"):
        score(trained, ROWS, "data/../new.parquet")
    assert pl.read_parquet(trained.root / "new.parquet").equals(ROWS)


def test_a_bad_row_is_named_and_keeps_its_place(
    trained: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register.main(trained)
    number = pl.int_range(pl.len())
    bad = ROWS.with_columns(
        size=pl.when(number == 4).then(None).when(number == 9).then(-1.0).otherwise("size"),
        items=pl.when(number == 9).then(pl.lit("few")).otherwise(pl.col("items").cast(pl.String)),
    )
    scored = pl.read_parquet(score(trained, bad))
    assert scored.drop("prediction", "error").equals(bad)
    assert scored["prediction"].is_null().arg_true().to_list() == [4, 9]
    assert scored["error"].is_not_null().arg_true().to_list() == [4, 9]
    assert scored["error"][4] == "size: null breaks 'not null'"
    assert set(scored["error"][9].split("; ")) == {
        "size: -1.0 breaks '>= 0'",
        "items: few breaks 'is Int64'",
    }
    good = scored.filter(pl.col("error").is_null())
    assert np.allclose(good["prediction"], load(trained.candidate).predict(good))
    said = capsys.readouterr().out
    assert "28 of 30 rows scored" in said
    assert "row 5: size: null" in said
    aside = pl.read_parquet(trained.root / "scored.rejected.parquet")
    assert aside["input_row"].to_list() == [5, 10]
    assert aside.select(bad.columns).equals(bad[[4, 9]])
    assert aside["reasons"].to_list() == [scored["error"][4], scored["error"][9]]
    assert aside.width == bad.width + 2
    score(trained, ROWS)
    assert not (trained.root / "scored.rejected.parquet").exists()


def test_where_no_row_can_be_scored_only_the_reasons_are_written(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    register.main(trained)
    with pytest.raises(UserError, match="none of the 30 rows could be scored"):
        score(trained, ROWS.with_columns(size=pl.lit(-1.0)), "scored.csv")
    aside = pl.read_csv(trained.root / "scored.rejected.csv")
    assert aside["reasons"].to_list() == ["size: -1.0 breaks '>= 0'"] * 30
    assert aside["input_row"].to_list() == list(range(1, 31))
    assert not (trained.root / "scored.csv").exists()
    assert not list(trained.root.glob(".scored*"))


def test_any_version_scores_and_is_named_with_its_target(
    trained: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(trained, "worse")
    offer(trained, "better")
    source, target = trained.root / "new.parquet", trained.root / "scored.parquet"
    ROWS.write_parquet(source)
    for version, model in (("1", "worse"), ("champion", "better")):
        predict.main(trained, TARGET, [*files(source, target), f"--version={version}"])
        expected = load(trained.root / model / "models" / "candidate").predict(ROWS)
        assert np.allclose(pl.read_parquet(target)["prediction"], expected)
    printed = capsys.readouterr().out
    for number in (1, 2):
        assert f"30 of 30 rows scored by version {number}: euros." in printed
    assert "note:" not in printed
    predict.main(trained, TARGET.alias("dollars"), files(source, target))
    note = "note: version 2 predicts euros; definitions.py has the target dollars."
    assert note in capsys.readouterr().out


def test_rows_are_checked_by_the_contract_of_the_version(trained: Project) -> None:
    register.main(trained)
    trained.contract.write_text(CONTRACT.replace("max: 100", "max: 5"))
    scored = pl.read_parquet(score(trained, ROWS))
    assert scored["error"].null_count() == ROWS.height


@pytest.mark.parametrize("output", ["scored.csv", "scored.parquet"])
def test_an_interrupted_run_resumes_with_the_same_result(
    trained: Project, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    register.main(trained)
    dirty = ROWS.with_columns(size=pl.when(pl.int_range(30) % 9 == 3).then(-1.0).otherwise("size"))
    target, chunks = score(trained, dirty, output), []
    expected, listed = read_table(target), read_table(predict.rejected(target))
    target.unlink()
    command = files(trained.root / "new.parquet", target)

    def interrupted(chunk: pl.DataFrame, *others: Any) -> Any:
        if chunk["sold_at"][0] == ROWS["sold_at"][14]:
            raise KeyboardInterrupt
        return whole(chunk, *others)

    whole = predict.predict
    monkeypatch.setattr(predict.tables, "CHUNK_CELLS", 7 * dirty.width)
    with monkeypatch.context() as patch:
        patch.setattr(predict, "predict", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict.main(trained, TARGET, command)
    assert not target.exists()
    monkeypatch.setattr(predict, "predict", lambda *a: (chunks.append(a[0].height), whole(*a))[1])
    predict.main(trained, TARGET, command)
    assert sorted(chunks) == [2, 7, 7]
    assert read_table(target).equals(expected)
    assert read_table(predict.rejected(target)).equals(listed)
    assert not list(trained.root.glob(".scored*"))


def test_the_values_of_a_csv_stay_as_they_are(trained: Project) -> None:
    register.main(trained)
    source, target = trained.root / "new.csv", trained.root / "scored.csv"
    source.write_text(
        "sold_at;shop;size;items;express;note\n"
        "2024-03-01 10:00:00;north;+007.50;3;true;a, b\n"
        "2024-03-01 11:00:00;;8;many;false;\n"
    )
    predict.main(trained, TARGET, files(source, target))
    given, scored = read_table(source), read_table(target)
    assert scored.select(given.columns).equals(given)
    assert scored["error"].to_list() == [None, "items: many breaks 'is Int64'"]
    expected = predicted(trained, given)["prediction"]
    assert scored["prediction"].cast(pl.Float64).equals(expected)
    assert expected.is_null().to_list() == [False, True]


def test_text_as_in_a_csv_is_scored_like_typed_columns(trained: Project) -> None:
    text = ROWS.with_columns(pl.all().cast(pl.String))
    assert predicted(trained, text)["prediction"].equals(predicted(trained, ROWS)["prediction"])


def test_an_unknown_category_is_scored(trained: Project) -> None:
    scored = predicted(trained, ROWS.with_columns(shop=pl.lit("moon")))
    assert scored["error"].null_count() == scored.height
    assert scored["prediction"].null_count() == 0


@pytest.mark.parametrize("model", ["candidate", "baseline"])
def test_no_good_row_is_no_reason_to_fail(trained: Project, model: str) -> None:
    for rows in (ROWS.clear(), ROWS.with_columns(size=pl.lit(-1.0))):
        contract = load_contract(trained.contract)
        scored = predict.predict(rows, load(getattr(trained, model)), contract)
        assert scored.height == rows.height == scored["prediction"].null_count()


def test_a_table_without_a_needed_column_is_refused(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    register.main(trained)
    with pytest.raises(UserError, match="lacks the columns sold_at, size; add them"):
        score(trained, ROWS.drop("shop", "size", "sold_at"))
    assert not (trained.root / "scored.parquet").exists()


def test_a_column_that_may_be_missing_is_taken_as_missing(
    trained: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register.main(trained)
    scored = pl.read_parquet(score(trained, ROWS.drop("shop", "items")))
    assert scored.columns == ["sold_at", "size", "express", "prediction", "error"]
    said = capsys.readouterr().out
    assert said.count("new.parquet has no shop, items: taken as missing in each row.") == 1
    nothing = predicted(trained, ROWS.with_columns(shop=None, items=None))
    assert scored["prediction"].equals(nothing["prediction"])
    assert nothing["error"].count() == 0


def test_without_a_champion_it_says_what_to_do(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        UserError, match="the versions none and the aliases none; `make train` registers"
    ):
        score(trained, ROWS)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("", "", "make predict INPUT=new.csv OUTPUT=scored.parquet"),
        ("new.csv", "scored.xlsx", "end it in .csv or .parquet"),
        ("nowhere.csv", "scored.csv", "nowhere.csv: no such file"),
        ("params.yaml", "scored.csv", "not a .csv, .csv.gz or .parquet file"),
    ],
)
def test_files_that_cannot_be_are_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, source: str, target: str, said: str
) -> None:
    monkeypatch.chdir(project.root)
    with pytest.raises(UserError, match=said):
        predict.main(project, TARGET, files(source, target))
