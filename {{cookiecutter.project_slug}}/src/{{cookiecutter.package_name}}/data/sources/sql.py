"""Source `sql`: the rows of a query of any database that SQLAlchemy and a driver know."""

from mlops_loop.data import sources

Options, partitions = sources.Query, sources.query_partitions
