#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`distilld top` and `distilld tap` beside a running daemon."""

import http.server
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from admin import TOKEN, AdminCase  # noqa: E402
from integration import binary, main, wait_until  # noqa: E402


class Terminal:
    """A command with a terminal of its own, and what it has drawn."""

    def __init__(self, test, *args):
        self.main, end = pty.openpty()
        test.addCleanup(os.close, self.main)
        self.process = subprocess.Popen([binary(), *args], stdin=end,
                                        stdout=end, stderr=end)
        os.close(end)
        test.started.append(self.process)
        self.drawn = ""

    def look(self):
        while select.select([self.main], [], [], 0)[0]:
            try:
                part = os.read(self.main, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            self.drawn += part.decode(errors="replace")
        return self.drawn

    def wait(self, pattern, since=0):
        wait_until(lambda: re.search(pattern, self.look()[since:]),
                   seconds=60, what=pattern)

    def press(self, keys):
        os.write(self.main, keys)


class TestTop(AdminCase):
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def test_one_page_where_there_is_no_terminal(self):
        process = self.start_service()
        self.wait_status(lambda s: s["roles"]["train"].get("quality", {})
                         .get("liked", {}).get("eta_score"), "quality")
        self.post("/pause")
        self.wait_quiet("train")
        for url in (self.url(), self.url() + "/", self.url()[len("http://"):]):
            page = self.run_daemon("top", url).stdout
            self.assertNotIn("\033", page)
            self.assertLessEqual(max(map(len, page.splitlines())), 80)
            self.assertIn("paused, not ready", page)
            status = self.status()
            done = status["roles"]["train"]["counts"]["examples"]
            self.assertRegex(page, rf"train .*{done:,}")
            student = status["roles"]["train"]["quality"]["liked"]["student"]
            self.assertRegex(page, rf"auc .*{student['score']:.4f}")
        self.stop_service(process)
        done = self.run_daemon("top", self.url(), status=69)
        self.assertEqual(done.stdout, "")
        self.assertIn("connect", done.stderr.lower())

    def test_it_lives_on_a_terminal_and_says_when_the_daemon_is_gone(self):
        process = self.start_service()
        top = Terminal(self, "top", self.url())
        top.wait("running, ready")
        top.wait("student's window")  # from the second look on
        self.post("/pause")
        top.wait("paused, not ready")
        process.kill()
        process.wait()
        top.wait(r"no answer for \d+ s: ")
        self.assertIn("as old as that", top.look())
        self.assertIsNone(top.process.poll())
        # Another daemon at the same address: it goes on.
        port = self.port
        process = self.start_service(
            admin={"listen": f"127.0.0.1:{port}"}, name="second")
        self.assertEqual(self.port, port)
        top.wait("running, ready", since=len(top.look()))
        top.press(b"q")
        self.assertEqual(top.process.wait(timeout=60), 0)
        self.assertTrue(top.look().rstrip().endswith("\033[?1049l"))

    def test_signals_end_it_and_give_the_screen_back(self):
        process = self.start_service()
        for name in (signal.SIGINT, signal.SIGTERM):
            top = Terminal(self, "top", self.url())
            top.wait("running")
            top.process.send_signal(name)
            self.assertEqual(top.process.wait(timeout=60), 0)
            self.assertTrue(top.look().rstrip().endswith("\033[?1049l"))
        self.stop_service(process)

    def test_other_servers_and_bad_addresses(self):
        class Other(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"hello": "world"}')

            def log_message(self, *_):
                pass
        other = http.server.HTTPServer(("127.0.0.1", 0), Other)
        self.addCleanup(other.server_close)
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(other.shutdown)
        done = self.run_daemon("top", f"127.0.0.1:{other.server_port}",
                               status=65)
        self.assertIn("no status of distilld", done.stderr)
        for url in ("file:///etc/passwd", "gopher://127.0.0.1", "http://", "",
                    "http://" + "a" * 600):
            self.run_daemon("top", url, status=64)
        self.run_daemon("top", "a", "b", status=64)
        self.run_daemon("top", "--interval", "0", status=64)


class TestTap(AdminCase):
    def start_tapped(self, **more):
        return self.start_service(admin={"tap": True}, **more)

    def tap(self, *args, status=0, token=TOKEN, env=None):
        return self.run_daemon(
            "tap", *args, f"127.0.0.1:{self.port}", status=status,
            env={"DISTILLD_ADMIN_TOKEN": token, **(env or {})})

    def start_tap(self, *args, stdout=subprocess.PIPE):
        process = subprocess.Popen(
            [binary(), "tap", *args, f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "DISTILLD_ADMIN_TOKEN": TOKEN})
        self.started.append(process)
        return process

    def test_events_and_labels_are_what_went_through(self):
        process = self.start_tapped()
        lines = self.tap("-n", "20", "-r", "1000", "events").stdout
        lines = lines.splitlines()
        self.assertEqual(len(lines), 20)
        with open(self.events, encoding="utf-8") as f:
            known = set(f.read().splitlines())
        for line in lines:
            self.assertIn(line, known)
        lines = self.tap("-n", "20", "-r", "1000", "labels").stdout
        labels = [json.loads(line) for line in lines.splitlines()]
        self.assertEqual(len(labels), 20)
        self.stop_service(process)
        written = set(self.read("run", "labels.ndjson").splitlines())
        for line in lines.splitlines():
            self.assertIn(line, written)

    def test_dead_letters(self):
        with open(self.events, "rb") as f:
            lines = [next(f) for _ in range(30000)]
        lines[::300] = [b'{"bad": \n'] * 100
        self.write_events(lines)
        process = self.start_stuck_until_tapped()
        letters = [json.loads(line) for line in self.tap(
            "-n", "5", "-r", "1000", "dead-letters").stdout.splitlines()]
        self.assertEqual(len(letters), 5)
        for letter in letters:
            self.assertIn("reason", letter)
            self.assertEqual(letter["source"]["topic"], "events.ndjson")
        self.stop_service(process)

    def start_stuck_until_tapped(self):
        return self.start_tapped(events={"path": self.path("events.ndjson")})

    def test_the_rate_is_kept(self):
        process = self.start_tapped()
        tap = self.start_tap("--rate", "5", "events")
        started = time.monotonic()
        lines = [tap.stdout.readline() for _ in range(12)]
        passed = time.monotonic() - started
        self.assertTrue(all(line.startswith("{") for line in lines))
        # One at once, then five a second at most.
        self.assertGreater(passed, 11 / 5 - 0.3)
        tap.send_signal(signal.SIGINT)
        self.assertEqual(tap.wait(timeout=60), 0, tap.stderr.read())
        self.stop_service(process)

    def test_it_ends_with_the_daemon(self):
        process = self.start_tapped()
        tap = self.start_tap("events")
        tap.stdout.readline()
        self.stop_service(process)
        self.assertEqual(tap.wait(timeout=60), 0, tap.stderr.read())
        process = self.start_tapped(name="second")
        tap = self.start_tap("events")
        tap.stdout.readline()
        process.kill()
        process.wait()
        self.assertEqual(tap.wait(timeout=60), 69)

    def test_it_ends_when_nobody_reads(self):
        process = self.start_tapped()
        reading, writing = os.pipe()
        tap = self.start_tap("--rate", "1000", "events", stdout=writing)
        os.close(writing)
        self.assertTrue(os.read(reading, 10))
        os.close(reading)
        self.assertEqual(tap.wait(timeout=60), 0)
        self.stop_service(process)

    def test_who_may_not_look(self):
        process = self.start_service()
        self.assertIn("admin.tap", self.tap("events", status=77).stderr)
        self.stop_service(process)
        process = self.start_tapped(name="open")
        for token in ("", "wrong", TOKEN + "x"):
            done = self.tap("events", status=77, token=token)
            self.assertIn("token", done.stderr)
            self.assertNotIn(TOKEN, done.stderr)
        self.tap("passwords", status=64)
        self.tap("--rate", "0", "events", status=64)
        self.tap("--rate", "1001", "events", status=64)
        for query in ("rate=0", "rate=-1", "rate=x", "rate=1e3",
                      "rate=99999", "limit=-1"):
            self.get("/tap/events?" + query, 400, TOKEN)
        process.terminate()
        process.wait()
        process = self.start_service(name="train", roles=["train"],
                                     train={"input": "events"},
                                     teacher={"kind": "none", "learn": None,
                                              "model": None,
                                              "checkpoint": None},
                                     admin={"tap": True, "token": ""})
        self.assertIn("role annotate",
                      self.tap("labels", status=69, token="").stderr)

    def test_watchers_are_few_and_cost_nothing_when_they_do_not_read(self):
        process = self.start_tapped()
        links = []
        for _ in range(4):
            link = self.connect()
            link.sendall(b"GET /tap/labels?rate=1000 HTTP/1.1\r\nHost: x\r\n"
                         b"Authorization: Bearer " + TOKEN.encode() +
                         b"\r\n\r\n")
            self.assertIn(b" 200 ", link.recv(20))
            links.append(link)
        self.get("/tap/events", 503, TOKEN)
        before = self.status()["roles"]["annotate"]["counts"]["labels"]
        self.wait_status(
            lambda s: s["roles"]["annotate"]["counts"]["labels"] >
            before + 5000, "labels beside them")
        for link in links:
            link.close()
        wait_until(lambda: self.ask("GET", "/tap/events?limit=1",
                                    TOKEN).code == 200, what="a free place")
        self.stop_service(process)


if __name__ == "__main__":
    main()
