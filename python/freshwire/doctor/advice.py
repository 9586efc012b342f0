"""What each problem means, and the lines that solve it, for each proxy. Only text: the checks say when it applies.

The lines are those of the files in docs/behind, which are tested as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass

from freshwire.doctor.report import Finding, Severity

Lines = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Problem:
    """One way in which things in front of a node are wrong."""

    severity: Severity
    why: str
    change: Lines
    """By the proxy's name; `any` is for the others."""


_STREAM_NGINX = [
    "map $http_accept $fresh_events { default 0; ~*text/event-stream 1; }  # in http { }",
    "error_page 418 = @stream;                                   # in server { }",
    "if ($fresh_events) { return 418; }                          # in location / { }",
    "location @stream { proxy_buffering off; proxy_pass http://freshwire; }",
]
_STREAM_VARNISH = [
    'if (req.http.Accept ~ "(?i)text/event-stream") { return (pass); }  # in vcl_recv, before return (hash)'
]
_STREAM_CDN: Lines = {
    "Fastly": ['if (req.http.Accept ~ "text/event-stream") { return(pass); }  # in vcl_recv'],
    "Cloudflare": [
        "a cache rule, after all others: bypass cache when",
        'any(http.request.headers["accept"][*] contains "text/event-stream")',
    ],
    "CloudFront": [
        "the function and the cache policy of docs/behind/cloudfront.yaml (x-fresh-stream in the key)"
    ],
}
_TIMEOUTS: Lines = {
    "nginx": ["proxy_read_timeout 75s;"],
    "Varnish": [
        ".first_byte_timeout = 75s; .between_bytes_timeout = 75s;  # in backend { }",
        "set sess.send_timeout = 1d;                                # in vcl_recv, for streams",
    ],
    "HAProxy": ["timeout client 75s", "timeout server 75s", "timeout tunnel 75s"],
    "Caddy": ["transport http { response_header_timeout 75s }   # and no read_timeout below 75s"],
    "Fastly": [".first_byte_timeout = 60s; .between_bytes_timeout = 60s;  # in backend F_node { }"],
    "Cloudflare": [
        "nothing can be set below Enterprise (100 to 125 s): set heartbeat_s of the node below what was seen"
    ],
    "CloudFront": ["OriginReadTimeout: 60   # in CustomOriginConfig"],
    "any": ["let a response be silent for 75 s: three times the node's heartbeat_s (25)"],
}

