"""One S3 bucket to read, in a thread: objects are the files of a folder, and every request has to be signed rightly.

What a registry that is read-only asks of S3 and nothing else: GET and HEAD of an object, ranges among them, and
ListObjectsV2. The signature is AWS's version 4, checked against the key's secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape


class Bucket:
    """`with Bucket(folder, "name", "id", "secret", address) as bucket:`, then `bucket.endpoint`."""

    def __init__(self, folder: Path, name: str, key: str, secret: str, address: str, port: int = 0) -> None:
        self.folder, self.name, self.key, self.secret = folder, name, key, secret
        self.served: list[str] = []
        """Method and key of everything that was answered with an object."""
        self.refused = 0
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                bucket._answer(self)

            def do_HEAD(self) -> None:
                bucket._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
                pass

        self._server = ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True

    @property
    def endpoint(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Bucket:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- answers -----------------------------------------------------------------------------------------------------

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        url = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        name, _, key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
        if not self._is_signed(request, url.path, query):
            self.refused += 1
            _error(request, 403, "SignatureDoesNotMatch")
        elif name != self.name:
            _error(request, 404, "NoSuchBucket")
        elif not key:
            _send(request, 200, self._listing(query).encode(), {"Content-Type": "application/xml"})
        elif not (file := self.folder / key).is_file():
            _error(request, 404, "NoSuchKey")
        else:
            self.served.append(f"{request.command} {key}")
            content = file.read_bytes()
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
            headers = {"ETag": f'"{hashlib.md5(content).hexdigest()}"', "Content-Type": "application/octet-stream"}  # noqa: S324
            headers["Last-Modified"] = "Sat, 01 Nov 2025 00:00:00 GMT"
            if found is None:
                _send(request, 200, content, headers)
                return
            first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            _send(request, 206, content[first : last + 1], headers)

    def _listing(self, query: dict[str, str]) -> str:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        keys = sorted(
            key
            for file in self.folder.rglob("*")
            if file.is_file() and (key := file.relative_to(self.folder).as_posix()).startswith(prefix)
        )
        folders: dict[str, None] = {}
        files: list[str] = []
        for key in keys:
            rest, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if found:
                folders[prefix + rest + delimiter] = None
            else:
                files.append(key)
        most = int(query.get("max-keys", "1000"))
        parts = [
            f"<Contents><Key>{escape(key)}</Key><LastModified>2025-11-01T00:00:00.000Z</LastModified>"
            f"<Size>{(self.folder / key).stat().st_size}</Size></Contents>"
            for key in files[:most]
        ]
        parts += [f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in list(folders)[:most]]
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
            f"<Name>{self.name}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(parts)}</KeyCount>"
            f"<MaxKeys>{most}</MaxKeys><IsTruncated>false</IsTruncated>{''.join(parts)}</ListBucketResult>"
        )

    # --- signature, version 4 ----------------------------------------------------------------------------------------

    def _is_signed(self, request: BaseHTTPRequestHandler, path: str, query: dict[str, str]) -> bool:
        said = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
            request.headers.get("Authorization", ""),
        )
        if said is None or said[1] != self.key:
            return False
        scope, names = said[2], said[3].split(";")
        pairs = "&".join(
            f"{urllib.parse.quote(key, safe='-_.~')}={urllib.parse.quote(value, safe='-_.~')}"
            for key, value in sorted(query.items())
        )
        headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
        body = request.headers.get("X-Amz-Content-Sha256", "")
        canonical = "\n".join([request.command, path, pairs, headers, ";".join(names), body])
        stamp = request.headers.get("X-Amz-Date", "")
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret}".encode()
        for part in [*scope.split("/"), text]:
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.compare_digest(key.hex(), said[4])


def _send(request: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str]) -> None:
    request.send_response(status)
    for key, value in headers.items():
        request.send_header(key, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content)


def _error(request: BaseHTTPRequestHandler, status: int, code: str) -> None:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    _send(request, status, text.encode(), {"Content-Type": "application/xml"})
