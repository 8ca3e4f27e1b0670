import os
from contextlib import AsyncExitStack
from pathlib import Path

from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import CopyFinished, Event, Failure, Outcome, Status, Warned
from dregsy.web.history import LONGEST, MOST, MOST_IN_MEMORY, History
from tests.dregsy.web.stage import DIGEST, NOW, copied, current, failed


class Years:
    """A time that is set by hand."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        """Return it."""
        return self.time


async def tags(history: History, image: str = "", limit: int = 100) -> list[str]:
    """Return the tags of what a history has, newest first."""
    found = await (history.of(image, limit) if image else history.latest(limit))
    return [one.image.rpartition(":")[2] for one in found]


async def test_what_became_of_images() -> None:
    """What was copied and what failed is kept, with all that is known; what was up to date is not."""
    async with History(now=Years()) as history:
        for outcome in (copied("1"), current("2"), failed("1")):
            history(CopyFinished(outcome))
        wrong, good = await history.of("b.test/app:1", 10)

    assert (good.at, good.task, good.source, good.image) == (NOW, "nightly", "a.test/app:1", "b.test/app:1")
    assert (good.status, good.reason, good.digest) == ("copied", "missing", str(DIGEST))
    assert (good.bytes, good.seconds, good.message) == (1500, 1.5, "")
    assert (wrong.status, wrong.kind, wrong.message, wrong.hint) == (
        "failed",
        "unreachable",
        "b.test is down",
        "start it",
    )


async def test_images_by_their_names() -> None:
    """An image is found by what it is called at its target, and at its source; nothing else is."""
    async with History(now=Years()) as history:
        for tag in ("1", "2", "3"):
            history(CopyFinished(copied(tag)))

        assert await tags(history, "b.test/app:2") == await tags(history, "a.test/app:2") == ["2"]
        assert await tags(history, "b.test/app:' OR 1=1 --") == []
        assert await tags(history, limit=2) == ["3", "2"]


async def test_what_reached_no_target() -> None:
    """It is known by its source."""
    one = Copy("nightly", Ref("a.test", "gone"), (), ())
    async with History(now=Years()) as history:
        history(CopyFinished(Outcome(one, None, Status.FAILED, failure=Failure("not-found", "x\n" * 5000))))
        (found,) = await history.of("a.test/gone", 10)

    assert (found.image, found.message) == ("a.test/gone", "x " * (LONGEST // 2))


async def test_a_folder_outlasts_the_process(tmp_path: Path) -> None:
    """What one history wrote the next one knows, a month later, too."""
    years = Years()
    async with History(tmp_path / "journal", now=years) as history:
        history(CopyFinished(copied("1")))
    years.time += 30 * 86400
    async with History(tmp_path / "journal", now=years) as history:
        history(CopyFinished(copied("2")))
        assert await tags(history) == ["2", "1"]

    assert (tmp_path / "journal").stat().st_mode & 0o077 == 0


async def test_bounds(tmp_path: Path) -> None:
    """In memory and in a file there are only so many entries, and the oldest go."""
    many = [CopyFinished(copied(str(number))) for number in range(6000)]
    kept: list[list[str]] = []
    for most, folder in ((MOST_IN_MEMORY, None), (MOST, tmp_path)):
        async with History(folder, now=Years()) as history:
            for _ in range(2):
                for one in many:
                    history(one)
                kept.append(await tags(history, limit=10**6))
            assert most <= len(kept[-1]) < most + 500

    assert [found[0] for found in kept] == ["5999"] * 4


async def test_begun_by_many_at_once(tmp_path: Path) -> None:
    """Of those that find no history and make one at the same moment, each works with the file."""
    heard: list[Event] = []
    for folder in (tmp_path / f"{number}" for number in range(20)):
        async with AsyncExitStack() as stack:
            every = [await stack.enter_async_context(History(folder, heard.append, now=Years())) for _ in range(8)]
            for number, history in enumerate(every):
                history(CopyFinished(copied(str(number))))
        async with History(folder, heard.append, now=Years()) as history:
            assert len(await tags(history)) == 8
    assert heard == []


async def test_a_file_that_is_none(tmp_path: Path) -> None:
    """A broken file, or a folder that others may write to, is left alone, which is said once; no more comes of it."""
    (tmp_path / "broken").mkdir(0o700)
    (tmp_path / "broken/history-1.db").write_bytes(b"no database" * 1000)
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o777)  # noqa: PTH101, S103 - what it is about
    heard: list[Event] = []
    for name in ("broken", "open"):
        async with History(tmp_path / name, heard.append, now=Years()) as history:
            history(CopyFinished(copied("1")))
            assert await tags(history) == ["1"]
            assert await tags(history, "b.test/app:1") == ["1"]

    warned = [one.message for one in heard if isinstance(one, Warned)]
    assert [str(tmp_path / name) in text for name, text in zip(("broken", "open"), warned, strict=True)] == [True, True]
    assert (tmp_path / "broken/history-1.db").read_bytes() == b"no database" * 1000
    assert list((tmp_path / "open").iterdir()) == []
