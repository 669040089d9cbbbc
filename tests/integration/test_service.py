#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The life of a service: start, drain, forced stops, what systemd is told."""

import os
import re
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from admin import AdminCase  # noqa: E402
from integration import main, wait_until  # noqa: E402


class TestStop(AdminCase):
    def test_sigterm_under_load_drains_and_saves(self):
        process = self.start_service(checkpoint={"every": 0})
        self.wait_trained(500)
        process.terminate()
        self.assertEqual(process.wait(timeout=60), 0, self.read("run.log"))
        log = self.read("run.log")
        moves = re.findall(r" life from=(\w+) to=(\w+)", log)
        self.assertEqual(moves, [("starting", "running"),
                                 ("running", "draining"),
                                 ("draining", "stopped")])
        self.assertEqual(self.versions("run", "checkpoints"), [1])
        examples = self.manifest("run", "checkpoints")["training"]["examples"]
        self.assertGreaterEqual(examples, 500)

    def test_a_stop_that_takes_too_long_says_what_is_left(self):
        process = self.start_stuck(shutdown_timeout="200ms")
        process.terminate()
        self.assertEqual(process.wait(timeout=60), 75)
        log = self.read("run.log")
        self.assertIn("shutdown_too_slow timeout_ms=200", log)
        self.assertRegex(log, r"shutdown_abandoned role=annotate records=\d+ "
                              r"batches=\d+ oldest_seconds=\d")

    def test_a_second_signal_ends_at_once(self):
        for second in (signal.SIGTERM, signal.SIGINT):
            process = self.start_stuck(name=f"run{second}",
                                       shutdown_timeout="10m")
            process.terminate()
            log = f"run{second}.log"
            wait_until(lambda name=log: "to=draining" in self.read(name),
                       what="draining")
            self.assertIsNone(process.poll())
            process.send_signal(second)
            self.assertEqual(process.wait(timeout=60), 75)
            self.assertIn("shutdown_forced", self.read(log))
            self.assertIn("shutdown_abandoned", self.read(log))

    def test_what_was_abandoned_is_not_lost(self):
        with open(self.events, "rb") as f:
            self.write_events([next(f) for _ in range(20000)])
        calm = {"events": {"path": self.path("events.ndjson")},
                "teacher": {"kind": "none", "learn": None, "model": None,
                            "checkpoint": None},
                "student": {"hidden": [512, 512]}}
        self.configure(**calm)
        self.run_all()
        wanted = self.outcome()
        self.forget()
        process = self.start_service(**calm)
        self.wait_trained(500)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        self.assertIn(process.wait(timeout=60), (0, 75))
        self.run_all()
        self.assertEqual(self.outcome(), wanted)

    def test_a_paused_service_stops_too(self):
        process = self.start_service()
        self.post("/pause")
        self.stop_service(process)
        self.assertIn("from=paused to=draining", self.read("run.log"))


class TestServiceManager(AdminCase):
    def setUp(self):
        super().setUp()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.settimeout(60)
        self.told = []

    def start_told(self, address, env=None, **more):
        self.manager.bind(address)
        if isinstance(address, bytes):
            address = "@" + address[1:].decode()
        return self.start_service(
            env={"NOTIFY_SOCKET": address, **(env or {})}, **more)

    def wait_told(self, text):
        """Reads until a message has a line, and gives that message."""
        while True:
            message = self.manager.recv(4096).decode()
            self.told.append(message)
            if text in message.splitlines():
                return message

    def test_it_is_told_of_every_step(self):
        process = self.start_told(self.path("notify"))
        self.assertIn("STATUS=running", self.wait_told("READY=1"))
        process.send_signal(signal.SIGHUP)
        self.assertRegex(self.wait_told("RELOADING=1"),
                         r"MONOTONIC_USEC=\d+")
        self.wait_told("READY=1")
        self.post("/pause")
        self.wait_told("STATUS=paused")
        self.post("/resume")
        self.wait_told("STATUS=running")
        process.terminate()
        self.assertIn("STATUS=draining", self.wait_told("STOPPING=1"))
        self.assertEqual(process.wait(timeout=60), 0)
        self.assertNotIn("WATCHDOG=1", "".join(self.told))

    def test_the_watchdog_hears_from_the_loop_until_it_stands_still(self):
        name = b"\0distilld-test-%d" % os.getpid()
        process = self.start_told(name, env={"WATCHDOG_USEC": "400000"},
                                  admin={"livez_timeout": "100ms"})
        for _ in range(5):
            self.wait_told("WATCHDOG=1")
        process.send_signal(signal.SIGSTOP)
        self.manager.setblocking(False)
        try:
            while True:
                self.manager.recv(4096)
        except BlockingIOError:
            pass
        # Stopped, so nothing more can come.
        with self.assertRaises(BlockingIOError):
            self.manager.recv(4096)
        process.send_signal(signal.SIGCONT)
        self.manager.settimeout(60)
        self.wait_told("WATCHDOG=1")
        self.stop_service(process)

    def test_a_watchdog_of_another_process_is_not_ours(self):
        process = self.start_told(
            self.path("notify"), env={"WATCHDOG_USEC": "1000",
                                      "WATCHDOG_PID": "1"})
        self.wait_told("READY=1")
        self.wait_trained(1000)
        self.stop_service(process)
        self.wait_told("STATUS=stopped")
        self.assertNotIn("WATCHDOG=1", "".join(self.told))

    def test_a_manager_that_does_not_listen_holds_nothing_up(self):
        process = self.start_told(self.path("notify"),
                                  env={"WATCHDOG_USEC": "2000"})
        self.wait_trained(2000)  # by then its queue is full
        self.get("/livez")
        self.stop_service(process)


if __name__ == "__main__":
    main()
