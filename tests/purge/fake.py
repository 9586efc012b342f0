"""APIs that purge, as their documentation has them: what they take, what they answer, and what they refuse.

A fake answers by its specification unless a test says otherwise for the next requests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from xml.etree import ElementTree

KEYS = {"fastly": "fastly-token", "cloudflare": "cloudflare-token", "bunny": "bunny-key"}
AWS_KEY, AWS_SECRET, AWS_SESSION = "AKIDEXAMPLE", "aws-secret", "aws-session"
AKAMAI = {"client_token": "akab-client", "client_secret": "akamai-secret", "access_token": "akab-access"}
ZONE = "0123456789abcdef0123456789abcdef"


@dataclass
class Asked:
    """A request, as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass
class Answer:
    """What is answered."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    """Answered only when this is set."""
    hang_up: bool = False
    """No answer: the connection ends."""


def of(status: int, value: object = None, **headers: str) -> Answer:
    """An answer in JSON."""
    return Answer(status, b"" if value is None else json.dumps(value).encode(), headers)


class Api:
    """One fake API."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.asked: list[Asked] = []
        """Every request."""
        self.purged: list[str] = []
        """What was purged by name, in order."""
        self.everything = 0
        self.answers: deque[Answer] = deque()
        """What is answered next, whatever is asked."""
        self.looks = 0
        """How often an invalidation is still in progress when it is looked at."""

    def answer(self, asked: Asked) -> Answer:
        """By the specification, unless the test says otherwise."""
        self.asked.append(asked)
        if self.answers:
            return self.answers.popleft()
        specification: Callable[[Asked], Answer] = getattr(self, f"_{self.name}")
        return specification(asked)

    def _fastly(self, asked: Asked) -> Answer:
        if asked.headers.get("fastly-key") != KEYS["fastly"]:
            return of(401, {"msg": "Provided credentials are missing or invalid"})
        if (asked.method, asked.path) == ("POST", "/service/SU1Z0isxPaozGVKXdv0eY/purge_all"):
            if "fastly-soft-purge" in asked.headers:
                return of(400, {"msg": "purge all is hard"})
            self.everything += 1
            return of(200, {"status": "ok"})
        if (asked.method, asked.path) != ("POST", "/service/SU1Z0isxPaozGVKXdv0eY/purge"):
            return of(404, {"msg": "Record not found"})
        keys = asked.json["surrogate_keys"]
        if asked.headers.get("content-type") != "application/json" or not isinstance(keys, list):
            return of(400, {"msg": "Bad request"})
        if not 1 <= len(keys) <= 256 or any(re.search(r"\s", key) for key in keys):
            return of(400, {"msg": "Too many keys"})
        self.purged += keys
        return of(200, {key: f"108-1391560174-{n}" for n, key in enumerate(keys)})

    def _cloudflare(self, asked: Asked) -> Answer:
        def no(status: int, code: int, message: str) -> Answer:
            body = {"success": False, "errors": [{"code": code, "message": message}], "messages": []}
            return of(status, body | {"result": None})

        if asked.headers.get("authorization") != f"Bearer {KEYS['cloudflare']}":
            return no(403, 10000, "Authentication error")
        if (asked.method, asked.path) != ("POST", f"/zones/{ZONE}/purge_cache"):
            return no(404, 7003, "Could not route")
        body = asked.json
        if body == {"purge_everything": True}:
            self.everything += 1
        else:
            tags = body.get("tags")
            if list(body) != ["tags"] or not isinstance(tags, list) or not 1 <= len(tags) <= 100:
                return no(400, 1094, "up to 100 tags")
            self.purged += tags
        return of(200, {"success": True, "errors": [], "messages": [], "result": {"id": ZONE}})

    def _bunny(self, asked: Asked) -> Answer:
        if asked.headers.get("accesskey") != KEYS["bunny"]:
            return of(401, {"Message": "The request authorization failed"})
        if (asked.method, asked.path) != ("POST", "/pullzone/42/purgeCache"):
            return of(404, {"ErrorKey": "pullzone.not_found"})
        body = asked.json
        if body == {}:
            self.everything += 1
        elif list(body) == ["CacheTag"] and isinstance(body["CacheTag"], str):
            self.purged.append(body["CacheTag"])
        else:
            return of(400, {"ErrorKey": "validation_error"})
        return of(204)

    def _webhook(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") not in (None, "Bearer webhook-token"):
            return of(401)
        body = asked.json
        if set(body) != {"everything", "keys", "tags", "urls"}:
            return of(422)
        self.everything += body["everything"] is True
        for names in ("keys", "tags", "urls"):
            value = body[names]
            assert isinstance(value, list)
            self.purged += [f"{names}:{name}" for name in value]
        return of(202)

    def _akamai(self, asked: Asked) -> Answer:
        if not self._edgegrid(asked):
            return of(401, {"title": "Not authorized", "detail": "The signature does not match"})
        if len(asked.body) > 50_000:
            return of(413, {"title": "Request body too large"})
        objects = asked.json["objects"]
        assert isinstance(objects, list)
        if asked.path == "/ccu/v3/invalidate/cpcode/production" and all(type(o) is int for o in objects):
            self.everything += 1
        elif asked.path == "/ccu/v3/invalidate/tag/production" and all(type(o) is str for o in objects):
            self.purged += objects
        else:
            return of(400, {"title": "Bad request"})
        body = {
            "httpStatus": 201,
            "estimatedSeconds": 0,
            "purgeId": "e535071c",
            "supportId": "17PY",
            "detail": "ok",
        }
        return of(201, body)

    def _edgegrid(self, asked: Asked) -> bool:
        """Check the signature as the documentation describes it."""
        unsigned, _, signature = asked.headers.get("authorization", "").rpartition("signature=")
        found = re.fullmatch(
            r"EG1-HMAC-SHA256 client_token=akab-client;access_token=akab-access;"
            r"timestamp=(\d{8}T\d\d:\d\d:\d\d\+0000);nonce=([0-9a-f-]{36});",
            unsigned,
        )
        if found is None:
            return False

        def mac(key: str, text: str) -> str:
            return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()

        hashed = base64.b64encode(hashlib.sha256(asked.body).digest()).decode()
        # It is https as seen from outside, and https is what is signed.
        text = f"POST\thttps\t{asked.headers['host']}\t{asked.path}\t\t{hashed}\t{unsigned}"
        return mac(mac(AKAMAI["client_secret"], found[1]), text) == signature

    def _cloudfront(self, asked: Asked) -> Answer:
        namespace = "http://cloudfront.amazonaws.com/doc/2020-05-31/"

        def state(status: int, name: str) -> Answer:
            body = f'<Invalidation xmlns="{namespace}"><Id>IDFDVBD632BHDS5</Id><Status>{name}</Status></Invalidation>'
            return Answer(status, f'<?xml version="1.0"?>{body}'.encode())

        def no(status: int, code: str) -> Answer:
            error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error>"
            return Answer(status, f'<ErrorResponse xmlns="{namespace}">{error}</ErrorResponse>'.encode())

        if not self._sigv4(asked):
            return no(403, "SignatureDoesNotMatch")
        path = "/2020-05-31/distribution/EDFDVBD6EXAMPLE/invalidation"
        if (asked.method, asked.path) == ("GET", f"{path}/IDFDVBD632BHDS5"):
            self.looks -= 1
            return state(200, "InProgress" if self.looks > 0 else "Completed")
        if (asked.method, asked.path) != ("POST", path):
            return no(404, "NoSuchDistribution")
        batch = ElementTree.fromstring(asked.body)
        items = [item.text or "" for item in batch.iter(f"{{{namespace}}}Path")]
        quantity = batch.findtext(f"{{{namespace}}}Paths/{{{namespace}}}Quantity")
        if batch.tag != f"{{{namespace}}}InvalidationBatch" or not batch.findtext(
            f"{{{namespace}}}CallerReference"
        ):
            return no(400, "InvalidArgument")
        if quantity != str(len(items)):
            return no(400, "InconsistentQuantities")
        if len(items) > 3000:
            return no(413, "BatchTooLarge")
        if items == ["/*"]:
            self.everything += 1
        elif all(re.fullmatch(r"#[!-+\--~]{1,256}", item) for item in items):
            self.purged += [item[1:] for item in items]
        else:
            return no(400, "InvalidArgument")
        return state(201, "InProgress" if self.looks > 0 else "Completed")

    def _sigv4(self, asked: Asked) -> bool:
        """Check the signature as the documentation describes it."""
        found = re.fullmatch(
            rf"AWS4-HMAC-SHA256 Credential={AWS_KEY}/((\d{{8}})/us-east-1/cloudfront/aws4_request), "
            r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
            asked.headers.get("authorization", ""),
        )
        if found is None or asked.headers.get("x-amz-security-token") != AWS_SESSION:
            return False
        scope, day, names, signature = found.groups()
        stamp = asked.headers["x-amz-date"]
        if not {"host", "x-amz-date", "x-amz-security-token"} <= set(names.split(";")) or stamp[:8] != day:
            return False
        canonical = [asked.method, asked.path, ""]
        canonical += [f"{name}:{asked.headers[name].strip()}" for name in names.split(";")]
        canonical += ["", names, hashlib.sha256(asked.body).hexdigest()]
        digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
        key = ("AWS4" + AWS_SECRET).encode()
        for part in (day, "us-east-1", "cloudfront", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest() == signature


SETTINGS: dict[str, dict[str, object]] = {
    "fastly": {"service": "SU1Z0isxPaozGVKXdv0eY", "token": KEYS["fastly"]},
    "cloudflare": {"zone": ZONE, "token": KEYS["cloudflare"], "plan": "enterprise"},
    "cloudfront": {
        "distribution": "EDFDVBD6EXAMPLE",
        "access_key": AWS_KEY,
        "secret_key": AWS_SECRET,
        "session_token": AWS_SESSION,
    },
    "akamai": {**AKAMAI, "cp_codes": [1234]},
    "bunny": {"zone": 42, "token": KEYS["bunny"]},
    "webhook": {"token": "webhook-token"},
}
"""What each fake wants to be told."""


@contextmanager
def serve(name: str, port: int = 0) -> Iterator[Api]:
    """A fake on a port; 0: a free one."""
    api = Api(name)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = api.answer(Asked(self.command, self.path, headers, body))
            if answer.hold is not None:
                answer.hold.wait(30)
            if answer.hang_up:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for field_name, value in answer.headers.items():
                self.send_header(field_name.replace("_", "-"), value)
            if answer.status != 204:
                self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PURGE = _answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Whoever closed meanwhile."""

    with Server(("127.0.0.1", port), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield api
        finally:
            server.shutdown()
