"""`make image`: put a version where deploy/Dockerfile takes it from."""

from collections.abc import Sequence

from ..files import replaced, write_json
from ..project import Paths, UserError, load_settings
from .registry import Pointer
from .versions import CHAMPION


def main(paths: Paths, arguments: Sequence[str]) -> None:
    """Write the version or alias `arguments[0]` to .serving/image, as the champion of an image."""
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    version = registry.find(arguments[0])
    if version.number is None:
        raise UserError(f"{version} is not registered; name a version.")
    pointer = Pointer(version.number, version.tags["model_hash"])
    with replaced(paths.image) as folder:
        copy = folder / pointer.model_hash
        copy.mkdir(parents=True)
        registry.download(version, copy)
        write_json(folder / f"{CHAMPION}.json", vars(pointer))
    print(f"{version} is in {paths.image.relative_to(paths.root)}")
