"""What Streamlit runs, for every visitor and after every input: a file, which has no package."""

import sys
from pathlib import Path

from mlops_loop.project import Paths
from mlops_loop.serving import page

page.main(Paths(*map(Path, sys.argv[1:])))
