# A Freshwire node behind Varnish 7.0 or newer: /etc/varnish/default.vcl.
# Lines that end in `# yours` are for you to change; the tests change those and nothing else. See varnish.md.
vcl 4.1;

import proxy;
import std;

backend node {
    .host = "127.0.0.1";  # yours
    .port = "8000";  # yours
    .connect_timeout = 2s;
    # More than the node's app_timeout_s and max_wait_s (60), and three times its heartbeat_s (25).
    .first_byte_timeout = 75s;
    .between_bytes_timeout = 75s;
}

# Who may purge.
acl purgers {
    "127.0.0.1";  # yours
}

sub vcl_recv {
    # Whoever asks for another host gets nothing.
    if (req.http.Host !~ "^(?i)example\.org(:[0-9]+)?$") {  # yours
        return (synth(421));
    }

    if (req.method == "PURGE" || req.method == "BAN") {
        if (client.ip !~ purgers) {
            return (synth(405));
        }
        if (req.http.xkey) {
            call fresh_ban_tags;
        }
        ban("obj.http.x-fresh-url == " + req.url + " && obj.http.x-fresh-host == " + req.http.Host);
        return (synth(200, "Purged"));
    }

    # Who the client is, said by Varnish alone: the node believes it with `trusted_proxies`.
    set req.http.X-Forwarded-For = client.ip;
    set req.http.X-Forwarded-Proto = "http";
    if (proxy.is_ssl()) {
        set req.http.X-Forwarded-Proto = "https";
    }
    call fresh_unset_forged;

    # A tunnel, and only for a WebSocket: whatever comes after its head goes to the node as it is.
    if (req.http.Upgrade ~ "(?i)^websocket$") {
        return (pipe);
    }
    unset req.http.Upgrade;

    # The wait: one request to the node for all who wait, whatever their cookies are, also for its event stream.
    if (req.method == "GET" && req.url ~ "^/\.fresh/watch/") {
        unset req.http.Cookie;
        unset req.http.Authorization;
        if (req.url ~ "[?&]sse(&|=|$)") {
            set sess.send_timeout = 1h;
            return (hash);
        }
        if (req.http.Accept !~ "(?i)text/event-stream") {
            return (hash);
        }
    }

    # Not piped, as Varnish would with a method that it does not know.
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # Answers that depend on more than the URL says, or do not end. A stream may last longer than send_timeout (600 s).
    if (req.http.Accept ~ "(?i)text/event-stream" || req.http.Prefer ~ "(?i)(^|[,; \t])wait\s*=") {
        set sess.send_timeout = 1d;
        return (pass);
    }
    if (req.http.Authorization || req.http.Cookie) {
        return (pass);
    }
    return (hash);
}

sub vcl_hash {
    hash_data(req.http.X-Forwarded-Proto);
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = "upgrade";
}

sub vcl_backend_response {
    set beresp.http.x-fresh-url = bereq.url;
    set beresp.http.x-fresh-host = bereq.http.Host;

    # Ten seconds of grace are the default, in which a copy is served that is stale.
    if (beresp.http.Cache-Control !~ "stale-while-revalidate") {
        set beresp.grace = 0s;
    }

    # Every answer to a wait says how long it may be kept. Without this, an error's would be hit-for-miss for two
    # minutes, in which every waiting client is a request to the node.
    if (bereq.url ~ "^/\.fresh/watch/" && !bereq.uncacheable) {
        unset beresp.http.Set-Cookie;
        set beresp.grace = 0s;
        set beresp.keep = 0s;
        if (beresp.ttl <= 0s) {
            set beresp.ttl = 1s;
        }
        return (deliver);
    }

    # RFC 9213: what caches outside are told where browsers are told something else.
    if (beresp.http.CDN-Cache-Control ~ "(?i)\b(no-store|no-cache|private)\b") {
        set beresp.ttl = 0s;
    } elsif (beresp.http.CDN-Cache-Control ~ "(?i)\bmax-age\s*=\s*[0-9]+" && !beresp.http.Set-Cookie) {
        set beresp.ttl = std.duration(
            regsub(beresp.http.CDN-Cache-Control, "(?i)^.*\bmax-age\s*=\s*([0-9]+).*$", "\1s"), 0s);
        set beresp.ttl = beresp.ttl - beresp.age;
        if (beresp.http.CDN-Cache-Control ~ "(?i)\bstale-while-revalidate\s*=\s*[0-9]+") {
            set beresp.grace = std.duration(
                regsub(beresp.http.CDN-Cache-Control, "(?i)^.*\bstale-while-revalidate\s*=\s*([0-9]+).*$", "\1s"), 0s);
        }
        if (beresp.ttl > 0s) {
            return (deliver);
        }
    } elsif (beresp.http.Cache-Control !~ "(?i)(max-age|s-maxage)\s*=" && !beresp.http.Expires) {
        # No lifetime is ever guessed (default_ttl is two minutes).
        set beresp.ttl = 0s;
    }
    if (beresp.ttl <= 0s) {
        # Not two minutes: what is not kept now may be when its late fill is over.
        set beresp.uncacheable = true;
        set beresp.ttl = 5s;
        return (deliver);
    }
}

sub vcl_deliver {
    unset resp.http.x-fresh-url;
    unset resp.http.x-fresh-host;
    # What this cache did, beside what the node did (RFC 9211).
    if (obj.hits > 0) {
        set resp.http.Cache-Status = regsub(resp.http.Cache-Status, "(.)$", "\1, ") + "varnish; hit";
    } elsif (obj.uncacheable) {
        set resp.http.Cache-Status = regsub(resp.http.Cache-Status, "(.)$", "\1, ") + "varnish; fwd=bypass";
    } else {
        set resp.http.Cache-Status = regsub(resp.http.Cache-Status, "(.)$", "\1, ") + "varnish; fwd=miss";
    }
}

# What has one of the keys in the request's xkey, or everything: see docs/purge.md. With varnish-modules there is an index
# of keys: `import xkey;`, and `set req.http.n = xkey.purge(req.http.xkey);` in place of the second ban.
sub fresh_ban_tags {
    if (req.http.xkey == "*") {
        ban("obj.status != 0");
        return (synth(200, "Purged"));
    }
    ban("obj.http.xkey ~ (^|\s)(" + regsuball(req.http.xkey, "[^A-Za-z0-9_-]+", "|") + ")(\s|$)");
    return (synth(200, "Purged"));
}

sub fresh_unset_forged {
    unset req.http.Forwarded;
    unset req.http.X-Forwarded;
    unset req.http.X-Forwarded-Host;
    unset req.http.X-Forwarded-Port;
    unset req.http.X-Forwarded-Prefix;
    unset req.http.X-Forwarded-Scheme;
    unset req.http.X-Forwarded-Server;
    unset req.http.X-Forwarded-SSL;
    unset req.http.X-Original-Host;
    unset req.http.X-Original-URL;
    unset req.http.X-Rewrite-URL;
    unset req.http.X-Host;
    unset req.http.X-HTTP-Host-Override;
    unset req.http.X-Url-Scheme;
    unset req.http.X-Script-Name;
    unset req.http.X-Real-IP;
    unset req.http.X-Client-IP;
    unset req.http.X-Cluster-Client-IP;
    unset req.http.Client-IP;
    unset req.http.True-Client-IP;
    unset req.http.CF-Connecting-IP;
    unset req.http.Fastly-Client-IP;
    unset req.http.Front-End-Https;
    unset req.http.Proxy;
}
