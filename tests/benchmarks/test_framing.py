from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.framing import Framing

CONVERSATION = (
    b"HEAD /v2/a/blobs/x HTTP/1.1\r\nContent-Length: 7\r\n\r\n"
    b"PUT /v2/a HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello"
    b"PATCH /v2/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: z\r\n\r\n"
    b"GET /v2/ HTTP/1.1\r\nHost: here\r\n\r\n"
)
SEEN = [("HEAD", 0), ("PUT", 5), ("PATCH", 13), ("GET", 0)]


class Messages:
    """The methods of all messages with the sizes of their bodies; those of HEAD have none, whatever they say."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, int]] = []
        self._method, self._size = "", 0
        self.framing = Framing(self._on_head, self._on_body, self._on_end)

    def _on_head(self, head: bytes) -> bool:
        self._method, self._size = head.split(b" ")[0].decode(), 0
        return self._method != "HEAD"

    def _on_body(self, size: int) -> None:
        self._size += size

    def _on_end(self) -> None:
        self.ended.append((self._method, self._size))


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=12))
def test_messages_are_told_apart_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    """How a network cuts a conversation into pieces changes nothing of what is counted."""
    places = [0, *sorted(cuts), len(CONVERSATION)]
    messages = Messages()

    for begin, end in pairwise(places):
        messages.framing.feed(CONVERSATION[begin:end])

    assert messages.ended == SEEN


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_body_of_any_size_is_counted(size: int) -> None:
    """A body is counted by the byte and not taken for a head."""
    messages = Messages()

    messages.framing.feed(b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"\n" * size)

    assert messages.ended == [("PUT", size)]
