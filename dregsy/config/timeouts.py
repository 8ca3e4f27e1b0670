"""The keys of ``timeouts``: how long requests to registries wait."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core.core_schema import ValidationInfo

from dregsy.config.fields import Duration, Section, problem
from dregsy.model.timeouts import Timeouts

_LEAST, _MOST = 0.01, 24 * 3600.0
_USUAL = Timeouts()


def check(seconds: float, info: ValidationInfo) -> float:
    """A time limit is longer than nothing, and ends; a number without a unit, which counts nanoseconds, is none."""
    name = str(info.field_name).replace("_", "-")
    if not _LEAST <= seconds <= _MOST:
        raise problem(name, "is no time limit", "from 10ms to 24h, with its unit; such as 30s or 5m")
    return seconds


Limit = Annotated[Duration, AfterValidator(check)]


class TimeoutsSection(Section):
    """Time limits of requests to registries; a copy's own is ``timeout``."""

    connect: Limit = _USUAL.connect
    """The longest wait for a connection to a registry, and for its first answer."""
    first_byte: Limit = Field(_USUAL.first, alias="first-byte")
    """The longest wait for an answer to begin."""
    stalled: Limit = _USUAL.read
    """The longest wait for the next bytes of an answer, or for room to send more."""
    upload_answer: Limit = Field(_USUAL.commit, alias="upload-answer")
    """The longest wait for a registry to store what was uploaded."""

    def timeouts(self) -> Timeouts:
        """Return them as the requests need them: what connects is also the time for a registry's first answer."""
        return Timeouts(
            connect=self.connect,
            greeting=self.connect,
            first=self.first_byte,
            read=self.stalled,
            stall=self.stalled,
            commit=self.upload_answer,
        )
