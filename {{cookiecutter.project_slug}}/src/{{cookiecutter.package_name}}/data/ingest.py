"""Stage `ingest`: bring the asked-for partitions into data/raw, unchanged, and no others."""

from pathlib import Path

from mlops_loop.console import track
from mlops_loop.data.contract import load_contract
from mlops_loop.data.sources import Partition, wanted
from mlops_loop.data.validation import unreadable, write_report
from mlops_loop.files import BrokenFile, discard, read_json, replaced, write_json
from mlops_loop.project import Paths, run_stage

from .. import PROJECT
from ..params import load_params
from . import sources


def ingest(asked: list[Partition], raw: Path) -> None:
    """Fetch what is new, keep what is good, remove everything else."""
    raw.mkdir(parents=True, exist_ok=True)
    manifest = raw / "manifest.json"
    recorded = read_json(manifest) if manifest.exists() else {}
    for partition in track(asked, "ingest"):
        target = raw / partition.name
        if target.exists() and recorded.get(partition.name) == partition.origin:
            continue
        # Killed between file and record, the next run must not take the one for the other.
        recorded.pop(partition.name, None)
        write_json(manifest, recorded)
        with replaced(target) as temporary:
            partition.fetch(temporary)
        recorded[partition.name] = partition.origin
        write_json(manifest, recorded)
    good = {partition.name: partition.origin for partition in asked}
    for path in raw.iterdir():
        if path.name not in {*good, manifest.name}:
            discard(path)
    write_json(manifest, good)


def main(paths: Paths) -> None:
    """Fill data/raw; a file that cannot be read is reported like any breach of the contract."""
    params = load_params(paths.params)
    load_contract(paths.contract)
    try:
        ingest(list(wanted(sources, params.ingest, params.seed, paths)), paths.raw)
    except BrokenFile as error:
        write_report(paths.validation_report, {}, [unreadable(error)])


if __name__ == "__main__":
    run_stage(main, PROJECT)
