# SPDX-License-Identifier: Apache-2.0
"""A model server that can be told to be a bad one, with the model of
teacher_model.py (Open Inference Protocol, JSON; binary bodies are refused).

    with Hostile() as server:
        server.url, server.model, server.version, server.max_batch
        server.then("busy", 3)      the next 3 requests to infer, then well
        server.always("drip")       all of them
        server.rule = function      decides by itself: (rows) -> action or None
        server.heal()               all is well again
        server.asked                [(action, users)] of all requests to infer
        server.times                when they came, in seconds
        server.at_a_time            how many were open at most
        server.answered             Counter of users with a right answer
        server.seen                 [(method, path, headers)] of all requests
        server.away(), server.back()    nobody listens, then again

Actions, beside "well":

    slow           answers after server.delay seconds
    silent         never answers, and keeps the connection
    busy           429 with Retry-After: server.retry_after
    unavailable    503            gone      404
    error          500            bad       400
    unauthorized   401            redirect  307 to server.elsewhere
    reset          breaks the connection in the middle of the body
    cut            ends it there, well-mannered
    close          ends it without a byte
    garbage        answers with what is not HTTP
    drip           a byte at a time, for ever
    huge           says that 10 GB follow         endless  a body without end
    wrong_shape, wrong_count, swapped, renamed, wrong_type
                   outputs that do not fit the request
    nan, infinity, null, text
                   a value that is none, in the first row
    other_id       the id of another request      other_body  and its answer
    html           200, and a page                empty    200, and nothing
    half           200, and half of the JSON
    poison         400 when a user's name begins with `poison`
    poison_500     the same as 500, the way most servers tell it

Tokens: Hostile(bearer=...) or Hostile(basic="user:password"). TLS:
Hostile(tls=Certificates(folder)), client_ca=True to want a certificate.
"""

import asyncio
import base64
import collections
import json
import os
import ssl
import struct
import subprocess
import sys
import threading
import time

import teacher_model
from cache import HTTP2_PACKAGES, package_folder

HTML = b"<html><body>It works!</body></html>"
REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request",
           401: "Unauthorized", 404: "Not Found", 422: "Unprocessable",
           429: "Too Many Requests", 500: "Internal Server Error",
           503: "Service Unavailable"}
CODES = {"unavailable": 503, "gone": 404, "error": 500, "bad": 400,
         "unauthorized": 401}
# How a connection is treated instead of a whole answer.
TREATMENTS = ("reset", "cut", "close", "garbage", "drip", "huge", "endless",
              "silent")


class Certificates:
    """An authority of its own, a server's and a client's certificate."""

    def __init__(self, folder):
        self.dir = folder
        os.makedirs(folder, exist_ok=True)
        self.ca = self.path("ca.pem")
        self.server, self.server_key = self.path("server.pem"), self.path(
            "server.key")
        self.client, self.client_key = self.path("client.pem"), self.path(
            "client.key")
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes",
                     "-subj", "/CN=authority", "-days", "2", "-keyout",
                     "ca.key", "-out", "ca.pem")
        for name in ("server", "client"):
            self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj",
                         f"/CN={name}", "-addext",
                         "subjectAltName=IP:127.0.0.1,DNS:localhost",
                         "-keyout", name + ".key", "-out", name + ".csr")
            self.openssl("x509", "-req", "-in", name + ".csr", "-days", "2",
                         "-CA", "ca.pem", "-CAkey", "ca.key",
                         "-CAcreateserial", "-copy_extensions", "copy",
                         "-out", name + ".pem")

    def path(self, name):
        return os.path.join(self.dir, name)

    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.dir, check=True,
                       capture_output=True)

    def context(self, client_ca=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server, self.server_key)
        if client_ca:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class Answer:
    """A whole answer: a code, headers and a body."""

    def __init__(self, code, document=None, body=b"", kind="application/json",
                 headers=()):
        self.code = code
        self.body = json.dumps(document).encode() if document is not None \
            else body
        self.headers = [("Content-Type", kind), *headers]


