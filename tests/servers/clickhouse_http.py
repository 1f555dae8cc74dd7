#!/usr/bin/env python3
"""ClickHouse's HTTP interface over the ClickHouse engine in this process (chDB), with faults on demand.

What it speaks, as ClickHouse does and as its Rust client (0.13 to 0.15), curl and Grafana use it:

    GET  /ping, /replicas_status
    GET, POST /     statement in `query`, in the body, or both; `database`, `default_format`, `query_id`;
                    settings as URL parameters, reset after the request; parameters `param_NAME` in the URL or as
                    multipart/form-data; user and password as parameters, headers or Basic authentication
    request body    plain, `decompress=1` (ClickHouse's own blocks, LZ4 or ZSTD), Content-Encoding gzip, lz4, zstd
    answer body     plain, Accept-Encoding lz4, zstd, gzip
    headers         X-ClickHouse-User, -Key, -Database, -Format, -Query-Id, -Summary, -Exception-Code

An INSERT with FORMAT is handed to the engine as a file, once its body is complete: the engine's own streamed
inserts answer well where a row violates a constraint, and drop it.

Faults: POST /__fault?mode=MODE&count=N makes the next N statements sent by POST fail; `mode=none` forgets what is left.

    reset_before    the connection is reset before the statement runs
    reset_mid       it is reset when an INSERT's data have arrived, which are thrown away
    reset_after     it is reset after the statement ran: done, but the client cannot know
    http500_after   the statement ran, the answer is 500
    httpNNN         the answer is NNN, nothing runs
    codeNNN         the answer is ClickHouse's exception NNN, nothing runs
    sleepN          the statement runs N seconds late (a fraction is allowed)

Not here: users and roles beside the one, query log, KILL, replication, the Kafka engine. One process a data folder.
"""

import argparse
import base64
import gzip
import json
import re
import socket
import sys
import tempfile
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pyarrow
from chdb.state.sqlitelike import connect

from clickhouse_protocol import STATUS, ClickHouseError, ClientGone, Faults, NativeBlocks, Reset, summary

# URL parameters that are no settings.
RESERVED = frozenset({
    "query", "database", "default_format", "decompress", "compress", "user", "password", "query_id", "session_id",
    "session_timeout", "session_check", "role", "quota_key", "buffer_size", "wait_end_of_query", "stacktrace",
    "enable_http_compression", "http_zlib_compression_level"})

EXCEPTION = re.compile(r"Code: (\d+)\.")
INSERT = re.compile(r"\s*insert\s+into\b", re.I)
FORMAT_LAST = re.compile(r"\bformat\s+(\w+)\s*;?\s*$", re.I)
FORMAT_THEN_DATA = re.compile(r"(\s*insert\s+into\b.*?)\bformat\s+(\w+)[ \t]*\r?\n(.*)$", re.I | re.S)
TEXT = "text/plain; charset=UTF-8"


