"""Source `tlc`: real HTTP downloads, from a local server that can be told to misbehave."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import polars as pl
import pytest
from conftest import Project
from my_project.data import ingest
from my_project.data.sources import sample, tlc
from my_project.errors import UserError

NAME = tlc.file_name("2024-01")


@dataclass
class Site:
    """What the server has, how it behaves and what it was asked."""

    content: bytes
    etag: str = '"one"'
    knows_ranges: bool = True
    breaks_after: int | None = None
    asked: list[str | None] = field(default_factory=list)
    address: str = ""


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    """A request handler for the one file of a site."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.headers["Range"])
            if not self.path.endswith(NAME):
                self.send_error(404)
                return
            resumes = site.knows_ranges and self.headers["If-Range"] == site.etag
            start = int(self.headers["Range"][6:-1]) if resumes else 0
            if start and start >= len(site.content):
                self.send_error(416)
                return
            self.send_response(206 if resumes else 200)
            self.send_header("ETag", site.etag)
            self.send_header("Content-Length", str(len(site.content) - start))
            self.end_headers()
            self.wfile.write(site.content[start : site.breaks_after])

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    return Handler


@pytest.fixture
def site(project: Project, tmp_path: Path) -> Iterator[Site]:
    """A server of one real month, which the project asks for."""
    sample.simulate("2024-01", 500, seed=0).write_parquet(tmp_path / NAME)
    site = Site((tmp_path / NAME).read_bytes())
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(site)) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        site.address = f"http://127.0.0.1:{server.server_port}"
        project.edit(ingest__source="tlc", ingest__months=["2024-01"], ingest__base=site.address)
        yield site
        server.shutdown()


def interrupt(project: Project, site: Site, after: int) -> None:
    """Ingest while the server breaks off, and see that nothing half stands in data/raw."""
    site.breaks_after = after
    with pytest.raises(UserError, match="to resume"):
        ingest.main(project)
    assert not list(project.raw.glob("*.parquet"))
    site.breaks_after = None


def test_an_interrupted_download_goes_on_where_it_stopped(project: Project, site: Site) -> None:
    interrupt(project, site, after=1_000)
    ingest.main(project)
    assert (project.raw / NAME).read_bytes() == site.content
    assert site.asked == [None, "bytes=1000-"]
    assert not list(project.partial.iterdir())


def test_it_starts_again_where_the_server_knows_no_ranges(project: Project, site: Site) -> None:
    interrupt(project, site, after=1_000)
    site.knows_ranges = False
    ingest.main(project)
    assert (project.raw / NAME).read_bytes() == site.content


def test_it_starts_again_where_the_file_changed(project: Project, site: Site) -> None:
    interrupt(project, site, after=1_000)
    changed = pl.read_parquet(site.content).reverse()
    changed.write_parquet(project.root / NAME)
    site.content, site.etag = (project.root / NAME).read_bytes(), '"two"'
    ingest.main(project)
    assert pl.read_parquet(project.raw / NAME).equals(changed)


def test_it_starts_again_where_only_the_end_was_missed(project: Project, site: Site) -> None:
    interrupt(project, site, after=1_000)
    (project.partial / NAME).with_suffix(".part").write_bytes(site.content)
    ingest.main(project)
    assert (project.raw / NAME).read_bytes() == site.content


def test_a_server_in_trouble_costs_no_progress(project: Project, site: Site) -> None:
    interrupt(project, site, after=1_000)
    project.edit(ingest__months=["2024-02"])
    with pytest.raises(UserError, match=r"2024-02\.parquet: the server answered 404 Not Found"):
        ingest.main(project)
    project.edit(ingest__months=["2024-01"])
    ingest.main(project)
    assert site.asked[-1] == "bytes=1000-"


def test_a_page_in_place_of_the_file_is_refused(project: Project, site: Site) -> None:
    site.content = b"<html>Please log in</html>"
    with pytest.raises(UserError, match="not a complete Parquet file"):
        ingest.main(project)
    assert not list(project.raw.glob("*.parquet"))


def test_months_come_from_a_folder_too(project: Project, site: Site, tmp_path: Path) -> None:
    project.edit(ingest__base=str(tmp_path))
    ingest.main(project)
    assert (project.raw / NAME).read_bytes() == site.content
    project.edit(ingest__months=["2024-01", "2024-02"])
    with pytest.raises(UserError, match=r"2024-02 needs .*, which is not there"):
        ingest.main(project)
