import json
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy.cli.plan import image_lines, image_table, total_line, traffic_lines
from dregsy.cli.render import Paint
from dregsy.embedded import images
from dregsy.model.digest import Digest
from dregsy.model.plan import Copy
from dregsy.model.proposal import PlannedCopy, PlannedTarget, PlannedTask, Proposal, Traffic
from dregsy.model.ref import Ref
from dregsy.model.report import Failure, Moved, Outcome, Reason, Status
from tests.dregsy.cli.conftest import Dregsy, Pair

A = Digest.of(b"a")
SOURCE = Ref("a.example", "app", "v1", A)
TARGET = PlannedTarget(Ref("b.example", "m/app", "v1"), 0, Reason.CHANGED, None, Moved(A, 1200, 1200, 1, 0, 0))
COPY = PlannedCopy(SOURCE, A, by_digest=False, targets=(TARGET,))
FAILED = Outcome(Copy("t", SOURCE, (), ()), None, Status.FAILED, failure=Failure("image", "it is none"))
TRAFFIC = (Traffic("a.example", 7, 3, 1200, 0, 2), Traffic("b.example", 10, 0, 0, 1200))
PROPOSAL = Proposal("native", (PlannedTask("t", 0, (COPY,)),), TRAFFIC, current=4, failures=(FAILED,))


def test_images() -> None:
    """Each image is told with its reason, its digest and the bytes that its target needs."""
    assert list(image_lines(PROPOSAL, Paint())) == [
        "task 't'",
        f"  changed    a.example/app:v1 -> b.example/m/app:v1 {A} (1.2 kB)",
    ]


def test_images_by_digest() -> None:
    """An image that the config names by digest is told by it, whatever it is to be called at the target."""
    proposal = replace(PROPOSAL, tasks=(PlannedTask("t", 0, (replace(COPY, by_digest=True),)),))

    assert f"a.example/app@{A} -> b.example/m/app:v1" in list(image_lines(proposal, Paint()))[1]


def test_a_screen() -> None:
    """On a screen the same is a table, with short digests, and in colour."""
    assert list(image_table(PROPOSAL, Paint())) == [
        "task 't'",
        "             image             target              digest        to write",
        f"  changed    a.example/app:v1  b.example/m/app:v1  {A.hex[:12]}    1.2 kB",
    ]
    assert "\x1b[33mchanged" in list(image_table(PROPOSAL, Paint(colour=True)))[2]


def test_registries() -> None:
    """Each registry is told with what it is going to see; one that will not allow it is told so."""
    assert list(traffic_lines(TRAFFIC)) == [
        "registry     read  written  requests  pulls  pulls left",
        "a.example  1.2 kB      0 B         7      3           2",
        "b.example     0 B   1.2 kB        10      0",
        "a.example allows 2 pulls now, and 3 are needed: see 'rate-limit', or wait",
    ]
    assert list(traffic_lines(())) == []


def test_sum() -> None:
    """The last line sums it up."""
    assert total_line(PROPOSAL) == (
        "0 missing, 1 changed, 4 current, 1 failed; "
        "1.2 kB to read, 1.2 kB to write; at most 17 requests, 3 of them pulls"
    )
    assert total_line(Proposal("native", (), current=2)) == "nothing to copy: 0 missing, 0 changed, 2 current"


async def test_told(dregsy: Dregsy, config: str, embedded_pair: Pair, tmp_path: Path) -> None:
    """The plan is told in lines and written to the file that is asked for; nothing is copied."""
    source, target = embedded_pair
    file = tmp_path / "plan.json"

    ran = await dregsy("plan", "-config", config, "-run", "first", "-o", str(file))

    digest = images.image("app-a", layers=1, size=100).digest
    sent = json.loads(file.read_text())["totals"]["bytes_written"]
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:2] == [
        "task 'first'",
        f"  missing    {source.host}/test/a:1.0 -> {target.host}/mirror/a:1.0 {digest} ({sent} B)",
    ]
    assert lines[-1] == f"to do exactly this: dregsy apply {file}"
    assert {request.method for request in target.requests} <= {"GET", "HEAD"}


async def test_json(dregsy: Dregsy, config: str, tmp_path: Path) -> None:
    """``--json`` writes the same document as the file has; what cannot be planned makes the exit code 1."""
    file = tmp_path / "plan.json"

    ran = await dregsy("plan", "--json", "-config", config, "-o", str(file), "--detailed-exitcode")

    data = json.loads(ran.out)
    assert (ran.code, data) == (1, json.loads(file.read_text()))
    assert (data["totals"]["missing"], [one["kind"] for one in data["failures"]]) == (2, ["not-found"])


async def test_standard_input(dregsy: Dregsy, config: str) -> None:
    """A config on the standard input has the digest of the same bytes in a file, and one that is wrong is told."""
    text = Path(config).read_text()

    piped = await dregsy("plan", "--json", "-config", "-", "-run", "first", stdin=text)
    wrong = await dregsy("plan", "-config", "-", stdin="tasks: 1")

    assert (piped.code, json.loads(piped.out)["config"]) == (0, {"file": "-", "digest": str(Digest.of(text.encode()))})
    assert (wrong.code, wrong.err.startswith("error: stdin:1: tasks")) == (1, True)


@pytest.mark.parametrize("out", ["/dev/null", "/no/such/folder/plan.json", "/proc/plan.json"])
async def test_no_place(out: str, dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """What cannot be written to is told before any registry is asked."""
    ran = await dregsy("plan", "-config", config, "-o", out)

    assert (ran.code, ran.err.startswith(f"error: -o '{out}' ")) == (1, True)
    assert embedded_pair[0].requests == []


async def test_the_config_stays(dregsy: Dregsy, config: str) -> None:
    """A plan never takes the place of the file that it is made from."""
    before = Path(config).read_text()

    ran = await dregsy("plan", "-config", config, "-o", config)

    assert (ran.code, "would overwrite the config" in ran.err, Path(config).read_text()) == (1, True, before)


async def test_no_file_is_named_like_the_standard_output(dregsy: Dregsy, config: str) -> None:
    """``-o -`` is a mistake, and it is said what was meant."""
    ran = await dregsy("plan", "-config", config, "-o", "-")

    assert (ran.code, "--json writes the plan to the standard output" in ran.err) == (1, True)
    assert not Path("-").exists()


async def test_shards(dregsy: Dregsy, config: str) -> None:
    """``--shard`` plans what one replica would copy; together they have everything once."""
    shards = [
        json.loads((await dregsy("plan", "--json", "-config", config, "--shard", f"{n}/2")).out) for n in range(2)
    ]

    sources = [copy["source"] for shard in shards for task in shard["tasks"] for copy in task["copies"]]
    assert (len(sources), len(set(sources))) == (2, 2)
