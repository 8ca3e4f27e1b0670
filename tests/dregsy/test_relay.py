import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dregsy.errors import RelayUnavailable
from dregsy.model.plan import Copy
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.relay import GROUP, Feature, installed, load, needs
from relays.native.relay import NativeRelay

LINUX = Platform("linux", "amd64")
GUEST = """
from pydantic import BaseModel

class PigeonRelay:
    Settings = BaseModel
    features = frozenset()
"""


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a package of somebody else's that brings relays."""
    site = tmp_path / "site-packages"
    about = site / "pigeons-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "pigeons.py").write_text(GUEST)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeons\nVersion: 1.0\n")
    (site / "typo.py").write_text("class (")
    (site / "script.py").write_text("raise SystemExit('not meant to be imported')")
    points = {"pigeon": "pigeons:PigeonRelay", "owl": "pigeons:OwlRelay", "raven": "ravens:RavenRelay"}
    points |= {"typo": "typo:Relay", "script": "script:Relay"}
    (about / "entry_points.txt").write_text(f"[{GROUP}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "pigeons", raising=False)
    return "pigeon"


def test_house_relay() -> None:
    """The native relay is found through the same door as guests."""
    assert load("native") is NativeRelay


def test_guest(guest: str) -> None:
    """A relay of another package is found by its entry point, next to those of the house."""
    assert load(guest).__name__ == "PigeonRelay"
    assert {"native", "pigeon"} <= set(installed())


@pytest.mark.parametrize(
    ("name", "guess"), [("natve", "did you mean 'native'? "), ("pidgeon", "did you mean 'pigeon'? "), ("xyz", "")]
)
def test_unknown(name: str, guess: str, guest: str) -> None:
    """An unknown name is answered with the nearest spelling and all names that there are."""
    with pytest.raises(RelayUnavailable) as caught:
        load(name)
    assert caught.value.message == f"there is no relay {name!r}"
    assert caught.value.hint == f"{guess}installed relays: {', '.join(installed())}"
    assert guest in installed()


@pytest.mark.parametrize("name", ["owl", "raven", "typo", "script"])
def test_broken(name: str, guest: str) -> None:
    """A relay whose package is broken is named with the package to install again; that is no crash."""
    assert guest
    with pytest.raises(RelayUnavailable) as caught:
        load(name)
    assert f"relay {name!r} cannot be loaded" in caught.value.message
    assert caught.value.hint == "reinstall it: pip install pigeons"


@pytest.mark.parametrize(
    ("wish", "features"),
    [
        ({}, set()),
        ({"platforms": (LINUX,)}, {Feature.ONE_PLATFORM}),
        ({"subset": (LINUX,)}, {Feature.SOME_PLATFORMS}),
    ],
)
def test_what_a_copy_needs(wish: dict[str, Any], features: set[Feature]) -> None:
    """A copy tells which features of a relay it takes."""
    assert needs(replace(Copy("t", Ref("h", "r", "v1"), (), ()), **wish)) == features


def test_features_are_named() -> None:
    """Features are texts that an error message can show."""
    assert {str(one) for one in Feature} == {"all-platforms", "one-platform", "some-platforms"}
