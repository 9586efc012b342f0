"""Proxies before a server, as their packages have them: each passes everything on over connections that it keeps."""

from __future__ import annotations

from conformance.http1.starter import Starter
from tests.ports import free_port


def nginx(start: Starter, upstream: int) -> int:
    """nginx; its port."""
    port, here = free_port(), start.directory
    temporary = "".join(
        f"  {kind}_temp_path {here}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = f"""
daemon off; worker_processes 1; pid {here}/nginx.pid; error_log {here}/nginx.log;
events {{}}
http {{
{temporary}  access_log off;
  upstream application {{ server 127.0.0.1:{upstream}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
    }}
  }}
}}
"""
    start.run(["nginx", "-c", start.file("nginx.conf", config), "-e", f"{here}/nginx.log"], port)
    return port


def haproxy(start: Starter, upstream: int) -> int:
    """HAProxy; its port."""
    port = free_port()
    config = f"""
global
  maxconn 256
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
  http-reuse always
frontend front
  bind 127.0.0.1:{port}
  default_backend application
backend application
  server node 127.0.0.1:{upstream}
"""
    start.run(["haproxy", "-db", "-f", start.file("haproxy.cfg", config)], port)
    return port


def varnish(start: Starter, upstream: int, *, cache: bool = False) -> int:
    """Varnish, which keeps what may be kept if `cache`; its port."""
    port = free_port()
    passes = (
        ""
        if cache
        else 'sub vcl_recv { if (req.method == "GET" || req.method == "HEAD") { return (pass); } }'
    )
    vcl = f'vcl 4.1;\nbackend default {{ .host = "127.0.0.1"; .port = "{upstream}"; }}\n{passes}\n'
    words = [
        "varnishd",
        "-F",
        "-j",
        "none",
        "-n",
        str(start.directory / "varnish"),
        "-a",
        f"127.0.0.1:{port}",
    ]
    words += ["-f", start.file("front.vcl", vcl), "-s", "malloc,16m", "-t", "0", "-p", "default_grace=0"]
    start.run(words, port)
    return port


FRONTS = {"nginx": nginx, "haproxy": haproxy, "varnish": varnish}
