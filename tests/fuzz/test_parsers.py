"""Parsers of what strangers send, on changed and mixed inputs. ``FUZZ`` is how many for each; then they are random."""

import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.parsers import PARSERS, seeds

EXAMPLES = int(os.environ.get("FUZZ", "150"))
MARKS = (b'"', b"'", b"\\", b"\0", b"\n", b"\xff", b"{", b"[", b"[" * 5000, b"%00", b"\xed\xa0\x80", b"9" * 5000, b"//")


@pytest.mark.parametrize(("name", "data"), [(name, data) for name in PARSERS for data in seeds(name)])
def test_corpus(name: str, data: bytes) -> None:
    """All that is kept goes through: it is accepted, or refused with an error that is meant."""
    PARSERS[name](data)


@st.composite
def changed(draw: st.DrawFn, corpus: Sequence[bytes]) -> bytes:
    """Take one input and cut, insert, repeat and mix in parts of others."""
    data = draw(st.sampled_from(corpus))
    for _ in range(draw(st.integers(0, 5))):
        start, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        others = (st.sampled_from((b"", data[start:end], *MARKS)), st.binary(max_size=8), st.sampled_from(corpus))
        part = draw(st.one_of(*others))
        data = data[: draw(st.sampled_from((start, end)))] + part + data[end:]
    return data[: 2**16]


@pytest.mark.parametrize("name", PARSERS)
def test_fuzz(name: str) -> None:
    """Whatever is sent, a parser accepts it or refuses it with an error that is meant, and what must hold holds."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="FUZZ" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(changed(seeds(name)))
    def all_of(data: bytes) -> None:
        PARSERS[name](data)

    all_of()
