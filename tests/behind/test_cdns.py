"""What can be known of the configurations of CDNs without the CDNs: their form, and the one program in them."""

import json
import re
from typing import Any

import yaml
from playwright.sync_api import sync_playwright

from conformance.chromium import launch
from tests.security.test_forwarded import SAID_BY_PROXIES

from .fronts import BEHIND

WAITS = "/.fresh/watch/"
CLOUDFLARE_FIELDS = {
    "http.host",
    "http.cookie",
    "http.request.uri.path",
    "http.request.uri.query",
    "http.request.headers",
}


class Template(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation's functions."""


Template.add_multi_constructor("!", lambda loader, name, node: {name: node.value})


def cloudfront() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((BEHIND / "cloudfront.yaml").read_text(), Template)
    return loaded["Resources"]


def test_cloudflare_keeps_what_states_a_lifetime_and_neither_streams_nor_credentials() -> None:
    rules = json.loads((BEHIND / "cloudflare.json").read_text())["rules"]
    assert [rule["action_parameters"]["cache"] for rule in rules] == [True, False, False]
    assert {rule["action"] for rule in rules} == {"set_cache_settings"}
    assert rules[0]["action_parameters"]["edge_ttl"] == {"mode": "bypass_by_default"}
    for rule in rules:
        text = rule["expression"]
        assert text.count("(") == text.count(")")
        assert "example.org" in text
        assert set(re.findall(r"http(?:\.\w+)+", text)) <= CLOUDFLARE_FIELDS
    credentials, streams = (rule["expression"] for rule in rules[1:])
    assert f'not starts_with(http.request.uri.path, "{WAITS}")' in credentials
    assert 'contains "text/event-stream"' in streams


def test_cloudfront_has_in_its_keys_all_that_an_answer_depends_on() -> None:
    resources = cloudfront()
    key = {
        name: resources[name]["Properties"]["CachePolicyConfig"]["ParametersInCacheKeyAndForwardedToOrigin"]
        for name in ("Waits", "Resource")
    }
    for parameters in key.values():
        assert parameters["QueryStringsConfig"] == {"QueryStringBehavior": "all"}
        assert "x-fresh-stream" in parameters["HeadersConfig"]["Headers"]
    assert key["Waits"]["CookiesConfig"] == {"CookieBehavior": "none"}
    assert key["Resource"]["CookiesConfig"] == {"CookieBehavior": "all"}
    assert "Authorization" in key["Resource"]["HeadersConfig"]["Headers"]
    resource = resources["Resource"]["Properties"]["CachePolicyConfig"]
    assert (resource["MinTTL"], resource["DefaultTTL"]) == (0, 0)
    site = resources["Site"]["Properties"]["DistributionConfig"]
    assert site["CacheBehaviors"][0]["PathPattern"] == f"{WAITS}*"
    assert 25 < site["Origins"][0]["CustomOriginConfig"]["OriginReadTimeout"] <= 60


def test_cloudfronts_function_gives_streams_keys_of_their_own_and_believes_nobody() -> None:
    code = cloudfront()["Streams"]["Properties"]["FunctionCode"]
    forged = {name.lower(): {"value": "6.6.6.6"} for name in SAID_BY_PROXIES.split()}

    def event(headers: dict[str, Any], query: dict[str, Any] | None = None) -> dict[str, Any]:
        return {
            "context": {"requestId": "id-7"},
            "request": {"headers": headers, "querystring": query or {}},
        }

    asked = {
        "events": event({"accept": {"value": "text/event-stream"}}),
        "socket": event({"upgrade": {"value": "websocket"}}),
        "poll": event({"prefer": {"value": "respond-async, wait=25"}}),
        "wait": event({}, {"c": {"value": "7"}, "sse": {"value": ""}}),
        "plain": event({"accept": {"value": "application/json"}}, {"c": {"value": "7"}}),
        "forged": event(forged | {"x-fresh-stream": {"value": "6.6.6.6"}}),
    }
    with sync_playwright() as playwright, launch(playwright) as chromium:
        run = f"(asked) => {{ {code}\n return Object.entries(asked).map(([k, v]) => [k, handler(v).headers]); }}"
        seen = dict(chromium.new_page().evaluate(run, asked))
    streams = {name for name, headers in seen.items() if headers.get("x-fresh-stream") == {"value": "id-7"}}
    assert streams == {"events", "socket", "poll", "wait"}
    assert "x-fresh-stream" not in seen["plain"]
    # These two CloudFront sets itself: the client's address is appended to the first.
    assert set(seen["forged"]) <= {"x-forwarded-for", "x-forwarded-proto"}


def test_fastly_treats_requests_as_varnish_does() -> None:
    fastly, varnish = ((BEHIND / name).read_text() for name in ("fastly.vcl", "varnish.vcl"))
    for text in (fastly, varnish):
        assert text.count("{") == text.count("}")
    removed = set(re.findall(r"unset req\.http\.([\w-]+);", varnish)) - {"Upgrade"}
    assert removed - set(re.findall(r"unset req\.http\.([\w-]+);", fastly)) == {
        # These are Fastly's own.
        *("X-Forwarded-Host", "X-Forwarded-Server", "Fastly-Client-IP"),
    }
    waits = r"^/\.fresh/watch/"
    assert fastly.count(waits) == varnish.count(waits) == 2
