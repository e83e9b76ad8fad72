"""What Streamlit runs, for every visitor and after every input: a file, which has no package."""

from importlib import import_module
from pathlib import Path

package = Path(__file__).parents[1].name
import_module(f"{package}.serving.page").main()
