"""`make image`: put a version where deploy/Dockerfile takes it from."""

import sys

from ..errors import UserError, run
from ..files import replaced, write_json
from ..paths import PROJECT, Paths
from ..settings import load_settings
from .registry import Pointer
from .versions import CHAMPION


def main(paths: Paths = PROJECT) -> None:
    """Write the version or alias `argv[1]` to .serving/image, as the champion of an image."""
    from .. import tracking

    registry = tracking.connect(paths, load_settings(paths))
    version = registry.find(sys.argv[1])
    if version.number is None:
        raise UserError(f"{version} is not registered; name a version.")
    pointer = Pointer(version.number, version.tags["model_hash"])
    with replaced(paths.image) as folder:
        copy = folder / pointer.model_hash
        copy.mkdir(parents=True)
        registry.download(version, copy)
        write_json(folder / f"{CHAMPION}.json", vars(pointer))
    print(f"{version} is in {paths.image.relative_to(paths.root)}")


if __name__ == "__main__":
    run(main)
