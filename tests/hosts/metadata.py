"""The metadata of an EC2 instance, as far as its role goes, in the version that asks for a token first (IMDSv2).

`python metadata.py KEY SECRET` on 169.254.169.254:80 of the network that it is started in. One line for each request
goes to standard output.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS = "169.254.169.254"
TOKEN = "AQAEAExampleToken=="
ROLE = "/latest/meta-data/iam/security-credentials/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    key, secret = "", ""

    def do_PUT(self) -> None:
        asked = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self._send(200 if asked and self.path == "/latest/api/token" else 400, TOKEN)

    def do_GET(self) -> None:
        found = {
            ROLE: "instance",
            f"{ROLE}instance": json.dumps(
                {
                    "Code": "Success",
                    "LastUpdated": "2026-01-01T00:00:00Z",
                    "Type": "AWS-HMAC",
                    "AccessKeyId": self.key,
                    "SecretAccessKey": self.secret,
                    "Token": "a-session",
                    "Expiration": "2099-01-01T00:00:00Z",
                }
            ),
        }.get(self.path)
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._send(401, "")
        else:
            self._send(404 if found is None else 200, found or "")

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        # Botocore's and Go's SDK read for how long the token holds.
        self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        print(self.command, self.path, *args[1:2], flush=True)


if __name__ == "__main__":
    Handler.key, Handler.secret = sys.argv[1:3]
    ThreadingHTTPServer((ADDRESS, 80), Handler).serve_forever()
