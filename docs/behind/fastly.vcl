# A Freshwire node behind Fastly: the main file of custom VCL. Not run against Fastly, which has no local version; see
# fastly.md. Lines that end in `# yours` are for you to change.

backend F_node {
  .host = "origin.example.org";  # yours
  .port = "443";
  .dynamic = true;
  .share_key = "SERVICEID";  # yours
  .ssl = true;
  .ssl_check_cert = always;
  .ssl_cert_hostname = "origin.example.org";  # yours
  .ssl_sni_hostname = "origin.example.org";  # yours
  .connect_timeout = 2s;
  # The defaults are 15 s and 10 s: a wait takes 12 s, and a heartbeat comes each 25 s. More than 60 s is not to be had.
  .first_byte_timeout = 60s;
  .between_bytes_timeout = 60s;
  # Each event stream holds one.
  .max_connections = 1000;
}

sub vcl_recv {
#FASTLY recv
  set req.backend = F_node;
  # Only who has a token of this service may purge.
  set req.http.Fastly-Purge-Requires-Auth = "1";

  # Who the client is, said at the edge alone, and not again at the shield: the node believes it with `trusted_proxies`.
  if (req.restarts == 0 && !req.http.Fastly-FF) {
    set req.http.X-Forwarded-For = client.ip;
    set req.http.X-Forwarded-Proto = if(req.is_ssl, "https", "http");
    unset req.http.Forwarded;
    unset req.http.X-Forwarded;
    unset req.http.X-Forwarded-Port;
    unset req.http.X-Forwarded-Prefix;
    unset req.http.X-Forwarded-Scheme;
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
    unset req.http.Front-End-Https;
    unset req.http.Proxy;
  }

  # With the product WebSockets; without it, remove this and clients use event streams.
  if (req.http.Upgrade ~ "(?i)^websocket$") {
    return(upgrade);
  }

  # The wait: one request to the node for all who wait, whatever their cookies are, also for its event stream.
  if (req.method == "GET" && req.url.path ~ "^/\.fresh/watch/") {
    if (req.url.qs ~ "(^|&)sse(&|=|$)" || req.http.Accept !~ "(?i)text/event-stream") {
      unset req.http.Cookie;
      unset req.http.Authorization;
      return(lookup);
    }
  }

  if (req.method != "GET" && req.method != "HEAD" && req.method != "FASTLYPURGE") {
    return(pass);
  }
  # Answers that depend on more than the URL says, or do not end.
  if (req.http.Accept ~ "(?i)text/event-stream" || req.http.Prefer ~ "(?i)(^|[,; ])wait\s*=") {
    return(pass);
  }
  if (req.http.Authorization || req.http.Cookie) {
    return(pass);
  }
  return(lookup);
}

sub vcl_hash {
  set req.hash += req.url;
  set req.hash += req.http.host;
#FASTLY hash
  return(hash);
}

sub vcl_fetch {
#FASTLY fetch
  # Every answer to a wait says how long it may be kept. Marked hit-for-pass, an error's would let everybody through.
  if (req.url.path ~ "^/\.fresh/watch/" && req.method == "GET") {
    unset beresp.http.Set-Cookie;
    set beresp.do_stream = true;
    set beresp.stale_while_revalidate = 0s;
    set beresp.stale_if_error = 0s;
    set beresp.cacheable = true;
    if (beresp.ttl <= 0s || beresp.ttl > 60s) {
      set beresp.ttl = 1s;
    }
    return(deliver);
  }
  if (beresp.http.Set-Cookie) {
    return(pass);
  }
  # RFC 9213: what caches outside are told where browsers are told something else.
  if (beresp.http.CDN-Cache-Control && !beresp.http.Surrogate-Control) {
    if (beresp.http.CDN-Cache-Control ~ "(?i)(no-store|no-cache|private)") {
      return(pass);
    }
    if (beresp.http.CDN-Cache-Control ~ "(?i)max-age\s*=\s*([0-9]+)") {
      set beresp.ttl = std.atoi(re.group.1);
      if (beresp.http.CDN-Cache-Control ~ "(?i)stale-while-revalidate\s*=\s*([0-9]+)") {
        set beresp.stale_while_revalidate = std.atoi(re.group.1);
      }
      return(deliver);
    }
  }
  if (beresp.http.Cache-Control ~ "(?i)(private|no-store|no-cache)" && !beresp.http.Surrogate-Control) {
    return(pass);
  }
  # No lifetime is ever guessed (the default is two minutes).
  if (beresp.http.Cache-Control !~ "(?i)(max-age|s-maxage)\s*=" && !beresp.http.Surrogate-Control && !beresp.http.Expires) {
    return(pass);
  }
  return(deliver);
}

sub vcl_hit {
#FASTLY hit
  return(deliver);
}

sub vcl_miss {
#FASTLY miss
  return(fetch);
}

sub vcl_pass {
#FASTLY pass
  return(pass);
}

sub vcl_deliver {
#FASTLY deliver
  return(deliver);
}

sub vcl_error {
#FASTLY error
  return(deliver);
}

sub vcl_log {
#FASTLY log
}
