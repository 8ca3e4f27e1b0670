"""YAML as editors read it: version 1.2's core types, where ``on`` is a text and ``1_000`` no number."""

import re
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_TYPES = {
    "null": r"^(~|null|Null|NULL|)$",
    "bool": r"^(true|True|TRUE|false|False|FALSE)$",
    "int": r"^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$",
    "float": r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
    "merge": r"^<<$",
}


class _Core(yaml.SafeLoader):
    """Knows the types of the core schema, and merge keys."""


_Core.yaml_implicit_resolvers = {}
for _name, _expression in _TYPES.items():
    _Core.add_implicit_resolver(_TAG + _name, re.compile(_expression), None)


def _whole(loader: _Core, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)


_Core.add_constructor(f"{_TAG}int", _whole)


def first(text: str) -> Any:
    """Return the data of a file's first document; yaml.YAMLError when it is none."""
    return next(iter(yaml.load_all(text, Loader=_Core)), None)
