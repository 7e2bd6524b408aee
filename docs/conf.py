"""How the site of the documentation is made: `make docs`. Strict: a dead link or anchor fails."""

from apc_bench import __version__

project = "apc-bench"
copyright = "the apc-bench authors, Apache-2.0"  # noqa: A001 - Sphinx's own name
version = release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_site"]
html_theme = "furo"
html_title = f"apc-bench {__version__}"
myst_heading_anchors = 3
nitpicky = True
highlight_language = "none"
