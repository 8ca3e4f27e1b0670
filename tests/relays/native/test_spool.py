import asyncio
from pathlib import Path

import pytest

from dregsy.errors import NotFound, RelayError
from relays.native.spool import Spool, SpoolFile


async def everything(spool: Spool) -> bytes:
    """Read a spool to its end."""
    return b"".join([chunk async for chunk in spool.read()])


async def test_readers(tmp_path: Path) -> None:
    """Readers that begin before, while and after the bytes arrive all get the same bytes, from the first on."""
    with SpoolFile(tmp_path) as file:
        spool, other = Spool(file), Spool(file)
        async with asyncio.TaskGroup() as group:
            before = group.create_task(everything(spool))
            await asyncio.sleep(0)
            with spool.filling(), other.filling():
                spool.append(b"one")
                other.append(b"mixed in between")
                amid = group.create_task(everything(spool))
                await asyncio.sleep(0)
                spool.append(b"two")
                size = group.create_task(spool.whole())
        assert [before.result(), amid.result(), await everything(spool)] == [b"onetwo"] * 3
        assert (size.result(), await spool.whole(), await everything(other)) == (6, 6, b"mixed in between")


async def test_nothing(tmp_path: Path) -> None:
    """A blob without any byte is a spool like others."""
    with SpoolFile(tmp_path) as file:
        spool = Spool(file)
        with spool.filling():
            pass
        assert (await everything(spool), await spool.whole()) == (b"", 0)


async def test_error(tmp_path: Path) -> None:
    """When the bytes do not come, those that wait learn why, and so do those that come later."""
    with SpoolFile(tmp_path) as file:
        spool = Spool(file)
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(_caught(spool)) for _ in range(3)]
            await asyncio.sleep(0)
            with spool.filling():
                refuse()
        assert [one.result() for one in waiting] == ["no such blob"] * 3
        with pytest.raises(NotFound):
            await everything(spool)


def refuse() -> None:
    """Fail as a source does."""
    raise NotFound("no such blob")


async def _caught(spool: Spool) -> str:
    with pytest.raises(NotFound) as caught:
        await spool.whole()
    return caught.value.message


async def test_given_up(tmp_path: Path) -> None:
    """When the read is cancelled, readers get an error that is worth another attempt; they never wait for ever."""
    with SpoolFile(tmp_path) as file:
        spool = Spool(file)

        async def fill() -> None:
            with spool.filling():
                await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            filling = group.create_task(fill())
            reading = group.create_task(_given_up(spool))
            await asyncio.sleep(0)
            filling.cancel()
        assert filling.cancelled()
        assert reading.result()


async def _given_up(spool: Spool) -> bool:
    with pytest.raises(RelayError) as caught:
        await everything(spool)
    return caught.value.retryable


def test_file_goes(tmp_path: Path) -> None:
    """The file has no name, and is closed when the last of its holders lets go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    file = SpoolFile(folder)
    with file:
        with file:
            place = file.append(b"bytes")
            assert list(folder.iterdir()) == []
        assert file.is_open
        assert file.read(place, 5) == b"bytes"
    assert not file.is_open


def test_no_folder(tmp_path: Path) -> None:
    """Without the scratch folder there is an error that says what to set."""
    with pytest.raises(RelayError, match="TMPDIR"):
        SpoolFile(tmp_path / "gone")
