# SPDX-License-Identifier: Apache-2.0
"""distilld serve as a process, models to be served, and requests in plain
HTTP."""

import http.client
import json
import os
import re
import shutil
import signal
import struct
import subprocess

from integration import ROOT, Case, binary, wait_until
from kafka import end_well, pdeathsig

HEADER = "Inference-Header-Content-Length"


class Server:
    """One `distilld serve`: started, asked, stopped, its words in a file."""

    def __init__(self, log, *args, cwd=None, env=None):
        end_well()
        self.log = log
        with open(log, "wb") as f:
            self.process = subprocess.Popen(
                pdeathsig([binary(), "serve", "--listen", "127.0.0.1:0",
                           *args]),
                stdin=subprocess.DEVNULL, stdout=f, stderr=f, cwd=cwd,
                env={**os.environ, **(env or {})}, start_new_session=True)
        try:
            wait_until(lambda: "serve_listening" in self.said()
                       or self.process.poll() is not None, 60,
                       "the server to listen")
            self.port = int(re.search(
                r"serve_listening address=127.0.0.1:(\d+)", self.said())[1])
        except (AssertionError, TypeError):
            self.kill()
            raise AssertionError(self.said()) from None

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        return self.process.wait()

    def stop(self, seconds=60):
        """SIGTERM; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def connect(self, seconds=60):
        return http.client.HTTPConnection("127.0.0.1", self.port,
                                          timeout=seconds)

    def ask(self, path, body=None, headers=None, method=None):
        """One request on a connection of its own: status, headers, bytes."""
        connection = self.connect()
        try:
            connection.request(method or ("GET" if body is None else "POST"),
                               path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get(self, path):
        status, _, data = self.ask(path)
        assert status == 200, (path, status, data)
        return json.loads(data)

    def infer(self, model, request, version=None):
        """An inference request in JSON: status, JSON."""
        path = f"/v2/models/{model}" + (
            f"/versions/{version}" if version else "") + "/infer"
        status, _, data = self.ask(path, json.dumps(request).encode())
        return status, json.loads(data)

    def metrics(self):
        _, _, data = self.ask("/metrics")
        pairs = (line.rsplit(" ", 1) for line in data.decode().splitlines()
                 if line[:1] != "#")
        return {name: float(value) for name, value in pairs}


def tensor(name, datatype, shape, data):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def shop_inputs(events):
    """The features of shop-teacher.yaml, of its events."""
    rows = len(events)
    widest = max(len(e["offer"]["groups"]) for e in events)
    groups = []
    for event in events:
        ids = [g["id"] for g in event["offer"]["groups"]]
        groups.append(ids + [""] * (widest - len(ids)))

    def column(name, datatype, values):
        return tensor(name, datatype, [rows, 1], values)
    return [
        column("customer", "INT64", [e["customer"]["no"] for e in events]),
        column("sku", "BYTES", [e["offer"]["sku"] for e in events]),
        tensor("groups", "BYTES", [rows, widest], groups),
        column("device", "BYTES", [e["context"].get("device") or ""
                                   for e in events]),
        column("price", "FP64", [e["offer"]["price"].get("amount")
                                 for e in events]),
        column("since", "FP64", [e["customer"].get("since")
                                 for e in events]),
        column("orders", "FP64", [e["customer"].get("orders")
                                  for e in events]),
        tensor("look", "FP64", [rows, 3], [e["offer"].get("look",
                                                          [None] * 3)
                                           for e in events]),
    ]


def to_binary(inputs, outputs=None):
    """An inference request in the binary extension: body, headers."""
    formats = {"INT64": "q", "FP64": "d", "FP32": "f"}
    head, blobs = [], []
    for one in inputs:
        flat = [v for row in one["data"]
                for v in (row if isinstance(row, list) else [row])]
        if one["datatype"] == "BYTES":
            words = [v.encode() for v in flat]
            blob = b"".join(struct.pack("<I", len(w)) + w for w in words)
        else:
            flat = [float("nan") if v is None else v for v in flat]
            blob = struct.pack(f"<{len(flat)}{formats[one['datatype']]}",
                               *flat)
        blobs.append(blob)
        head.append({**{k: one[k] for k in ("name", "datatype", "shape")},
                     "parameters": {"binary_data_size": len(blob)}})
    request = {"inputs": head, "parameters": {"binary_data_output": True}}
    if outputs:
        request["outputs"] = outputs
    text = json.dumps(request).encode()
    return text + b"".join(blobs), {HEADER: str(len(text))}


def publish(source, directory, version):
    """Makes a model the version of a directory of versions, as distilld
    does."""
    temp = os.path.join(directory, f".{version}.tmp-{os.getpid()}")
    shutil.copytree(source, temp)
    path = os.path.join(temp, "manifest.json")
    with open(path, encoding="utf-8") as f:
        manifest = json.load(f)
    manifest["version"] = version
    os.remove(path)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(manifest, f)
    os.rename(temp, os.path.join(directory, str(version)))
    link = os.path.join(directory, f".latest.tmp-{os.getpid()}")
    os.symlink(str(version), link)
    os.rename(link, os.path.join(directory, "latest"))


class ServeCase(Case):
    """A test with the models of the shop examples: teacher and student, and
    what the teacher said to the events of June, in process."""

    def setUp(self):
        super().setUp()
        self.servers = []
        self.addCleanup(lambda: [s.kill() for s in self.servers])
        for name in ("conf", "tests"):
            os.symlink(os.path.join(ROOT, name), self.path(name))

    def train(self, student=True):
        self.run_daemon("run", "-c", "conf/examples/shop-teacher.yaml")
        self.teacher = self.path("build/examples/shop-teacher/models")
        if not student:
            return
        self.run_daemon("run", "-c", "conf/examples/shop.yaml")
        self.student = self.path("build/examples/shop/models")
        with open(self.path("build/examples/shop/labels.ndjson"),
                  encoding="utf-8") as f:
            self.labels = [json.loads(line) for line in f]
        self.events = [label["event"] for label in self.labels]

    def serve(self, *args):
        server = Server(self.path(f"serve-{len(self.servers)}.log"), *args,
                        cwd=self.dir)
        self.servers.append(server)
        return server
