#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A model server that fails in every way, as the teacher: no event is lost,
no label is wrong, and only what cannot be answered becomes a dead letter."""

import json
import os
import random
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "support"))
import teacher_model  # noqa: E402
from hostile import Certificates, Hostile, Http2  # noqa: E402
from integration import Case, main, wait_until  # noqa: E402

DENIED, CONFIG = 77, 78
# What passes when it is tried again.
TRANSIENT = (
    "slow", "silent", "busy", "unavailable", "gone", "error", "reset", "cut",
    "close", "garbage", "drip", "wrong_shape", "wrong_count", "swapped",
    "renamed", "wrong_type", "other_id", "other_body", "html", "empty",
    "half", "text")
# Only of a server that has answered before.
PROVEN = ("unauthorized", "redirect")
VALUES = ("nan", "infinity", "null")


class TeacherCase(Case):
    def events(self, count, poison=()):
        """Writes `count` events, of users of their own."""
        self.rows = []
        for i in range(count):
            user = f"{teacher_model.POISON}-{i}" if i in poison else f"u{i}"
            self.rows.append({"id": f"e{i}", "user": user,
                              "item": i * 1000003,
                              "nums": [i % 64 / 64, 0.5], "y": i % 2})
        self.write("events.ndjson",
                   "".join(json.dumps(r) + "\n" for r in self.rows))

    def configure(self, server, pipeline=None, **teacher):
        settings = {
            "name": "t", "roles": ["annotate"],
            "events": {"path": self.path("events.ndjson")},
            "features": {"user": {"kind": "categorical"},
                         "item": {"kind": "categorical"}},
            "tasks": {"clicked": {"kind": "binary", "path": "y"}},
            "labels": {"path": self.path("labels")},
            "dead_letters": {"path": self.path("dead")},
            "pipeline": pipeline or {},
            "teacher": {
                "kind": "http", "url": server.url,
                "model_name": server.model, "batch": 16, "batch_max": 16,
                "timeout": "10s", "retry_min": "2ms", "retry_max": "50ms",
                "inputs": {"user": "BYTES user", "item_id": "INT64 item",
                           "numbers": "FP32[2] nums"},
                "outputs": {"clicked": "logit logit"}, **teacher}}
        self.config = self.write("run.yaml", json.dumps(settings))

    def run_it(self, status=0):
        return self.run_daemon("run", "-c", self.config, status=status)

    def forget(self):
        """Lets the next run begin anew."""
        for name in ("labels", "dead/events.ndjson"):
            if os.path.exists(self.path(name)):
                os.remove(self.path(name))

    def read(self, name):
        if not os.path.exists(self.path(name)):
            return []
        with open(self.path(name), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def labels(self):
        return self.read("labels")

    def dead(self):
        """The users of the dead letters."""
        return [json.loads(d["payload"])["user"]
                for d in self.read("dead/events.ndjson")]

    def check(self, dead=()):
        """Every event has its right label, once, in order; but the dead."""
        rows = [r for r in self.rows if r["user"] not in dead]
        self.assertEqual(sorted(self.dead()), sorted(dead))
        labels = self.labels()
        self.assertEqual([x["event"]["id"] for x in labels],
                         [r["id"] for r in rows])
        self.assertEqual([x["soft_label"]["clicked"] for x in labels],
                         [[teacher_model.answer(r["user"], r["item"],
                                                r["nums"])] for r in rows])

    def poison(self):
        return [r["user"] for r in self.rows
                if r["user"].startswith(teacher_model.POISON)]


class TestWell(TeacherCase):
    def test_many_batches_in_one_call(self):
        """A batch whose answer is read brings the next one, while the rest of
        the call's answers is not read yet."""
        with Hostile() as server:
            self.events(3000)
            self.configure(server, pipeline={"batches": 6}, batch=3,
                           batch_max=64, batch_delay="2ms")
            self.run_it()
            self.check()


class TestTransient(TeacherCase):
    def check_action(self, action, **teacher):
        with self.subTest(action), Hostile() as server:
            self.events(100)
            self.forget()
            server.delay = 0.05
            if action in PROVEN:
                server.then("well")
            server.then(action, 3)
            # The last of a silent server's requests is under way for 1 s.
            self.configure(server, timeout="1s", **teacher)
            self.run_it()
            self.check()
            self.assertEqual([a for a, _ in server.asked].count(action), 3)

    def test_each_passes(self):
        for action in TRANSIENT + PROVEN:
            self.check_action(action)

    def test_replies_too_long_pass_in_smaller_pieces(self):
        for action in ("huge", "endless"):
            self.check_action(action, reply_max="64KiB")

    def test_values_that_are_none(self):
        """The server answers, but not about that row."""
        for action in VALUES:
            with self.subTest(action), Hostile() as server:
                self.events(100)
                self.forget()
                server.then(action)
                self.configure(server)
                self.run_it()
                dead = self.dead()
                self.assertLessEqual(len(dead), 1)
                self.check(dead)


