"""Where the published figures and templates of a report lie, in an installed package as in a
checkout.
"""

from pathlib import Path

import apc_bench


def reports_folder() -> Path:
    """`_reports` inside an installed package, `reports` beside the package in a checkout. Raises
    FileNotFoundError where an installation is broken.
    """
    package = Path(apc_bench.__file__).resolve().parent
    for folder in (package / "_reports", package.parent / "reports"):
        if (folder / "templates").is_dir():
            return folder
    raise FileNotFoundError(
        f"no report templates in {package / '_reports'}: this installation of apc-bench is"
        " incomplete; install it again"
    )
