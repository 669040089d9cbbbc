# SPDX-License-Identifier: Apache-2.0
"""The kinds of faults. Each is FAULT(world, rounds) -> list of Trials that
have finished; `KINDS` names them."""

import contextlib
import signal
import time

import points
from service import SESSION_MS
from trial import PROGRESS_S, Failure, Trial, await_copies

SEGMENT = 50  # kills that one ledger lives through


@contextlib.contextmanager
def trial(world, done, **options):
    """A trial that ends judged, whatever happens in it."""
    nodes = options.pop("nodes", 1)
    one = Trial(world.cluster(nodes), world.oracle(nodes), world.rng,
                **options)
    try:
        yield one
    except (AssertionError, Failure) as e:
        one.failures.append(str(e))
    try:
        one.finish()
    finally:
        one.close()
    done.append(one)


def segments(rounds):
    """Rounds in pieces of SEGMENT."""
    while rounds > 0:
        yield min(rounds, SEGMENT)
        rounds -= SEGMENT


# ---- kills ----

def kill_again_and_again(t, world, rounds, pick, progress):
    """Kills what pick() gives, by turns soon after its start and when it has
    got somewhere, so that each start gets further."""
    for i in range(rounds):
        if i % 2:
            progress()
            t.run_for(world.rng.uniform(0, 0.5))
        else:
            t.run_for(world.rng.uniform(0.05, 2))
        daemon = pick()
        daemon.kill()
        t.kills += 1
        t.run_for(world.rng.uniform(0, 0.3))
        daemon.start()
        world.tick()


def kill_annotator(world, rounds):
    done = []
    for count in segments(rounds):
        with trial(world, done) as t:
            kill_again_and_again(
                t, world, count, lambda t=t: world.rng.choice(t.annotators),
                t.await_labels)
    return done


def kill_trainer(world, rounds):
    done = []
    for count in segments(rounds):
        with trial(world, done, annotators=1) as t:
            kill_again_and_again(t, world, count, lambda t=t: t.trainer,
                                 t.await_checkpoint)
    return done


def kill_both(world, rounds):
    done = []
    for count in segments(rounds):
        with trial(world, done, both=True) as t:
            kill_again_and_again(t, world, count, lambda t=t: t.trainer,
                                 t.await_checkpoint)
    return done


def kill_transactional(world, rounds):
    """A reader that reads committed labels only sees each of them once."""
    done = []
    for count in segments(rounds):
        with trial(world, done, labels={"transactional": True}) as t:
            kill_again_and_again(
                t, world, count, lambda t=t: world.rng.choice(t.annotators),
                t.await_labels)
        if t.account.duplicate_labels:
            t.failures.append(
                f"{t.account.duplicate_labels} labels were committed twice")
    return done


def kill_sampling(world, rounds):
    """Most events go on without an answer, and none is lost for that."""
    done = []
    sample = {"by": "novelty", "rate": 0.1, "rate_high": 0.9,
              "ids": ["user", "item"]}
    for count in segments(rounds):
        with trial(world, done, teacher={"sample": sample}) as t:
            kill_again_and_again(
                t, world, count, lambda t=t: world.rng.choice(t.annotators),
                t.await_labels)
    return done


def crash_point(world, rounds):
    """Each start of one daemon dies at a named moment."""
    done = []
    names = list(points.ANNOTATE + points.TRAIN)
    for count in segments(rounds):
        with trial(world, done, crash=True, annotators=1,
                   checkpoint={"interval": "200ms", "keep": 1}) as t:
            world.rng.shuffle(names)
            for i in range(count):
                point = names[i % len(names)]
                daemon = (t.annotators[0] if point in points.ANNOTATE
                          else t.trainer)
                die_at(t, daemon, point, world.rng.randrange(1, 4))
                world.tick()
    return done


def die_at(t, daemon, point, turn):
    """Restarts a daemon so that it dies when it passes a point."""
    daemon.kill()
    daemon.start({"DISTILLD_CRASHPOINT": f"{point}:{turn}"})
    t.run_until(lambda: daemon.status is not None, f"{point}:{turn}")
    t.kills += 1
    daemon.start()


# ---- daemons that stop otherwise ----

def zombie(world, rounds):
    """Frozen for longer than its session, then there again."""
    done = []
    with trial(world, done) as t:
        for i in range(rounds):
            t.await_labels()
            daemon = t.trainer if i % 4 == 3 else t.annotators[i % 2]
            daemon.send(signal.SIGSTOP)
            t.run_for(world.frozen_s)
            daemon.send(signal.SIGCONT)
            t.run_for(world.rng.uniform(0.5, 2))
            world.tick()
    return done


def sigterm(world, rounds):
    """Under load, an orderly stop is orderly."""
    done = []
    with trial(world, done) as t:
        for i in range(rounds):
            t.await_labels()
            daemon = t.daemons()[i % 3]
            daemon.stop()
            t.run_for(world.rng.uniform(0, 1))
            daemon.start()
            world.tick()
    return done


