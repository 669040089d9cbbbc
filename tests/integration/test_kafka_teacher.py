#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Live events from Kafka, labeled by a model server.

They come one by one, so that batches are small, several of them share a call,
and the end of one brings the next while the call's reply is being read.
"""

import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import teacher_model  # noqa: E402
from hostile import Hostile  # noqa: E402
from integration import main, wait_until  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402

COUNT = 6000
RATE = 2000


class TestTeacher(KafkaCase):
    def configure(self, server):
        settings = self.service.settings()
        settings.update({
            "roles": ["annotate"],
            "features": {"user": {"kind": "categorical"},
                         "item": {"kind": "categorical"}},
            "tasks": {"clicked": {"kind": "binary", "path": "y"}},
            "teacher": {
                "kind": "http", "url": server.url,
                "model_name": server.model, "retry_max": "100ms",
                "inputs": {"user": "BYTES user", "item_id": "INT64 item",
                           "numbers": "FP32[2] nums"},
                "outputs": {"clicked": "logit logit"}}})
        with open(self.service.path("run.yaml"), "w", encoding="utf-8") as f:
            json.dump(settings, f)

    def trickle(self):
        """Writes COUNT events, RATE a second, over four partitions."""
        producer = self.oracle.producer(**{"linger.ms": 0})
        begun = time.monotonic()
        for i in range(COUNT):
            event = {"user": f"u{i % 97}", "item": i * 1000003,
                     "nums": [i % 64 / 64, 0.5], "y": i % 2}
            producer.produce(self.service.events, json.dumps(event),
                             partition=i % 4)
            producer.poll(0)
            time.sleep(max(0, begun + i / RATE - time.monotonic()))
        self.assertEqual(producer.flush(60), 0)

    def check(self, may_repeat=False):
        """Each event has its right label, once, or after a kill perhaps
        again."""
        items = []
        for m in self.oracle.read(self.service.labels):
            label = json.loads(m.value())
            event = label["event"]
            items.append(event["item"])
            self.assertEqual(label["soft_label"]["clicked"], [
                teacher_model.answer(event["user"], event["item"],
                                     event["nums"])])
        if may_repeat:
            items = set(items)
        self.assertEqual(sorted(items), [i * 1000003 for i in range(COUNT)])

    def label(self, *actions):
        self.service.create()
        with Hostile() as server:
            server.delay = 0.05
            server.then("well", 20)
            for action in actions:
                server.then(action, 3)
            self.configure(server)
            daemon = self.service.start()
            daemon.await_said("partitions_assigned")
            self.trickle()
            self.service.await_labels(COUNT)
            daemon.stop()
        self.check()

    def test_events_one_by_one(self):
        self.label()

    def test_with_a_server_that_fails(self):
        self.label("busy", "reset", "unavailable", "cut", "error")

    def test_killed_while_it_asks(self):
        self.service.create()
        with Hostile() as server:
            server.delay = 0.05
            server.then("well", 20)
            for action in ("busy", "reset", "cut", "html", "swapped"):
                server.then(action, 3)
            self.configure(server)
            daemon = self.service.start()
            daemon.await_said("partitions_assigned")
            trickle = threading.Thread(target=self.trickle)
            trickle.start()
            for _ in range(3):
                wanted = self.service.label_count() + 300
                self.service.await_labels(min(wanted, COUNT))
                daemon.kill()
                daemon.start()
            trickle.join()
            wait_until(lambda: self.oracle.lag(
                self.service.group, self.service.events) == 0, 120,
                daemon.tail(), 0.2)
            daemon.stop()
        self.check(may_repeat=True)


if __name__ == "__main__":
    main()
