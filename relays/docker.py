"""The docker relay: a docker daemon pulls an image once, tags it, and pushes it to each target.

It copies the image of one platform, and its digest differs from the source's by nature: the daemon packs
layers anew. What a copy brings into the daemon is removed, and what was there before stays.
"""

import asyncio
import platform as machine
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self, TypeVar
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dregsy.errors import DregsyError, RelayError, RelayUnsupported
from dregsy.model.endpoint import Endpoint, Login
from dregsy.model.plan import Copy
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.report import CopyProgress, Moved, Warned
from dregsy.model.tagnames import tag_for
from dregsy.relay import Feature, Toolbox
from relays import daemon
from relays.daemon import Client, Daemon
from relays.dockerhost import NAME, check_address

T = TypeVar("T")


class Settings(BaseModel):
    """The section ``docker`` of a config file."""

    model_config = ConfigDict(frozen=True)

    dockerhost: str | None = None
    """Address of the docker daemon.

    ``unix://``, ``tcp://``, or ``ssh://[USER@]HOST[:PORT]`` with the machine's ``ssh``.

    Left out: ``DOCKER_HOST``, else docker's current context, else ``unix:///var/run/docker.sock``
    """
    api_version: str | None = Field(None, alias="api-version", pattern=r"^[0-9]+\.[0-9]+$")
    """Version of the daemon's API.

    Left out: ``DOCKER_API_VERSION``, else agreed with the daemon
    """
    cleanup: bool = True
    """``false``: leave in the daemon what was pulled."""
    certs_dir: ClassVar[Path] = Path("/etc/docker/certs.d")
    """The daemon's own folder: what lists its registries' tags trusts the same certificates."""

    @field_validator("dockerhost")
    @classmethod
    def _no_login(cls, dockerhost: str | None) -> str | None:
        if dockerhost is not None:
            check_address(dockerhost)
        return dockerhost


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image in the daemon: its id, and which references to which image ids there were before."""

    source: Ref
    image: str
    before: Mapping[str, frozenset[Ref]]

    def held_before(self, ref: Ref) -> str | None:
        """The id of the image that had this reference before."""
        return next((image for image, refs in self.before.items() if ref in refs), None)

    @property
    def own(self) -> frozenset[Ref] | None:
        """The references that this image had before; None when the daemon did not have it."""
        return self.before.get(self.image)


@dataclass(slots=True)
class _Shared:
    """A pull that several copies at once make use of."""

    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    pulled: Pulled | None = None


class DockerRelay:
    """Moves images of one platform through a docker daemon."""

    Settings: ClassVar[type[BaseModel]] = Settings
    features: ClassVar[frozenset[Feature]] = frozenset({Feature.ONE_PLATFORM})

    def __init__(self, settings: BaseModel, toolbox: Toolbox) -> None:
        """Take the settings; the daemon is not asked yet."""
        assert isinstance(settings, Settings)
        self._cleanup = settings.cleanup
        self._toolbox = toolbox
        self._daemon = Daemon(settings.dockerhost, settings.api_version)
        self._shared: dict[tuple[Ref, tuple[Platform, ...]], _Shared] = {}
        self._underway = 0
        self._before: Mapping[str, frozenset[Ref]] | None = None
        """What the daemon had before the first of the copies that are under way."""
        self._looking = asyncio.Lock()
        self._pushing: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._naming: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def platform(self) -> Platform:
        """The daemon's platform; until it was asked, Linux on this machine's processor."""
        return self._daemon.platform or Platform("linux", machine.machine()).normalized()

    async def __aenter__(self) -> Self:
        """Find the daemon."""
        try:
            await self._daemon.find()
        except (DregsyError, asyncio.CancelledError):
            self._daemon.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the daemon."""
        self._daemon.close()

    async def copy(self, copy: Copy, source: Endpoint, targets: Sequence[Endpoint]) -> Sequence[Moved | DregsyError]:
        """Pull once and push to all targets at the same time; what was brought in is removed afterwards."""
        if len(copy.platforms) > 1:
            raise RelayUnsupported("docker copies one platform of an image, not several", relay=NAME)
        until = asyncio.get_running_loop().time() + self._toolbox.timeout
        self._underway += 1
        try:
            async with self._pulled(copy, source, until) as (pulled, bytes_read):
                results = await self._to_all(copy, pulled, targets, until)
        finally:
            self._underway -= 1
            self._before = self._before if self._underway else None
        first = next((place for place, result in enumerate(results) if isinstance(result, Moved)), None)
        return [
            replace(result, bytes_read=bytes_read if place == first else 0) if isinstance(result, Moved) else result
            for place, result in enumerate(results)
        ]

    async def _to_all(
        self, copy: Copy, pulled: Pulled, targets: Sequence[Endpoint], until: float
    ) -> list[Moved | DregsyError]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._delivered(copy.task, pulled, ref, target, until))
                for ref, target in zip(copy.targets, targets, strict=True)
            ]
        return [task.result() for task in tasks]

    @asynccontextmanager
    async def _pulled(self, copy: Copy, source: Endpoint, until: float) -> AsyncIterator[tuple[Pulled, int | None]]:
        """Have the image in the daemon, together with all copies that need it at this time."""
        key = copy.source.with_tag(None, copy.source.digest), copy.platforms
        shared = self._shared.setdefault(key, _Shared())
        shared.users += 1
        bytes_read: int | None = 0
        try:
            async with shared.lock:
                if shared.pulled is None:
                    login = await self._toolbox.logins.login_for(source, copy.source.repository)
                    shared.pulled, bytes_read = await self._pull(copy, login, until)
            yield shared.pulled, bytes_read
        finally:
            shared.users -= 1
            async with shared.lock:
                if shared.pulled and not shared.users:
                    await self._remove(copy.task, _leftover_source(shared.pulled), shared.pulled.image)
                    shared.pulled = None
            if not shared.users:
                self._shared.pop(key, None)

    async def _pull(self, copy: Copy, login: Login, until: float) -> tuple[Pulled, int | None]:
        """Pull by digest; whatever goes wrong, the daemon is as before."""
        loop = asyncio.get_running_loop()

        def tell(count: int) -> None:
            loop.call_soon_threadsafe(self._toolbox.emit, CopyProgress(copy, bytes_read=count))

        source = copy.source.with_tag(None, copy.source.digest)
        platform = replace(copy.platforms[0], os_version="") if copy.platforms else None
        before = await self._had_before(until)
        try:
            image, count = await self._in_time(
                until, lambda client: daemon.pull(client, source, platform, login, tell), login
            )
        except (DregsyError, asyncio.CancelledError):
            await self._remove(copy.task, _leftover_source(Pulled(source, "", before)), "")
            raise
        return Pulled(source, image, before), count

    async def _had_before(self, until: float) -> Mapping[str, frozenset[Ref]]:
        """Look once for all copies that overlap, or one would take what another brought for the user's."""
        async with self._looking:
            if self._before is None:
                self._before = await self._in_time(until, daemon.references)
            return self._before

    async def _delivered(
        self, task: str, pulled: Pulled, ref: Ref, target: Endpoint, until: float
    ) -> Moved | DregsyError:
        """Push to one target under exactly one tag."""
        assert pulled.source.digest is not None
        tagged = ref.with_tag(ref.tag or tag_for(ref.digest or pulled.source.digest))
        try:
            login = await self._toolbox.logins.login_for(target, ref.repository)
            # Registries stumble when the same content arrives twice at once in one repository.
            async with self._pushing.setdefault((pulled.image, ref.name), asyncio.Lock()):
                return await self._push(task, pulled, tagged, login, until)
        except DregsyError as error:
            return error

    async def _push(self, task: str, pulled: Pulled, tagged: Ref, login: Login, until: float) -> Moved:
        """Push, and take the names that this needed away again."""
        try:
            async with self._renaming(pulled.image, pulled.held_before(tagged)):
                await self._in_time(until, lambda client: client.tag(pulled.image, tagged.name, tagged.tag))
            moved = await self._in_time(until, lambda client: daemon.push(client, tagged, login), login)
        finally:
            await self._restore(task, pulled, tagged)
        pushed = tagged.with_tag(None, moved.digest)
        if pushed != pulled.source and pulled.held_before(pushed) is None:
            await self._remove(task, pushed, pulled.image)
        return moved

    @asynccontextmanager
    async def _renaming(self, *images: str | None) -> AsyncIterator[None]:
        """Have the names of images to oneself: podman before 4.8 forgets some that come or go at the same time."""
        async with AsyncExitStack() as stack:
            for image in sorted({image for image in images if image is not None}):
                await stack.enter_async_context(self._naming.setdefault(image, asyncio.Lock()))
            yield

    async def _in_time(self, until: float, question: Callable[[Client], T], login: Login | None = None) -> T:
        """Ask with the time limit of a copy; ``login`` is what the question holds."""
        try:
            async with asyncio.timeout_at(until):
                return await self._daemon.ask(question, silence=self._toolbox.timeout, logins=[login] if login else [])
        except TimeoutError:
            limit = f"{self._toolbox.timeout:g} s"
            raise RelayError(f"docker: the copy did not end within {limit}", relay=NAME, retryable=True) from None
        except DregsyError:
            await self._daemon.back()  # it may have been restarted: who tidies up, or tries again, needs it
            raise

    async def _restore(self, task: str, pulled: Pulled, tagged: Ref) -> None:
        """Give the target's tag back to the image that had it, or remove it."""
        former = pulled.held_before(tagged)
        if former is None:
            await self._remove(task, _leftover_target(pulled, tagged), pulled.image)
        elif self._cleanup and former != pulled.image:
            failure = f"{tagged} in the docker daemon is another image now"
            tag_again = partial(Client.tag, image=former, repository=tagged.name, tag=tagged.tag)
            await self._tidy(task, failure, tag_again, pulled.image, former)

    async def _remove(self, task: str, ref: Ref | None, image: str) -> None:
        """Remove a reference of an image, and the image when it was the last."""
        if self._cleanup and ref is not None:
            failure = f"{ref} could not be removed from the docker daemon"
            await self._tidy(task, failure, partial(daemon.remove, name=str(ref)), image)

    async def _tidy(self, task: str, failure: str, question: Callable[[Client], object], *images: str) -> None:
        """Change names of images; a failure is only worth a warning, and a daemon that hangs is not waited for long."""
        try:
            async with asyncio.timeout(daemon.ANSWER_SECONDS), self._renaming(*images):
                await self._daemon.ask(question)
        except (DregsyError, TimeoutError) as error:
            why = str(error) or f"no answer within {daemon.ANSWER_SECONDS:g} s"
            self._toolbox.emit(Warned(task, f"{failure}: {why}"))


def _leftover_source(pulled: Pulled) -> Ref | None:
    """The reference that the pull made, unless it was there, or an image without any would go with it."""
    was_unnamed = pulled.own is not None and not pulled.own
    return None if was_unnamed or pulled.held_before(pulled.source) else pulled.source


def _leftover_target(pulled: Pulled, tagged: Ref) -> Ref | None:
    """The tag that the push needed, unless digests that were there would go with it, as docker has it."""
    in_repository = [ref for ref in pulled.own or () if ref.name == tagged.name]
    return None if in_repository and all(ref.tag is None for ref in in_repository) else tagged
