import json
import os
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dregsy.config import planfile
from dregsy.config.planfile import Origin
from dregsy.errors import UsageError
from dregsy.model.digest import Digest
from dregsy.model.plan import Copy
from dregsy.model.proposal import Mount, PlannedCopy, PlannedTarget, PlannedTask, Proposal, Traffic
from dregsy.model.ref import Ref
from dregsy.model.report import Failure, Moved, Outcome, Reason, Status

A, B = Digest.of(b"a"), Digest.of(b"b")
SOURCE = Ref("a.example:5000", "app", "v1", A)
TARGETS = (
    PlannedTarget(Ref("b.example", "app", "v1"), 0, Reason.MISSING, None, Moved(A, 7, 7, 1, 0, 0)),
    PlannedTarget(Ref("c.example", "app", "v1"), 1, Reason.CHANGED, B, Moved(A, 0, 3, 1, 1, 2)),
)
COPY = PlannedCopy(SOURCE, B, by_digest=False, targets=TARGETS, platforms=("linux/arm64",), where="f:3")
FAILURE = Outcome(Copy("t", SOURCE, (), ()), None, Status.FAILED, failure=Failure("image", "it is none", "look"))
PROPOSAL = Proposal(
    "native",
    (PlannedTask("t", 2, (COPY,)),),
    (Traffic("a.example:5000", 4, 2, 7, 0, 76), Traffic("b.example", 9, 0, 0, 10)),
    (Mount("b.example", "old/one", B),),
    5,
    (FAILURE,),
)
ORIGIN = Origin("sync.yaml", B)
DOCUMENT = planfile.document(PROPOSAL, ORIGIN, "2026-01-01T00:00:00Z")


def written(folder: Path, text: str | bytes) -> str:
    """Write a file and return its name."""
    file = folder / "plan.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(file)


def test_there_and_back(tmp_path: Path) -> None:
    """What is to be copied comes back as it was written, how many failed, and the config that it came from."""
    file = tmp_path / "plan.json"

    planfile.write(str(file), DOCUMENT)
    proposal, origin = planfile.read(str(file))

    assert (proposal.tasks, proposal.mounts, origin) == (PROPOSAL.tasks, PROPOSAL.mounts, ORIGIN)
    assert (proposal.unplanned, proposal.failures) == (1, ())
    assert [path.name for path in tmp_path.iterdir() if "plan" in path.name] == ["plan.json"]


@pytest.mark.parametrize("host", ["registry", "localhost", "[::1]:5000", "docker.io", "a.example:443"])
def test_hosts(host: str, tmp_path: Path) -> None:
    """Hosts of all kinds come back, with and without tags and digests."""
    refs = [Ref.of(host, "a/b").with_tag(tag, digest) for tag in (None, "v1") for digest in (None, A)]
    copies = tuple(replace(COPY, targets=(replace(TARGETS[0], ref=ref),)) for ref in refs)
    document = planfile.document(Proposal("native", (PlannedTask("t", 0, copies),)), ORIGIN, "")

    planfile.write(str(tmp_path / "plan.json"), document)

    assert [copy.targets[0].ref for copy in planfile.read(str(tmp_path / "plan.json"))[0].copies] == refs


def test_what_it_tells() -> None:
    """The file tells who made it when of what, sums it up, and tells what could not be found out."""
    assert [DOCUMENT[key] for key in ("version", "created", "config")] == [
        1,
        "2026-01-01T00:00:00Z",
        {"file": "sync.yaml", "digest": str(B)},
    ]
    assert DOCUMENT["totals"] == {
        "missing": 1,
        "changed": 1,
        "current": 5,
        "failed": 1,
        "requests": 13,
        "pulls": 2,
        "bytes_read": 7,
        "bytes_written": 10,
    }
    assert DOCUMENT["registries"][0]["pulls_left"] == 76
    assert [(one["kind"], one["error"], one["hint"]) for one in DOCUMENT["failures"]] == [
        ("image", "it is none", "look")
    ]


def test_all_or_nothing(tmp_path: Path) -> None:
    """A plan that cannot be written leaves what was there, and nothing of itself."""
    file = tmp_path / "plan.json"
    file.write_text("before")

    with pytest.raises(TypeError):
        planfile.write(str(file), {"x": object()})

    left = {path.name: path.read_text() for path in tmp_path.iterdir() if "plan" in path.name}
    assert left == {"plan.json": "before"}


def test_links_are_followed(tmp_path: Path) -> None:
    """A link stays one: what it points at is written."""
    (tmp_path / "link").symlink_to(tmp_path / "plan.json")

    planfile.write(str(tmp_path / "link"), DOCUMENT)

    assert (tmp_path / "link").is_symlink()
    assert planfile.read(str(tmp_path / "plan.json"))[1] == ORIGIN


