"""The database of DATABASE_URL, SQLite or PostgreSQL, or a file of the project."""

import json
import os
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from .project import UserError

SHORT = re.compile("^postgres(ql)?://")  # which names no driver

# A server that accepts connections may still not answer; in seconds and milliseconds.
POSTGRESQL_WAITS = {
    "connect_timeout": 3,
    "tcp_user_timeout": 10_000,
    "options": "-c statement_timeout=30000",
}


def now() -> datetime:
    """The time in UTC, without a time zone, as the tables hold it."""
    return datetime.now(UTC).replace(tzinfo=None)


def url(default: Path) -> str:
    """The address that DATABASE_URL gives, else that of a file."""
    return os.environ.get("DATABASE_URL") or f"sqlite:///{default}"


def database(url: str) -> sql.Engine:
    """The engine of a database, SQLite or PostgreSQL; nothing is opened yet.

    Raises UserError for any other address.
    """
    url = SHORT.sub("postgresql+psycopg://", url)
    waits = {} if url.startswith("sqlite") else POSTGRESQL_WAITS
    try:
        engine = sql.create_engine(
            url,
            pool_pre_ping=True,
            connect_args=waits,
            json_serializer=partial(json.dumps, ensure_ascii=False, default=str),
        )
    except (sql.exc.ArgumentError, ImportError) as error:
        raise UserError(
            "DATABASE_URL: no address of SQLite or PostgreSQL; write sqlite:///file or "
            "postgresql://user@host/database."
        ) from error
    if engine.dialect.name == "sqlite":
        sql.event.listen(engine, "connect", use_wal)
    return engine


def use_wal(connection: Any, _: Any = None) -> None:
    """Let readers of an SQLite file not wait for its writers."""
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")


def prepare(engine: sql.Engine, tables: sql.MetaData) -> None:
    """Create missing tables; raises SQLAlchemyError where the database does not answer."""
    engine.connect().close()
    try:
        tables.create_all(engine)
    except sql.exc.DBAPIError:  # another process created one at the same moment
        tables.create_all(engine)
