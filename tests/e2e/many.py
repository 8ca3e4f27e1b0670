"""10,000 tags to three targets, by the kernel's account of memory: ``make many``, since it takes minutes."""

import asyncio
from pathlib import Path

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from tests.e2e.test_many import BYTES_PER_TAG, to_three
from tests.testbed.command import Dregsy
from tests.testbed.usage import used_by

FEW, MANY = 2000, 10_000
KIB = 1024


async def test_ten_thousand_tags(tmp_path: Path) -> None:
    """Planned, copied and reported, then found current, 10,000 tags take less than 2 KB each more than 2,000 do."""
    few, many = [await peaks(tmp_path / str(tags), tags) for tags in (FEW, MANY)]
    each = [(after - before) * KIB * KIB / (MANY - FEW) for before, after in zip(few, many, strict=True)]
    print("MiB at most:", few, many, "bytes a tag:", each)  # noqa: T201 - for docs/reliability.md
    assert max(each) < BYTES_PER_TAG


async def peaks(folder: Path, tags: int) -> list[float]:
    """Return how many MiB it took at most to copy so many tags, and then to find them current."""
    found = []
    async with EmbeddedRegistry() as a, EmbeddedRegistry() as b, EmbeddedRegistry() as c, EmbeddedRegistry() as d:
        await images.seed(a, "app", images.image("x"), *(f"v{number}" for number in range(tags)))
        dregsy = Dregsy(folder)
        config = dregsy.config(to_three(a, b, c, d))
        for _ in range(2):
            command = [dregsy.program, "-config", config, "--log-level", "error"]
            used = await asyncio.to_thread(used_by, command, dregsy.environ, folder)
            assert used.code == 0, used.output
            found.append(used.peak)
            for registry in (a, b, c, d):
                registry.log.clear()
        assert all(len(one.store.find("app").tags) == tags for one in (b, c, d))
    return found