@pytest.mark.parametrize("name", ["/dev/null", "no/such/folder/plan.json", ".", "plan\0", "loop"])
def test_no_place(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no place for a file is told before anything is done."""
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")

    with pytest.raises(UsageError, match=f"-o {re.escape(repr(name))} "):
        planfile.check_place(name)


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts a value somewhere into a plan."""

    def edit(plan: dict[str, Any]) -> None:
        place: Any = plan
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return edit


COPIES: tuple[str | int, ...] = ("tasks", 0, "copies", 0)


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (put("extra", value=1), "extra"),
        (put("config", "digest", value="sha256:x"), "config.digest"),
        (put(*COPIES, "source", value="A/b:c d"), "tasks.0.copies.0.source"),
        (put(*COPIES, "source", value="app:v1"), "tasks.0.copies.0.source"),
        (put(*COPIES, "source", value=["a"]), "tasks.0.copies.0.source"),
        (put(*COPIES, "digest", value=None), "tasks.0.copies.0.digest"),
        (put(*COPIES, "by_digest", value="yes"), "tasks.0.copies.0.by_digest"),
        (put(*COPIES, "targets", value=[]), "tasks.0.copies.0.targets"),
        (put(*COPIES, "targets", 0, "target", value="b.example/../x:1"), "tasks.0.copies.0.targets.0.target"),
        (put(*COPIES, "targets", 0, "position", value=-1), "tasks.0.copies.0.targets.0.position"),
        (put(*COPIES, "targets", 0, "position", value=10**30), "tasks.0.copies.0.targets.0.position"),
        (put(*COPIES, "targets", 0, "reason", value="current"), "tasks.0.copies.0.targets.0.reason"),
        (put(*COPIES, "targets", 0, "reason", value={}), "tasks.0.copies.0.targets.0.reason"),
        (put("mounts", 0, "host", value="b.example/x"), "mounts.0.host"),
        (put("mounts", 0, "repository", value="../x"), "mounts.0.repository"),
        (put("mounts", 0, "blob", value=str(A) + "&x"), "mounts.0.blob"),
    ],
)
def test_what_is_no_plan(edit: Callable[[dict[str, Any]], None], place: str, tmp_path: Path) -> None:
    """Whatever is wrong is told with its place, and what to do now."""
    document = json.loads(json.dumps(DOCUMENT))
    edit(document)

    with pytest.raises(UsageError) as refused:
        planfile.read(written(tmp_path, json.dumps(document)))

    assert f"is no plan: {place}: " in refused.value.message
    assert refused.value.hint == "make a new plan with 'dregsy plan'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("1" * 10_000, "is not JSON"),
        ("[1]", "is no plan of version 1"),
        ('{"version": 2, "more": 1}', "is no plan of version 1"),
        ('{"version": 1}', "is no plan: dregsy: Field required"),
    ],
)
def test_what_is_not_even_like_one(text: str | bytes, said: str, tmp_path: Path) -> None:
    """Files of any other kind are told from plans."""
    with pytest.raises(UsageError) as refused:
        planfile.read(written(tmp_path, text))
    assert said in refused.value.message


def test_too_large(tmp_path: Path) -> None:
    """No more is read than a plan may have."""
    file = tmp_path / "plan.json"
    with file.open("wb") as stream:
        os.ftruncate(stream.fileno(), planfile.LIMIT + 1)

    with pytest.raises(UsageError, match="larger than 32 MiB"):
        planfile.read(str(file))


@pytest.mark.parametrize("part", ["[],", "{},"])
def test_too_many_values(part: str, tmp_path: Path) -> None:
    """A file that would take a hundred times its size in memory is refused before it is taken for JSON."""
    text = json.dumps(DOCUMENT)[:-1] + f', "x": [{part * planfile.VALUES}0]}}'

    tracemalloc.start()
    with pytest.raises(UsageError, match="1500000 values"):
        planfile.read(written(tmp_path, text))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2 * planfile.LIMIT


def test_no_plan_is_too_large_to_be_read(tmp_path: Path) -> None:
    """What could not be applied is not written."""
    with pytest.raises(UsageError, match="plan a part of the tasks"):
        planfile.write(str(tmp_path / "plan.json"), {"x": [0] * planfile.VALUES})
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("name", ["none.json", ".", "a\0b"])
def test_what_cannot_be_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there, or is none, is told so."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="cannot be read"):
        planfile.read(name)
