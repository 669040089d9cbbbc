# SPDX-License-Identifier: Apache-2.0
"""What tests of the service on Kafka share: a broker a class, and for each
test a Service with topics of its own.

DISTILLD_TEST_KAFKA=HOST:PORT names a broker that is there already; classes
that do things to their brokers start their own all the same.
"""

import os

from integration import Case
from kafka import NEWEST, Cluster
from oracle import Oracle
from service import Service


class KafkaCase(Case):
    """version, brokers: of the class's cluster; own: it is harmed, so it
    cannot be one that was there before; more: arguments of Cluster."""

    version = NEWEST
    brokers = 1
    own = False
    more = {}
    cluster = None

    @classmethod
    def setUpClass(cls):
        there = os.environ.get("DISTILLD_TEST_KAFKA")
        if there and not cls.own:
            cls.bootstrap = there
        else:
            cls.cluster = Cluster(version=cls.version, nodes=cls.brokers,
                                  **cls.more).start()
            cls.addClassCleanup(cls.cluster.close)
            cls.bootstrap = cls.cluster.bootstrap
        cls.oracle = Oracle(cls.bootstrap)

    def setUp(self):
        super().setUp()
        self.service = self.new_service()

    def new_service(self, **more):
        """A service with topics of its own."""
        service = Service(self.oracle, self.dir,
                          copies=self.cluster.copies if self.cluster else 1,
                          **more)
        self.addCleanup(service.kill_all)
        return service

    def assert_sound(self, book, name="run", strangers=0, **wanted):
        """The account of a ledger is sound, and as wanted; strangers: labels
        and letters of records that the ledger did not write."""
        account = self.service.judge(book, name)
        account.counts["alien"] -= strangers
        self.assertTrue(account.sound,
                        f"{account}\n{self.service.tails()}")
        for count, value in wanted.items():
            self.assertEqual(account.counts[count], value, str(account))
        return account

    def assert_ends(self, daemon, status, text="", seconds=60):
        """The daemon ends by itself, with that status and word."""
        self.assertEqual(daemon.wait(seconds), status, daemon.tail())
        self.assertIn(text, daemon.said())
        self.service.daemons.remove(daemon)  # the others must live on

    def assert_refused(self, text, status=78, **more):
        """`validate` refuses a configuration and says text."""
        path = self.service.configure("refused", **more)
        done = self.run_daemon("validate", "-c", path, status=status)
        self.assertIn(text, done.stdout + done.stderr)
        return done


class ApartCase(KafkaCase):
    """Of two brokers, the second has nothing but the topics that a test puts
    there: frozen, it makes them unwritable, and all else goes on."""

    brokers = 2
    own = True

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(version=cls.version, nodes=2, controllers=1,
                              **cls.more)
        cls.addClassCleanup(cls.cluster.close)
        first, cls.second = cls.cluster.nodes
        cls.cluster.start([first])
        cls.bootstrap = f"127.0.0.1:{first.port}"
        cls.oracle = Oracle(cls.bootstrap)
        cls.oracle.settle_brokers()
        cls.cluster.start([cls.second])

    def setUp(self):
        super().setUp()
        self.addCleanup(self.second.thaw)

    def create_apart(self, *topics, **more):
        """Makes the topics of the service, and these on the second broker."""
        service = self.service
        self.service.create(places={
            topic: 2 if topic in topics else 1 for topic in
            (service.events, service.labels, service.dead)}, **more)
