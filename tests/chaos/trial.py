# SPDX-License-Identifier: Apache-2.0
"""One service under load, harmed on purpose, and what it made of it."""

import os
import shutil
import tempfile
import time

from integration import wait_until
from ledger import Account
from service import Service

RATE = 1000  # events a second
PROGRESS_S = 90  # generous: after a fault the group must find itself again


class Failure(Exception):
    """The service did not do what it must; the text says what."""


class Trial:
    """Annotators and a trainer, or `both` in one process, and the ledger.

    Ends with `account`; `failures` says what else went wrong."""

    def __init__(self, cluster, oracle, rng, annotators=2, both=False,
                 through_proxy=False, crash=False, create=True, **config):
        self.rng = rng
        self.cluster = cluster
        self.dir = tempfile.mkdtemp(prefix="distilld-chaos-")
        self.service = Service(
            oracle, self.dir, copies=min(3, len(cluster.nodes)), crash=crash,
            bootstrap=cluster.proxied_bootstrap if through_proxy else None)
        self.oracle = oracle
        self.kills = 0
        self.failures = []
        self.account = Account()
        self.both = both
        self.config = config
        self.annotators = []
        self.trainer = None
        if create:
            self.service.create()
            self.book = self.service.book()
        self.issued_until = time.monotonic()
        self.start(annotators)

    # ---- daemons ----

    def start(self, annotators):
        self.service.configure("annotate", roles=["annotate"], **self.config)
        self.service.configure("train", roles=["train"], **self.config)
        self.service.configure("both", **self.config)
        if self.both:
            self.trainer = self.service.start("both")
            self.annotators = [self.trainer]
            return
        for _ in range(annotators):
            self.join()
        self.trainer = self.service.start("train")

    def join(self, args=()):
        """One annotator more."""
        number = len(self.service.daemons)
        daemon = self.service.start("annotate", args=args,
                                    log=f"annotate{number}")
        self.annotators.append(daemon)
        return daemon

    def daemons(self):
        return [*self.annotators] if self.both else [*self.annotators,
                                                     self.trainer]

    def checkpoints(self):
        return self.service.path("both" if self.both else "train",
                                 "checkpoints")

    # ---- load ----

    def run_for(self, seconds):
        """Issues events for so long, and sees that nobody gives up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = time.monotonic()
            due = int((now - self.issued_until) * RATE)
            if due > 0:
                self.book.issue(min(due, RATE))
                self.issued_until = now
            time.sleep(0.01)
        self.book.producer.poll(0)
        self.service.assert_alive()

    def run_until(self, is_true, what):
        """Issues events until is_true()."""
        end = time.monotonic() + PROGRESS_S
        while not is_true():
            if time.monotonic() > end:
                raise Failure(f"waited {PROGRESS_S} s in vain for {what}\n"
                              + self.service.tails())
            self.run_for(0.1)

    def await_labels(self):
        """Until new labels appear."""
        before = self.service.label_count()
        self.run_until(lambda: self.service.label_count() > before,
                       "new labels")

    def await_checkpoint(self):
        """Until a new checkpoint appears."""
        def versions():
            try:
                return {n for n in os.listdir(self.checkpoints())
                        if n.isdigit()}
            except FileNotFoundError:
                return set()
        before = versions()
        self.run_until(lambda: versions() - before, "a new checkpoint")

    # ---- the end ----

    def settle(self):
        """No more events, no more harm: everything must come to rest."""
        for daemon in self.daemons():
            if daemon.status is not None:
                daemon.start()
        self.book.flush()
        self.service.await_consumed(self.book, PROGRESS_S)
        name = "both" if self.both else "train"
        self.service.await_trained(self.book, name, PROGRESS_S)
        for daemon in self.daemons():
            daemon.stop()
        lag = self.service.oracle.lag(self.service.group, self.service.events)
        if lag:
            raise Failure(f"the group lags {lag} records")

    def finish(self):
        """Settles and judges; nothing is left running."""
        try:
            self.settle()
        except (AssertionError, Failure) as e:
            self.failures.append(str(e))
        self.service.kill_all()
        try:
            self.book.flush()
            name = "both" if self.both else "train"
            self.account = self.service.judge(self.book, name)
        except (AssertionError, ValueError, KeyError) as e:
            self.failures.append(f"cannot be judged: {e!r}")
        if not self.account.sound:
            self.failures.append(str(self.account))

    def close(self):
        """Removes its folder, unless something is to be looked at."""
        self.service.kill_all()
        if self.failures:
            print(f"  kept: {self.dir}", flush=True)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def await_copies(oracle, topics, copies):
    """Until every partition has all its copies in step."""
    def in_step():
        return all(len(m.isrs) >= copies for t in topics
                   for m in oracle.metadata(t).partitions.values())
    wait_until(in_step, PROGRESS_S, "copies in step", pause=0.1)