def failure(code, text, headers=()):
    return Answer(code, {"error": text}, headers=headers)


class Script:
    """What to answer, apart from how it travels."""

    def __init__(self, max_batch=64, bearer=None, basic=None):
        self.model = teacher_model.NAME
        self.version = "7"
        self.max_batch = max_batch
        self.delay = 0.3
        self.retry_after = 1
        self.elsewhere = "http://127.0.0.1:1"
        self.token = None
        if bearer is not None:
            self.token = "Bearer " + bearer
        if basic is not None:
            self.token = "Basic " + base64.b64encode(
                basic.encode()).decode()
        self.lock = threading.Lock()
        self.seen = []
        self.asked = []
        self.times = []
        self.open = self.at_a_time = 0
        self.answered = collections.Counter()
        self.before = None  # the document answered before
        self.heal()

    def heal(self):
        with self.lock:
            self.plan = collections.deque()
            self.usual = "well"
            self.rule = lambda users: None

    def then(self, action, times=1):
        with self.lock:
            self.plan.extend([action] * times)

    def always(self, action):
        with self.lock:
            self.usual = action

    def choose(self, users):
        with self.lock:
            action = self.rule(users)
            if action is None:
                action = self.plan.popleft() if self.plan else self.usual
            self.asked.append((action, list(users)))
            self.times.append(time.monotonic())
            return action

    def answer(self, method, path, headers, body):
        """Gives (action, Answer); of a treatment, the answer that it spoils."""
        with self.lock:
            self.seen.append((method, path, headers))
        if self.token is not None and headers.get(
                "authorization") != self.token:
            return "well", failure(401, "who are you?")
        base = f"/v2/models/{self.model}"
        known = {"/v2": {"name": "hostile", "version": "1",
                         "extensions": []},
                 "/v2/health/live": {}, "/v2/health/ready": {},
                 base + "/ready": {}, base: self.metadata(),
                 f"{base}/versions/{self.version}": self.metadata(),
                 base + "/config": {"max_batch_size": self.max_batch}}
        if method == "GET":
            if path in known:
                return "well", Answer(200, known[path])
            return "well", failure(404, f"nothing at {path}")
        if path not in (base + "/infer",
                        f"{base}/versions/{self.version}/infer"):
            return "well", failure(404, f"nothing at {path}")
        if headers.get("content-type") != "application/json" or \
                "inference-header-content-length" in headers:
            return "well", failure(422, "JSON and nothing else")
        return self.infer(body)

    def metadata(self):
        return {"name": self.model, "versions": [self.version],
                "platform": "script",
                "inputs": [{"name": n, "datatype": t, "shape": [-1, w]}
                           for n, t, w in teacher_model.INPUTS],
                "outputs": [{"name": n, "datatype": t, "shape": [-1, w]}
                            for n, t, w in teacher_model.OUTPUTS]}

    def infer(self, body):
        try:
            document = json.loads(body)
            rows = self.rows(document)
        except (KeyError, TypeError, ValueError) as e:
            return "well", failure(400, f"{type(e).__name__}: {e}")
        if len(rows) > self.max_batch:
            return "well", failure(400, (
                f"inference request batch-size must be <= {self.max_batch} "
                f"for '{self.model}'"))
        users = [user for user, _, _ in rows]
        action = self.choose(users)
        return action, self.act(action, document, rows, users)

    def rows(self, document):
        """The rows of a request, checked as a strict server does."""
        given = {i["name"]: i for i in document["inputs"]}
        columns = []
        for name, datatype, width in teacher_model.INPUTS:
            tensor = given.pop(name)
            count = tensor["shape"][0]
            if tensor["datatype"] != datatype or tensor["shape"] != [count,
                                                                     width]:
                raise ValueError(f"input {name}: {tensor['datatype']} "
                                 f"{tensor['shape']}")
            flat = tensor["data"]
            while flat and isinstance(flat[0], list):
                flat = [x for row in flat for x in row]
            if len(flat) != count * width:
                raise ValueError(f"input {name}: {len(flat)} values")
            columns.append([flat[i * width:(i + 1) * width]
                            for i in range(count)])
        if given:
            raise ValueError(f"unexpected input {next(iter(given))}")
        if len({len(c) for c in columns}) != 1:
            raise ValueError("inputs of different lengths")
        return [(u[0], i[0], n) for u, i, n in zip(*columns)]

    def act(self, action, document, rows, users):
        if action in CODES:
            return failure(CODES[action], action)
        if action == "busy":
            return failure(429, "too many", [("Retry-After",
                                              str(self.retry_after))])
        if action == "redirect":
            return failure(307, "elsewhere", [("Location", self.elsewhere
                                               + "/v2")])
        if action == "html":
            return Answer(200, body=HTML, kind="text/html")
        if action == "empty":
            return Answer(200)
        try:
            logits = [teacher_model.answer(*row) for row in rows]
        except teacher_model.Poison as e:
            return failure(500 if action == "poison_500" else 400, str(e))
        answer = self.outputs(action, document, logits)
        if action in ("well", "slow", "poison", "poison_500"):
            with self.lock:
                self.answered.update(users)
        return answer

    def outputs(self, action, document, logits):
        values = {"logit": [[x] for x in logits],
                  "classes": [teacher_model.classes(x) for x in logits]}
        wanted = [o["name"] for o in document.get("outputs", [])] or list(
            values)
        shapes = {n: [len(logits), len(values[n][0])] for n in values}
        types = dict.fromkeys(values, "FP32")
        if action == "wrong_count":
            values = {n: v[:-1] for n, v in values.items()}
            shapes = {n: [s[0] - 1, s[1]] for n, s in shapes.items()}
        if action == "wrong_shape":
            shapes = {n: [s[0], s[1] + 1] for n, s in shapes.items()}
        if action == "wrong_type":
            types = dict.fromkeys(values, "BYTES")
            values = {n: [["x"] * len(r) for r in v]
                      for n, v in values.items()}
        if action == "swapped":
            values = {"logit": values["classes"], "classes": values["logit"]}
            shapes = {"logit": shapes["classes"], "classes": shapes["logit"]}
        spoiled = {"nan": float("nan"), "infinity": float("inf"),
                   "null": None, "text": "high"}
        if action in spoiled:
            for v in values.values():
                v[0][0] = spoiled[action]
        reply = {"model_name": self.model, "model_version": self.version,
                 "outputs": [{"name": n + ("_2" if action == "renamed"
                                           else ""),
                              "datatype": types[n], "shape": shapes[n],
                              "data": [x for r in values[n] for x in r]}
                             for n in wanted if n in values]}
        if document.get("id"):
            reply["id"] = document["id"]
        if action == "other_id":
            reply["id"] = "another"
        if action == "other_body" and self.before is not None:
            reply = self.before
        elif action == "well":
            self.before = reply
        answer = Answer(200, reply)
        if action == "half":
            answer.body = answer.body[:len(answer.body) // 2]
        return answer


class Hostile(Script):
    """The script over HTTP/1.1, TLS or not, byte by byte."""

    def __init__(self, tls=None, client_ca=False, port=0, **script):
        super().__init__(**script)
        self.context = tls.context(client_ca) if tls else None
        self.scheme = "https" if tls else "http"
        self.port = port
        self.server = None
        self.writers = set()
        self.connections = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever,
                                       daemon=True)
        self.thread.start()
        self.back()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine,
                                                self.loop).result(30)

    def back(self):
        """Listens, again at the same port."""
        self.call(self.listen())

    def away(self):
        """Ends all connections and refuses new ones."""
        self.call(self.leave())

    async def listen(self):
        self.server = await asyncio.start_server(
            self.serve, "127.0.0.1", self.port, ssl=self.context,
            limit=1 << 26)
        self.port = self.server.sockets[0].getsockname()[1]

    async def leave(self):
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()

    async def stop(self):
        await self.leave()
        tasks = [t for t in asyncio.all_tasks()
                 if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self):
        self.call(self.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def serve(self, reader, writer):
        self.connections += 1
        self.writers.add(writer)
        try:
            while await self.serve_one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client or the server is gone
        finally:
            self.writers.discard(writer)
            writer.transport.abort()

    async def serve_one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length",
                                                        0)))
        self.open += 1
        self.at_a_time = max(self.at_a_time, self.open)
        try:
            action, answer = self.answer(method, path, headers, body)
            if action == "slow":
                await asyncio.sleep(self.delay)
            if action in TREATMENTS:
                await self.treat(action, answer, reader, writer)
                return False
            writer.write(self.frame(answer) + answer.body)
            await writer.drain()
        finally:
            self.open -= 1
        return True

    def frame(self, answer, length=None):
        lines = [f"HTTP/1.1 {answer.code} {REASONS[answer.code]}"]
        lines += [f"{n}: {v}" for n, v in answer.headers]
        lines.append(f"Content-Length: "
                     f"{len(answer.body) if length is None else length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def treat(self, action, answer, reader, writer):
        half = answer.body[:len(answer.body) // 2]
        if action in ("cut", "reset"):
            writer.write(self.frame(answer) + half)
            await writer.drain()
        if action == "reset":
            self.break_off(writer)
        elif action == "cut":
            writer.close()
            await writer.wait_closed()
        elif action == "garbage":
            writer.write(b"\x16\x03 what is this?\r\n\r\n")
            await writer.drain()
        elif action == "silent":
            await reader.read(1)
        elif action == "drip":
            writer.write(self.frame(answer, 50000))
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        elif action == "huge":
            writer.write(self.frame(answer, 10**10) + half)
            await writer.drain()
            await reader.read(1)
        elif action == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json"
                         b"\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
                await writer.drain()

    def break_off(self, writer):
        """Lets the connection end with a RST."""
        raw = writer.get_extra_info("socket")
        raw.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER
        writer.transport.abort()


class Http2(Script):
    """The script over HTTP/2, by hypercorn: TLS with ALPN."""

    def __init__(self, tls, **script):
        from kafka import free_ports
        path = package_folder(HTTP2_PACKAGES)
        if path not in sys.path:
            sys.path.append(path)
        from hypercorn.asyncio import serve
        from hypercorn.config import Config
        super().__init__(**script)
        self.versions = collections.Counter()  # of HTTP, per request
        self.port, = free_ports(1)
        self.url = f"https://127.0.0.1:{self.port}"
        config = Config()
        config.bind = [f"127.0.0.1:{self.port}"]
        config.certfile, config.keyfile = tls.server, tls.server_key
        config.alpn_protocols = ["h2", "http/1.1"]
        config.graceful_timeout = 0.1
        config.errorlog = None
        self.loop = asyncio.new_event_loop()
        self.stopping = asyncio.Event()
        self.thread = threading.Thread(
            target=self.loop.run_until_complete,
            args=(serve(self.serve, config,
                        shutdown_trigger=self.stopping.wait),), daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join()
        self.loop.close()

    async def serve(self, scope, receive, send):
        if scope["type"] != "http":
            return
        self.versions[scope["http_version"]] += 1
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {n.decode(): v.decode() for n, v in scope["headers"]}
        action, answer = self.answer(scope["method"], scope["path"], headers,
                                     body)
        if action == "slow":
            await asyncio.sleep(self.delay)
        await send({"type": "http.response.start", "status": answer.code,
                    "headers": [(n.lower().encode(), v.encode())
                                for n, v in answer.headers]})
        await send({"type": "http.response.body", "body": answer.body})
