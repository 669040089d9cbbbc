#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the admin port says of a service on Kafka: brokers that come and go,
partitions, offsets, lag."""

import os
import re
import subprocess
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from admin import TOKEN, AdminPort, said_port  # noqa: E402
from integration import main, wait_until  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402

ADMIN = {"listen": "127.0.0.1:0", "token": TOKEN}


class AdminKafkaCase(AdminPort, KafkaCase):
    def start(self, **more):
        """Starts the service and finds its port."""
        self.service.configure(admin=ADMIN, **more)
        daemon = self.service.start()
        daemon.await_said("admin_listening")
        self.port = said_port(daemon.said())
        return daemon

    def await_ready(self, code, reason=""):
        """Waits until /readyz answers so, and meanwhile /livez 200."""
        def is_so():
            self.get("/livez")
            answer = self.ask("GET", "/readyz")
            return answer.code == code and reason in answer.text
        wait_until(is_so, 90, f"/readyz {code} {reason!r}")

    def samples(self, name):
        """Values of a metric family, by its labels as text."""
        found = re.findall(rf"^distilld_{name}(?:{{(.*)}})? (\S+)$",
                           self.get("/metrics").text, re.M)
        return {labels: float(value) for labels, value in found}


class TestBroker(AdminKafkaCase):
    own = True

    def test_ready_follows_the_broker(self):
        node = self.cluster.nodes[0]
        self.addCleanup(lambda: node.process.poll() is None or node.start())
        node.stop()
        daemon = self.start()
        self.await_ready(503, "not there yet")
        node.start()
        self.await_ready(200)
        # On a topic where nothing happens, too.
        node.kill()
        self.await_ready(503, "away")
        node.start()
        self.await_ready(200)
        book = self.service.book()
        book.issue(200)
        book.flush()
        self.service.await_consumed(book)
        self.service.await_trained(book)
        self.await_ready(200)
        daemon.stop()
        self.assert_sound(book)


class TestNumbers(AdminKafkaCase):
    def test_partitions_offsets_and_lag(self):
        self.service.create(4)
        daemon = self.start()
        self.await_ready(200)
        book = self.service.book()
        book.issue(400)
        book.flush()
        self.service.await_consumed(book)
        self.service.await_trained(book)
        events, labels = self.service.events, self.service.labels
        status = self.wait_status(
            lambda s: all(s["roles"][role]["lag"]["total"] == 0
                          for role in ("annotate", "train")), "no lag")
        for role, topic in (("annotate", events), ("train", labels)):
            count = status["roles"][role]["counts"]["records"]
            parts = status["roles"][role]["partitions"]
            self.assertEqual([(p["log"], p["partition"]) for p in parts],
                             [(topic, i) for i in range(4)])
            self.assertEqual(status["roles"][role]["lag"]["unit"], "records")
            self.assertEqual(sum(p["position"] for p in parts), count)
            self.assertEqual([p["position"] for p in parts],
                             [p["end"] for p in parts])
            self.assertFalse(any(p["is_paused"] for p in parts))
        lag = self.samples("consumer_lag_records")
        self.assertEqual(lag, {
            f'topic="{topic}",partition="{i}"': 0
            for topic in (events, labels) for i in range(4)})
        self.assertEqual(self.samples("rebalances_total")['type="assigned"'],
                         4)
        # Some of the ledger's events are malformed on purpose.
        refused = self.samples("dead_letters_total")['reason="malformed"']
        self.assertEqual(self.samples("events_consumed_total"), {"": 400})
        self.assertEqual(self.samples("labels_produced_total"),
                         {"": 400 - refused})
        self.assertEqual(self.samples("records_lost_total"), {"": 0})
        self.post("/pause")
        self.assertEqual(self.samples("paused_partitions"), {"": 8})
        book.issue(200)
        book.flush()
        self.wait_status(
            lambda s: s["roles"]["annotate"]["lag"]["total"] == 200,
            "a lag of 200")
        self.await_ready(503, "paused")
        self.post("/resume")
        self.service.await_consumed(book)
        self.service.await_trained(book)
        self.wait_status(
            lambda s: s["roles"]["annotate"]["lag"]["total"] == 0, "no lag")
        if shutil.which("promtool"):
            done = subprocess.run(
                ["promtool", "check", "metrics"], timeout=60, check=False,
                input=self.get("/metrics").text, capture_output=True,
                text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        daemon.stop()
        self.assert_sound(book)

    def test_secrets_of_kafka_are_not_shown(self):
        self.service.create(4)
        secret = "a-Secret-0f-this-test"
        daemon = self.start(kafka={
            "bootstrap.servers": self.service.bootstrap,
            "sasl.password": secret, "ssl.key.password": secret})
        self.await_ready(200)
        for path in ("/config", "/status", "/metrics", "/readyz"):
            self.assertNotIn(secret, self.get(path).text)
        self.assertIn("sasl.password", self.get("/config").text)
        daemon.stop()
        self.assertNotIn(secret, daemon.said())


if __name__ == "__main__":
    main()
