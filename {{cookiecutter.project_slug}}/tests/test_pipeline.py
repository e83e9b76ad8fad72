"""Every stage of dvc.yaml, in its order, on some rows: it ends with a version that predicts."""

import numpy as np
import polars as pl

from mlops_loop.files import read_json
from mlops_loop.models.model import load
from mlops_loop.project import Paths, load_settings
from mlops_loop.tracking.registry import connect


def test_it_ends_with_a_registered_version(registered: Paths) -> None:
    gate = read_json(registered.gate)
    assert (gate["decision"], gate["version"], gate["alias"]) == ("promote", 1, "champion")
    registry = connect(registered, load_settings(registered))
    assert registry.aliases() == {"champion": 1}


def test_the_champion_predicts_what_the_trained_model_does(registered: Paths) -> None:
    rows = pl.read_parquet(registered.interim / "test" / "*.parquet")
    champion = connect(registered, load_settings(registered)).load("champion")
    assert np.array_equal(champion.score(rows), load(registered.candidate).score(rows))
    assert np.allclose(champion.score(rows), np.load(registered.scores), rtol=1e-9)


def test_it_reports_what_it_did(registered: Paths) -> None:
    metrics, card = read_json(registered.metrics), registered.model_card.read_text()
    assert metrics["rows"]["test"] == len(np.load(registered.scores))
    assert "version 1" in card.splitlines()[0]
