"""The history: what was checked, decided and done, by whom and why, in one append-only table.

It lies in the database of DATABASE_URL, else in history.db. Nothing is decided by it that the
registry knows: a rollback reads the registry.
"""

import json
import sys
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

import sqlalchemy as sql

from ..database import database, now, prepare, url
from ..project import Paths, UserError

tables, column = sql.MetaData(), partial(sql.Column, nullable=False)

history = sql.Table(
    "history",
    tables,
    sql.Column("id", sql.Integer, primary_key=True),
    column("time", sql.DateTime),
    column("event", sql.String(16)),
    column("by", sql.Text),
    sql.Column("version", sql.Integer),
    column("reason", sql.Text),
    column("content", sql.JSON),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True)
class Entry:
    """A row of the table; `time` is in UTC, without a time zone."""

    id: int
    time: datetime
    event: str
    by: str
    version: int | None
    reason: str
    content: dict[str, Any]

    @property
    def day(self) -> date:
        """The day that the event was for, which a replay simulates."""
        given = self.content.get("day")
        return date.fromisoformat(given) if given else self.time.date()


def append(
    paths: Paths, event: str, *, by: str, reason: str, version: int | None = None, **content: Any
) -> None:
    """Append an entry; a database that does not answer is reported on stderr, and stops nothing."""
    # As JSON that PostgreSQL takes too: it has no NaN.
    text = json.dumps(content, default=str)
    known = {"event": event, "by": by, "reason": reason, "version": version}
    content = json.loads(text, parse_constant=lambda _: None)
    try:
        engine = database(url(paths.history))
        prepare(engine, tables)
        with engine.begin() as connection:
            connection.execute(history.insert().values(**known, time=now(), content=content))
        engine.dispose()
    except (UserError, sql.exc.SQLAlchemyError) as error:
        problem = str(error).partition("\n")[0]
        print(f"warning: the history lacks this {event} ({reason}): {problem}", file=sys.stderr)


def read(paths: Paths, *events: str, last: int | None = None) -> list[Entry]:
    """Read the entries of these events, or all, oldest first; of many only the `last` ones.

    Raises UserError where the database does not answer.
    """
    query = sql.select(history).order_by(history.c.id.desc()).limit(last)
    if events:
        query = query.where(history.c.event.in_(events))
    engine = database(url(paths.history))
    try:
        prepare(engine, tables)
        with engine.connect() as connection:
            return [Entry(**row) for row in connection.execute(query).mappings()][::-1]
    except sql.exc.SQLAlchemyError as error:
        problem = str(error).partition("\n")[0]
        raise UserError(f"the history cannot be read: {problem}; see DATABASE_URL.") from error
    finally:
        engine.dispose()
