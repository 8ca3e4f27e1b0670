"""The front door as a whole: whatever is in a file, there is a Plan or one list of problems, and no secret gets out."""

import base64
import json
import re
import stat
from io import StringIO
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dregsy.config.load import Loaded, load
from dregsy.errors import ConfigError
from dregsy.model.endpoint import Given

DOCS = Path(__file__).parents[3] / "docs" / "config" / "dregsy.md"


def outcome(text: str, **environ: str) -> Loaded | ConfigError:
    """Load a text and return what comes of it."""
    try:
        return load("-", environ=environ, stdin=StringIO(text))
    except ConfigError as error:
        return error


def test_a_file(tmp_path: Path) -> None:
    """A file is read by its name, and places in it are told by that name."""
    path = tmp_path / "sync.yaml"
    path.write_text(
        "tasks:\n  - {name: a, source: {registry: a.io}, target: {registry: b.io}, mappings: [{from: x}]}\n"
    )
    loaded = load(str(path), environ={})
    assert loaded.warnings == ()
    assert [f"{path}:2"] == [task.where for task in loaded.plan.tasks]


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that does not exist, or is a folder, is a problem of the file as a whole."""
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigError) as caught:
            load(str(path), environ={})
        assert [(str(path), 0)] == [(one.file, one.line) for one in caught.value.problems]


def test_mounted_secret(tmp_path: Path) -> None:
    """A login may come from a mounted file, which nobody else needs to read."""
    secret = tmp_path / "login"
    secret.write_bytes(base64.b64encode(b'{"username": "user", "password": "hunter2"}') + b"\n")
    secret.chmod(stat.S_IRUSR)
    text = f"tasks: [{{name: a, source: {{registry: a.io, auth: '${{file:{secret}}}'}}, target: {{registry: b.io}}}}]"
    loaded = outcome(text)
    assert isinstance(loaded, Loaded)
    credentials = loaded.plan.tasks[0].source.credentials
    assert isinstance(credentials, Given)
    assert credentials.login.password is not None
    assert credentials.login.password.reveal() == "hunter2"


@given(st.binary(max_size=300))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever bytes there are, they load, or it is said what is wrong with them."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    told: Loaded | ConfigError
    try:
        told = load(str(path), environ={})
    except ConfigError as error:
        told = error
    assert told.problems if isinstance(told, ConfigError) else told.plan.tasks == ()


KEYS = st.sampled_from(
    [
        "relay",
        "watch",
        "dockerhost",
        "api-version",
        "docker",
        "skopeo",
        "native",
        "lister",
        "maxItems",
        "cacheDuration",
        "tasks",
        "name",
        "interval",
        "schedule",
        "verbose",
        "source",
        "target",
        "targets",
        "registry",
        "auth",
        "auth-refresh",
        "skip-tls-verify",
        "type",
        "search",
        "mappings",
        "from",
        "to",
        "tags",
        "platform",
        "platforms",
        "exclude",
        "newer-than",
        "older-than",
        "skip-existing",
        "to-tag",
        "tag-prefix",
        "tag-suffix",
        "parallel",
        "retries",
        "timeout",
        "state",
        "certs-dir",
        "binary",
        "x-own",
        "other",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(["none", "regex:(", "${X}", "${Y}", "docker", "skopeo", "a.io", "all", "index", "10h", "<<", "-1"]),
    st.text(max_size=8),
)
CONFIGS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=12
    ),
    max_size=8,
)
TASK = {
    "name": "a",
    "source": {"registry": "a.io"},
    "target": {"registry": "b.io"},
    "mappings": [{"from": "regex:x.*", "to": "y"}],
}


@given(CONFIGS)
def test_any_config(config: dict[str, object]) -> None:
    """Any combination of our keys and any values loads, or it is said what is wrong with it."""
    told = outcome(yaml.safe_dump(config, allow_unicode=True), X="1")
    assert isinstance(told, Loaded) or told.problems


@given(st.sampled_from(list(TASK)), KEYS, CONFIGS | SCALARS)
def test_any_change_of_a_task(key: str, inner: str, value: object) -> None:
    """Any change of a task that is right gives another Plan, or problems that tell their line."""
    changed = {**TASK, key: value, "mappings": [{"from": "x", inner: value}]}
    told = outcome(yaml.safe_dump({"tasks": [changed, TASK]}, allow_unicode=True), X="1")
    if isinstance(told, ConfigError):
        assert all(one.line > 0 for one in told.problems)


@given(
    st.text(st.characters(categories=["L", "N", "P"]), min_size=12, max_size=20).map(lambda text: f"hunter{text}"),
    st.sampled_from(
        ["name", "interval", "schedule", "verbose", "platform", "registry", "auth", "auth-refresh", "type"]
    ),
)
def test_no_value_of_the_environment_is_told(secret: str, key: str) -> None:
    """Wherever a secret is put by mistake, no message and no representation of an error holds it."""
    place = {"registry": "a.io", "lister": {"type": "catalog"}}
    mapping = {"from": "a", "platform": "all"}
    task = {"name": "a", "source": place, "target": {"registry": "b.io"}, "mappings": [mapping]}
    for section in (task, place, mapping, place["lister"]):
        if key in section or section is place:
            assert isinstance(section, dict)
            section[key] = "${SECRET}"
            break
    told = outcome(yaml.safe_dump({"tasks": [task], "watch": "maybe"}), SECRET=secret)
    assert isinstance(told, ConfigError)
    assert secret not in f"{told} {told!r} {told.problems!r}"


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=8))
def test_no_password_is_told(password: str) -> None:
    """A password is neither in the representation of a Plan nor in a warning."""
    password = f"pass-{password}"
    auth = base64.b64encode(json.dumps({"username": "user", "password": password}).encode()).decode()
    source = {"registry": "a.io", "auth": auth, "uath": auth}
    told = outcome(yaml.safe_dump({"tasks": [{**TASK, "source": source}]}))
    assert isinstance(told, Loaded)
    assert len(told.warnings) == 1
    for text in (f"{told!r}", f"{told}", " ".join(map(str, told.warnings))):
        assert password not in text
        assert auth not in text


def examples() -> list[str]:
    """Return the manual's examples."""
    return [part.partition("```")[0] for part in DOCS.read_text(encoding="utf-8").split("```yaml\n")[1:]]


