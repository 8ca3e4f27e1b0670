"""What every pod of ours keeps to, however it was made."""

from collections.abc import Iterable, Iterator
from typing import Any

from dregsy.ending import LAST_CALL
from dregsy.notify.notifier import FLUSH

_SECURE = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pods(objects: Iterable[dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
    """Give the pods' specs among Kubernetes' objects."""
    for document in objects:
        if document and document["kind"] == "StatefulSet":
            yield document["spec"]["template"]["spec"]
        if document and document["kind"] == "CronJob":
            yield document["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def careful(pod: dict[str, Any]) -> list[str]:
    """Tell what a pod lacks, or has too much of."""
    (container,) = pod["containers"]
    grace = next(float(flag.partition("=")[2]) for flag in container["args"] if flag.startswith("--grace="))
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    holds = {
        "is not root": pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 65532,
        "finds its volume as private as it left it": pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch",
        "has a seccomp profile": pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"},
        "is read-only and has no privileges": container["securityContext"] == _SECURE,
        "gets no token of the cluster": pod["automountServiceAccountToken"] is False,
        "has time to end": pod["terminationGracePeriodSeconds"] > grace + LAST_CALL + FLUSH,
        "asks for little": container["resources"]["requests"] == {"cpu": "10m", "memory": "96Mi"},
        "has a place for temporary files and for state": {"/tmp", "/state"} <= mounted,  # noqa: S108 - in the container
        "puts what is large onto its volume": {"name": "TMPDIR", "value": "/state"} in container["env"],
        "does not use what it has no volume for": {one["name"] for one in container["volumeMounts"]}
        <= {one["name"] for one in pod["volumes"]} | {"state"},
    }
    return [what for what, is_so in holds.items() if not is_so]
