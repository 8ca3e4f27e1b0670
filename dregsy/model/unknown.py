"""What a mapping may mean though that could not be found out: nobody else gets to write it meanwhile."""

from collections.abc import Iterator
from dataclasses import dataclass

from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Rule, Task
from dregsy.model.ref import Ref


@dataclass(frozen=True, slots=True)
class Unknown:
    """The images of one ``repository`` that a rule means, or of all that it means, which could not be listed.

    ``retryable`` tells whether another attempt may succeed.
    """

    task: Task
    rule: Rule
    repository: str | None
    retryable: bool

    def comes_before(self, rule: Rule, repository: str) -> bool:
        """Whether this has a right to tags before what another rule, or the same, means of ``repository``."""
        order = [id(one) for one in self.task.rules]
        return (order.index(id(self.rule)), self.repository or "") < (order.index(id(rule)), repository)

    def may_want(self, copy: Copy, target: Ref) -> bool:
        """Whether another image than that of ``copy`` may be meant for ``target``."""
        tags = () if target.tag is None else self.rule.names.origins(target.tag)
        for endpoint in self.task.targets if tags != () else ():
            repositories = self._origins(endpoint, target)
            if repositories is None or (tags is None and repositories):
                return True
            if any(self._means_other(copy, name, tag) for name in repositories for tag in tags or ()):
                return True
        return False

    def _origins(self, endpoint: Endpoint, target: Ref) -> tuple[str, ...] | None:
        """The source's repositories that are ``target``'s at an endpoint; None where that cannot be told."""
        if self.repository is not None:
            name = endpoint.ref(self.rule.rewrite.apply(self.repository))
            return (self.repository,) if name.place == target.with_tag(None).place else ()
        front = f"{endpoint.prefix}/" if endpoint.prefix else ""
        if endpoint.ref("x").place[0] != target.place[0] or not target.repository.startswith(front):
            return ()
        return self.rule.rewrite.origins(target.repository.removeprefix(front))

    def _means_other(self, copy: Copy, repository: str, tag: str) -> bool:
        parts = (copy.platforms, copy.subset) == (self.rule.platforms, self.rule.subset)
        return any(image != copy.source or not parts for image in self._images(repository, tag))

    def _images(self, repository: str, tag: str) -> Iterator[Ref]:
        """The images that are meant by a tag, should there be any."""
        for pick in self.rule.tags.candidates([tag]):
            if pick.tag == tag and tag not in self.rule.exclude:
                try:
                    yield self.task.source.ref(repository).with_tag(tag, pick.digest)
                except ValueError:
                    return  # a name that the source cannot have