class TestPoison(TeacherCase):
    def check_poison(self, action, count, poison):
        with self.subTest(action), Hostile() as server:
            self.events(count, poison)
            self.forget()
            server.always(action)
            self.configure(server)
            self.run_it()
            self.check(self.poison())
            return server

    def test_refused_rows_alone_are_dead(self):
        for action in ("poison", "poison_500"):
            self.check_poison(action, 500, {0, 1, 77, 300, 301, 302, 499})

    def test_a_batch_that_is_alone(self):
        """Nobody else is answered in the meantime who would show that the
        server works."""
        for poison in ({0}, {7}, {15}, {0, 1, 15}):
            self.check_poison("poison_500", 16, poison)

    def test_all_refused_is_an_outage(self):
        self.events(200)
        with Hostile() as server:
            server.always("bad")
            self.configure(server)
            daemon = self.start_daemon("run", "-c", self.config)
            wait_until(lambda: len(server.asked) > 200, 60, "asking again")
            self.assertIsNone(daemon.poll())
            self.assertEqual(self.dead(), [])
            self.assertEqual(self.labels(), [])
            server.heal()
            self.assertEqual(daemon.wait(60), 0)
            self.check()


class TestOutage(TeacherCase):
    def test_a_server_that_is_away(self):
        self.events(600)
        with Hostile() as server:
            server.delay = 0.02
            server.always("slow")
            self.configure(server, retry_max="200ms")
            daemon = self.start_daemon("run", "-c", self.config)
            wait_until(lambda: len(server.asked) >= 5, 60, "the first calls")
            server.away()
            wait_until(lambda: server.open == 0, 60, "no call")
            connections = server.connections
            server.back()
            server.always("error")
            wait_until(lambda: server.connections > connections, 60, "again")
            server.heal()
            self.assertEqual(daemon.wait(60), 0)
            self.check()

    def test_a_server_that_is_away_at_first(self):
        self.events(50)
        with Hostile() as server:
            server.away()
            self.configure(server)
            daemon = self.start_daemon("run", "-c", self.config)
            line = ""
            while "teacher_trouble" not in line:
                line = daemon.stderr.readline()
                self.assertNotEqual(line, "")
            server.back()
            self.assertEqual(daemon.wait(60), 0)
            self.check()

    def test_a_broken_server_is_asked_seldom(self):
        """Once open, the breaker lets one request through at a time."""
        self.events(400)
        with Hostile() as server:
            server.always("error")
            self.configure(server, retry_max="20ms", breaker_failures=3)
            daemon = self.start_daemon("run", "-c", self.config)
            wait_until(lambda: len(server.asked) >= 30, 60, "30 requests")
            server.at_a_time = 0
            wait_until(lambda: len(server.asked) >= 60, 60, "60 requests")
            self.assertEqual(server.at_a_time, 1)
            server.heal()
            self.assertEqual(daemon.wait(60), 0)
            self.check()

    def test_events_go_on_without_an_answer(self):
        self.events(100)
        with Hostile() as server:
            server.always("error")
            self.configure(server, on_failure="emit_unlabelled",
                           deadline="100ms")
            self.run_it()
        self.assertEqual([x["event"]["id"] for x in self.labels()],
                         [r["id"] for r in self.rows])
        self.assertEqual([x for x in self.labels()
                          if x["soft_label"] or "teacher" in x], [])
        self.assertEqual(self.dead(), [])

    def test_what_a_deadline_cuts_off_is_not_dead(self):
        """A server that refuses everything: that is an outage, also of rows
        that were refused already when their time was over."""
        self.events(100)
        with Hostile() as server:
            server.then("well", 2)
            server.always("bad")
            self.configure(server, on_failure="emit_unlabelled",
                           deadline="300ms")
            self.run_it()
        self.assertEqual(len(self.labels()) + len(self.dead()), 100)
        self.assertLessEqual(len(self.dead()), 16)

    def test_event_that_is_too_long_for_a_request(self):
        """The last one, behind which nothing else comes."""
        self.events(20)
        self.rows[-1]["user"] = "u" * 3000
        self.write("events.ndjson",
                   "".join(json.dumps(r) + "\n" for r in self.rows))
        with Hostile() as server:
            self.configure(server, body_max="2KiB", batch_max=4)
            self.run_it()
            self.check([self.rows[-1]["user"]])

    def test_retry_after_is_honored(self):
        self.events(16)
        with Hostile() as server:
            server.then("busy")
            self.configure(server, retry_max="5s")
            self.run_it()
            self.check()
            first, second = server.times[:2]
            self.assertGreaterEqual(second - first, server.retry_after)

    def test_requests_at_a_time(self):
        self.events(2000)
        with Hostile() as server:
            server.delay = 0.01
            server.always("slow")
            self.configure(server, in_flight_max=6)
            self.run_it()
            self.check()
            self.assertLessEqual(server.at_a_time, 6)
            self.assertGreaterEqual(server.at_a_time, 3)


