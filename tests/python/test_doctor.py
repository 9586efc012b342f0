"""What the doctor concludes from fields alone, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from freshwire.cli.doctor import Progress
from freshwire.doctor import advice, front
from freshwire.doctor.report import Outcome, Report, Severity

PROBLEMS_OF_NGINX = [
    *("wait-not-collapsed", "credentials-cached", "query-ignored", "stream-cut"),
    *("websocket-refused", "poll-answered-by-cache"),
]
BEHIND = Path(__file__).parents[2] / "docs" / "behind"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"server": "nginx/1.22.1"}, ["nginx"]),
        ({"server": "openresty/1.25"}, ["nginx"]),
        ({"server": "cloudflare", "cf-ray": "8a-FRA"}, ["Cloudflare"]),
        (
            {"x-amz-cf-id": "x", "via": "1.1 abc.cloudfront.net (CloudFront)", "server": "nginx"},
            ["CloudFront", "nginx"],
        ),
        ({"x-served-by": "cache-fra-1", "via": "1.1 varnish", "x-cache": "MISS"}, ["Fastly"]),
        ({"via": "1.1 varnish (Varnish/7.1)", "x-varnish": "2"}, ["Varnish"]),
        ({"server": "Caddy"}, ["Caddy"]),
        ({"via": "1.1 Caddy"}, ["Caddy"]),
        ({"server": "Apache"}, []),
        ({}, []),
    ],
)
def test_a_proxy_is_known_by_what_it_adds(fields: dict[str, str], names: list[str]) -> None:
    assert front.recognised([{}, fields]) == names


def test_haproxy_is_known_by_its_refusal() -> None:
    said = "HTTP/1.1 400 Bad request\n\n<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request."
    assert front.recognised([{}], said) == ["HAProxy"]
    assert front.recognised([{}], '{"type":"about:blank","title":"Bad Request","status":400}') == []


@pytest.mark.parametrize(
    ("fields", "copy"),
    [
        ({"cache-status": "freshwire; hit"}, None),
        ({"cache-status": "freshwire; hit, nginx; fwd=miss"}, False),
        ({"cache-status": "freshwire; fwd=miss; stored, nginx; hit"}, True),
        ({"cache-status": 'freshwire; fwd=miss, "a, b; hit"; fwd=stale'}, False),
        ({"cf-cache-status": "HIT"}, True),
        ({"cf-cache-status": "DYNAMIC"}, False),
        ({"x-cache": "Hit from cloudfront"}, True),
        ({"x-cache": "RefreshHit from cloudfront"}, True),
        ({"x-cache": "Miss from cloudfront"}, False),
        ({"x-cache": "MISS, HIT"}, True),
        ({"x-varnish": "32770"}, False),
        ({"x-varnish": "32772 32771"}, True),
        ({"age": "7"}, None),
    ],
)
def test_a_copy_is_known_by_what_its_cache_says(fields: dict[str, str], copy: bool | None) -> None:
    assert front.from_copy(fields) is copy


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, None),
        ({"cache-control": "public, s-maxage=60, max-age=5"}, 60),
        ({"cache-control": "Max-Age=5"}, 5),
        ({"cache-control": "no-cache, s-maxage=60"}, 0),
        ({"cache-control": "no-cache", "cdn-cache-control": "max-age=600"}, 600),
        ({"cache-control": "max-age=600", "cdn-cache-control": "no-store"}, 0),
    ],
)
def test_a_lifetime_is_what_is_said_to_shared_caches(fields: dict[str, str], seconds: int | None) -> None:
    assert front.lifetime_s(fields) == seconds


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ('</.fresh/watch/x/y-1?c=7>; rel="monitor"', "/.fresh/watch/x/y-1?c=7"),
        ('</a,b>; rel="next", </w>; title="x"; rel="monitor"', "/w"),
        ("</w>; rel=monitor", "/w"),
        ('</w>; rel="self monitor"', "/w"),
        ('</w>; rel="monitors"', ""),
        ("", ""),
    ],
)
def test_the_monitor_is_found_among_links(link: str, target: str) -> None:
    assert front.monitor({"link": link}) == target


def test_positions_of_one_log_are_compared_and_others_are_not() -> None:
    assert front.older("0000000a-7", "0000000a-8")
    assert front.older("0000000aBEEF".lower() + "0000-7", "0000000a-8")
    assert not front.older("0000000a-8", "0000000a-8")
    assert not front.older("0000000b-7", "0000000a-8")
    assert not front.older("", "0000000a-8")


def test_every_problem_has_an_answer_for_whatever_is_in_front() -> None:
    for name, problem in advice.PROBLEMS.items():
        assert problem.change["any"], name
        assert set(problem.change) <= {*front.SIGNS, "any"}, name
        for known in front.SIGNS:
            assert advice.finding(name, "seen", [known]).change
    both = advice.finding("wait-not-collapsed", "seen", ["Cloudflare", "nginx"])
    assert list(both.change) == ["Cloudflare", "nginx"]


@pytest.mark.parametrize(
    "problem", ["wait-not-collapsed", "credentials-cached", "query-ignored", "stream-cut"]
)
def test_what_nginx_is_told_is_what_its_file_has(problem: str) -> None:
    file = " ".join((BEHIND / "nginx.conf").read_text().split())
    for line in advice.PROBLEMS[problem].change["nginx"]:
        assert line.partition("  #")[0].partition(";  ")[0].strip() in file


def test_a_note_is_nothing_to_change() -> None:
    note, warning = (advice.finding(name, "seen", []) for name in ("no-cache-in-front", "wait-not-collapsed"))
    assert note.severity is Severity.note
    healthy = Report("http://x/", [], [Outcome("waits", "said", findings=[note])])
    assert healthy.healthy
    assert "nothing to change" in list(healthy.lines())[-1]
    ill = Report(
        "http://x/",
        ["nginx"],
        [Outcome("waits", "said", findings=[note, warning]), Outcome("x", "why", False)],
    )
    assert not ill.healthy
    assert list(ill.lines())[-1] == "1 to change, 1 not checked"
    assert ill.as_json()["checks"][0]["findings"][1]["severity"] == "warning"


def test_progress_is_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (False, True):
        progress = Progress(shown=shown)
        progress.say("waiting")
        progress.end()
        assert ("waiting" in capsys.readouterr().err) == shown
