#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping a service whose brokers come and go.

Architecture 10: a broker that is away is waited for, and work resumes by
itself; SIGTERM drains and exits 0; a second signal or the deadline exits
otherwise and says what was left. 5.4: a second trainer exits 69 and names the
holder.
"""

import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main, wait_until  # noqa: E402
from kafka_case import ApartCase, KafkaCase  # noqa: E402


class Finish:
    def finish(self, book, *daemons):
        book.flush()
        self.service.await_consumed(book)
        self.service.await_trained(book)
        for daemon in daemons:
            daemon.stop()


class TestBroker(Finish, KafkaCase):
    own = True  # it is stopped

    def setUp(self):
        super().setUp()
        self.node = self.cluster.nodes[0]

    def tearDown(self):
        if self.node.process.poll() is not None:
            self.node.start()
        super().tearDown()

    def test_waits_for_a_broker_that_is_not_up_yet(self):
        service = self.service
        service.configure()
        self.node.stop()
        daemon = service.start()
        daemon.await_said("kafka_waiting")
        self.assertIsNone(daemon.status)
        self.node.start()
        wait_until(lambda: self.oracle.partitions(service.labels) == 4, 90,
                   "topics; " + daemon.tail())
        book = service.book()
        book.issue(300)
        self.finish(book, daemon)
        self.assert_sound(book)

    def test_sigterm_while_it_waits_exits_0(self):
        service = self.service
        service.configure()
        self.node.stop()
        daemon = service.start()
        daemon.await_said("kafka_waiting")
        daemon.stop()

    def test_resumes_when_the_broker_is_back(self):
        service = self.service
        service.create()
        service.configure()
        daemon = service.start()
        book = service.book()
        book.issue(500)
        book.flush()
        service.await_labels(book.readable())
        self.node.kill()
        book.issue(500)
        time.sleep(1)
        self.assertIsNone(daemon.status, daemon.tail())
        self.node.start()
        self.finish(book, daemon)
        self.assert_sound(book)

    def test_sigterm_while_the_broker_is_away_keeps_the_deadline(self):
        service = self.service
        service.create()
        service.configure(shutdown_timeout="2s")
        daemon = service.start()
        book = service.book()
        book.issue(500)
        book.flush()
        service.await_consumed(book)
        service.await_trained(book)
        self.node.kill()
        began = time.monotonic()
        daemon.send(signal.SIGTERM)
        daemon.wait()
        self.assertLess(time.monotonic() - began, 30)
        self.node.start()
        daemon.start()
        book.issue(100)
        self.finish(book, daemon)
        self.assert_sound(book)


class TestStop(Finish, ApartCase):
    def stall(self, **more):
        """A daemon that holds events whose labels cannot be written."""
        service = self.service
        self.create_apart(service.labels)
        service.configure(**more)
        book = service.book(broken=0)
        book.issue(400)
        book.flush()
        daemon = service.start()
        service.await_consumed(book)
        self.second.freeze()
        book.issue(3000)
        book.flush()
        wait_until(lambda: daemon.metrics()["distilld_in_flight_records"]
                   > 100, 60, "labels on their way", pause=0.1)
        return book, daemon

    def resume(self, book, daemon):
        """Nothing of it was lost."""
        self.second.thaw()
        daemon.start()
        self.finish(book, daemon)
        self.assert_sound(book)

    def test_deadline_says_what_was_left(self):
        book, daemon = self.stall(shutdown_timeout="2s")
        daemon.send(signal.SIGTERM)
        self.assertNotEqual(daemon.wait(30), 0, daemon.tail())
        self.assertGreater(daemon.status, 0)
        left = re.search(r"shutdown_abandoned .*records=(\d+)",
                         daemon.said())
        self.assertIsNotNone(left, daemon.tail())
        self.assertGreater(int(left[1]), 100)
        self.resume(book, daemon)

    def test_second_signal_exits_at_once(self):
        book, daemon = self.stall(shutdown_timeout="300s")
        daemon.send(signal.SIGTERM)
        time.sleep(0.5)
        self.assertIsNone(daemon.status)
        daemon.send(signal.SIGTERM)
        self.assertGreater(daemon.wait(10), 0, daemon.tail())
        self.resume(book, daemon)

    def test_sigterm_under_load_drains(self):
        service = self.service
        service.create()
        service.configure()
        daemon = service.start()
        book = service.book()
        for _ in range(3):
            wanted = service.label_count() + 1000
            service.issue_until(
                book, lambda wanted=wanted: service.label_count() > wanted,
                "labels", rate=3000)
            daemon.stop()
            daemon.start()
        self.finish(book, daemon)
        # Drained means that nothing was labelled twice.
        self.assert_sound(book, duplicate_labels=0)

    def test_second_trainer_exits_69_and_names_the_first(self):
        service = self.service
        service.create()
        service.configure(roles=["train"])
        first = service.start()
        wait_until(lambda: os.path.isdir(service.path("run", "checkpoints")),
                   60, first.tail())
        time.sleep(1)
        second = service.start(log="second")
        self.assert_ends(second, 69, str(first.pid))
        first.stop()


if __name__ == "__main__":
    main()
