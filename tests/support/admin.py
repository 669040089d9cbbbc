# SPDX-License-Identifier: Apache-2.0
"""A daemon with an admin port, and talking to that port.

`self.start_service(...)` starts a run on a stream that does not end while the
test looks. Everything of HTTP is plain sockets and http.client: what is tested
includes being rude.
"""

import http.client
import json
import os
import re
import shutil
import socket
import tempfile

from integration import wait_until
from stream import StreamCase, sample_lines

TOKEN = "open-sesame"


def overlay(base, more):
    """As merge, but a None of more stays: it still removes."""
    result = dict(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = overlay(result[key], value) if both else value
    return result


def said_port(text):
    """The port that a daemon's log names; None while it names none."""
    found = re.search(r"admin_listening address=\S+:(\d+)", text)
    return found and int(found.group(1))


class Answer:
    def __init__(self, response):
        self.code = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    def json(self):
        return json.loads(self.text)


class AdminPort:
    """A test that talks to the admin port at self.port."""

    def ask(self, method, path, token=None, headers=None, seconds=20):
        link = http.client.HTTPConnection("127.0.0.1", self.port,
                                          timeout=seconds)
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = "Bearer " + token
        try:
            link.request(method, path, headers=headers)
            return Answer(link.getresponse())
        finally:
            link.close()

    def get(self, path, code=200, token=None):
        answer = self.ask("GET", path, token)
        self.assertEqual(answer.code, code, answer.text)
        return answer

    def post(self, path, code=200, token=TOKEN):
        answer = self.ask("POST", path, token)
        self.assertEqual(answer.code, code, answer.text)
        return answer

    def status(self):
        return self.get("/status").json()

    def wait_status(self, is_it, what):
        """Polls /status until is_it(status), and gives that."""
        return wait_until(
            lambda: (lambda s: s if is_it(s) else None)(self.status()),
            seconds=60, what=what)

    def find_port(self, process, log="run.log"):
        """Waits for the port that a process says in a log of the folder."""
        def look():
            self.assertIsNone(process.poll(), self.read(log)[-3000:])
            return said_port(self.read(log))
        return wait_until(look, what="the admin port")

    def wait_trained(self, count):
        return self.wait_status(
            lambda s: s["roles"]["train"]["counts"]["examples"] >= count,
            f"{count} examples")

    def wait_labels(self, count):
        return self.wait_status(
            lambda s: s["roles"]["annotate"]["counts"]["labels"] >= count,
            f"{count} labels")

    def connect(self):
        """A raw socket to the port, closed at the end."""
        s = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.addCleanup(s.close)
        return s


class AdminCase(AdminPort, StreamCase):
    """A test that looks at a running daemon: one with far more events than it
    reads while the test looks, and a teacher that takes its time."""

    @classmethod
    def setUpClass(cls):
        cls.events_dir = tempfile.mkdtemp(prefix="distilld-test-")
        cls.addClassCleanup(shutil.rmtree, cls.events_dir,
                            ignore_errors=True)
        cls.events = os.path.join(cls.events_dir, "events.ndjson")
        lines = sample_lines(50000)
        with open(cls.events, "wb") as f:
            for _ in range(4):
                f.writelines(lines)

    def start_service(self, name="run", env=None, **more):
        """Starts a daemon and waits for its port."""
        self.configure(name, **overlay({
            "events": {"path": self.events},
            "teacher": {"model": {"hidden": [768, 512],
                                  "embedding_width": 32},
                        "checkpoint": {"every": 0}},
            "admin": {"listen": "127.0.0.1:0", "token": TOKEN},
        }, more))
        process = self.start_all(name, log=name + ".log", env=env)
        self.port = self.find_port(process, name + ".log")
        return process

    def start_stuck(self, name="run", env=None, **more):
        """Starts a daemon that waits in the middle of reading: its stream is
        a pipe that stays open. It cannot drain."""
        pipe = self.path(name + ".pipe")
        os.mkfifo(pipe)
        holder = os.open(pipe, os.O_RDWR)
        self.addCleanup(os.close, holder)
        return self.start_service(name, env=env, **overlay(
            {"events": {"path": pipe}}, more))

    def wait_quiet(self, role):
        """Waits, in a paused daemon, until a role has nothing under way but
        the batch that is not full."""
        return self.wait_status(
            lambda s: s["roles"][role]["in_flight"]["batches"] <= 1 and
            s["roles"][role]["in_flight"]["records"] < 256, "quiet")

    def stop_service(self, process, code=0):
        process.terminate()
        self.assertEqual(process.wait(timeout=60), code,
                         self.read("run.log")[-3000:])


def read_to_end(sock):
    """What comes until the peer closes; a reset counts as that."""
    parts = []
    try:
        while True:
            part = sock.recv(65536)
            if not part:
                break
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
