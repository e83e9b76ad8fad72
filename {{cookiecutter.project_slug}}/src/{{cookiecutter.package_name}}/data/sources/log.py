"""Source `log`: rows of the prediction log whose truth is known, beside those of another source.

DVC does not see the log: another `until`, or `dvc repro --force ingest`, brings what came since.
"""

from collections.abc import Iterator

from mlops_loop.data.contract import load_contract
from mlops_loop.data.sources import Partition, list_partitions
from mlops_loop.monitoring.params import LogRows as Options
from mlops_loop.project import Paths

from ...features.definitions import TARGET
from ...params import load_params
from .. import sources


def partitions(options: Options, seed: int, paths: Paths) -> Iterator[Partition]:
    """The partitions of `beside`, and one for each month of the log."""
    from mlops_loop.monitoring import rows  # late: it needs the libraries of the service

    if options.beside:
        other = load_params(paths.params).ingest.model_copy(update={"source": options.beside})
        yield from list_partitions(sources, other, seed, paths)
    yield from rows.list_partitions(paths, options, load_contract(paths.contract), TARGET)
