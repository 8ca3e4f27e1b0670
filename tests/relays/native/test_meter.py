from dregsy.model.digest import Digest
from dregsy.model.manifest import UNKNOWN_SIZE, Descriptor
from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import CopyProgress, Event
from relays.native.meter import Meter

COPY = Copy("t", Ref("a.example", "app", "1"), (Ref("b.example", "app", "1"),), (0,))


def test_what_is_expected_becomes_what_is_written() -> None:
    """What is expected, less what was spared, is what is written; a blob of unknown size expects nothing."""
    events: list[Event] = []
    meter = Meter(COPY, events.append)
    there, new, unknown = (
        Descriptor("x", Digest.of(text), size) for text, size in ((b"a", 5), (b"b", 7), (b"c", UNKNOWN_SIZE))
    )

    for blob in (there, new, unknown):
        meter.expect(blob)
    meter.spared(there)
    meter.read(7)
    meter.wrote(7)
    meter.arrived(new.digest)

    told = [event for event in events if isinstance(event, CopyProgress)]
    assert sum(event.bytes_expected for event in told) == sum(event.bytes_written for event in told) == 7
    assert [event.blob for event in told if event.blob] == [new.digest]
    assert meter.bytes_read == sum(event.bytes_read for event in told) == 7
