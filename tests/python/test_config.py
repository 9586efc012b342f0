from __future__ import annotations

import json
from pathlib import Path

import freshwire._engine as engine
import pytest
from freshwire import OptionError
from freshwire.config import resolve, unknown_variables

from .command import Cli


def test_without_anything_said_every_option_is_the_default() -> None:
    effective = resolve({})
    assert effective.engine() == json.loads(engine.default_options())
    assert {value.source for value in effective.values()} == {"default"}
    assert all(value.meaning for value in effective.values())


def test_a_flag_goes_before_the_environment_before_the_project_before_the_default(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    (place / "pyproject.toml").write_text("[tool.freshwire]\nmax_fields = 1\nmax_tags = 1\nport = 1\n")
    monkeypatch.setenv("FRESHWIRE_MAX_FIELDS", "2")
    monkeypatch.setenv("FRESHWIRE_MAX_TAGS", "2")
    found = {
        v.name: (v.value, v.source)
        for v in resolve({"max_fields": "3"}, defaults={"deflate": False}).values()
    }
    assert found["max_fields"] == (3, "flag")
    assert found["max_tags"] == (2, "FRESHWIRE_MAX_TAGS")
    assert found["port"] == (1, "pyproject.toml")
    assert found["deflate"] == (False, "dev")
    assert found["host"] == ("127.0.0.1", "default")


def test_lists_are_written_with_commas_as_json_or_as_toml(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    (place / "pyproject.toml").write_text('[tool.freshwire]\nallow_hosts = ["a", "b"]\n')
    monkeypatch.setenv("FRESHWIRE_ALLOW_ORIGINS", "https://a.example, https://b.example")
    engine_options = resolve({"trusted_proxies": '["10.0.0.0/8"]'}).engine()
    assert engine_options["allow_hosts"] == ["a", "b"]
    assert engine_options["allow_origins"] == ["https://a.example", "https://b.example"]
    assert engine_options["trusted_proxies"] == ["10.0.0.0/8"]


def test_a_wrong_value_is_refused_with_where_it_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHWIRE_PORT", "tcp://10.0.0.1:80")
    with pytest.raises(OptionError, match=r"port = 'tcp://10\.0\.0\.1:80' \(from FRESHWIRE_PORT\)"):
        resolve({})
    with pytest.raises(OptionError, match=r"port = 65536 \(from flag\)"):
        resolve({"port": 65536})


def test_a_variable_counts_in_any_case_and_not_if_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("freshwire_port", "1")
    monkeypatch.setenv("FRESHWIRE_MAX_TAGS", "")
    found = {v.name: (v.value, v.source) for v in resolve({}).values()}
    assert found["port"] == (1, "FRESHWIRE_PORT")
    assert found["max_tags"][1] == "default"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("max_feilds", "max_fields"), ("timeout-keep-alive", "keep_alive_timeout_s"), ("uds", "bind")],
)
def test_an_unknown_option_is_refused_with_the_one_that_was_meant(place: Path, name: str, meant: str) -> None:
    (place / "pyproject.toml").write_text(f"[tool.freshwire]\n{name} = 1\n")
    with pytest.raises(OptionError, match=rf"no option '{name}' \(from pyproject\.toml\): {meant}\?"):
        resolve({})


def test_an_unknown_variable_is_only_worth_a_warning(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setenv("FRESHWIRE_SERVICE_HOST", "10.0.0.1")
    assert unknown_variables() == ["FRESHWIRE_SERVICE_HOST"]
    ended = cli("config")
    assert ended.returncode == 0
    assert "FRESHWIRE_SERVICE_HOST" in ended.stderr


def test_workers_are_refused_with_the_reason_until_they_exist() -> None:
    with pytest.raises(OptionError, match="does not exist yet"):
        resolve({"workers": 2})
    assert resolve({"workers": 1}).settings.workers == 1


def test_no_proxy_headers_trusts_nobody() -> None:
    said: dict[str, object] = {"trusted_proxies": "127.0.0.1"}
    assert resolve(said).engine()["trusted_proxies"] == ["127.0.0.1"]
    assert resolve({**said, "proxy_headers": False}).engine()["trusted_proxies"] == []


def test_the_address_comes_from_the_place_that_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve({}).addresses() == ["127.0.0.1:8000"]
    assert resolve({"host": "::1", "port": 0}).addresses() == ["[::1]:0"]
    monkeypatch.setenv("FRESHWIRE_BIND", "unix:/x,127.0.0.1:1")
    assert resolve({}).addresses() == ["unix:/x", "127.0.0.1:1"]
    assert resolve({"port": 7}).addresses() == ["127.0.0.1:7"]
    with pytest.raises(OptionError, match="not both"):
        resolve({"port": 7, "bind": ["unix:/x"]}).addresses()


def test_the_command_prints_every_value_its_source_and_meaning(cli: Cli) -> None:
    ended = cli(
        "config", "--json", "--set", "max_fields=7", "--allow-host", "a.example", FRESHWIRE_MAX_TAGS="8"
    )
    table = json.loads(ended.stdout)
    assert table["max_fields"] == {
        "value": 7,
        "source": "flag",
        "meaning": "Field lines of a request: 431 above.",
    }
    assert (table["max_tags"]["value"], table["max_tags"]["source"]) == (8, "FRESHWIRE_MAX_TAGS")
    assert table["allow_hosts"]["value"] == ["a.example"]
    assert set(json.loads(engine.default_options())) < set(table)
    text = cli("config", FRESHWIRE_MAX_TAGS="8").stdout
    line = next(line for line in text.splitlines() if line.startswith("max_tags "))
    assert line.split()[:4] == ["max_tags", "=", "8", "FRESHWIRE_MAX_TAGS"]


@pytest.mark.parametrize("arguments", [["--set", "max_fields"], ["--set", "nothing=1"], ["--port", "x"]])
def test_wrong_usage_ends_with_2(cli: Cli, arguments: list[str]) -> None:
    assert cli("config", *arguments).returncode == 2


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("freshwire ")


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    for arguments in (("config",), ("config", "--json")):
        ended = cli(*arguments, FRESHWIRE_TAG_KEY=secret)
        assert ended.returncode == 0
        assert "(set)" in ended.stdout
        assert secret not in ended.stdout + ended.stderr
    monkeypatch.setenv("FRESHWIRE_TAG_KEY", secret)
    assert resolve({}).engine()["tag_key"] == secret