PROBLEMS: dict[str, Problem] = {
    "not-freshwire": Problem(
        Severity.error,
        "without a node's fields nothing here is kept fresh: no client can know from which position to watch",
        {
            "any": [
                "give the URL of a resource that a node serves; if it is one, let the proxy pass Fresh-Position,",
                "Cache-Status, ETag and Link as they are (no proxy_hide_header, header -Link, del-header)",
            ]
        },
    ),
    "bad-status": Problem(
        Severity.error,
        "only a resource that can be read can be watched",
        {
            "any": [
                "give the URL of a resource that answers 200, with -H 'Authorization: …' or -H 'Cookie: …' if it asks"
            ]
        },
    ),
    "redirect": Problem(
        Severity.error,
        "the doctor takes your credentials nowhere else by itself, and what it would see is another resource",
        {"any": ["give the URL that it leads to"]},
    ),
    "unreachable": Problem(
        Severity.error,
        "no client gets anything",
        {"any": ["start what should answer there, or give its real address"]},
    ),
    "tls": Problem(
        Severity.error,
        "no browser connects to a server whose certificate it cannot verify",
        {
            "any": [
                "serve a certificate for this name, with its whole chain, by an authority that clients know"
            ]
        },
    ),
    "link-dropped": Problem(
        Severity.error,
        "a client learns from Link where to wait for changes; without it, it can only ask again and again, or hold a "
        "stream of its own at the node",
        {
            "nginx": ["remove `proxy_hide_header Link;`"],
            "Varnish": ["remove `unset beresp.http.Link;` and `unset resp.http.Link;`"],
            "HAProxy": ["remove `http-response del-header link`"],
            "Caddy": ["remove `header -Link` and `header_down -Link`"],
            "Fastly": ["remove `unset beresp.http.Link;` and `unset resp.http.Link;`"],
            "Cloudflare": ["remove the transform rule that removes Link from responses"],
            "CloudFront": ["remove Link from RemoveHeadersConfig of the response headers policy"],
            "any": ["pass the response field Link as it is"],
        },
    ),
    "etag-dropped": Problem(
        Severity.warning,
        "without a strong ETag a client cannot poll, and reads whole what has not changed",
        {
            "nginx": ["gzip off;   # in locations of the node: compressing makes an ETag weak or removes it"],
            "any": ["pass the response field ETag as it is, and do not compress responses that have one"],
        },
    ),
    "accept-not-passed": Problem(
        Severity.error,
        "Accept is not in the key of a cache, so an EventSource is handed the cached JSON and stops for good, or a "
        "JSON client an event stream",
        {
            "nginx": _STREAM_NGINX,
            "Varnish": _STREAM_VARNISH,
            **_STREAM_CDN,
            "any": ["pass requests with `Accept: text/event-stream` to the node, around the cache"],
        },
    ),
    "stream-buffered": Problem(
        Severity.error,
        "events are held back until a buffer is full: a watcher sees changes minutes late or never",
        {
            "nginx": [
                "proxy_buffering off;   # for requests with Accept: text/event-stream",
                "remove `proxy_ignore_headers X-Accel-Buffering;`",
            ],
            "Varnish": ["set beresp.do_stream = true;   # in vcl_backend_response; and no do_gzip, no ESI"],
            "HAProxy": ["remove `option http-buffer-response`", "option http-no-delay"],
            "Caddy": ["flush_interval -1   # in reverse_proxy; and no `encode` for text/event-stream"],
            "Fastly": ["set beresp.do_stream = true;   # in vcl_fetch"],
            "Cloudflare": [
                "switch Response Buffering off (speed settings, Enterprise), and no compression rule for it"
            ],
            "any": ["do not buffer or compress text/event-stream"],
        },
    ),
    "stream-cut": Problem(
        Severity.error,
        "each watcher connects again and again, all of them at the pace of the timeout, and misses nothing only "
        "because it resumes",
        _TIMEOUTS,
    ),
    "heartbeats-missing": Problem(
        Severity.warning,
        "what holds heartbeats back holds events back, and whoever cuts silent connections cuts this one",
        {
            "nginx": ["proxy_buffering off;   # for requests with Accept: text/event-stream"],
            "any": [
                "do not buffer text/event-stream; if the node's heartbeat_s is above 25, give a larger --idle-s"
            ],
        },
    ),
    "websocket-refused": Problem(
        Severity.warning,
        "clients that prefer a WebSocket fall back to an event stream",
        {
            "nginx": [
                "proxy_http_version 1.1;",
                "proxy_set_header Upgrade $fresh_upgrade;",
                "proxy_set_header Connection $fresh_connection;",
                "map $http_upgrade $fresh_upgrade { default ''; ~*^websocket$ websocket; }   # these two in http { }",
                "map $http_upgrade $fresh_connection { default ''; ~*^websocket$ upgrade; }",
            ],
            "Varnish": [
                'if (req.http.Upgrade ~ "(?i)^websocket$") { return (pipe); }  # in vcl_recv',
                'sub vcl_pipe { set bereq.http.Upgrade = req.http.Upgrade; set bereq.http.Connection = "upgrade"; }',
            ],
            "HAProxy": ["remove `option httpclose`, and any rule that removes Upgrade or Connection"],
            "Caddy": ["let reverse_proxy see Upgrade and Connection as they are (no header_up -Upgrade)"],
            "Fastly": ["if (req.http.Upgrade) { return(upgrade); }  # in vcl_recv, with WebSockets bought"],
            "Cloudflare": ["Network > WebSockets: on"],
            "CloudFront": [
                "OriginRequestPolicyId: 216adef6-5c7f-47e4-b989-5492eafa07d3   # Managed-AllViewer"
            ],
            "any": ["pass Upgrade and Connection to the node, and tunnel after its 101"],
        },
    ),
    "poll-answered-by-cache": Problem(
        Severity.warning,
        "a long poll that is answered at once is asked again at once: a hot loop between client and cache",
        {
            "nginx": [
                'map $http_prefer $fresh_poll { default $fresh_events; "~*(^|[,;\\s])wait\\s*=" 1; }  # in http { }',
                "if ($fresh_poll) { return 418; }   # in location / { }, with the location @stream for it",
            ],
            "Varnish": ['if (req.http.Prefer ~ "(?i)wait\\s*=") { return (pass); }  # in vcl_recv'],
            "Fastly": ['if (req.http.Prefer ~ "(?i)wait") { return(pass); }  # in vcl_recv'],
            "Cloudflare": [
                "a cache rule, after all others: bypass cache when",
                'any(http.request.headers["prefer"][*] contains "wait")',
            ],
            "CloudFront": ["the function of docs/behind/cloudfront.yaml (x-fresh-stream for Prefer: wait)"],
            "any": ["pass requests with `Prefer: wait` to the node, around the cache"],
        },
    ),
    "poll-cut": Problem(
        Severity.warning,
        "a long poll that is cut is an error to its client, which comes back at once",
        _TIMEOUTS,
    ),
    "wait-not-collapsed": Problem(
        Severity.warning,
        "each waiting client is a request that the node holds: it carries all of them, and not one for each edge",
        {
            "nginx": [
                "location ^~ /.fresh/watch/ {",
                "    proxy_cache freshwire;",
                "    proxy_cache_lock on;",
                "    proxy_cache_lock_timeout 30s;   # both above watch_cycle_s (12); the default is 5 s",
                "    proxy_cache_lock_age 30s;",
                "}",
            ],
            "Varnish": [
                'if (req.url ~ "^/\\.fresh/watch/") {',
                "    unset req.http.Cookie; unset req.http.Authorization; return (hash);",
                "}",
                "# in vcl_recv, before anything that passes; and in vcl_backend_response for the same URLs:",
                "if (beresp.ttl <= 0s) { set beresp.ttl = 1s; }  set beresp.grace = 0s;  return (deliver);",
            ],
            "Fastly": [
                'if (req.url.path ~ "^/\\.fresh/watch/") { unset req.http.Cookie; return(lookup); }  # in vcl_recv',
                "and a shield, so that it is one request in the world and not one for each place",
            ],
            "Cloudflare": [
                'a cache rule: eligible for cache when starts_with(http.request.uri.path, "/.fresh/watch/")',
                "and Tiered Cache, so that it is one request in the world and not one for each place",
            ],
            "CloudFront": [
                "a cache behavior for /.fresh/watch/* whose cache policy has all query strings, no cookies, no headers",
            ],
            "any": ["cache /.fresh/watch/*, and let one request for a URL wait for the answer of the other"],
        },
    ),
    "no-cache-in-front": Problem(
        Severity.note,
        "the node holds every wait itself, as it would an event stream; its own cache answers the reads",
        {
            "HAProxy": [
                "HAProxy makes no one request of many: put Varnish or nginx behind it where that matters"
            ],
            "Caddy": [
                "Caddy makes no one request of many: put Varnish or nginx behind it where that matters"
            ],
            "any": ["put a cache in front where that matters (docs/behind)"],
        },
    ),
    "wait-cut": Problem(
        Severity.error, "a wait that is cut is an error to all who wait; they come back at once", _TIMEOUTS
    ),
    "wait-answered-at-once": Problem(
        Severity.error,
        "the same URL is answered at once again and again, with nothing new: a hot loop, until clients back off",
        {
            "nginx": [
                "proxy_cache_use_stale off;   # in location /.fresh/watch/; and no proxy_ignore_headers"
            ],
            "Varnish": ["set beresp.grace = 0s;   # in vcl_backend_response, for ^/\\.fresh/watch/"],
            "any": [
                "keep answers of /.fresh/watch/* no longer than their max-age, and the query string in the key"
            ],
        },
    ),
    "query-ignored": Problem(
        Severity.error,
        "`?fresh=<position>` says how new an answer must be; a cache that leaves it out of its key answers with a "
        "stale copy after each notice of a change",
        {
            "nginx": ['proxy_cache_key "$scheme://$http_host$request_uri";'],
            "Varnish": ["remove what cuts the query string from req.url; builtin vcl_hash hashes all of it"],
            "Fastly": ["remove what cuts the query string from req.url (querystring.filter…)"],
            "Cloudflare": [
                "in the cache rule: cache key > query string: all, and no Ignore Query String caching level"
            ],
            "CloudFront": ["QueryStringsConfig: { QueryStringBehavior: all }   # in the cache policy"],
            "any": ["put the whole query string into the key of the cache"],
        },
    ),
    "credentials-cached": Problem(
        Severity.error,
        "what one user is answered is given to the next: a leak",
        {
            "nginx": [
                "proxy_cache_bypass $http_authorization $http_cookie;",
                "proxy_no_cache $http_authorization $http_cookie;",
            ],
            "Varnish": ["if (req.http.Authorization || req.http.Cookie) { return (pass); }  # in vcl_recv"],
            "HAProxy": [
                "http-request cache-use … unless { req.hdr(cookie) -m found } or { req.hdr(authorization) -m found }"
            ],
            "Fastly": ["if (req.http.Authorization || req.http.Cookie) { return(pass); }  # in vcl_recv"],
            "Cloudflare": [
                'a cache rule, after all others: bypass cache when (http.cookie ne "") or '
                '(any(http.request.headers["authorization"][*] ne ""))'
            ],
            "CloudFront": ["CookieBehavior: all, and Authorization in the HeadersConfig of the cache policy"],
            "any": ["neither store nor answer from a copy a request that has Cookie or Authorization"],
        },
    ),
    "cached-unasked": Problem(
        Severity.error,
        "the node gave no lifetime, so every copy that is kept is stale from the next change on, and nobody is told",
        {
            "nginx": ["remove `proxy_cache_valid …;` and `proxy_ignore_headers Cache-Control Expires …;`"],
            "Varnish": [
                'if (beresp.http.Cache-Control !~ "(max-age|s-maxage)\\s*=" && !beresp.http.Expires) {',
                "    set beresp.uncacheable = true;",
                "}   # in vcl_backend_response: default_ttl is two minutes",
            ],
            "HAProxy": ["remove `max-age` from the `cache` section, or `http-response cache-store`"],
            "Fastly": [
                "if (!beresp.http.Cache-Control && !beresp.http.Surrogate-Control) { return(pass); }  # in vcl_fetch"
            ],
            "Cloudflare": ["in the cache rule: edge TTL: use the header if present, bypass cache if not"],
            "CloudFront": ["MinTTL: 0, DefaultTTL: 0   # in the cache policy"],
            "any": ["keep only what states a lifetime"],
        },
    ),
    "stale": Problem(
        Severity.error,
        "a client that was told of the change, or made it, reads the state before it",
        {
            "nginx": ["proxy_cache_use_stale off;   # and no proxy_cache_valid, no proxy_ignore_headers"],
            "Varnish": [
                'if (beresp.http.Cache-Control !~ "stale-while-revalidate") { set beresp.grace = 0s; }',
                "# in vcl_backend_response: ten seconds of grace are the default",
            ],
            "any": ["keep no copy longer than its lifetime, and purge by tag on each change (docs/behind)"],
        },
    ),
    "stale-for-its-lifetime": Problem(
        Severity.note,
        "as the application's Cache-Control allows; who was told reads `?fresh=<position>`, which is never stale",
        {
            "any": [
                "a shorter s-maxage, or purging by tag; for browsers `Cache-Control: no-cache` with CDN-Cache-Control"
            ]
        },
    ),
    "notice-late": Problem(
        Severity.error,
        "watchers are told of a change late or never",
        {
            "nginx": [
                "proxy_cache_use_stale off;   # in location /.fresh/watch/; and no buffering of event streams"
            ],
            "any": ["pass /.fresh/watch/* to the node, and keep its answers no longer than their max-age"],
        },
    ),
}


def finding(problem: str, seen: str, in_front: list[str]) -> Finding:
    """What was found, with what to change in what is in front."""
    known = PROBLEMS[problem]
    change = {front: known.change[front] for front in in_front if front in known.change}
    return Finding(problem, known.severity, seen, known.why, change or {"any": known.change["any"]})
