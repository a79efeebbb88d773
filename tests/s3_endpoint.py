"""A real S3 endpoint for tests: another process, spoken to over HTTP; gone when whoever asked for it is.

It is moto's server, which installs from PyPI alone, with what it does not model added in front of it (`_Stricter`). Set
UNSEE_S3_ENDPOINT to the URL of any other endpoint, and the tests run there instead: they make buckets of their own.

Run as a program it is the server: it says which port it listens on, and ends when its standard input does, which the kernel sees to
even where the test run is killed.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

# Set when this is imported, and by name only where nothing is set: processes that were started before a test inherit nothing later.
os.environ.setdefault("AWS_ACCESS_KEY_ID", "unsee-tests")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "unsee-tests")
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
TOO_MANY = b"<Error><Code>MalformedXML</Code><Message>More than 1,000 keys in one request.</Message></Error>"


@dataclass
class Endpoint:
    """A running endpoint."""

    url: str

    @property
    def client(self) -> Any:
        """A plain boto3 client: what the programs use that write to such buckets."""
        import boto3
        from botocore.config import Config

        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, max_pool_connections=20)
        return boto3.client("s3", endpoint_url=self.url, config=config)

    def make(self, *, versions: bool | None = True, lock: bool = False) -> str:
        """A new bucket, which keeps versions (None: never did); its name."""
        name = f"unsee-{uuid.uuid4().hex[:20]}"
        self.client.create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if lock else {}))
        if versions and not lock:
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def empty(self, bucket: str) -> None:
        """Remove a bucket with all it holds."""
        client = self.client
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for entry in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                client.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
        for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
            client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        client.delete_bucket(Bucket=bucket)


@contextmanager
def running() -> Iterator[Endpoint]:
    """An endpoint of one's own, for as long as the block lasts or the process lives."""
    if elsewhere := os.environ.get("UNSEE_S3_ENDPOINT"):
        yield Endpoint(elsewhere)
        return
    keeper = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert keeper.stdin and keeper.stdout
    try:
        port = keeper.stdout.readline().split()
        if not port:
            raise RuntimeError("the S3 endpoint did not start: is moto[server] installed?")
        yield Endpoint(f"http://127.0.0.1:{int(port[1])}")
    finally:
        keeper.stdin.close()
        keeper.wait(timeout=20)
        keeper.stdout.close()


class Asked(NamedTuple):
    """A request as it passes the gate."""

    method: str
    path: str
    """With the query, percent-encoded."""
    body: bytes


Answer = tuple[int, bytes]
Rule = Callable[[Asked], Answer | None]
"""Answers a request itself, or lets it pass with None."""


@dataclass
class Gate:
    """Stands before an endpoint: counts what passes, and answers in its place where a rule says so."""

    url: str = ""
    rules: list[Rule] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    sent_bytes: int = 0
    received_bytes: int = 0


