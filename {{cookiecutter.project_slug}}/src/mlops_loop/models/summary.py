"""What the last pipeline run did, from reports/ alone."""

from ..console import figure, interval
from ..files import read_json
from ..project import Paths


def origin(origins: list[str]) -> str:
    """Describe the files of data/raw; the first stands for all."""
    return origins[0] if len(origins) == 1 else f"{len(origins)} files, the first is {origins[0]}"


def source(paths: Paths) -> list[str]:
    """What the data are: the origin of the first partition, which says if it is simulated."""
    origins = list(read_json(paths.raw / "manifest.json").values())
    return [f"  data        {origin(origins)}"]


def rows(paths: Paths) -> list[str]:
    """Rows in and out, with the reason of every dropped one."""
    read = sum(read_json(paths.validation_report)["rows"].values())
    prepared = read_json(paths.prepare_report)
    used = ", ".join(f"{count:,} {split}" for split, count in prepared["rows"].items())
    dropped = [f"  dropped     {n:>9,}  {reason}" for reason, n in prepared["dropped"].items()]
    return [f"  rows in     {read:>9,}", *dropped, f"  rows used   {used}"]


def metrics(paths: Paths) -> list[str]:
    """Test metrics with their intervals, beside the baseline's."""
    report = read_json(paths.metrics)
    lines = [f"  {'test':<12}{'model':>9}  {'interval':>19}{'baseline':>11}"]
    for name, value in report["test"].items():
        limits, simple = interval(report["intervals"][name]), figure(report["baseline"][name])
        lines.append(f"  {name:<12}{figure(value):>9}  {limits:>19}{simple:>11}")
    if "calibration" in report:
        error = figure(report["calibration"]["error"])
        lines.append(f"  {'calibration':<12}{error:>9}  expected error")
    if "threshold" in report:
        lines.append(f"  {'threshold':<12}{figure(report['threshold']):>9}  of the second class")
    return lines


def decision(paths: Paths) -> list[str]:
    """What the gate decided, and the version and alias that came of it."""
    gate = read_json(paths.gate)
    stays = gate["version"] == gate["champion_version"]
    named = (
        f"{'stays' if stays else 'is'} the {gate['alias']}" if gate.get("alias") else "has no alias"
    )
    version = f"version {gate['version']} {named}" if gate["version"] else "nothing was registered"
    reasons = [f"              {reason}" for reason in gate["reasons"]]
    return [f"  gate        {gate['decision']}: {version}", *reasons]


def print_summary(paths: Paths) -> None:
    """Print what the last run of the pipeline did."""
    for line in (*source(paths), *rows(paths), "", *metrics(paths), "", *decision(paths)):
        print(line)
    print("  reports     reports/ (model_card.html, metrics.json …), every run in `make ui`")
    print("  next        make predict INPUT=new.csv OUTPUT=scored.csv, or edit params.yaml")
