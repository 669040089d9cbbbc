#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`distilld replay`: every event once and in order, whatever stops it."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import binary, main, wait_until  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402

START_MS = 1700000000000


class ReplayCase(KafkaCase):
    def setUp(self):
        super().setUp()
        self.topic = "replay-" + uuid.uuid4().hex[:8]
        self.events = [{"event_id": f"e{i}", "user": f"u{i % 37}",
                        "timestamp": START_MS + 10 * i} for i in range(3000)]
        self.config = self.write("run.yaml", json.dumps({
            "events": {"log": "kafka", "topic": self.topic},
            "labels": {"log": "kafka"}, "dead_letters": {"log": "kafka"},
            "features": {"user": {"kind": "categorical"}},
            "tasks": {"liked": {"kind": "binary"}}, "roles": ["annotate"],
            "create_topics": {"partitions": 4},
            "kafka": {"bootstrap.servers": self.bootstrap}}))
        self.file = self.write_events("events.ndjson")

    def write_events(self, name, opener=open):
        path = self.path(name)
        with opener(path, "wt") as f:
            f.writelines(json.dumps(e) + "\n" for e in self.events)
        return path

    def replay(self, *args, status=0, **more):
        return self.run_daemon("replay", "-c", self.config, *args,
                               status=status, **more)

    def start(self, *args):
        return self.start_daemon("replay", "-c", self.config, *args)

    def sent(self):
        """[(partition, key, event)], partition after partition."""
        return [(m.partition(), m.key(), json.loads(m.value()))
                for m in self.oracle.read(self.topic)]

    def count(self):
        return sum(self.oracle.ends(self.topic).values())

    def assert_all_once(self, events=None):
        """Each event is there once, in order in its partition."""
        events = self.events if events is None else events
        place = {e["event_id"]: i for i, e in enumerate(events)}
        sent = self.sent()
        self.assertEqual(sorted(place[e["event_id"]] for _, _, e in sent),
                         list(range(len(events))))
        last = {}
        for partition, _, event in sent:
            i = place[event["event_id"]]
            self.assertGreater(i, last.get(partition, -1))
            last[partition] = i
        return sent


