"""Data of a config file becomes a file again: quotes stay where they were, and so does what is yet to be put in."""

from collections.abc import Callable
from typing import Any

import yaml

from dregsy.config.source import Data, Items, Scalar, Table

_TEXT = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    """Writes values as they stood in a file."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _scalar(dumper: yaml.SafeDumper, value: Scalar) -> yaml.ScalarNode:
    if not value.plain:
        return dumper.represent_scalar(_TEXT, str(value), style="'")
    resolve: Callable[..., str] = getattr(dumper, "resolve")  # noqa: B009 - it has no types
    return dumper.represent_scalar(resolve(yaml.ScalarNode, str(value), (True, False)), str(value))


_Dumper.add_representer(Scalar, _scalar)
_Dumper.add_representer(Table, yaml.SafeDumper.represent_dict)
_Dumper.add_representer(Items, yaml.SafeDumper.represent_list)


def text(data: Data) -> str:
    """Return YAML that is read as the same data; comments and anchors are gone."""
    written: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**16)
    return written


def quoted(value: str) -> Scalar:
    """Return a text that is to stand in quotes."""
    return Scalar.of(value, plain=False)
