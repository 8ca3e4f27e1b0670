"""Whether the folder that ``certs-dir`` names is there: one that is missing would be silence, and then a refusal.

A warning and no error: a mount may be optional, or come later, and the folder is looked for with each connection.
"""

import os
from pathlib import Path

from pydantic import BaseModel

from dregsy.config.problems import Findings, Loc


def look(at: Loc, settings: BaseModel, findings: Findings) -> None:
    """Warn about the ``certs-dir`` of a relay's section when it is no folder that can be read.

    The folder that would be looked into anyway may be missing, also where a file names it.
    """
    field = type(settings).model_fields.get("certs_dir")
    given = getattr(settings, "certs_dir", None)
    if field is None or not given or given == field.default:
        return
    fault = _fault(Path(given))
    if fault:
        from_here = "" if Path(given).is_absolute() else "; a relative path begins where dregsy is started"
        hint = f"until that changes, no registry has certificates of its own{from_here}"
        findings.warning((*at, "certs-dir"), fault, hint)


def _fault(folder: Path) -> str:
    try:
        if not folder.is_dir():
            return "names a file, and no folder" if folder.exists() else "names a folder that does not exist"
    except OSError as error:
        return f"names a folder that cannot be looked into: {error.strerror}"
    return "" if os.access(folder, os.X_OK) else "names a folder that cannot be looked into: Permission denied"
