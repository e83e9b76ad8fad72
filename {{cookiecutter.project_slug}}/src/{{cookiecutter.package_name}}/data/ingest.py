"""Stage `ingest`: bring the partitions of the source into data/raw, unchanged, and no others."""

from collections.abc import Sequence
from pathlib import Path

from mlops_loop.console import track
from mlops_loop.data.contract import load_contract
from mlops_loop.data.sources import Partition, list_partitions
from mlops_loop.data.validation import find_old, unreadable, write_report
from mlops_loop.files import BrokenFile, discard, partitions, read_json, replaced, write_json
from mlops_loop.project import Paths, run_stage

from .. import PROJECT
from ..params import load_params
from . import sources


def ingest(asked: Sequence[Partition], raw: Path) -> None:
    """Fetch new partitions, keep good ones, and remove everything else."""
    manifest = raw / "manifest.json"
    recorded = read_json(manifest) if manifest.exists() else {}
    for partition in track(asked, "ingest"):
        target = raw / partition.name
        if target.exists() and recorded.get(partition.name) == partition.origin:
            continue
        # Killed before the next record, a run must not take this file for the recorded one.
        recorded.pop(partition.name, None)
        write_json(manifest, recorded)
        with replaced(target) as temporary:
            partition.fetch(temporary)
        recorded[partition.name] = partition.origin
    origins = {partition.name: partition.origin for partition in asked}
    write_json(manifest, origins)
    for path in raw.iterdir():
        if path.name not in {*origins, manifest.name}:
            discard(path)


def main(paths: Paths) -> None:
    """Fill data/raw; a file that cannot be read, and old data, are breaches of the contract."""
    params = load_params(paths.params)
    try:
        ingest(list_partitions(sources, params.ingest, params.seed, paths), paths.raw)
    except BrokenFile as error:
        write_report(paths.validation_report, {}, [unreadable(error)])
    if old := find_old(load_contract(paths.contract), partitions(paths.raw)):
        write_report(paths.validation_report, {}, old)


if __name__ == "__main__":
    run_stage(main, PROJECT)
