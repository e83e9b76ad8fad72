"""The fixtures that tests of the service share."""

from services import (
    client,
    elsewhere,
    machinery_of_children,
    record,
    registry,
    served_once,
    service,
)

__all__ = [
    "client",
    "elsewhere",
    "machinery_of_children",
    "record",
    "registry",
    "served_once",
    "service",
]
