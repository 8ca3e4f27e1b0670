"""Follows one direction of an HTTP/1.1 connection: where a message's head ends, and how long its body is (RFC 9112)."""

from collections.abc import Callable


class Framing:
    """Cuts the bytes of one direction into messages, without holding their bodies.

    ``on_head`` gets each head, with its last line, and says whether a body may follow (none follows the
    head of an answer to HEAD); ``on_body`` gets the sizes of body bytes; ``on_end`` is called after each message.
    """

    def __init__(
        self, on_head: Callable[[bytes], bool], on_body: Callable[[int], None], on_end: Callable[[], None]
    ) -> None:
        self._on_head = on_head
        self._on_body = on_body
        self._on_end = on_end
        self._text = bytearray()
        self._left = 0
        self._step: Callable[[bytes], None] = self._head

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the direction."""
        at = 0
        while at < len(data):
            at = self._body(data, at) if self._left else self._line(data, at)

    def _body(self, data: bytes, at: int) -> int:
        size = min(self._left, len(data) - at)
        self._left -= size
        self._on_body(size)
        if not self._left and self._step == self._head:
            self._on_end()
        return at + size

    def _line(self, data: bytes, at: int) -> int:
        """Take bytes up to the end of what the present step waits for."""
        mark = b"\r\n\r\n" if self._step == self._head else b"\r\n"
        begin = len(self._text)
        self._text += data[at:]
        found = self._text.find(mark, max(0, begin - len(mark)))
        if found < 0:
            return len(data)
        end = found + len(mark)
        text = bytes(self._text[:end])
        self._text.clear()
        self._step(text)
        return at + end - begin

    def _head(self, text: bytes) -> None:
        lines = text.lower().split(b"\r\n")
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        may_have_body = self._on_head(text)
        if may_have_body and fields.get(b"transfer-encoding", b"").endswith(b"chunked"):
            self._step = self._chunk
            return
        self._left = int(fields.get(b"content-length", b"0")) if may_have_body else 0
        if not self._left:
            self._on_end()

    def _chunk(self, text: bytes) -> None:
        size = int(text.partition(b";")[0], 16)
        self._left = size
        self._step = self._after_chunk if size else self._trailer

    def _after_chunk(self, _: bytes) -> None:
        self._step = self._chunk

    def _trailer(self, text: bytes) -> None:
        if text == b"\r\n":
            self._step = self._head
            self._on_end()
