"""Summary of the last pipeline run, from reports/ alone."""

import os
import sys

from ..console import aligned, figure, interval
from ..files import Content, read_json
from ..project import Paths


def origin(origins: list[str]) -> str:
    """Describe the files of data/raw; the first stands for all."""
    return origins[0] if len(origins) == 1 else f"{len(origins)} files, the first is {origins[0]}"


def rows(paths: Paths) -> list[str]:
    """Origin of the data, rows in and out, and dropped rows by reason."""
    origins = list(read_json(paths.raw / "manifest.json").values())
    read = sum(read_json(paths.validation_report)["rows"].values())
    prepared = read_json(paths.prepare_report)
    used = ", ".join(f"{count:,} {split}" for split, count in prepared["rows"].items())
    lines = [f"  data        {origin(origins)}", f"  rows in     {read:>9,}"]
    for reason, count in prepared["dropped"].items():
        lines.append(f"  dropped     {count:>9,}  {reason}")
    lines.append(f"  rows used   {used}")
    return lines


def metrics(paths: Paths) -> list[str]:
    """Test metrics with their intervals, and the baseline's."""
    report = read_json(paths.metrics)
    table = [("test       ", "model", "interval", "baseline")]
    for name, value in report["test"].items():
        limits = interval(report["intervals"][name])
        table.append((name, figure(value), limits, figure(report["baseline"][name])))
    if ends := report.get("prediction_interval"):
        coverage = f"{report['prediction_interval_coverage']:.1%}"
        table.append(("in interval", coverage, interval(ends), "around the prediction"))
    if "calibration" in report:
        error = figure(report["calibration"]["error"])
        table.append(("calibration", error, "expected error; 0 is perfect", ""))
    if "threshold" in report:
        threshold = figure(report["threshold"])
        table.append(("threshold", threshold, "probability that predicts the second class", ""))
    return aligned(table)


def decision(gate: Content) -> list[str]:
    """The decision in gate.json with its reasons, and the version and alias of the model."""
    version, alias = gate["version"], gate["alias"]
    result = f"version {version} has no alias" if version else "nothing was registered"
    if alias:
        stays = version == gate["champion_version"]
        result = f"version {version} {'stays' if stays else 'is'} the {alias}"
    reasons = [f"              {reason}" for reason in gate["reasons"]]
    return [f"  gate        {gate['decision']}: {result}", *reasons]


def print_summary(paths: Paths) -> None:
    """Print the summary; a reader that closes the pipe (`make train | head`) fails nothing."""
    gate = read_json(paths.gate)
    lines = [*rows(paths), "", *metrics(paths), "", *decision(gate)]
    lines.append("  reports     open reports/index.html; every run: `make ui`")
    held = f" VERSION={gate['version']}" if gate["version"] and gate["alias"] != "champion" else ""
    lines.append(f"  next        make predict INPUT=new.csv OUTPUT=scored.csv{held}")
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
