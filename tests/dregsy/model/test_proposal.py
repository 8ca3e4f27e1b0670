from dataclasses import replace

from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint, RateLimit
from dregsy.model.plan import Copy, Once, Task
from dregsy.model.platform import Platform
from dregsy.model.proposal import Forecast, Mount, Need, Part, PlannedTask, Proposal, Traffic, Wanted, forecast
from dregsy.model.ref import Ref
from dregsy.model.report import Moved, Reason

A, B, C = Digest.of(b"a"), Digest.of(b"b"), Digest.of(b"c")
IMAGE = Digest.of(b"image")
TASK = Task("t", Once(), Endpoint("from.example"), (Endpoint("to.example"), Endpoint("far.example")), ())


def wanted(source: str, *targets: tuple[str, tuple[Part, ...]]) -> Wanted:
    """An image that is one manifest, and what its targets need."""
    refs = tuple(Ref.parse(name) for name, _ in targets)
    to = tuple([endpoint.host for endpoint in TASK.targets].index(ref.host) for ref in refs)
    copy = Copy("t", replace(Ref.parse(source), digest=IMAGE), refs, to)
    needs = tuple(Need(frozenset({IMAGE}), 0, parts) for _, parts in targets)
    count = len(targets)
    return Wanted(copy, IMAGE, (Reason.MISSING,) * count, (None,) * count, needs, frozenset({IMAGE}))


def told(*images: Wanted) -> Forecast:
    """What these images come to."""
    return forecast([(TASK, image) for image in images])


def expected(found: Forecast) -> list[Moved]:
    """What is expected of each target, in order."""
    return [target.expected for copy in found.copies for target in copy.targets]


def test_a_blob_is_sent_once() -> None:
    """A blob that several repositories of a registry lack is sent to the first, and mounted by the others."""
    parts = (Part(A, 10), Part(B, 5))
    found = told(
        wanted("from.example/a:1", ("to.example/a:1", parts)), wanted("from.example/b:1", ("to.example/b:1", parts))
    )

    assert expected(found) == [Moved(IMAGE, 15, 15, 2, 0, 0), Moved(IMAGE, 0, 0, 0, 2, 0)]
    assert found.mounts == ()
    assert found.traffic == (
        Traffic("from.example", requests=1 + 2 * 2 + 2, pulls=2, bytes_read=15, bytes_written=0),
        Traffic("to.example", requests=1 + 2 * 3 + 2 * 3 + 1 + 2, pulls=0, bytes_read=0, bytes_written=15),
    )


def test_the_same_repository_has_it_then() -> None:
    """What one tag brings the next one of its repository finds there."""
    images = [wanted(f"from.example/a:{tag}", (f"to.example/a:{tag}", (Part(A, 10),))) for tag in "12"]

    assert expected(told(*images)) == [Moved(IMAGE, 10, 10, 1, 0, 0), Moved(IMAGE, 0, 0, 0, 0, 1)]


def test_what_another_repository_has_is_mounted() -> None:
    """Where a repository has it before, whichever copy comes first, it is mounted from there, and never sent."""
    has = wanted("from.example/b:1", ("to.example/b:1", (Part(A, 10, there=True),)))
    lacks = wanted("from.example/a:1", ("to.example/a:1", (Part(A, 10),)))
    mount = Mount("to.example", "b", A)

    for images in ([has, lacks], [lacks, has]):
        found = told(*images)
        assert (found.mounts, sum(one.bytes_written for one in found.traffic)) == ((mount,), 0)
        assert sorted(one.blobs_mounted or 0 for one in expected(found)) == [0, 1]


def test_what_the_journal_knows_is_mounted() -> None:
    """So it is where the journal knows a place."""
    found = told(wanted("from.example/a:1", ("to.example/a:1", (Part(A, 10, home="old/one"),))))

    assert (found.mounts, expected(found)) == ((Mount("to.example", "old/one", A),), [Moved(IMAGE, 0, 0, 0, 1, 0)])


def test_next_door() -> None:
    """Within one registry nothing moves; what comes from elsewhere is mounted from the source that has it."""
    inside = wanted("to.example/src:1", ("to.example/a:1", (Part(A, 10),)))
    outside = wanted("from.example/b:1", ("to.example/b:1", (Part(A, 10),)))

    assert told(inside).mounts == ()
    for images in ([inside, outside], [outside, inside]):
        found = told(*images)
        assert (found.mounts, sum(one.bytes_written for one in found.traffic)) == ((Mount("to.example", "src", A),), 0)


def test_several_targets_are_read_for_once() -> None:
    """What goes to two registries is written to both and read once; the first target counts that."""
    parts = (Part(A, 10),)
    found = told(wanted("from.example/a:1", ("to.example/a:1", parts), ("far.example/a:1", (*parts, Part(C, 1)))))

    assert expected(found) == [Moved(IMAGE, 11, 10, 1, 0, 0), Moved(IMAGE, 0, 11, 2, 0, 0)]
    assert {one.host: one.requests for one in found.traffic}["from.example"] == 1 + 2 + 3  # at most


def test_an_index_is_read_to_see_what_it_means() -> None:
    """Where a part of an image is taken, the index is a pull more; a rate-limit is a look more."""
    image = wanted("from.example/a:1", ("to.example/a:1", ()))
    part = replace(image, copy=replace(image.copy, platforms=(Platform("linux", "arm64"),)))
    limited = replace(TASK, source=replace(TASK.source, rate_limit=RateLimit(5)))

    plain, one, careful = forecast([(TASK, image)]), forecast([(TASK, part)]), forecast([(limited, image)])

    assert [found.traffic[0].pulls for found in (plain, one, careful)] == [1, 2, 1]
    assert [found.traffic[0].requests for found in (plain, one, careful)] == [3, 4, 4]
    assert one.copies[0].platforms == ("linux/arm64",)


def test_a_proposal_counts_its_reasons() -> None:
    """The reasons of all targets are counted."""
    copies = told(wanted("from.example/a:1", ("to.example/a:1", ()), ("far.example/a:1", ()))).copies
    proposal = Proposal("native", (PlannedTask("t", 0, copies),))

    assert list(proposal.copies) == list(copies)
    assert proposal.reasons == {Reason.MISSING: 2}
