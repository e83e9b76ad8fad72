"""Pages: single HTML files that load nothing, for light or dark, wide or narrow screens."""

import base64
import re
from functools import partial
from pathlib import Path
from typing import Any

from .console import figure, interval
from .files import write_text

FOLDER = Path(__file__).parent


def write_page(path: Path, template: str = "page.html.j2", **content: Any) -> None:
    """Fill a template of this package and write it as one file.

    The template `page.html.j2` needs a `title` and `text`, as Markdown with the pictures of plots/.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"figure": figure, "interval": interval}
    environment.filters["signed"] = lambda ratio: f"{ratio - 1:+.0%}"
    environment.filters["html"] = partial(to_html, folder=path.parent)
    write_text(path, environment.get_template(template).render(content))


def to_html(text: str, folder: Path) -> str:
    """Convert Markdown, with the pictures of the folder's plots/ inside."""
    from markdown_it import MarkdownIt

    def inline(picture: re.Match[str]) -> str:
        content = base64.b64encode((folder / picture[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{content}"'

    # Text of users in charter and data stays text, also where it looks like HTML.
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = body.replace("<table>", '<div class="wide"><table>')
    body = body.replace("</table>", "</table></div>")
    return re.sub(r'src="(plots/\w+\.png)"', inline, body)
