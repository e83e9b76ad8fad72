"""The fixtures that tests of the service share."""

from services import client, elsewhere, record, registry, served_once, service

__all__ = ["client", "elsewhere", "record", "registry", "served_once", "service"]
