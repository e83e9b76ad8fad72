"""The script of `make app`, given root and package: Streamlit runs a file, which has no package."""

import sys
from pathlib import Path

from mlops_loop.project import Paths
from mlops_loop.serving import page

page.draw(Paths(*map(Path, sys.argv[1:])))
