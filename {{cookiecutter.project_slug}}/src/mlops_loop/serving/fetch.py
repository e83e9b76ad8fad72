"""Copy a version from the registry to disk, for the service to verify and load."""

import sys
from pathlib import Path

from ..files import replaced
from ..project import Paths, load_settings


def main() -> None:
    """Write version `argv[2]` of the project `argv[1]` to .serving/models/<hash of its model>."""
    from ..tracking import registry as tracking

    root = Path(sys.argv[1])
    paths = Paths(root, root)
    registry = tracking.connect(paths, load_settings(paths))
    version = registry.find(sys.argv[2])
    with replaced(paths.served / version.tags["model_hash"]) as folder:
        folder.mkdir()
        registry.download(version, folder)