@contextmanager
def gate(endpoint: Endpoint) -> Iterator[Gate]:
    """A gate before this endpoint. Its URL is used instead of the endpoint's."""
    behind = urlsplit(endpoint.url)
    state = Gate()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            asked = Asked(self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            state.asked.append(asked)
            state.sent_bytes += len(asked.body)
            for rule in list(state.rules):
                if (answer := rule(asked)) is not None:
                    self._answer(answer[0], {"Content-Type": "application/xml"}, answer[1])
                    return
            passed = http.client.HTTPConnection(behind.hostname or "", behind.port, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in {"connection", "expect"}}
            passed.request(asked.method, asked.path, asked.body, headers)
            said = passed.getresponse()
            data = said.read()
            state.received_bytes += len(data)
            self._answer(said.status, dict(said.getheaders()), data)
            passed.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815  # the library's names

        def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *words: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def error(code: str, message: str = "", *, status: int = 503) -> Answer:
    """An error as S3 words it."""
    return status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


class _Stricter:
    """What moto does not model, before it: at most 1,000 keys a batch; a range that ends behind the source is refused; a part is
    not copied from a source that changed."""

    def __init__(self, app: Any, ask: Callable[[str], dict[str, str]]) -> None:
        self.app, self.ask = app, ask

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        if environ["REQUEST_METHOD"] == "POST" and re.search(r"(^|&)delete(=|&|$)", environ.get("QUERY_STRING", "")):
            import io

            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            if body.count(b"<Key>") > 1000:
                return self._refuse(start, "400 Bad Request", TOO_MANY)
        source = environ.get("HTTP_X_AMZ_COPY_SOURCE")
        if source and "partNumber=" in environ.get("QUERY_STRING", ""):
            seen = self.ask("/" + source.lstrip("/"))
            wanted = environ.get("HTTP_X_AMZ_COPY_SOURCE_IF_MATCH")
            last = re.fullmatch(r"bytes=\d+-(\d+)", environ.get("HTTP_X_AMZ_COPY_SOURCE_RANGE", ""))
            if wanted and wanted.strip('"') != seen.get("etag", "").strip('"'):
                return self._refuse(start, "412 Precondition Failed", error("PreconditionFailed", status=412)[1])
            if last and int(last[1]) >= int(seen.get("content-length", 0)):
                return self._refuse(start, "400 Bad Request", error("InvalidArgument", status=400)[1])
        return self.app(environ, start)

    def _refuse(self, start: Any, status: str, body: bytes) -> list[bytes]:
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


def _serve() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from moto.s3.models import S3Backend
    from werkzeug.serving import make_server

    def head(path: str) -> dict[str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("HEAD", path, headers={"Authorization": _AUTHORIZATION})
        found = {name.lower(): value for name, value in connection.getresponse().getheaders()}
        connection.close()
        return found

    S3Backend.list_object_versions = _list_versions
    # The built-in server speaks HTTP/1.0 unless told otherwise: a connection for each request.
    from werkzeug.serving import WSGIRequestHandler

    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    app = _Stricter(DomainDispatcherApplication(create_backend_app), head)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", server.port, flush=True)
    sys.stdin.read()


def _list_versions(  # noqa: PLR0917  # moto's signature
    self: Any,
    bucket_name: str,
    delimiter: str | None = None,
    key_marker: str | None = None,
    max_keys: int | None = 1000,
    prefix: str = "",
    version_id_marker: str | None = None,
) -> Any:
    """As S3 does it. Moto's own drops the first key behind a marker, and copies every key of the bucket for each page."""
    from moto.s3.models import FakeKey

    found: list[Any] = []
    inner: list[str] = []
    most = max_keys if max_keys is not None else 1000
    keys = self.get_bucket(bucket_name).keys
    last: tuple[str, str | None] | None = None
    for name in sorted(key for key, _ in keys.iterlists() if key.startswith(prefix) and key >= (key_marker or "")):
        rest = name[len(prefix) :]
        common = prefix + rest[: rest.index(delimiter) + 1] if delimiter and delimiter in rest else None
        if common is not None and (common in inner or common == key_marker):
            continue
        newest_first = keys.getlist(name)[::-1]
        known = [version.version_id for version in newest_first]
        skip = 0
        if name == key_marker:
            skip = known.index(version_id_marker) + 1 if version_id_marker in known else len(known)
        for number, version in enumerate(newest_first):
            if number < skip:
                continue
            if len(found) + len(inner) >= most:
                versions = [v for v in found if isinstance(v, FakeKey)]
                return versions, inner, [v for v in found if not isinstance(v, FakeKey)], *(last or ("", None))
            if common is not None:
                inner.append(common)
                last = (common, None)
                break
            version.is_latest = number == 0
            found.append(version)
            last = (name, version.version_id)
    versions = [v for v in found if isinstance(v, FakeKey)]
    return versions, inner, [v for v in found if not isinstance(v, FakeKey)], None, None


_AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=unsee-tests/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
)

if __name__ == "__main__":
    _serve()
