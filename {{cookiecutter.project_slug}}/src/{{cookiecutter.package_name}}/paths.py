"""Where everything lies: the one place that knows the project's layout."""

from pathlib import Path


class Paths:
    """The files and folders of a project, below its root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pyproject = root / "pyproject.toml"
        self.params = root / "params.yaml"
        self.contract = root / "contract.yaml"
        self.dvc_lock = root / "dvc.lock"
        self.requirements = root / "requirements" / "base.txt"

        package = root / "src" / Path(__file__).parent.name
        self.definitions = package / "features" / "definitions.py"
        self.charter = root / "docs" / "charter.md"
        self.behaviour = root / "tests" / "model" / "behaviour.yaml"
        self.data_card = root / "docs" / "data_card.md"

        self.external = root / "data" / "external"
        self.partial = root / "data" / ".partial"
        self.raw = root / "data" / "raw"
        self.interim = root / "data" / "interim"
        self.processed = root / "data" / "processed"

        self.candidate = root / "models" / "candidate"
        self.baseline = root / "models" / "baseline"
        self.training = root / "models" / "training.json"
        self.scores = root / "models" / "test_scores.npy"
        self.run = root / "models" / "run.json"

        self.validation_report = root / "reports" / "validation.json"
        self.prepare_report = root / "reports" / "prepare.json"
        self.metrics = root / "reports" / "metrics.json"
        self.slices = root / "reports" / "slices.json"
        self.explanations = root / "reports" / "explanations.json"
        self.explained = root / "reports" / "explain"
        self.plots = root / "reports" / "plots"
        self.model_card = root / "reports" / "model_card.md"
        self.model_page = root / "reports" / "model_card.html"
        self.gate = root / "reports" / "gate.json"
        self.tuning = root / "reports" / "tuning"
        self.comparison = root / "reports" / "comparison.md"

        self.served = root / ".serving" / "models"
        self.image = root / ".serving" / "image"
        self.spool = root / ".serving" / "spool"
        self.log = root / ".serving" / "predictions.db"
        self.batches = root / ".serving" / "batches"

        self.store = root / "mlflow.db"
        self.studies = root / "tuning.db"
        self.artifacts = root / "mlartifacts"

    def delivery(self, environment: str) -> Path:
        """The report of `make deliver` in an environment."""
        return self.root / "reports" / f"delivery-{environment}.json"

    @property
    def example(self) -> list[Path]:
        """The modules that call themselves example: a table of your own takes their place."""
        modules = (m for folder in ("src", "tests") for m in (self.root / folder).rglob("*.py"))
        return [m for m in modules if m.read_text(encoding="utf-8").startswith('"""Example: ')]


PROJECT = Paths(Path(__file__).resolve().parents[2])
SPLITS = ("train", "validation", "test")
