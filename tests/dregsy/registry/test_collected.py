import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.registry.collected import Collected, TooLarge

TEXT = json.dumps({"tags": [f"v{number}" for number in range(500)]}).encode()


def collected(raw: bytes, sizes: list[int], limit: int = 2**20) -> bytes:
    """Give it ``raw`` in pieces of these sizes, and then the rest."""
    body = Collected(limit)
    for size in sizes:
        piece, raw = raw[:size], raw[size:]
        if piece:
            body.add(piece)
    if raw:
        body.add(raw)
    return body.whole()


@given(st.lists(st.integers(1, 400), max_size=30), st.booleans())
def test_packed_or_not(sizes: list[int], packed: bool) -> None:
    """Whatever the pieces in which it comes, a body is given as it was meant."""
    assert collected(gzip.compress(TEXT) if packed else TEXT, sizes) == TEXT


def test_nothing() -> None:
    """No bytes are an empty body."""
    assert Collected(0).whole() == b""


@pytest.mark.parametrize("raw", [TEXT, gzip.compress(TEXT)])
def test_the_limit_is_that_of_what_is_meant(raw: bytes) -> None:
    """Exactly so many bytes may come, counted when they are unpacked."""
    assert collected(raw, [7], len(TEXT)) == TEXT
    with pytest.raises(TooLarge, match=f"more than {len(TEXT) - 1} bytes"):
        collected(raw, [7], len(TEXT) - 1)


def test_a_bomb() -> None:
    """What would unpack to a gigabyte is refused at its first pieces."""
    bomb = gzip.compress(bytes(2**26))
    with pytest.raises(TooLarge):
        collected(bomb[:3000], [1000, 1000], 2**16)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\x1f\x8bno gzip", "broken"),
        (gzip.compress(TEXT)[:-1], "breaks off"),
        (gzip.compress(TEXT) + b"more", "does not end where it should"),
    ],
)
def test_what_cannot_be_unpacked(raw: bytes, said: str) -> None:
    """That is told, and nothing of it is given."""
    with pytest.raises(ValueError, match=said):
        collected(raw, [])
