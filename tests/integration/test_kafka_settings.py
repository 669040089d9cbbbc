#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Properties of librdkafka: passed on, judged with their place, refused where
delivery depends on them (architecture 7), and connections with SASL over TLS;
secrets are nowhere."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main, wait_until  # noqa: E402
from kafka import NEWEST, OLDER, PASSWORD, USER  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402
from service import librdkafka_version  # noqa: E402

CHAINED = (2, 6, 1)  # before it, 4.x refuses SCRAM and sticky spins


class TestProperties(KafkaCase):
    """Nothing here asks a broker."""

    @classmethod
    def setUpClass(cls):
        from oracle import Oracle
        cls.bootstrap = "127.0.0.1:1"
        cls.oracle = Oracle(cls.bootstrap)

    def assert_refused(self, text, **more):
        path = self.service.configure("refused", **more)
        done = self.run_daemon("validate", "-c", path, status=78)
        self.assertIn(text, done.stderr)
        return done.stderr

    def test_unknown_name_is_told_with_its_place(self):
        path = self.write("wrong.yaml", "\n".join([
            "kafka:", "  bootstrap.servers: localhost:9092",
            "  consumer:", "    fetch.wait.maks.ms: 5",
            "events: {log: kafka}", "labels: {log: kafka}",
            "dead_letters: {log: kafka}", "checkpoint: {path: c}",
            "features: {a: {kind: categorical}}",
            "tasks: {b: {kind: binary}}", ""]))
        done = self.run_daemon("validate", "-c", path, status=78)
        self.assertIn(f"{path}:4:", done.stderr)
        self.assertIn("No such configuration property: "
                      '"fetch.wait.maks.ms"', done.stderr)

    def test_bad_value_is_told_with_its_place(self):
        said = self.assert_refused("Invalid value", kafka={
            "producer": {"linger.ms": "soon"}})
        self.assertRegex(
            said, r"refused.yaml:\d+:\d+: kafka\.producer\.linger\.ms")

    def test_what_delivery_depends_on_is_refused(self):
        for name, value in (("enable.auto.commit", "true"),
                            ("enable.auto.offset.store", "true"),
                            ("auto.offset.reset", "latest"),
                            ("isolation.level", "read_uncommitted"),
                            ("group.id", "x")):
            said = self.assert_refused(name, kafka={
                "consumer": {name: value}})
            self.assertIn("cannot be set", said)
        for name, value in (("enable.idempotence", "false"),
                            ("message.timeout.ms", "1000"),
                            ("acks", "1"), ("retries", "1"),
                            ("transactional.id", "x")):
            for section in ({"producer": {name: value}}, {name: value}):
                said = self.assert_refused(name, kafka=section)
                self.assertIn("cannot be set", said)

    def test_sticky_needs_a_librdkafka_that_can(self):
        path = self.service.configure(kafka={
            "consumer": {"partition.assignment.strategy":
                         "cooperative-sticky"}})
        if librdkafka_version() >= CHAINED:
            self.run_daemon("validate", "-c", path)
            return
        done = self.run_daemon("validate", "-c", path, status=78)
        self.assertIn("2.6.1", done.stderr)
        self.assertIn("partition.assignment.strategy", done.stderr)

    def test_next_generation_protocol_needs_a_librdkafka_that_can(self):
        path = self.service.configure(kafka={
            "consumer": {"group.protocol": "consumer",
                         "session.timeout.ms": None,
                         "heartbeat.interval.ms": None}})
        if librdkafka_version() >= (2, 12, 0):
            self.run_daemon("validate", "-c", path)
            return
        done = self.run_daemon("validate", "-c", path, status=78)
        self.assertIn("group.protocol", done.stderr)


class Secure(KafkaCase):
    more = {"secure": True}
    own = True
    mechanism = "PLAIN"

    def properties(self, **more):
        return {
            "bootstrap.servers": self.cluster.secure_bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": self.mechanism,
            "sasl.username": USER,
            "sasl.password": "${env:KAFKA_PASSWORD}",
            "ssl.ca.location": self.cluster.file("ca.pem"), **more}

    def test_works_and_says_no_secret(self):
        service = self.service
        path = service.configure(kafka=self.properties(),
                                 log={"level": "debug"})
        env = {"KAFKA_PASSWORD": PASSWORD}
        daemon = service.start(env=env)
        wait_until(lambda: self.oracle.partitions(service.labels) == 4, 60,
                   "topics; " + daemon.tail())
        book = service.book()
        book.issue(500)
        book.flush()
        service.await_consumed(book)
        service.await_trained(book)
        daemon.stop()
        self.assert_sound(book)
        shown = self.run_daemon("config", "show", "-c", path, env=env)
        for text in (daemon.said(), shown.stdout, shown.stderr):
            self.assertNotIn(PASSWORD, text)
        self.assertIn("sasl.password", shown.stdout)
        manifest = os.path.join(self.path("run", "checkpoints", "latest",
                                          "manifest.json"))
        with open(manifest, encoding="utf-8") as f:
            self.assertNotIn(PASSWORD, json.dumps(json.load(f)))

    def test_wrong_password_is_told_and_not_shown(self):
        wrong = "not-the-Passw0rd"
        service = self.service
        service.configure(kafka=self.properties())
        daemon = service.start(env={"KAFKA_PASSWORD": wrong})
        daemon.await_said("uthentication")
        self.assertNotIn(wrong, daemon.said())


class TestScram(Secure):
    """3.9 takes SCRAM from every librdkafka."""

    version = OLDER
    mechanism = "SCRAM-SHA-256"


class TestNewest(Secure):
    """4.x refuses SCRAM from one below 2.6.1, which repeats its nonce."""

    version = NEWEST
    mechanism = ("SCRAM-SHA-256" if librdkafka_version() >= CHAINED
                 else "PLAIN")


del Secure

if __name__ == "__main__":
    main()