class TestReplay(ReplayCase):
    def test_sends_every_line_in_order(self):
        done = self.replay(self.file)
        self.assertIn("3,000 events sent, 3,000 acknowledged", done.stdout)
        self.assertIn("3,000 lines read, 0 left out, 0 too big", done.stdout)
        sent = self.assert_all_once()
        self.assertEqual({key for _, key, _ in sent}, {None})
        self.assertEqual(set(self.oracle.ends(self.topic).values()), {750})

    def test_a_key_has_one_partition(self):
        self.replay("--key", "user", self.file)
        homes = {}
        for partition, key, event in self.assert_all_once():
            self.assertEqual(key.decode(), event["user"])
            homes.setdefault(key, set()).add(partition)
        self.assertEqual(len(homes), 37)
        self.assertEqual({len(h) for h in homes.values()}, {1})

    def test_an_event_without_its_key_is_sent_all_the_same(self):
        path = self.write("odd.ndjson", '{"user":"a"}\n{"user":{}}\n\nodd\n{}\n')
        done = self.replay("--key", "user", path)
        self.assertIn("4 events sent", done.stdout)
        self.assertIn("3 without a key", done.stdout)
        found = sorted((m.key(), m.value())
                       for m in self.oracle.read(self.topic)
                       if m.key() is None)
        self.assertEqual([v for _, v in found], [b"odd", b'{"user":{}}', b"{}"])

    def test_gzip_directories_and_standard_input(self):
        self.replay(self.write_events("events.ndjson.gz", gzip.open))
        os.mkdir(self.path("log"))
        for name in ("0.ndjson", "1.ndjson.gz"):
            self.write_events("log/" + name,
                              gzip.open if name.endswith("gz") else open)
        self.assertIn("6,000 events", self.replay(self.path("log")).stdout)
        with open(self.file, "rb") as f:
            done = subprocess.run(
                [binary(), "replay", "-c", self.config, "-"], stdin=f,
                capture_output=True, text=True, timeout=120, check=True)
        self.assertIn("3,000 events sent", done.stdout)
        self.assertEqual(self.count(), 12000)

    def test_standard_input_is_sent_as_it_comes(self):
        process = subprocess.Popen(
            [binary(), "replay", "-c", self.config, "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.started.append(process)
        for i in range(3):
            process.stdin.write('{"a":1}\n')
            process.stdin.flush()
            wait_until(lambda i=i: self.oracle.partitions(self.topic) and
                       self.count() == i + 1, 60)
        process.terminate()  # though nothing comes any more
        self.assertEqual(process.wait(60), 0)
        self.assertIn("3 events sent, 3 acknowledged", process.stdout.read())

    def test_a_part_of_it(self):
        done = self.replay("--from-line", "2001", self.file)
        self.assertIn("1,000 events sent", done.stdout)
        self.assertIn("2,000 left out", done.stdout)
        self.assert_all_once(self.events[2000:])

    def test_what_is_too_big_is_told_and_left_out(self):
        for size in (1 << 19, 1010000, 3 << 19):
            with open(self.path("big.ndjson"), "w", encoding="ascii") as f:
                f.write('{"a":1}\n{"b":"' + size * "x" + '"}\n{"c":1}\n')
            done = self.replay(self.path("big.ndjson"))
            too_big = int(size > 1000000)
            self.assertIn(f"{3 - too_big} events sent", done.stdout)
            self.assertIn(f"{too_big} too big", done.stdout)
            self.assertEqual("replay_too_big line=2" in done.stderr,
                             bool(too_big))


class TestPace(ReplayCase):
    def test_a_rate_is_kept(self):
        start = time.monotonic()
        self.replay("--rate", "1000", self.file)
        self.assertGreater(time.monotonic() - start, 2.99)

    def test_events_happen_as_fast_as_they_did(self):
        start = time.monotonic()  # 30 s of events
        self.replay("--speed", "10", self.file)
        self.assertGreater(time.monotonic() - start, 2.99)
        self.assert_all_once()

    def test_it_can_begin_again_and_again(self):
        process = self.start("--loop", self.file)
        wait_until(lambda: self.oracle.partitions(self.topic) and
                   self.count() > 7000, 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn(f"{self.count():,} events sent", out)
        ids = [e["event_id"] for _, _, e in self.sent()]
        self.assertGreaterEqual(min(ids.count(f"e{i}") for i in (0, 2999)), 2)

    def test_an_empty_file_is_not_begun_again(self):
        self.assertIn("0 events sent", self.replay(
            "--loop", self.write("empty", "\n\n")).stdout)


class TestResume(ReplayCase):
    arguments = ("--key", "user", "--resume")

    def interrupt(self, number, after, *args):
        """Ends a slow replay when so many are there; what it has said."""
        process = self.start("--rate", "1500", *args, self.file)
        wait_until(lambda: self.oracle.partitions(self.topic) and
                   self.count() >= after, 60)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode,
                         0 if number == signal.SIGTERM else -number, err)
        return out

    def test_killed_it_goes_on_without_a_gap_or_a_copy(self):
        for i, number in enumerate((signal.SIGKILL, signal.SIGTERM,
                                    signal.SIGKILL)):
            self.interrupt(number, 500 * (i + 1), *self.arguments)
            self.assertLess(self.count(), len(self.events))
        done = self.replay(*self.arguments, self.file)
        self.assert_all_once()
        self.assertIn("0 events sent", self.replay(
            *self.arguments, self.file).stdout)
        self.assertNotIn(" 0 left out", done.stdout)

    def test_stopped_it_tells_the_next_line(self):
        out = self.interrupt(signal.SIGTERM, 500)
        line = out.split("--from-line ")[1].split(",")[0]
        self.replay("--from-line", line, self.file)
        self.assert_all_once()

    def test_another_replay_is_not_gone_on_with(self):
        self.replay(*self.arguments, "--from-line", "2990", self.file)
        before = self.count()
        other = self.write_events("other.ndjson")
        for args in (("--resume", self.file), (*self.arguments, other)):
            done = self.replay(*args, status=65)
            self.assertIn("cannot resume: the last record of partition",
                          done.stderr)
        self.oracle.send(self.topic, [b"{}"], partition=0)
        done = self.replay(*self.arguments, self.file, status=65)
        self.assertIn("not from a replay", done.stderr)
        self.oracle.grow(self.topic, 6)
        self.replay(*self.arguments, self.file, status=65)
        self.assertEqual(self.count(), before + 1)


class TestWrong(ReplayCase):
    def test_wrong_command_lines(self):
        for args in (["--rate", "0"], ["--rate", "x"], ["--speed", "-1"],
                     ["--from-line", "0"], ["--from-line", "1.5"], ["--odd"],
                     ["--rate", "1", "--speed", "1"], ["two"]):
            self.replay(*args, self.file, status=64)
        self.replay(status=64)
        self.replay("--loop", "-", status=64)
        self.run_daemon("replay", self.file, status=64)
        self.replay("--key", "a..b", self.file, status=78)

    def test_wrong_inputs(self):
        self.replay(self.path("absent"), status=66)
        self.replay(self.write("cut.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\3abc"),
                    status=65)
        config = self.write("file.yaml", json.dumps({
            "events": {"path": self.file}, "roles": ["annotate"],
            "labels": {"path": self.path("labels")},
            "features": {"user": {"kind": "categorical"}},
            "tasks": {"liked": {"kind": "binary"}}}))
        done = self.run_daemon("replay", "-c", config, self.file, status=78)
        self.assertIn("events.log is file", done.stderr)

    def test_a_topic_that_may_not_be_made(self):
        with open(self.config, encoding="utf-8") as f:
            settings = json.load(f)
        settings["create_topics"] = {"enabled": False}
        self.write("run.yaml", json.dumps(settings))
        done = self.replay(self.file, status=66)
        self.assertIn("does not exist", done.stderr)

    def test_it_waits_for_a_broker_and_can_be_stopped(self):
        with open(self.config, encoding="utf-8") as f:
            settings = json.load(f)
        settings["kafka"]["bootstrap.servers"] = "127.0.0.1:1"
        self.write("run.yaml", json.dumps(settings))
        process = self.start(self.file)
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(2)
        process.terminate()
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertIn("0 events sent", out)


if __name__ == "__main__":
    main()
