"""What tags are called at the target: ``to-tag``, ``tag-prefix`` and ``tag-suffix``."""

from dataclasses import dataclass, field
from typing import Self

from dregsy.model.digest import Digest
from dregsy.model.ref import is_tag
from dregsy.model.rewrite import Replacement

_LENGTH = 128


def tag_for(digest: Digest) -> str:
    """Return the tag that stands for a digest where only tags can be written."""
    return f"dregsy-{digest.hex}"[:_LENGTH]


@dataclass(frozen=True, slots=True)
class TagNames:
    """How a mapping names tags; as it is by itself, it changes nothing."""

    to: str = ""
    prefix: str = ""
    suffix: str = ""
    _replacement: Replacement | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, to: str = "", prefix: str = "", suffix: str = "") -> Self:
        """Read ``to`` as nothing or ``regex:EXPRESSION,REPLACEMENT``; ValueError when it is anything else."""
        replacement = Replacement.parse(to, key="to-tag")
        if to and replacement is None:
            raise ValueError("'to-tag' is no expression — write 'regex:EXPRESSION,REPLACEMENT'")
        return cls(to, prefix, suffix, replacement)

    def apply(self, tag: str) -> str:
        """Return the tag's name at the target; ValueError when that is no legal tag."""
        named = self._replacement.apply(tag) if self._replacement is not None else tag
        named = f"{self.prefix}{named}{self.suffix}" if self.prefix or self.suffix else named
        if not is_tag(named):
            raise ValueError(f"not a legal tag: {named[:160]!r}")
        return named

    def origins(self, named: str) -> tuple[str, ...] | None:
        """Return the tags that are called ``named`` at the target; None where that cannot be told."""
        inner = named.removeprefix(self.prefix).removesuffix(self.suffix)
        if f"{self.prefix}{inner}{self.suffix}" != named:
            return ()
        return (inner,) if self._replacement is None else None
