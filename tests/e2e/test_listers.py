"""A registry's own lists, as a user meets them: a file, the command, and a Harbor."""

import asyncio
import base64
from datetime import UTC, datetime
from pathlib import Path

from dregsy.embedded.server import EmbeddedRegistry
from tests.testbed.command import Dregsy, mirror
from tests.testbed.vendors.harbor import Harbor
from tests.testbed.vendors.server import numbered


async def test_a_project_of_harbor(tmp_path: Path) -> None:
    """A project is mirrored though its catalog is closed; the next run asks little, and says what it was spared."""
    dregsy = Dregsy(tmp_path / "user")
    async with Harbor(users={"robot$ci": "secret"}) as source, EmbeddedRegistry() as target:
        source.put("team/app", numbered(20))
        source.put("team/tool", ("v1",))
        source.put("other/app", ("v1",))
        config = mirror(f"{source.host}/team", target.host, {"from": "regex:.*", "to": "copies"})
        config["tasks"][0]["source"]["auth"] = base64.b64encode(b"robot$ci:secret").decode()
        file = dregsy.config(config)

        first = await asyncio.to_thread(dregsy.run, "-config", file)
        names = target.store.names()
        source.log.clear()
        target.log.clear()
        second = await asyncio.to_thread(dregsy.run, "-config", file)

        assert (first.code, second.code, names) == (0, 0, ["copies/app", "copies/tool"])
        assert source.log.count("HEAD", "") == 3  # two of the many tags of one repository, the only one of the other
        assert target.count("HEAD", "") == 21
        assert "21 up to date" in second.out
        assert "17 requests saved" in second.out


async def test_a_quarantine_by_harbors_dates(tmp_path: Path) -> None:
    """An image that says it is old waits all the same while its tag is fresh."""
    dregsy = Dregsy(tmp_path / "user")
    async with Harbor() as source, EmbeddedRegistry() as target:
        source.put("team/app", ("v1", "v2"))
        source.pushed["v2"] = datetime.now(UTC)
        mapping = {"from": "team/app", "older-than": "7d"}
        done = await asyncio.to_thread(dregsy.run, "-config", dregsy.config(mirror(source.host, target.host, mapping)))

        assert (done.code, set(target.store.open("team/app").tags)) == (0, {"v1"})
