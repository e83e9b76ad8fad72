"""The champion in a notebook or a script; `make predict` scores files with it."""

import warnings

from mlops_loop.models.model import Model
from mlops_loop.project import Paths, load_settings

from .. import PROJECT


def load_champion(paths: Paths = PROJECT) -> Model:
    """Load the model behind the alias `champion`; raises UserError if there is none."""
    # MLflow asks notebooks for ipywidgets, for progress bars that nothing here shows.
    warnings.filterwarnings("ignore", message="IProgress not found")
    from mlops_loop.tracking import registry

    return registry.connect(paths, load_settings(paths)).load("champion")
