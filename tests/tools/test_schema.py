"""docs/config/dregsy.schema.json takes what ``dregsy check --strict`` takes, and refuses what a schema can know of."""

import re
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from dregsy.cli import demo
from dregsy.config.load import load
from dregsy.errors import ConfigError
from tests.docs.pages import PAGES, ROOT, environ_of, fenced
from tests.dregsy.config.test_dregsy import CASES, ENVIRON
from tests.testbed.yamlcore import first
from tools import schema

VALIDATOR = Draft202012Validator(schema.schema())
ONLY_THE_PROGRAM = {
    "c02-skopeo-with-dockerhost": "which keys belong to which relay",
    "c09-refresh-without-ecr": "which registries are AWS's",
    "c13-docker-all-platforms": "what a relay can do",
    "c26-index-without-search": "which lister a mapping needs",
    "c27-docker-hub-catalog": "what Docker Hub lists",
    "c29-from-bad-expression": "whether an expression is one",
    "c29c-to-bad-expression": "whether an expression is one",
    "environment-missing": "which variables there are",
    "mapping-platforms-skopeo": "what a relay can do",
    "relay-args-replaced": "what may come from outside",
    "relay-dockerhost-login": "what is a login",
    "state-without-path": "whether a path is empty",
}
"""Cases that are wrong in a way that no schema can tell."""


def accepted(text: str) -> list[str]:
    """Return what the schema says against a file; nothing when it takes it."""
    return [f"{error.json_path}: {error.message[:200]}" for error in VALIDATOR.iter_errors(first(text))]


def is_right(text: str, environ: Mapping[str, str]) -> bool:
    """Whether dregsy takes a file, strictly."""
    try:
        load("-", environ=environ, strict=True, stdin=StringIO(text))
    except ConfigError:
        return False
    return True


def test_it_is_a_schema() -> None:
    """It is valid by JSON Schema's own (draft 2020-12)."""
    Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("case", sorted(path.stem for path in CASES.glob("*.yaml")))
def test_cases(case: str) -> None:
    """Each case is taken or refused as by the program, but for those of which only the program can know."""
    text = (CASES / f"{case}.yaml").read_text()
    try:
        told = accepted(text)
    except yaml.YAMLError as error:
        told = [str(error)]

    assert (told == []) == (is_right(text, ENVIRON) or case in ONLY_THE_PROGRAM), told


def test_only_what_the_schema_takes_is_listed() -> None:
    """No case stands on the list that the schema refuses, or the program takes."""
    texts = {case: (CASES / f"{case}.yaml").read_text() for case in ONLY_THE_PROGRAM}

    assert [case for case, text in texts.items() if accepted(text) or is_right(text, ENVIRON)] == []


def examples() -> Iterator[tuple[str, str]]:
    """Yield all config files that there are in the documentation, in deploy/ and in the demo."""
    for page in PAGES:
        for number, block in enumerate(fenced(page, "yaml")):
            if "tasks" in (yaml.safe_load(block.text) or {}):
                yield f"{page.relative_to(ROOT)} {number}", block.text
    for one in yaml.safe_load_all((ROOT / "deploy/kubernetes/config.yaml").read_text()):
        yield one["metadata"]["name"], one["data"]["config.yaml"]
    yield "demo", demo.CONFIG.format(source="127.0.0.1:1", target="127.0.0.1:2")


@pytest.mark.parametrize(("name", "text"), [*examples()], ids=[name for name, _ in examples()])
def test_examples(name: str, text: str) -> None:
    """Every example is taken, by the schema and by the program."""
    assert (name, accepted(text)) == (name, [])
    text = re.sub(r"\$\{file:[^}]+\}", "${FILE_AUTH}", text)
    assert is_right(text, environ_of(text))


SMALL: dict[str, Any] = {"name": "a", "source": {"registry": "a.io"}, "target": {"registry": "b.io"}}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("interval", "${SECONDS}", True),
        ("interval", "1_000", True),
        ("interval", 29, False),
        ("verbose", "${LOUD}", True),
        ("verbose", "yes", True),
        ("verbose", "perhaps", False),
        ("mappings", [{"from": "x", "newer-than": "${AGE}"}], True),
        ("mappings", [{"from": "x", "newer-than": "soon"}], False),
        ("mappings", [{"from": "x", "tag": ["1"]}], False),
        ("mappings", [{"from": "x", "tags": [1.36, True, "latest"]}], True),
        ("mappings", [{"to": "x"}], False),
        ("targets", [{"registry": "c.io"}], False),
        ("name", None, False),
    ],
)
def test_values(key: str, value: object, *, expected: bool) -> None:
    """A ``${…}`` may stand for numbers and words, and nothing else may; a key that does not exist is an error."""
    assert VALIDATOR.is_valid({"tasks": [{**SMALL, key: value}]}) is expected


def test_a_file_without_anything() -> None:
    """An empty file is one, and keys that begin with ``x-`` are the user's."""
    assert accepted("") == []
    assert accepted("x-mine: [{}]\ntasks:") == []


def test_every_key_is_explained() -> None:
    """A key without a docstring below its field would have nothing to say to whoever hovers over it."""
    document = schema.schema()
    sections = {"Config": document, **document["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, one in section["properties"].items()
        if not one.get("description") and not any("$ref" in form for form in one.get("anyOf", ()))
    ]

    assert silent == [], "write a docstring below the field, then `make docs`"


def test_the_file_is_what_the_models_give() -> None:
    """``make docs`` was run after the last change of a key."""
    assert Path(schema.FILE).read_text(encoding="utf-8") == schema.text(), "run `make docs`"
