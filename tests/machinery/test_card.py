"""The model card: everything in it is read, nothing typed by hand twice."""

import re
from pathlib import Path

import pytest
from mlops_loop.files import read_json, write_json
from mlops_loop.models import model_card as card
from mlops_loop.page import write_page
from mlops_loop.project import UserError
from project.models import evaluate, register
from projects import Project, registry_of

CHARTER = """
**Purpose.** Who will do what better?
The shop sees a price.

**Decision that the prediction serves.** A discount, <script>alert(1)</script> & more.

**Who takes part.** Who is sponsor, product owner?

**Feasible?** What explains it?
> Size explains most.
> The rest is luck.

| question | answer |
|---|---|

**Representative?** Which cases are not among the rows?
"""


@pytest.fixture
def registered(trained: Project) -> Project:
    """A project whose better model is version 1."""
    trained.charter.write_text(CHARTER)
    register.main(trained)
    return trained


def read(project: Project) -> str:
    return project.model_card.read_text()


def test_it_says_what_the_reports_say(registered: Project) -> None:
    text, metrics = read(registered), read_json(registered.metrics)
    low, high = metrics["intervals"]["rmse"]
    figures = f"{metrics['test']['rmse']:.4g} | {low:.4g} to {high:.4g}"
    assert "# Model card: " in text
    assert ", version 1\n" in text
    assert f"| rmse | {figures} | {metrics['baseline']['rmse']:.4g} |\n" in text
    assert f"| test rows | {metrics['rows']['test']:,} |" in text
    for figure in read_json(registered.explanations)["importance"].values():
        assert f" | {figure:.4g} |" in text
    for value in read_json(registered.run)["lineage"].values():
        assert f"| `{value}` |" in text
    assert "train.lightgbm.num_leaves" in text
    assert "random_forest" not in text


def test_it_holds_the_charters_answers_and_names_open_questions(registered: Project) -> None:
    text = read(registered)
    assert "**Purpose.** The shop sees a price.\n" in text
    assert "**Feasible.** Size explains most.\nThe rest is luck.\n" in text
    for open_question in ("Who takes part", "Representative", "Cost of an error"):
        assert f"**{open_question}.** Not answered in docs/charter.md." in text


def test_the_page_stands_alone_and_runs_nothing(registered: Project) -> None:
    page = registered.report.read_text()
    pictures = [path.stem for path in registered.plots.glob("*.png")]
    assert len(re.findall(r'src="data:image/png;base64,[\w+/=]{1000,}"', page)) == len(pictures)
    assert not re.search(r'(src|href)="(?!data:)|<script|<link|@import', page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert page.count("<table>") == 1 + len(re.findall(r"^\|---", read(registered), re.MULTILINE))


def test_the_page_shows_decision_figures_and_learning(
    registered: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics, page = read_json(registered.metrics), registered.report.read_text()
    assert "<b>promote</b> · shop, version 1 is the champion" in page
    assert "--status: var(--healthy)" in page
    assert f"<b>{metrics['test']['rmse']:.4g}</b>" in page
    assert f"baseline {metrics['baseline']['rmse']:.4g}" in page
    [losses] = read_json(registered.training)["history"].values()
    assert f"falls from {losses[0]:.4g} to {min(losses):.4g}" in page
    registered.data_card.write_text("# Data card of shop\n")
    registered.put_model("worse")
    register.main(registered)
    page = registered.report.read_text()
    assert "<b>hold</b> · shop, version 2" in page and "--status: var(--watch)" in page
    assert "OUTPUT=scored.csv VERSION=2\n" in capsys.readouterr().out
    assert "champion, version 1, on the same rows" in page and 'href="data_card.html"' in page
    assert "<h1>Data card of shop</h1>" in (registered.report.parent / "data_card.html").read_text()


def test_groups_of_too_few_rows_are_not_said_to_be_good(registered: Project) -> None:
    registered.edit(evaluate__slices={"min_rows": 1000})
    evaluate.main(registered)
    register.main(registered)
    text = read(registered)
    assert "### Worst of 0 searched\n\nNone has enough rows (" in text
    assert "significantly worse" not in text
    assert "No column is declared, or none has two groups of enough rows." in text
    assert " | too few rows to judge (evaluate.slices.min_rows: 1000) | - |" in text


def test_it_is_kept_with_the_version(registered: Project) -> None:
    registry = registry_of(registered)
    [version] = registry.versions()
    (registered.root / "x").mkdir()
    stored = registry.client.download_artifacts(
        version.run_id, "reports", str(registered.root / "x")
    )
    for path in (registered.model_card, registered.report):
        assert (registered.root / stored / path.name).read_text() == path.read_text()
    assert "\n\n# Model card: " in version.description
    assert "promote" in version.description


def test_a_challenger_stands_beside_the_champion(registered: Project) -> None:
    champion = read_json(registered.metrics)["test"]["rmse"]
    registered.put_model("worse")
    register.main(registered)
    gain = read_json(registered.gate)["comparisons"]["improvement"]
    ours = read_json(registered.metrics)["test"]["rmse"]
    row = next(line for line in read(registered).splitlines() if line.startswith("| rmse |"))
    assert row.startswith(f"| rmse | {ours:.4g} |")
    assert row.endswith(f" {champion:.4g} |")
    assert f"rmse is worse by {-gain:.4g}" in read(registered)


def test_a_rejected_candidate_has_a_card_without_a_version(trained: Project) -> None:
    trained.edit(register__bars={"rmse": 0.001})
    register.main(trained)
    assert "a candidate that was not registered" in read(trained)
    assert "is above the bar of 0.001" in read(trained)
    assert "Not registered." in read(trained) or "cannot be reproduced" in read(trained)


def test_uncommitted_code_is_said(trained: Project) -> None:
    record = read_json(trained.run)
    for dirty, said in (("true", "cannot be reproduced"), ("false", "make reproduce VERSION=1")):
        record["lineage"]["git_dirty"] = dirty
        write_json(trained.run, record)
        register.main(trained)
        assert said in read(trained)


def test_the_users_template_is_rendered_and_its_errors_are_named(registered: Project) -> None:
    template = registered.model_card_template
    template.write_text("# {{ project | cell }} by {{ charter.Purpose }}\n")
    register.main(registered)
    assert read(registered) == "# shop by The shop sees a price.\n"
    for text, said in (
        ("{% if %}", "Expected an expression"),
        ("{{ metric }}", "'metric' is undef"),
    ):
        template.write_text(text)
        with pytest.raises(UserError, match=f"docs/model_card.md.j2: .*{said}"):
            register.main(registered)


def test_texts_of_users_cannot_break_a_table_or_the_title(tmp_path: Path) -> None:
    assert card.answers("**Purpose.** a | b\n\n**Other.** Is it?\n") == {"Purpose": "a | b"}
    write_page(tmp_path / "page.html", title="A | <b>", text="# A\n\n| x |\n|---|\n| a \\| b |\n")
    page = (tmp_path / "page.html").read_text()
    assert "<title>A | &lt;b&gt;</title>" in page
    assert "<td>a | b</td>" in page
