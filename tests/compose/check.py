#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`docker compose up`, really: `make check-compose`.

The stack of docker-compose.yml is built, brought up, grown to three
annotators, taken down and up again, and every one of its containers is killed,
while half of the sample is replayed. In the end every event must be a label
and must have been learned from exactly once; nothing of the stack may be left,
nor of the engine where the test had to start one of its own.
"""

import gzip
import json
import os
import sys
import time
import unittest
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "support"))

# pylint: disable=wrong-import-position
from engine import ROOT, Engine, base_image, say  # noqa: E402
from integration import main  # noqa: E402
from ledger import id_of  # noqa: E402
from oracle import KafkaException, Oracle  # noqa: E402
from stack import Stack, wait_until  # noqa: E402

IMAGE = "distilld"
LAYERS_MAX = 90e6
RATES = (200, 20000)  # while there are faults, and then
FROM_LINE = 70848
SAMPLE = "tests/data/movietweetings/movietweetings.ndjson.gz"
OURS = ("teacher", "replay", "annotate", "train")


def event_ids():
    with gzip.open(os.path.join(ROOT, SAMPLE), "rt", encoding="utf-8") as f:
        return [json.loads(line)["event_id"] for line in f][FROM_LINE - 1:]


class TestCompose(unittest.TestCase):
    """In the order of their numbers, on one stack."""

    @classmethod
    def setUpClass(cls):
        cls.failed = False
        cls.engine = Engine()
        cls.addClassCleanup(cls.engine.close)
        cls.ids = event_ids()
        cls.stack = Stack(cls.engine, RATES[0])
        cls.addClassCleanup(cls.stack.close)
        cls.oracle = Oracle(f"localhost:{cls.stack.kafka_port}")

    def run(self, result=None):
        """One test stands on the other: after a failure none is run."""
        if type(self).failed:
            return result
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            type(self).failed = True
            print(self.stack.dump(), file=sys.stderr, flush=True)
        return result

    def labels_written(self):
        """How many labels there are, written twice or not; 0: no broker."""
        try:
            return sum(self.oracle.ends("soft-labels").values())
        except KafkaException:
            return 0

    def wait_for_more_labels(self, count=1000):
        end = self.labels_written() + count
        wait_until(lambda: self.labels_written() >= end, "more labels")

    def read(self, topic):
        """Its records, as JSON."""
        return [json.loads(m.value()) for m in self.oracle.read(topic)]

    # ---- the tests ----

    def test_1_image(self):
        start = time.monotonic()
        self.stack.compose("build")
        say(f"the image was built in {time.monotonic() - start:.0f} s")

        def size(image):
            return int(self.engine.docker("image", "inspect", "-f",
                                          "{{.Size}}", image))
        own = size(IMAGE) - size(base_image())
        say(f"the image's own layers: {own / 1e6:.1f} MB")
        self.assertLess(own, LAYERS_MAX)
        # Debian knows every file of /usr but ours and what its packages make.
        self.assertEqual(self.engine.docker(
            "run", "--rm", "--entrypoint", "sh", IMAGE, "-c",
            "cd /usr && find bin lib libexec sbin -xdev -type f | sort >"
            "/tmp/have && cat /var/lib/dpkg/info/*.list | sed -n "
            "'s!^\\(/usr\\)\\?/!!p' | sort -u >/tmp/known && "
            "comm -23 /tmp/have /tmp/known | grep -v __pycache__").split(),
            ["bin/distilld"])

    def test_2_up(self):
        start = time.monotonic()
        self.stack.compose("up", "-d")
        wait_until(self.labels_written, "labels")
        labels = time.monotonic() - start
        wait_until(self.stack.sightings, "a checkpoint")
        say(f"labels after {labels:.0f} s, a checkpoint after "
            f"{time.monotonic() - start:.0f} s")
        for service in ("kafka", "teacher", "annotate", "train"):
            wait_until(lambda s=service: self.stack.is_healthy(s),
                       f"{service} to be healthy")
        for service in ("annotate", "train"):
            self.assertIn("movies", self.stack.execute(
                service, "distilld", "top", "--once"))

    def test_3_confined(self):
        for service in OURS:
            state = self.stack.inspect(service)[0]
            host = state["HostConfig"]
            self.assertTrue(host["ReadonlyRootfs"], service)
            self.assertEqual(host["CapDrop"], ["ALL"], service)
            status = dict(
                line.split(":", 1) for line in self.stack.execute(
                    service, "cat", "/proc/1/status").splitlines())
            self.assertEqual(status["Uid"].split(), ["10001"] * 4, service)
            self.assertEqual(int(status["CapBnd"], 16), 0, service)
            self.assertEqual(status["NoNewPrivs"].strip(), "1", service)
        for service in ("kafka", *OURS):
            ports = self.stack.inspect(service)[0]["NetworkSettings"]["Ports"]
            for bound in ports.values():
                self.assertEqual({b["HostIp"] for b in bound or ()} or
                                 {"127.0.0.1"}, {"127.0.0.1"}, service)

    def test_4_crash(self):
        for service in (*OURS, "kafka"):
            self.stack.crash(service)
            self.wait_for_more_labels()

    def test_5_scale(self):
        self.stack.compose("up", "-d", "--scale", "annotate=3",
                           "--no-recreate")
        wait_until(lambda: self.stack.is_healthy("annotate", 3),
                   "three annotators")
        wait_until(lambda: self.oracle.members("distilld") == 3,
                   "three members of the group")
        self.wait_for_more_labels()
        self.stack.compose("up", "-d", "--scale", "annotate=1",
                           "--no-recreate")
        self.wait_for_more_labels()

    def test_6_down_and_up(self):
        self.assertFalse(self.stack.has_finished("replay"),
                         "nothing was left to replay: lower RATES[0]")
        before = len(self.stack.sightings())
        self.stack.compose("down")
        self.engine.env["RATE"] = str(RATES[1])
        self.stack.compose("up", "-d")
        wait_until(lambda: len(self.stack.sightings()) > before,
                   "the trainer to go on")

    def test_7_ledger(self):
        wait_until(lambda: self.stack.has_finished("replay"), "the replay")
        wait_until(lambda: len(self.stack.sightings()) >= len(self.ids),
                   "the trainer to have seen all")
        self.stack.compose("stop", "train", "annotate")
        sent = Counter(e["event_id"] for e in self.read("interactions"))
        self.assertEqual(sent, Counter(self.ids))
        labels = Counter(label["event"]["event_id"]
                         for label in self.read("soft-labels"))
        self.assertEqual(set(labels), set(self.ids))
        say(f"{len(labels)} events, each a label, "
            f"{labels.total() - len(labels)} written twice")
        self.assertEqual(self.read("dead-letters"), [])
        self.stack.compose("up", "-d", "--no-deps", "train")
        seen = wait_until(self.stack.sightings, "the last checkpoint")
        self.assertEqual(seen, {id_of(i): 1 for i in self.ids})

    def test_8_gone(self):
        self.stack.close()
        label = f"label=com.docker.compose.project={self.stack.project}"
        for what in (["ps", "-aq"], ["volume", "ls", "-q"],
                     ["network", "ls", "-q"]):
            self.assertEqual(self.engine.docker(*what, "--filter", label), "")
        self.engine.close()
        self.assertEqual(self.engine.remains(), {})


if __name__ == "__main__":
    main()
