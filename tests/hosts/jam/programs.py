#!/usr/local/bin/python3
"""What the images of examples/jam.yaml stand for, in a few lines each: web, encoder, mysqld and mysqladmin.

The "database" says its name to whoever has the password; a second one takes the first's name at its start, as a replica
takes its data.
"""

import http.server
import json
import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

NAME = Path(sys.argv[0]).name
ALIVE = Path("/tmp/alive")


def configured(file):
    """The queue's and the database's address of a rendered file: (host, port) each."""
    lines = dict(line.split(" = ", 1) for line in Path(file).read_text().splitlines())
    redis, database = lines.get("redis") or lines["queue"], urlsplit(lines["database"])
    return (redis.partition(":")[0], int(redis.partition(":")[2])), (database.hostname, database.port)


def asked(where, text, timeout=5):
    with socket.create_connection(where, timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(text.encode() + b"\r\n")
        return connection.recv(4096).decode()


def database(where):
    return asked(where, os.environ["DATABASE_PASSWORD"]).strip()


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        time.sleep(float(query.get("wait", 0)))
        status, answer = 200, {}
        try:
            if parts.path == "/encode":
                asked(REDIS, f"LPUSH queue {query['song']}")
            if parts.path == "/songs":
                answer["songs"] = asked(REDIS, "LRANGE done 0 -1").split("\r\n")[2::2]
            if parts.path == "/":
                answer |= {"version": database(DATABASE), "redis": asked(REDIS, "PING").strip()}
        except OSError as error:
            status, answer = 500, {"error": str(error)}
        body = json.dumps({"name": socket.gethostname(), **answer}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


def encode():
    redis, where = configured("/etc/jam/encoder.conf")
    while True:
        try:
            answer = asked(redis, "BRPOP queue 1").split("\r\n")
            if len(answer) > 4:
                asked(redis, f"LPUSH done {answer[4]}@{database(where)}")
            ALIVE.touch()
        except OSError as error:
            print(error, flush=True)
            time.sleep(0.5)


def serve_data():
    port = next((int(word.partition("=")[2]) for word in sys.argv if word.startswith("--port=")), 3306)
    name, password = "old", os.environ["MYSQL_ROOT_PASSWORD"]
    while port != 3306:
        try:
            name = f"copy-of-{asked(('mysql', 3306), password).strip()}"
            break
        except OSError:
            time.sleep(0.2)
    Path("/var/lib/mysql/name").write_text(name)
    with socket.create_server(("0.0.0.0", port), backlog=256) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(2)
                try:
                    said = connection.recv(256).decode().strip()
                    connection.sendall(f"{name if said == password else 'denied'}\n".encode())
                except OSError:
                    pass


if NAME == "web":
    REDIS, DATABASE = configured("/etc/jam/web.conf")
    Server(("0.0.0.0", 8000), Web).serve_forever()
elif NAME == "encoder" and "--alive" in sys.argv:
    sys.exit(not ALIVE.exists() or time.time() - ALIVE.stat().st_mtime > 30)
elif NAME == "encoder":
    encode()
elif NAME == "mysqld":
    serve_data()
elif NAME == "mysqladmin":
    port = next((int(word.partition("=")[2]) for word in sys.argv if word.startswith("--port=")), 3306)
    socket.create_connection(("127.0.0.1", port), 1).close()
