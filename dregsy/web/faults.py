"""What the server's library has to say: nothing of the junk that it is sent, and of a mistake of ours one line.

By itself it writes tracebacks, as many as anybody likes to have written who reaches the port.
"""

import logging
from pathlib import Path
from traceback import extract_tb

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from dregsy.registry.conceal import conceal_all

LOGGER = logging.getLogger("dregsy.web")
_JUNK = (HttpProcessingError, RequestPayloadError, ConnectionError)
"""What clients can cause: nonsense, and going away."""


def is_told(record: logging.LogRecord) -> bool:
    """Whether a record is to be told; one about a mistake of ours becomes a line that names it and its place."""
    error = record.exc_info[1] if record.exc_info else None
    if record.levelno < logging.ERROR or isinstance(error, _JUNK):
        return False
    if error is None:
        return True
    frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
    what = conceal_all(f"{type(error).__name__}: {error}")
    where = f" ({frames[-1]})" if frames else ""
    record.msg, record.args = "a request got no answer, which is a mistake in dregsy: %s%s", (what, where)
    record.exc_info = record.exc_text = None
    return True


LOGGER.addFilter(is_told)
