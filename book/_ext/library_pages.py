"""What autodoc has to be told about `dae_utils` before it can write the pages of the library."""

from __future__ import annotations

import os
import re
from typing import Any

from sphinx.application import Sphinx

# Literals and links, which stay as they are, or else a word that ends in an underscore.
_LITERAL_OR_NAME = re.compile(r"(``.*?``|`[^`]*`_{0,2})|(?<![\w`])(\w*[A-Za-z0-9])_(?![\w`])")


def escape_fitted_names(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Escape the underscore at the end of names such as `threshold_`.

    scikit-learn ends the name of whatever `fit` learns in an underscore, and reStructuredText takes a word
    that ends so for a reference to somewhere else.
    """
    lines[:] = [_LITERAL_OR_NAME.sub(lambda found: found[1] or rf"{found[2]}\_", line) for line in lines]


def skip_generated_members(
    app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out the `set_..._request` methods that scikit-learn adds to every estimator."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register both steps, and keep TensorFlow from reporting on the processor while pages are written."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A line about oneDNN is printed at any level while oneDNN is on; writing pages computes nothing.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # Autodoc calls its own steps at 500; by then napoleon has made fields of the sections.
    app.connect("autodoc-process-docstring", escape_fitted_names, priority=900)
    app.connect("autodoc-skip-member", skip_generated_members)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
