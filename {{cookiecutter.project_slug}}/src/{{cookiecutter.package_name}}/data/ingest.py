"""Stage `ingest`: bring the partitions of the source into data/raw, unchanged, and no others."""

from collections.abc import Sequence
from pathlib import Path

from mlops_loop.console import track
from mlops_loop.data.sources import Partition, list_partitions
from mlops_loop.data.validation import unreadable, write_report
from mlops_loop.files import BrokenFile, discard, read_json, replaced, write_json
from mlops_loop.project import Paths, run_stage

from .. import PROJECT
from ..params import load_params
from . import sources


def ingest(partitions: Sequence[Partition], raw: Path) -> None:
    """Fetch new partitions, keep good ones, and remove everything else."""
    manifest = raw / "manifest.json"
    recorded = read_json(manifest) if manifest.exists() else {}
    for partition in track(partitions, "ingest"):
        target = raw / partition.name
        if target.exists() and recorded.get(partition.name) == partition.origin:
            continue
        # Killed before the next record, a run must not take this file for the recorded one.
        recorded.pop(partition.name, None)
        write_json(manifest, recorded)
        with replaced(target) as temporary:
            partition.fetch(temporary)
        recorded[partition.name] = partition.origin
    origins = {partition.name: partition.origin for partition in partitions}
    write_json(manifest, origins)
    for path in raw.iterdir():
        if path.name not in {*origins, manifest.name}:
            discard(path)


def main(paths: Paths) -> None:
    """Fill data/raw; a file that cannot be read is reported like any breach of the contract."""
    params = load_params(paths.params)
    try:
        ingest(list_partitions(sources, params.ingest, params.seed, paths), paths.raw)
    except BrokenFile as error:
        write_report(paths.validation_report, {}, [unreadable(error)])


if __name__ == "__main__":
    run_stage(main, PROJECT)
