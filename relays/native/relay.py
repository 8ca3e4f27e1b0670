"""The native relay: one process, no tools, straight from registry to registry."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from dregsy.errors import DregsyError, RelayError
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import Moved
from dregsy.relay import Feature, Toolbox
from relays.native.blobs import Blobs
from relays.native.graph import Graph
from relays.native.meter import Meter
from relays.native.source import Shared, Source


class Settings(BaseModel):
    """The ``native`` section of a config file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certs_dir: Path | None = Field(default=None, alias="certs-dir")
    """Folder with certificates.

    Left out: ``/etc/dregsy/certs.d``, then ``/etc/docker/certs.d``, then ``/etc/containers/certs.d``
    """


class NativeRelay:
    """Copies byte for byte: every digest is checked, nothing is stored that misses a part, the tag goes last."""

    Settings: ClassVar[type[BaseModel]] = Settings
    features: ClassVar[frozenset[Feature]] = frozenset(Feature)

    def __init__(self, settings: BaseModel, toolbox: Toolbox) -> None:  # noqa: ARG002 - certs-dir is in the endpoints
        self._toolbox = toolbox
        self._blobs = Blobs(toolbox.journal)
        self._shared: Shared = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def copy(self, copy: Copy, source: Endpoint, targets: Sequence[Endpoint]) -> Sequence[Moved | DregsyError]:
        """Read the image once and write it to each target; see ``dregsy.relay.Relay.copy``."""
        meter = Meter(copy, self._toolbox.emit)
        registry = self._toolbox.registries.at(source)
        scratch = self._toolbox.scratch
        reading = Source(registry, copy.source.repository, len(targets), scratch, meter.read, self._shared)
        async with reading, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._bring(copy, reading, endpoint, ref, meter))
                for endpoint, ref in zip(targets, copy.targets, strict=True)
            ]
        results = [task.result() for task in tasks]
        for position, result in enumerate(results):
            if isinstance(result, Moved):
                results[position] = replace(result, bytes_read=meter.bytes_read)
                break
        return results

    async def _bring(
        self, copy: Copy, source: Source, endpoint: Endpoint, ref: Ref, meter: Meter
    ) -> Moved | DregsyError:
        """Serve one target; what goes wrong with it stays with it."""
        assert copy.source.digest is not None
        target = self._toolbox.registries.at(endpoint)
        graph = Graph(source, target, ref, self._blobs, meter)
        graph.anew = frozenset(copy.anew)
        try:
            async with asyncio.timeout(self._toolbox.timeout) as limit:
                if copy.index is not None:
                    await source.cut(copy.index, copy.subset, copy.source.digest)
                moved = await graph.bring(copy.source.digest)
        except DregsyError as error:
            return error
        except TimeoutError:
            if not limit.expired():
                raise
            return RelayError(
                f"{ref} was not done after {self._toolbox.timeout:g} seconds",
                relay="native",
                retryable=True,
                hint="raise 'timeout', or look at the network between here and the registries",
            )
        if self._toolbox.journal.believes_tags:
            self._toolbox.journal.saw_tag(endpoint.api_host, ref.repository, ref.reference, moved.digest)
        return moved
