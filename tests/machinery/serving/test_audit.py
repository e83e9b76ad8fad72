"""From one prediction to what made it: `make history PREDICTION=id`."""

import re

import pytest
from mlops_loop.monitoring import audit
from mlops_loop.project import UserError
from mlops_loop.tracking.registry import Registry
from services import Change, Service


def test_a_prediction_leads_to_version_data_decision_and_truth(
    registry: Registry, service: Service, record: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    with service.running() as client:
        given = record(shop="north | <b>south</b>")
        answer = client.post("/predict", json=given).json()
        known, other = answer["prediction_id"], client.post("/predict", json=given).json()
        client.post("/feedback", json={"prediction_id": known, "actual": 31.5})
        client.post("/feedback", json={"prediction_id": other["prediction_id"], "actual": 77.5})
    audit.main(service.project, [f"--PREDICTION={known}"])
    page = service.project.root / "reports" / "history" / f"{known}.html"
    text = page.read_text()
    rows = dict(re.findall("<td>(.*?)</td>\n<td>(.*?)</td>\n</tr>", text))
    tags = registry.find(1).tags
    for name in ("git_commit", "data_version", "params_hash", "model_hash", "contract_hash"):
        assert rows[name] == tags[name]
    assert rows["version"] == "1" and rows["shop"] == "north | &lt;b&gt;south&lt;/b&gt;"
    assert float(rows["prediction"]) == pytest.approx(answer["prediction"])
    assert rows["train.max_trees"] == registry.record(registry.find(1)).params["train.max_trees"]
    assert "31.5" in rows.values() and "77.5" not in text
    assert "first model to pass the bars and beat the baseline" in text
    said = capsys.readouterr().out
    assert f"The page: reports/history/{known}.html\n" in said and tags["data_version"] in said


@pytest.mark.usefixtures("registry")
def test_an_unknown_prediction_is_named(service: Service) -> None:
    with service.running():
        pass
    with pytest.raises(UserError, match="PREDICTION=7: the log has no such prediction"):
        audit.main(service.project, ["--PREDICTION=7"])
