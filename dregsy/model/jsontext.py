"""JSON as strangers send it: read only where it is UTF-8 and not nested so deeply that reading it would do harm."""

import json
from typing import Any

DEPTH = 64
"""The most lists and objects within each other; what registries send has less than ten."""

_BRACKETS = bytes.maketrans(b"{}", b"[]")
_CONTENT = bytes(set(range(256)) - set(b"[]{}"))


def parse(raw: bytes) -> Any:
    """Return what JSON text says; ValueError where it is none, or nested more deeply than DEPTH."""
    if _is_deep(raw):
        raise ValueError(f"it is nested more deeply than {DEPTH} levels")
    return json.loads(raw.decode("utf-8-sig"))


def _is_deep(raw: bytes) -> bool:
    """Take away what has nothing in it, so often; what is left lies deeper, or is no JSON. Linear in its length."""
    outside = raw.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2]
    left = b"".join(outside).translate(_BRACKETS, delete=_CONTENT)
    for _ in range(DEPTH):
        left = left.replace(b"[]", b"")
    return b"[]" in left or left.count(b"[") > DEPTH
