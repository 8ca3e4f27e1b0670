"""Digests are read strictly, and a stream is only good when every byte of it is."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.errors import DigestMismatch
from dregsy.model.digest import Digest, Verifier

DATA = b"some content"
DIGEST = Digest.of(DATA)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_reads_what_it_writes(algorithm: str) -> None:
    """Both algorithms of the OCI image spec are known."""
    text = f"{algorithm}:{hashlib.new(algorithm, DATA).hexdigest()}"

    assert text == str(Digest.parse(text)) == str(Digest.of(DATA, algorithm))
    assert Digest.parse(text).matches(DATA)
    assert not Digest.parse(text).matches(DATA + b"!")


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "sha256", "sha256:", "sha256:abc", f"sha256:{'a' * 63}", f"sha256:{'a' * 65}", f"sha256:{'g' * 64}"),
        *(f"sha256:{'A' * 64}", f"SHA256:{'a' * 64}", f"md5:{'a' * 32}", f"sha512:{'a' * 64}", f" sha256:{'a' * 64}"),
        *(f"sha256:{'a' * 63}\n", f"sha256:{'a' * 64}\n", f"sha256:{'a' * 63}\u0661", f"sha256:{'a' * 63}\ud800"),
        *(f"sha256+b64:{'a' * 64}", f"sha256:../{'a' * 61}", "x" * 100_000),
    ],
)
def test_anything_else_is_no_digest(text: str) -> None:
    """Upper case, other algorithms and odd characters are refused, in a short message."""
    with pytest.raises(ValueError, match="not a sha256 or sha512 digest") as caught:
        Digest.parse(text)

    assert len(str(caught.value)) < 250


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_a_stream_is_verified_in_any_pieces(chunks: list[bytes]) -> None:
    """However the bytes are cut, the right ones pass; with a known size and without."""
    data = b"".join(chunks)
    for size in (len(data), -1):
        verifier = Verifier(Digest.of(data), size)
        for chunk in chunks:
            verifier.update(chunk)
        verifier.finish()

        assert len(data) == verifier.seen


def test_too_many_bytes_are_refused_at_once() -> None:
    """An endless stream is broken off with the first byte too many, before it is used."""
    verifier = Verifier(DIGEST, len(DATA))
    verifier.update(DATA)

    with pytest.raises(DigestMismatch, match="more arrived") as caught:
        verifier.update(b"!")

    assert caught.value.retryable


@pytest.mark.parametrize(
    ("size", "data", "reason"),
    [
        (len(DATA), DATA[:-1], "only 11 arrived"),
        (len(DATA), DATA[:-1] + b"!", "are really sha256:"),
        (-1, DATA[:-1], "are really sha256:"),
        (1, b"", "only 0 arrived"),
    ],
)
def test_missing_and_wrong_bytes_are_found_at_the_end(size: int, data: bytes, reason: str) -> None:
    """A cut or altered stream is an error that another attempt may mend."""
    verifier = Verifier(DIGEST, size)
    verifier.update(data)

    with pytest.raises(DigestMismatch, match=reason) as caught:
        verifier.finish()

    assert caught.value.retryable