class TestEverything(TeacherCase):
    """All of it at random, and kill -9."""

    def test_ledger(self):
        actions = TRANSIENT + ("poison", "poison_500", "poison", "well",
                               "well", "well", "well")
        dice = random.Random(7)
        self.events(3000, set(dice.sample(range(3000), 40)))
        self.rows_before = self.rows
        kills = 0
        with Hostile() as server:
            server.delay = 0.01
            server.retry_after = 0
            server.rule = lambda users: dice.choice(actions)
            self.configure(server, timeout="100ms", reject_share_max=0.5)
            while True:
                daemon = self.start_daemon("run", "-c", self.config)
                asked = len(server.asked)
                if kills == 3:
                    server.rule = lambda users: "poison"
                    self.assertEqual(daemon.wait(120), 0)
                    break
                wait_until(lambda: len(server.asked) > asked + 150
                           or daemon.poll() is not None, 60, "150 requests")
                daemon.send_signal(signal.SIGKILL)
                daemon.wait()
                kills += 1
            self.check(self.poison())
        self.assertGreater(len({a for a, _ in server.asked}), 20)


class TestVersion(TeacherCase):
    def test_each_label_names_the_version_that_answered(self):
        self.events(320)
        said = {}
        with Hostile() as server:
            def rule(users):
                server.version = str(7 + len(server.asked) // 3)
                said.update(dict.fromkeys(users, server.version))
                return "well"
            server.rule = rule
            self.configure(server)
            self.run_it()
        self.check()
        self.assertEqual({x["event"]["user"]: x["teacher"]["version"]
                          for x in self.labels()}, said)
        self.assertGreater(len(set(said.values())), 3)


class TestIdentity(TeacherCase):
    def test_token(self):
        self.events(40)
        with Hostile(bearer="the-Secret") as server:
            self.configure(server, token="the-Secret",
                           headers={"X-Tenant": "feed"})
            self.run_it()
            self.check()
            self.assertEqual({h.get("x-tenant") for _, _, h in server.seen},
                             {"feed"})
            self.forget()
            self.configure(server, token="the-Wrong-0ne")
            done = self.run_it(status=DENIED)
            self.assertIn("401", done.stderr)
            self.assertNotIn("the-Wrong-0ne", done.stderr + done.stdout)
            self.assertEqual(self.labels(), [])
            self.assertEqual(self.dead(), [])

    def test_basic(self):
        self.events(40)
        with Hostile(basic="me:pass:word") as server:
            self.configure(server, user="me", password="pass:word")
            self.run_it()
            self.check()

    def test_no_redirect_is_followed(self):
        self.events(40)
        with Hostile() as server, Hostile() as other:
            server.elsewhere = other.url
            server.always("redirect")
            self.configure(server, token="the-Secret")
            done = self.run_it(status=None)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("307", done.stderr)
            self.assertEqual(other.seen, [])
            self.assertEqual(self.dead(), [])

    def test_tls(self):
        self.events(40)
        tls = Certificates(self.path("tls"))
        with Hostile(tls=tls, client_ca=True) as server:
            self.configure(server, ca_file=tls.ca, certificate=tls.client,
                           key=tls.client_key)
            self.run_it()
            self.check()
            self.forget()
            self.configure(server)  # the system knows no such authority
            done = self.run_it(status=DENIED)
            self.assertIn("certificate", done.stderr)
            self.configure(server, ca_file=self.path("none.pem"))
            self.run_it(status=CONFIG)
            self.assertEqual(self.labels(), [])

    def test_http2(self):
        self.events(400)
        tls = Certificates(self.path("tls"))
        with Http2(tls) as server:
            self.configure(server, ca_file=tls.ca)
            self.run_it()
            self.check()
            self.assertEqual(set(server.versions), {"2"})


if __name__ == "__main__":
    main()