def members(world, rounds):
    """Somebody joins or leaves every few seconds."""
    done = []
    with trial(world, done) as t:
        for _ in range(rounds):
            t.run_for(world.rng.uniform(0.5, 2.5))
            if len(t.annotators) < 2 or (len(t.annotators) < 4
                                         and world.rng.random() < 0.5):
                t.join()
            else:
                leaver = t.annotators.pop(
                    world.rng.randrange(len(t.annotators)))
                if world.rng.random() < 0.3:
                    leaver.kill()
                    t.kills += 1
                else:
                    leaver.stop()
            world.tick()
        t.await_labels()
    return done


# ---- brokers and network ----

def broker_kill(world, rounds):
    done = []
    with trial(world, done) as t:
        node = t.cluster.nodes[0]
        for i in range(rounds):
            t.await_labels()
            if i % 3 == 2:
                node.stop()
            else:
                node.kill()
                t.kills += 1
            t.run_for(world.rng.uniform(0, 3))
            node.start()
            world.tick()
    return done


def leader_kill(world, rounds):
    """Of three brokers, the one that leads most is killed."""
    done = []
    with trial(world, done, nodes=3) as t:
        topics = t.service.events, t.service.labels
        for _ in range(rounds):
            await_copies(t.oracle, topics, 3)
            t.await_labels()
            led = [n for topic in topics
                   for n in t.oracle.leaders(topic).values()]
            node = t.cluster.node(max(set(led), key=led.count))
            node.kill()
            t.kills += 1
            t.run_for(world.rng.uniform(1, 4))
            t.await_labels()
            node.start()
            world.tick()
    return done


def network(world, rounds):
    """Cut, mute or late, by turns."""
    done = []
    with trial(world, done, through_proxy=True) as t:
        proxy = t.cluster.nodes[0].proxy
        for i in range(rounds):
            t.await_labels()
            if i % 3 == 0:
                proxy.cut()
            elif i % 3 == 1:
                proxy.mute()
            else:
                proxy.delay = world.rng.uniform(0.05, 0.3)
            t.run_for(world.rng.uniform(1, 1.5 * SESSION_MS / 1000))
            proxy.heal()
            world.tick()
    return done


# ---- topics ----

def retention(world, rounds):
    """Takes what was not read yet. Never silence: the annotators end with
    status 65 and say how to go on; with --accept-reset they do."""
    done = []
    with trial(world, done) as t:
        for _ in range(rounds):
            t.await_labels()
            for daemon in t.annotators:
                daemon.send(signal.SIGSTOP)
            t.run_for(2 * SESSION_MS / 1000)
            t.book.flush()
            ends = t.oracle.ends(t.service.events)
            t.oracle.truncate(t.service.events,
                              {p: end - 5 for p, end in ends.items()})
            t.book.expire()
            for daemon in t.annotators:
                daemon.send(signal.SIGCONT)
            for daemon in t.annotators:
                status = daemon.wait(PROGRESS_S)
                if status != 65 or "--accept-reset" not in daemon.said():
                    raise Failure(f"status {status}; {daemon.tail()}")
            t.annotators.clear()
            t.service.daemons[:] = [t.trainer]
            reset = t.join(args=["--accept-reset"])
            t.await_labels()
            reset.stop()
            t.annotators.clear()
            t.join()
            t.join()
            world.tick()
    if not t.failures and t.account.expired == 0:
        t.failures.append("nothing was taken by retention")
    return done


def topic_missing(world, rounds):
    """Everybody starts at once where there is no topic: one creates it."""
    done = []
    for _ in range(rounds):
        with trial(world, done, create=False) as t:
            names = {t.service.events, t.service.labels, t.service.dead}
            end = time.monotonic() + PROGRESS_S
            while not names <= t.oracle.topics():
                t.service.assert_alive()
                if time.monotonic() > end:
                    raise Failure("topics are missing\n" + t.service.tails())
                time.sleep(0.1)
            t.book = t.service.book()
            t.issued_until = time.monotonic()
            t.run_for(1)
            t.await_labels()
        world.tick()
    return done


def partitions_added(world, rounds):
    """The labels topic grows first, or the events topic does: then its
    new partitions wait until the other has as many."""
    done = []
    with trial(world, done) as t:
        for i in range(rounds):
            t.await_labels()
            count = t.book.partitions + 1
            if i % 2 == 0:
                t.oracle.grow(t.service.labels, count)
                t.run_for(0.5)
                t.book.grow(count)
            else:
                t.book.grow(count)
                t.run_for(3)
                t.oracle.grow(t.service.labels, count)
            t.run_for(1)
            t.await_labels()
            world.tick()
    return done


KILLS = {
    kill_annotator: 0.25, kill_trainer: 0.25, kill_both: 0.1,
    kill_transactional: 0.1, kill_sampling: 0.05,
    crash_point: 0.25,
}
OTHERS = (zombie, sigterm, members, broker_kill, network, retention,
          topic_missing, partitions_added, leader_kill)
KINDS = {f.__name__: f for f in (*KILLS, *OTHERS)}
