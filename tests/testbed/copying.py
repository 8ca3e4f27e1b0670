"""A relay with all it needs, the native one unless told otherwise, for tests that copy images."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dregsy.credentials import Logins
from dregsy.embedded.images import Image
from dregsy.errors import DregsyError
from dregsy.executor import Executor, LocalExecutor
from dregsy.journal import Journal
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import Manifest
from dregsy.model.plan import Copy, Once, Plan, RelayChoice, Rule, Task
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.report import Event, Moved, Report
from dregsy.model.rewrite import Rewrite, Selection
from dregsy.model.tags import TagFilter
from dregsy.model.timeouts import Timeouts
from dregsy.orchestrator import Orchestrator
from dregsy.registry.listing import Listings
from dregsy.registry.pool import Registries
from dregsy.registry.retry import Backoff
from dregsy.relay import Relay, Repacking, Toolbox, load
from dregsy.resolve import Resolver
from relays.native.relay import Settings

NATIVE = RelayChoice("native", Settings())


class Workshop:
    """A relay, a resolver and the registry clients for them, while an ``async with`` lasts.

    Faults are tried again without a wait. ``events`` are all that were emitted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        timeout: float = 30,
        attempts: int = 2,
        choice: RelayChoice = NATIVE,
        journal: Journal | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir(parents=True)
        self.events: list[Event] = []
        self.stop = asyncio.Event()
        self.abort = asyncio.Event()
        logins = Logins({}, folder)
        self.registries = Registries(logins, {}, timeouts=timeouts, backoff=Backoff(attempts=attempts, base=0))
        self.journal = journal or Journal()
        self.toolbox = Toolbox(self.registries, logins, self.scratch, self.events.append, timeout, self.journal)
        self.relay: Relay = load(choice.name)(choice.settings, self.toolbox)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.journal)
        await self._stack.enter_async_context(self.registries)
        relay = await self._stack.enter_async_context(self.relay)
        repacked = relay.platform if isinstance(relay, Repacking) else None
        listings = Listings(self.registries)
        self.resolver = Resolver(self.registries, listings, journal=self.journal, repacked=repacked)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def copy(self, digest: Digest, source: str, *targets: str) -> list[Moved | DregsyError]:
        """Have the relay copy the image ``digest`` of the repository ``source`` to ``targets`` (references)."""
        origin, refs = Ref.parse(source).with_tag(None, digest), tuple(map(Ref.parse, targets))
        copy = Copy("test", origin, refs, tuple(range(len(refs))))
        return list(await self.relay.copy(copy, Endpoint(origin.host), [Endpoint(ref.host) for ref in refs]))

    async def moved(self, digest: Digest, source: str, target: str) -> Moved:
        """Copy to one target and expect success."""
        (result,) = await self.copy(digest, source, target)
        if not isinstance(result, Moved):
            raise result
        return result

    def orchestrator(self, *, executor: Executor | None = None, parallel: int = 4, retries: int = 0) -> Orchestrator:
        """Return what runs tasks by the relay, or by another executor."""
        plan = Plan((), NATIVE, parallel=parallel, retries=retries)
        by = executor or LocalExecutor(self.relay)
        return Orchestrator(plan, self.resolver, by, self.events.append, self.stop, self.abort)

    async def run(self, task: Task, *, parallel: int = 4, retries: int = 0) -> Report:
        """Run a task by the relay."""
        return await self.orchestrator(parallel=parallel, retries=retries).run(task)


def retopped(image: Image, **fields: Any) -> Image:
    """Replace fields of an image's top manifest."""
    document = {**json.loads(image.top.raw), **fields}
    top = Manifest.parse(json.dumps(document, indent=3).encode(), image.top.media_type)
    return Image(image.blobs, (*image.manifests[:-1], top))


def kept_in(folder: Path) -> list[str]:
    """List the open files of this process that are or were in ``folder``."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return [path for path in found if path.startswith(str(folder))]


def left_over(before: set[asyncio.Task[object]]) -> list[str]:
    """Name the tasks that have come up since, but for those of registries that serve in this process."""
    names = [getattr(one.get_coro(), "__qualname__", "") for one in asyncio.all_tasks() - before]
    return [name for name in names if not name.startswith("RequestHandler.")]


def rule(
    source: str,
    to: str = "",
    *,
    tags: tuple[str, ...] = (),
    platform: str = "",
    where: str = "f:1",
    **more: Any,
) -> Rule:
    """Build a mapping from its texts; ``more`` are further fields of a Rule."""
    selection = Selection.parse(source)
    platforms = (Platform.parse(platform),) if platform else ()
    return Rule(selection, Rewrite.parse(to, selection=selection), TagFilter.parse(tags), platforms, where, **more)


def task(source: str, targets: tuple[str, ...], *rules: Rule) -> Task:
    """Build a one-off task between registries, given by their hosts."""
    return Task("test", Once(), Endpoint(source), tuple(map(Endpoint, targets)), rules)