@pytest.mark.parametrize("number", range(len(examples())))
def test_examples_of_the_manual(number: int) -> None:
    """Every example in the manual loads without a word, but for folders that this machine has not."""
    environ = {"SOURCE_AUTH": "dXNlcjpwYXNzd29yZA==", "MIRROR": "mirror.example.com"}
    text = examples()[number]
    warnings = load("-", environ=environ, strict=True, stdin=StringIO(text)).warnings
    assert [one for one in warnings if not one.field.endswith("certs-dir")] == []


def recipes() -> list[tuple[str, str]]:
    """Return page and text of all examples for makers' registries."""
    pages = sorted((DOCS.parents[1] / "registries").glob("*.md"))
    parts = [(page.name, page.read_text(encoding="utf-8").split("```yaml\n")[1:]) for page in pages]
    return [(name, part.partition("```")[0]) for name, examples in parts for part in examples]


@pytest.mark.parametrize(("page", "text"), recipes())
def test_recipes(tmp_path: Path, page: str, text: str) -> None:
    """Every example on the pages about makers' registries loads without a word, with its secrets in place."""
    assert page
    (tmp_path / "auth").write_text("dXNlcjpwYXNzd29yZA==")
    names = {name for name in re.findall(r"\$\{(\w+)\}", text) if not name.isdecimal()}
    environ = {name: "dXNlcjpwYXNzd29yZA==" if "AUTH" in name else "registry.example.com" for name in names}
    text = re.sub(r"\$\{file:[^}]+\}", f"${{file:{tmp_path}/auth}}", text)

    assert load("-", environ=environ, strict=True, stdin=StringIO(text)).warnings == ()


def test_every_maker_has_a_recipe() -> None:
    """No page is without an example."""
    assert {page.name for page in (DOCS.parents[1] / "registries").glob("*.md")} == {page for page, _ in recipes()}
