"""How caches are named, and what is said when they are named wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from freshwire import OptionError
from freshwire.config import resolve, unknown_variables
from freshwire.purge import caches, with_fields
from freshwire.purge.cloudfront import CloudFront
from freshwire.purge.fastly import Fastly
from freshwire.purge.varnish import Varnish

TAG_KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_cache_is_named_in_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTLY_API_TOKEN", "t")
    varnish, fastly = caches(["varnish=http://127.0.0.1:6081/?soft=1&coalesce_ms=50", "fastly=abc?soft=true"])
    assert isinstance(varnish, Varnish)
    assert (varnish.url, varnish.soft, varnish.coalesce_ms) == ("http://127.0.0.1:6081", True, 50)
    assert isinstance(fastly, Fastly)
    assert (fastly.service, fastly.soft, fastly.token.get_secret_value()) == ("abc", True, "t")


def test_flags_go_before_the_environment_before_the_project(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "pyproject.toml").write_text(
        f'[tool.freshwire]\ntag_key = "{TAG_KEY}"\n'
        '[[tool.freshwire.purge.varnish]]\nurl = "http://a:1"\n'
        '[[tool.freshwire.purge.varnish]]\nurl = "http://b:1"\n'
        '[tool.freshwire.purge.fastly]\nservice = "s"\ntoken = "from-the-file"\n'
    )
    effective = resolve({})
    assert [cache.label for cache in effective.caches] == [
        "varnish http://a:1",
        "varnish http://b:1",
        "fastly s",
    ]
    assert effective.engine()["tag_fields"] == ["xkey", "surrogate-key"]
    monkeypatch.setenv("FRESHWIRE_PURGE", "varnish=http://c:1, varnish=http://d:1")
    assert [cache.label for cache in resolve({}).caches] == ["varnish http://c:1", "varnish http://d:1"]
    flagged = resolve({"purge": ["webhook=http://localhost:1/hook"]})
    assert [cache.label for cache in flagged.caches] == ["webhook http://localhost:1/hook"]
    assert flagged.engine()["tag_fields"] == []


def test_settings_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "s", "SESSION_TOKEN": "t"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("FRESHWIRE_PURGE_CLOUDFRONT_RETRY_S", "2")
    monkeypatch.setenv("FRESHWIRE_PURGE_CLOUDFRONT_SECRET_KEY", "ours")
    (cache,) = caches(["cloudfront=E1"])
    assert isinstance(cache, CloudFront)
    assert (cache.access_key, cache.secret_key.get_secret_value(), cache.retry_s) == ("id", "ours", 2)
    monkeypatch.setenv("FRESHWIRE_PURGE_CLOUDFRONT_RETRYS", "2")
    assert unknown_variables() == ["FRESHWIRE_PURGE_CLOUDFRONT_RETRYS"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("squid=http://h", "there is no cache 'squid'; there are varnish, fastly"),
        ("varnish", "varnish needs url: set FRESHWIRE_PURGE_VARNISH_URL"),
        ("varnish=127.0.0.1:6081", "url of varnish: .*http://host"),
        ("varnish=http://user:geheim@h", "has no user"),
        ("varnish=http://h?soft=perhaps", "soft of varnish: .*boolean"),
        ("varnish=http://h?mode=soft", "varnish has no setting 'mode'; it has coalesce_ms"),
        ("fastly=abc", "fastly needs token: set FASTLY_API_TOKEN"),
        ("fastly=abc?token=geheim", "token of fastly is a secret, .* set FASTLY_API_TOKEN"),
        ("cloudfront=E1?session_token=geheim", "session_token of cloudfront is a secret"),
        ({"cache": "fastly", "service": "../x", "token": "geheim"}, "service of fastly"),
        ({"cache": "fastly", "service": "x", "token": "geheim", "url": "http://api.example"}, "use https"),
        ({"cache": "cloudflare", "zone": "z", "token": "geheim"}, "zone of cloudflare"),
        ({"service": "x"}, "there is no cache None"),
        (7, "not int"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do_and_without_secrets(said: Any, expected: str) -> None:
    with pytest.raises(OptionError, match=expected) as raised:
        caches([said])
    assert "geheim" not in str(raised.value)


def test_a_wrong_cache_stops_the_start_wherever_it_was_said(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="no cache 'squid'"):
        resolve({"purge": ["squid=x"]})
    (place / "pyproject.toml").write_text("[tool.freshwire]\npurge = [7]\n[tool.freshwire.x]\n")
    with pytest.raises(OptionError):
        resolve({})
    (place / "pyproject.toml").write_text("[tool.freshwire]\npurge = 7\n")
    with pytest.raises(OptionError, match="purge"):
        resolve({})


def test_keys_need_the_secret_that_they_are_hashed_with() -> None:
    with pytest.raises(OptionError, match="FRESHWIRE_TAG_KEY"):
        resolve({"purge": ["varnish=http://h"]})
    options = with_fields({"tag_key": TAG_KEY, "tag_fields": ["XKey"]}, caches(["varnish=http://h"]))
    assert options["tag_fields"] == ["XKey"]


def test_secrets_are_never_printed(place: Path) -> None:
    (place / "pyproject.toml").write_text(
        f'[tool.freshwire]\ntag_key = "{TAG_KEY}"\n[tool.freshwire.purge.fastly]\nservice = "s"\ntoken = "geheim"\n'
    )
    effective = resolve({})
    shown = json.dumps([value.value for value in effective.values()])
    assert '{"cache": "fastly", "service": "s", "token": "**********"}' in shown
    assert "geheim" not in shown + repr(effective.caches)
