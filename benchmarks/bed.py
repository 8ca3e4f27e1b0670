"""Where a workload runs: one source registry with its images, and targets that are as they were before each run."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks.images import Stock
from benchmarks.link import REGISTRY_ADDRESS, Link, inside
from benchmarks.proxy import CountingProxy, Tally
from tests.testbed.certificates import Authority
from tests.testbed.servers import DockerRegistry


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where the tools find the registries: straight, or through proxies that count."""

    source: str
    targets: tuple[str, ...]
    source_proxy: CountingProxy | None = None
    target_proxies: tuple[CountingProxy, ...] = ()

    def take(self) -> tuple[Tally, Tally]:
        """Return what passed the proxies of the source and of the targets since this was last asked."""
        source = self.source_proxy.tally.take() if self.source_proxy else Tally()
        return source, Tally.of(proxy.tally.take() for proxy in self.target_proxies)


class Bed:
    """A source that serves ``stock`` and ``targets`` registries, while its ``with`` lasts.

    ``before`` is what the targets have at first, nothing if it is None. ``link`` puts the registries on
    its far side, and ``tls`` gives them certificates of an authority, whose file is then ``ca_file``.
    """

    def __init__(
        self,
        folder: Path,
        stock: Path,
        *,
        targets: int = 1,
        before: Path | None = None,
        link: Link | None = None,
        tls: bool = False,
    ) -> None:
        self.link = link
        self.ca_file: Path | None = None
        self._before = before
        address = REGISTRY_ADDRESS if link else "127.0.0.1"
        pair = None
        if tls:
            authority = Authority(folder / "authority")
            self.ca_file, pair = authority.ca_file, authority.issue("registry")
        storage = {"filesystem": {"rootdirectory": str(stock)}}
        self._source = DockerRegistry(folder / "source", address=address, tls=pair, extra={"storage": storage})
        self._targets = [
            DockerRegistry(folder / f"target{number}", address=address, tls=pair) for number in range(targets)
        ]
        self._folder = folder
        self._stack = ExitStack()

    @property
    def tool_namespace(self) -> str | None:
        """The network namespace in which tools have to run."""
        return self.link.tools if self.link else None

    @property
    def stocks(self) -> list[Stock]:
        """What is in each target."""
        return [Stock(target.data) for target in self._targets]

    @property
    def hosts(self) -> Hosts:
        """The registries themselves."""
        return Hosts(self._source.host, tuple(target.host for target in self._targets))

    def processor_seconds(self) -> float:
        """What the registries have used of the processors since they were started."""
        times = [psutil.Process(one.process.pid).cpu_times() for one in (self._source, *self._targets)]
        return sum(one.user + one.system for one in times)

    @contextmanager
    def counted(self) -> Iterator[Hosts]:
        """Put a proxy in front of each registry."""
        with ExitStack() as stack:
            with self._far_side():
                source, *targets = (
                    stack.enter_context(CountingProxy(registry.host)) for registry in (self._source, *self._targets)
                )
            yield Hosts(source.host, tuple(target.host for target in targets), source, tuple(targets))

    def reset(self) -> None:
        """Put the targets back to what they had before."""
        for target in self._targets:
            target.stop()
            self._fill(target)
        with self._far_side():
            for target in self._targets:
                target.start()

    def __enter__(self) -> Self:
        with self._far_side():
            for registry in (self._source, *self._targets):
                if registry is not self._source:
                    self._fill(registry)
                self._stack.enter_context(registry)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _far_side(self) -> AbstractContextManager[None]:
        return inside(self.link.registries if self.link else None)

    def _fill(self, target: DockerRegistry) -> None:
        shutil.rmtree(target.data, ignore_errors=True)
        if self._before is not None:
            shutil.copytree(self._before, target.data)
