"""``dregsy demo``: the main job in a few seconds, between two registries inside the process, without internet.

It goes the way of ``dregsy -config FILE``, and checks what it promises.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dregsy.cli.run import conclude
from dregsy.cli.voice import Manner, voice

if TYPE_CHECKING:
    from dregsy.embedded.server import EmbeddedRegistry
    from dregsy.model.report import Report, Status

CONFIG = """\
relay: native
parallel: 4

tasks:
  - name: base-images
    source: {{registry: {source}}}
    target: {{registry: {target}}}
    mappings:
      - from: library/busybox       # one repository, all its tags,
        to: mirror/busybox          # under another name

  - name: our-images
    source: {{registry: {source}}}
    target: {{registry: {target}}}
    mappings:
      - from: regex:team/.*         # every repository that matches,
        to: mirror                  # below mirror/
        tags:
          - 'semver: >=1.0.0'       # nothing that is not ready
          - 'regex: sbom.*'
"""


@click.command("demo")
def command() -> int:
    """Watch dregsy work; needs no internet and leaves nothing behind.

    Starts two small registries inside this process, fills the first with images, and mirrors them
    to the second, three times: at first, with nothing to do, and after one tag has changed.
    """
    import asyncio

    return asyncio.run(_demo(os.environ))


async def _demo(environ: Mapping[str, str]) -> int:
    """Run the three acts; 1 when a promise is not kept."""
    from dregsy.embedded.server import EmbeddedRegistry

    with tempfile.TemporaryDirectory(prefix="dregsy-demo-") as folder:
        async with EmbeddedRegistry() as source, EmbeddedRegistry() as target:
            config = Path(folder) / "sync.yaml"
            config.write_text(CONFIG.format(source=source.host, target=target.host))
            await fill(source)
            click.echo(f"Two registries run inside this process: {source.host} has images, {target.host} is empty.")
            click.echo(f"\n{config}:\n\n{config.read_text()}")
            stage = Stage(str(config), environ, source, target)
            await stage.first()
            await stage.second()
            await stage.third()
    click.echo(f"{stage.broken} promises were not kept: please report this" if stage.broken else "All promises kept.")
    return 1 if stage.broken else 0


async def fill(registry: "EmbeddedRegistry") -> None:
    """Seed a registry with images of all kinds: single, for several platforms, attested, sharing layers, an SBOM."""
    from dregsy.embedded.images import AMD64, artifact, image, index, seed
    from dregsy.model.platform import Platform

    busybox = image("busybox", layers=1, size=1_500_000, docker=True)
    await seed(registry, "library/busybox", busybox, "1.36", "latest")
    platforms = (AMD64, Platform("linux", "arm64", "v8"))
    web = index(*(image(f"debian/web-{one}", platform=one, size=12_000_000) for one in platforms), attested=True)
    await seed(registry, "team/web", web, "2.0")
    await seed(registry, "team/web", image("debian/web-old", size=500_000), "0.9-rc.1")
    await seed(registry, "team/web", artifact(web, text="sbom of web"), "sbom")
    await seed(registry, "team/api", image("debian/api-1.0", layers=3, size=12_000_000), "1.0")
    await seed(registry, "team/api", image("debian/api-1.1", layers=3, size=12_000_000), "1.1")


async def change(registry: "EmbeddedRegistry") -> None:
    """Let one tag mean another image, which has its first layer in common with the others."""
    from dregsy.embedded.images import image, seed

    await seed(registry, "team/api", image("debian/api-1.1-fixed", layers=3, size=12_000_000), "1.1")


class Stage:
    """Runs the config file again and again, and says after each run what the registries saw of it."""

    def __init__(
        self, config: str, environ: Mapping[str, str], source: "EmbeddedRegistry", target: "EmbeddedRegistry"
    ) -> None:
        self.broken = 0
        self._config = config
        self._environ = environ
        self._source = source
        self._target = target

    async def first(self) -> None:
        """Everything is new."""
        from dregsy.model.report import Status

        reports = await self._sync("First sync: the target is empty")
        copied = _images(reports, Status.COPIED)
        self._promise(f"{copied} images copied", copied == 6)
        self._promise("no layer fetched twice, although images share some", self._fetched_once())
        self._promise("the target has the same bytes, attestations included", self._same())
        self._promise("the SBOM belongs to its image there, too", self._referrers() == 1)

    async def second(self) -> None:
        """Nothing is new."""
        from dregsy.model.report import Status

        reports = await self._sync("Second sync: nothing has changed")
        current = _images(reports, Status.CURRENT)
        self._promise(f"{current} images up to date", current == 6)
        reading = self._source.count("GET", "/(manifests|blobs)/")
        writing = sum(request.method not in {"GET", "HEAD"} for request in self._target.requests)
        self._promise("no manifest or layer fetched, nothing written", reading == writing == 0)

    async def third(self) -> None:
        """One tag is new."""
        from dregsy.model.report import Status

        await change(self._source)
        reports = await self._sync("Third sync: team/api:1.1 is another image now")
        copied, current = _images(reports, Status.COPIED), _images(reports, Status.CURRENT)
        self._promise(f"{copied} image copied, {current} up to date", (copied, current) == (1, 5))
        skipped = sum(
            (outcome.moved.blobs_skipped or 0) + (outcome.moved.blobs_mounted or 0)
            for report in reports
            for outcome in report.outcomes
            if outcome.moved
        )
        self._promise("the layer that the target had already was not sent again", skipped > 0)
        self._promise("the target has the same bytes again", self._same())

    async def _sync(self, title: str) -> "tuple[Report, ...]":
        """Do what ``dregsy -config FILE`` does, and sum up what the registries saw."""
        from dregsy import app
        from dregsy.config.load import load
        from dregsy.log import size
        from dregsy.model.report import LastReports

        click.echo(click.style(title, bold=True))
        for registry in (self._source, self._target):
            registry.log.clear()
        plan = load(self._config, environ=self._environ).plan
        last = LastReports()
        with voice(as_json=False, manner=Manner()) as listener:
            code = await app.run(plan, environ=self._environ, listeners=[last, listener])
        conclude(last.reports, code, as_json=False, manner=Manner())
        asked, told = self._source.requests, self._target.requests
        sent, received = sum(one.bytes_out for one in asked), sum(one.bytes_in for one in told)
        click.echo(f"  source: {len(asked)} requests, {size(sent)} sent")
        click.echo(f"  target: {len(told)} requests, {size(received)} received")
        self._promise("exit code 0", code == 0)
        return last.reports

    def _promise(self, text: str, kept: bool) -> None:
        """Say whether a promise was kept."""
        self.broken += not kept
        mark = "ok" if kept else "NOT KEPT"
        click.echo(f"  [{mark}] {text}")

    def _fetched_once(self) -> bool:
        """Whether no blob was fetched from the source twice."""
        paths = [one.path for one in self._source.requests if one.method == "GET" and "/blobs/" in one.path]
        digests = {path.rpartition("/")[2] for path in paths}
        return len(paths) == len(digests)

    def _same(self) -> bool:
        """Whether every tag asked for is the same image at the target, whose parts have the same bytes.

        That no part is missing is what the registry itself makes sure of when it takes a manifest.
        """
        for name in ("library/busybox", "team/web", "team/api"):
            wanted = self._source.store.open(name)
            found = self._target.store.open(f"mirror/{name.removeprefix('library/')}")
            tags = {tag: digest for tag, digest in wanted.tags.items() if not tag.startswith("0.")}
            same_blobs = all(wanted.blobs.get(digest) == blob for digest, blob in found.blobs.items())
            if found.tags != tags or not same_blobs:
                return False
        return True

    def _referrers(self) -> int:
        """How many manifests at the target say that they belong to team/web:2.0."""
        web = self._target.store.open("mirror/team/web")
        return len(web.referrers(web.resolve("2.0")))


def _images(reports: "tuple[Report, ...]", status: "Status") -> int:
    return sum(report.counts[status] for report in reports)
