"""Warnings: what is legal, but hardly what anybody wants."""

from io import StringIO

import pytest

from dregsy.config.load import load

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
HEAD = "relay: {relay}\n{top}\n"
TASK = """tasks:
  - name: a
    source: {{registry: {registry}, {source}}}
    targets: [{{registry: b.example.com, {target}}}]
    mappings: [{{from: '{origin}', {mapping}}}]
"""
DEFAULTS = {
    "relay": "native",
    "top": "",
    "registry": "a.example.com",
    "source": "",
    "target": "",
    "origin": "a/b",
    "mapping": "",
}


def warnings(**changes: str) -> list[tuple[str, str]]:
    """Return field and message of each warning about a plain file with some changes."""
    text = (HEAD + TASK).format_map(DEFAULTS | changes)
    return [(one.field, one.message) for one in load("-", environ={}, stdin=StringIO(text)).warnings]


def test_nothing_to_say() -> None:
    """A plain file is read without a word."""
    assert warnings() == []


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"top": "lister: {maxItems: -1}"}, "lister.maxItems", "is negative: listings have no limit"),
        ({"top": "lister: {cacheDuration: -1s}"}, "lister.cacheDuration", "is negative: listings are not kept"),
        ({"top": "lister: {cacheDuration: 30}"}, "lister.cacheDuration", "is less than a millisecond"),
        ({"top": "timeout: 3600"}, "timeout", "is less than a millisecond"),
        (
            {"registry": ECR, "source": "auth-refresh: -1"},
            "tasks[0].source.auth-refresh",
            "is raised to 1h, the least there is",
        ),
        (
            {"registry": ECR, "source": "auth-refresh: 1h, auth: none"},
            "tasks[0].source.auth",
            "is not used: 'auth-refresh' asks for logins from AWS",
        ),
        (
            {"relay": "docker", "target": "skip-tls-verify: true"},
            "tasks[0].targets[0].skip-tls-verify",
            "does not reach the docker daemon, which pulls and pushes",
        ),
        (
            {"registry": "docker.io", "origin": "regex:.*"},
            "tasks[0].source.registry",
            "Docker Hub lists the repositories of one namespace only",
        ),
        (
            {"registry": "docker.io", "origin": "regex:.*", "source": "lister: {type: dockerhub}, auth: none"},
            "tasks[0].source.registry",
            "Docker Hub lists the repositories of one namespace only",
        ),
        (
            {"registry": ECR, "source": "repository: {create: false}"},
            "tasks[0].source.repository",
            "is not used: nothing is written to a source",
        ),
        (
            {"origin": "regex:a|b"},
            "tasks[0].mappings[0].from",
            "has to match as a whole, but upstream dregsy anchors only its two ends",
        ),
        ({"origin": "regex:!a"}, "tasks[0].mappings[0].from", "'!' inverts nothing here: it belongs to the names"),
        ({"origin": "regex:a", "mapping": "to: m/x/"}, "tasks[0].mappings[0].to", "gives no legal repository name"),
        ({"origin": "regex:a", "mapping": "to: M/Up"}, "tasks[0].mappings[0].to", "gives no legal repository name"),
        *(
            (
                {"mapping": f"tags: [a, '{item}']"},
                "tasks[0].mappings[0].tags[1]",
                "is an expression, and no tag has a blank",
            )
            for item in ("keep: newest x", "keep: latest five", "keep:latest 5", "keep: latest -1")
        ),
        *(
            ({"mapping": f"skip-existing: {value}"}, "tasks[0].mappings[0].skip-existing", "means a tag of that name")
            for value in ('"true"', "[true]", "'False'")
        ),
        (
            {"mapping": "newer-than: 7d, older-than: 30d"},
            "tasks[0].mappings[0].newer-than",
            "leaves nothing of what is old enough for 'older-than'",
        ),
    ],
)
def test_warnings(changes: dict[str, str], field: str, message: str) -> None:
    """Each warning names its key and says what happens."""
    assert (field, message) in warnings(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"relay": "skopeo", "target": "skip-tls-verify: true"},
        {"registry": "docker.io"},
        {"registry": "docker.io/org", "origin": "regex:.*"},
        {"registry": "docker.io", "origin": "regex:.*", "source": "auth: Ym9iOng="},
        {"registry": "docker.io", "origin": "regex:.*", "source": "lister: {type: index, search: x}"},
        {"top": "timeout: 10m"},
        {"origin": "regex:.*", "mapping": "to: /m/x"},
        {"origin": "regex:.*", "mapping": "to: 'regex:^/A,/b/'"},
        {"mapping": "tags: ['keep: latest 5', 'keep: newest 3', 'keep: latest', 'keep: latest.*']"},
        {"mapping": "skip-existing: true"},
        {"mapping": "skip-existing: ['1.0', 'regex: true']"},
        {"mapping": "newer-than: 30d, older-than: 7d"},
        {"top": "watch: true"},
        {"registry": ECR, "source": "auth-refresh: 1h"},
        {"registry": ECR, "source": "aws-profile: a, role-arn: 'arn:aws:iam::123456789012:role/a'"},
    ],
)
def test_no_warnings(changes: dict[str, str]) -> None:
    """What makes sense is not talked about."""
    assert warnings(**changes) == []


def test_same_names_and_no_mappings() -> None:
    """Tasks that cannot be told apart or that do nothing are pointed out."""
    text = "tasks:\n" + "  - {name: a, source: {registry: a.io}, target: {registry: b.io}}\n" * 2
    found = load("-", environ={}, stdin=StringIO(text)).warnings
    assert [(one.line, one.field.rpartition(".")[2]) for one in found] == [
        (2, "name"),
        (2, "mappings"),
        (3, "name"),
        (3, "mappings"),
    ]


def test_an_exclamation_mark_in_from() -> None:
    """It is a part of the expression, also where the expression is rewritten."""
    text = TASK.format_map(DEFAULTS | {"origin": "regex:!a|b"})
    found = load("-", environ={}, stdin=StringIO(text)).warnings
    assert [one.hint for one in found] == [
        "write '(!a|b)' if a whole match is meant, or '!a.*|.*b' for what upstream selects",
        "name what is to be taken",
    ]


def test_an_expression_is_told_once() -> None:
    """What aliases repeat is told once, with the rewrite; expressions in our own keys mean what they say."""
    text = (
        "tasks:\n"
        "  - {name: a, source: {registry: a.io}, target: {registry: b.io}, mappings: &m "
        "[{from: x, tags: ['keep: !a|b'], exclude: ['regex: a|b']}]}\n"
        "  - {name: b, source: {registry: a.io}, target: {registry: c.io}, mappings: *m}\n"
    )
    found = load("-", environ={}, stdin=StringIO(text)).warnings
    assert [(one.line, one.hint) for one in found] == [
        (2, "write '!(a|b)' if a whole match is meant, or '!a.*|.*b' for what upstream selects")
    ]