class Handler(BaseHTTPRequestHandler):
    """One HTTP connection, with a connection to the engine of its own: settings of one do not reach another."""

    protocol_version = "HTTP/1.1"
    server_version = "ClickHouse"

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.engine = connect(self.server.options.path)
        self.settings, self.database = {}, None

    def finish(self):
        try:
            super().finish()
        finally:
            self.engine.close()

    def log_message(self, text, *values):
        if self.server.options.verbose:
            sys.stderr.write(f"{text % values}\n")

    def do_GET(self):
        self.answer(iter(()))

    def do_POST(self):
        self.answer(self.plain_body())

    # From request to answer

    def answer(self, body):
        url = urlsplit(self.path)
        self.params = dict(parse_qsl(url.query, keep_blank_values=True))
        self.query_id = self.params.get("query_id") or self.headers.get("X-ClickHouse-Query-Id") or str(uuid.uuid4())
        self.body = body
        try:
            match url.path:
                case "/ping" | "/replicas_status":
                    self.reply(200, b"Ok.\n")
                case "/__fault":
                    self.drain()
                    self.server.faults.add(self.params["mode"], int(self.params.get("count", "1")))
                    self.reply(200, b"Ok.\n")
                case "/" | "":
                    self.authenticate()
                    self.run(self.server.faults.next() if self.command == "POST" else None)
                case path:
                    self.drain()
                    self.reply(404, f"There is no handle {path}\n".encode())
        except Reset:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        except (ClientGone, ConnectionError) as error:
            self.close_connection = True
            sys.stderr.write(f"client gone: {error}\n")
        except Exception as error:  # whatever the engine raises is an answer
            self.drain()
            self.reply_error(str(error))

    def authenticate(self):
        options = self.server.options
        if not options.password:
            return
        user = self.headers.get("X-ClickHouse-User") or self.params.get("user")
        password = self.headers.get("X-ClickHouse-Key") or self.params.get("password")
        scheme, _, credentials = (self.headers.get("Authorization") or "").partition(" ")
        if scheme == "Basic":
            user, _, password = base64.b64decode(credentials).decode().partition(":")
        if password != options.password or (user or "default") != options.user:
            raise ClickHouseError(516, f"{user or 'default'}: Authentication failed: password is incorrect, or there is no "
                                  "user with such name", "AUTHENTICATION_FAILED")

    def run(self, fault):
        """Runs the request's statement, and the fault if there is one."""
        if self.inject_before(fault):
            return
        sql = self.statement()
        self.apply_settings()
        if insert := self.streamed_insert(sql):
            summary = self.insert(*insert, discard=fault == "reset_mid")
            data, headers = b"", {}
        else:
            last = FORMAT_LAST.search(sql)
            form = last.group(1) if last else self.default_format()
            data, summary = self.query(sql[:last.start()] if last else sql, form)
            headers = {"X-ClickHouse-Format": form}
        if fault == "reset_after":
            raise Reset
        if fault == "http500_after":
            self.reply(500, b"injected\n")
            return
        binary = headers and ("Binary" in form or form == "Native")
        self.reply(200, data, "application/octet-stream" if binary else TEXT, headers | {
            "X-ClickHouse-Query-Id": self.query_id, "X-ClickHouse-Summary": json.dumps(summary)})

    def inject_before(self, fault):
        """Faults that come before the statement runs. Whether the request is answered by that."""
        match re.fullmatch(r"(reset_before|sleep|http|code)([\d.]*)", fault or ""):
            case None:
                return False
            case found if found[1] == "reset_before":
                raise Reset
            case found if found[1] == "sleep":
                time.sleep(float(found[2]))
                return False
            case found:
                self.drain()
                if found[1] == "http":
                    # As proxies do: the status stands in the page too.
                    self.reply(int(found[2]), f"<html><head><title>{found[2]} injected</title></head></html>\n".encode())
                else:
                    self.reply_error(str(ClickHouseError(found[2], "injected", "INJECTED")))
                return True

    def statement(self):
        """The statement: from the URL, and from the body unless that is the data of an INSERT."""
        query = self.params.get("query", "").encode()
        kind, _, rest = (self.headers.get("Content-Type") or "").partition("boundary=")
        if kind.startswith("multipart/form-data"):
            for part in b"".join(self.body).split(b"--" + rest.strip('"').encode())[1:-1]:
                head, _, value = part.partition(b"\r\n\r\n")
                name = re.search(rb'name="([^"]*)"', head).group(1).decode()
                if name == "query":
                    query += value[:-2]
                else:
                    self.params[name] = value[:-2].decode()
        elif not INSERT.match(query.decode()):
            query += (b"\n" if query else b"") + b"".join(self.body)
        return query.decode()

    def apply_settings(self):
        """Brings database and settings of the engine's connection to what this request asks for."""
        database = self.params.get("database") or self.headers.get("X-ClickHouse-Database") or "default"
        if database != self.database:
            self.engine.query("USE `{}`".format(database.replace("`", "``")))
            self.database = database
        wanted = {name: value for name, value in self.params.items()
                  if name not in RESERVED and not name.startswith("param_")}
        for name in self.settings.keys() - wanted.keys():
            self.engine.query(f"SET {name} = DEFAULT")
            del self.settings[name]
        for name, value in wanted.items():
            if self.settings.get(name) != value:
                number = re.fullmatch(r"-?\d+(\.\d+)?", value)
                quoted = value if number else "'{}'".format(value.replace("\\", "\\\\").replace("'", "\\'"))
                self.engine.query(f"SET {name} = {quoted}")
                self.settings[name] = value

    def default_format(self):
        return self.params.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"

    def streamed_insert(self, sql):
        """(statement without format, format, data from the statement) of an INSERT that brings data in a format."""
        if not INSERT.match(sql):
            return None
        if last := FORMAT_LAST.search(sql):
            return sql[:last.start()], last.group(1), b""
        if found := FORMAT_THEN_DATA.match(sql):
            return found.group(1), found.group(2), found.group(3).encode()
        return None

    def insert(self, head, form, data, discard):
        started = time.monotonic()
        with tempfile.NamedTemporaryFile(dir=self.server.options.path, suffix=".body") as file:
            file.write(data)
            for chunk in self.body:
                file.write(chunk)
            if discard:
                raise Reset
            file.flush()
            rows = self.engine.query(f"{head} FROM INFILE '{file.name}' FORMAT {form}").rows_read()
            size = file.tell()
        return summary(written_rows=rows, written_bytes=size, result_rows=rows, result_bytes=size,
                       elapsed_ns=(time.monotonic() - started) * 1e9)

    def query(self, sql, form):
        started = time.monotonic()
        values = {name[len("param_"):]: value for name, value in self.params.items() if name.startswith("param_")}
        result = self.engine.query(sql, form, params=values or None)
        data = result.bytes() or b""
        return data, summary(read_rows=result.storage_rows_read(), read_bytes=result.storage_bytes_read(),
                             result_rows=result.rows_read(), result_bytes=len(data),
                             elapsed_ns=(time.monotonic() - started) * 1e9)

    # The request's body

    def plain_body(self):
        """The body's data, decompressed."""
        encoding = (self.headers.get("Content-Encoding") or "").lower().strip()
        params = dict(parse_qsl(urlsplit(self.path).query))
        if encoding == "gzip":
            yield gzip.decompress(b"".join(self.raw_body()))
        elif encoding in ("lz4", "zstd"):
            packed = pyarrow.BufferReader(b"".join(self.raw_body()))
            yield pyarrow.CompressedInputStream(packed, encoding).read()
        elif params.get("decompress") == "1":
            blocks = NativeBlocks()
            for chunk in self.raw_body():
                yield from blocks.feed(chunk)
            blocks.end()
        else:
            yield from self.raw_body()

    def raw_body(self):
        if "chunked" not in (self.headers.get("Transfer-Encoding") or "").lower():
            left = int(self.headers.get("Content-Length") or 0)
            while left:
                data = self.rfile.read(min(left, 1 << 20))
                if not data:
                    raise ClientGone("inside the body")
                left -= len(data)
                yield data
            return
        while True:
            line = self.rfile.readline(1 << 16)
            if not line:
                raise ClientGone("between chunks")
            size = int(line.split(b";")[0].strip() or b"0", 16)
            if size == 0:
                while self.rfile.readline(1 << 16) not in (b"\r\n", b"\n", b""):
                    pass
                return
            data = self.rfile.read(size)
            if len(data) < size:
                raise ClientGone("inside a chunk")
            self.rfile.readline(8)
            yield data

    def drain(self):
        """Reads what is left of the body, so that the connection can be used again."""
        try:
            for _ in self.body:
                pass
        except Exception:
            self.close_connection = True

    # The answer

    def reply(self, status, body=b"", content_type=TEXT, headers=None):
        encoding = self.answer_encoding(body)
        if encoding == "gzip":
            body = gzip.compress(body, 3)
        elif encoding:
            packed = pyarrow.BufferOutputStream()
            with pyarrow.CompressedOutputStream(packed, encoding) as stream:
                stream.write(body)
            body = packed.getvalue().to_pybytes()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-ClickHouse-Server-Display-Name", "chdb")
        self.send_header("X-ClickHouse-Timezone", "UTC")
        if encoding:
            self.send_header("Content-Encoding", encoding)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def answer_encoding(self, body):
        accepted = (self.headers.get("Accept-Encoding") or "").lower()
        if len(body) <= 512:
            return None
        return next((encoding for encoding in ("lz4", "zstd", "gzip") if encoding in accepted), None)

    def reply_error(self, text):
        found = EXCEPTION.search(text)
        code = int(found.group(1)) if found else 1002
        text = text[found.start():] if found else f"Code: 1002. DB::Exception: {text}"
        if "version " not in text:
            text = f"{text.rstrip()} (version {self.server.version})"
        self.reply(STATUS.get(code, 500), f"{text}\n".encode(), headers={
            "X-ClickHouse-Exception-Code": str(code), "X-ClickHouse-Query-Id": self.query_id})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, options):
        super().__init__(("127.0.0.1", options.port), Handler)
        self.options, self.faults = options, Faults()
        self.engine = connect(options.path)  # keeps the engine open between requests
        self.version = self.engine.query("SELECT version()", "TSVRaw").bytes().decode().strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=18123)
    parser.add_argument("--path", default="./data", help="the engine's data folder")
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", default="", help="none is asked for unless given")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each request")
    server = Server(parser.parse_args())
    print(f"ClickHouse {server.version} at http://127.0.0.1:{server.options.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
