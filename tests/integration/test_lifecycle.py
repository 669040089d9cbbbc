#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping, and starting again in the same directories."""

import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from admin import AdminPort  # noqa: E402
from integration import main, wait_until  # noqa: E402
from stream import StreamCase, sample_lines  # noqa: E402

NO_TEACHER = {"kind": "none", "learn": None, "checkpoint": None}


class LifeCase(StreamCase):
    def setUp(self):
        super().setUp()
        self.lines = sample_lines(12000)
        self.write_events(self.lines)

    def flip(self, *parts):
        """Flips one bit in the middle of a file."""
        with open(self.path(*parts), "r+b") as f:
            f.seek(self.size(*parts) // 2)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 1]))

    def undisturbed(self):
        self.run_all()
        wanted = self.outcome()
        self.whole = self.size("run", "labels.ndjson")
        self.forget()
        return wanted


class TestStop(AdminPort, LifeCase):
    def start_and_wait(self, log):
        """Starts a run and waits until both of its roles did something that
        the runs before it had not done."""
        process = self.start_all(log=log)
        self.port = self.find_port(process, log)
        self.wait_trained(2000)
        self.wait_labels(2000)
        return process

    def assert_stops_and_goes_on(self, name):
        self.write_events(sample_lines(40000))
        self.configure(admin={"listen": "127.0.0.1:0"},
                       checkpoint={"every": 1000000},
                       teacher={"checkpoint": {"every": 1000000},
                                "model": {"hidden": [768, 512]}})
        wanted = self.undisturbed()
        for log in ("first.log", "second.log"):
            process = self.start_and_wait(log)
            process.send_signal(name)
            process.wait(timeout=60)
            self.assertEqual(process.returncode, 0, self.read(log))
            self.assertLess(self.size("run", "labels.ndjson"), self.whole)
        self.assertEqual(self.versions("run", "checkpoints"), [1, 2])
        self.assertEqual(self.versions("run", "teacher"), [1, 2])
        self.assertEqual(self.versions("run", "models"), [])
        self.assert_sound_checkpoints()
        self.run_all()
        self.assertEqual(self.outcome(), wanted)

    def assert_sound_checkpoints(self):
        for part in ("checkpoints", "teacher"):
            self.run_daemon("inspect", self.path("run", part), "--verify")

    def test_sigterm_saves_and_exits_0(self):
        self.assert_stops_and_goes_on(signal.SIGTERM)

    def test_sigint_does_the_same(self):
        self.assert_stops_and_goes_on(signal.SIGINT)

    def test_restart_after_the_end_changes_nothing(self):
        self.configure(publish={"every": 4000})
        self.run_all()
        before = self.outcome()
        versions = [self.versions("run", part)
                    for part in ("checkpoints", "teacher", "models")]
        for _ in range(2):
            self.run_all()
        self.assertEqual(self.outcome(), before)
        self.assertEqual(versions, [
            self.versions("run", part)
            for part in ("checkpoints", "teacher", "models")])

    def test_a_stream_that_grew_goes_on(self):
        self.configure()
        wanted = self.undisturbed()
        cut = 256 * 20  # at a batch, so that both ways cut the same ones
        self.write_events(self.lines[:cut])
        self.run_all()
        self.assertEqual(self.versions("run", "models")[-1],
                         self.versions("run", "checkpoints")[-1])
        self.write_events(self.lines)
        self.run_all()
        self.assertEqual(self.outcome(), wanted)


class TestLock(LifeCase):
    def test_second_run_exits_69_and_names_the_holder(self):
        self.write_events(sample_lines(60000))
        self.configure()
        process = self.start_all()
        wait_until(lambda: self.size("run", "labels.ndjson") > 0,
                   what="labels")
        process.send_signal(signal.SIGSTOP)
        for second in (
                {},
                {"labels": {"path": self.path("other", "labels.ndjson")}},
                {"roles": ["train"]}):
            self.configure("second", **{
                "labels": {"path": self.path("run", "labels.ndjson")},
                "dead_letters": {"path": self.path("second", "dead")},
                "teacher": {"checkpoint": {
                    "path": self.path("second", "teacher")}},
                "checkpoint": {"path": self.path("run", "checkpoints")},
                **second})
            done = self.run_all(name="second", status=69)
            self.assertIn(str(process.pid), done.stderr)
        process.send_signal(signal.SIGCONT)
        self.assertEqual(process.wait(timeout=60), 0)
        self.run_all(name="second", status=0)


class TestCorrupt(LifeCase):
    def test_corrupt_version_is_set_aside_and_the_one_before_used(self):
        self.write_events(sample_lines(50000))
        self.configure()
        wanted = self.undisturbed()
        process = self.start_all()
        wait_until(lambda: process.poll() is not None or (
            len(self.versions("run", "checkpoints")) >= 2 and
            len(self.versions("run", "teacher")) >= 2), what="versions")
        process.kill()
        self.assertNotEqual(process.wait(), 0)
        for part, file in (("checkpoints", "model.safetensors"),
                           ("teacher", "state.safetensors")):
            versions = self.versions("run", part)
            self.assertGreaterEqual(len(versions), 2)
            self.flip("run", part, str(versions[-1]), file)
        newest = self.versions("run", "checkpoints")[-1]
        done = self.run_all()
        self.assertEqual(done.stderr.count("checkpoint_set_aside"), 2)
        self.assertIn(f"version={newest}", done.stderr)
        self.assertIn("SHA-256", done.stderr)
        self.assertEqual(self.outcome(), wanted)
        self.assertTrue(os.path.isdir(
            self.path("run", "checkpoints", f"{newest}.corrupt")))
        self.assertNotIn(newest, self.versions("run", "checkpoints"))
        self.assertGreater(self.versions("run", "checkpoints")[-1], newest)
        self.assert_sound()

    def test_no_valid_version_is_an_error_and_nothing_is_trained(self):
        self.configure(teacher=NO_TEACHER)
        self.run_all()
        for version in self.versions("run", "checkpoints"):
            self.flip("run", "checkpoints", str(version),
                      "model.safetensors")
        done = self.run_all(status=65)
        self.assertIn("no version in it is valid", done.stderr)
        self.assertEqual(self.versions("run", "checkpoints"), [])
        self.run_all(status=65)

    def test_truncated_manifest_is_set_aside(self):
        self.configure(teacher=NO_TEACHER)
        wanted = self.undisturbed()
        self.run_all()
        newest = str(self.versions("run", "checkpoints")[-1])
        os.truncate(self.path("run", "checkpoints", newest,
                              "manifest.json"), 100)
        shutil.rmtree(self.path("run", "models"))
        self.run_all()
        self.assertEqual(self.outcome(), wanted)


class TestLostLogs(LifeCase):
    def test_labels_behind_the_teacher_are_an_error(self):
        self.configure()
        self.run_all()
        os.truncate(self.path("run", "labels.ndjson"), 5000)
        done = self.run_all(status=65)
        self.assertIn("ends before what the teacher's checkpoint",
                      done.stderr)
        os.remove(self.path("run", "labels.ndjson"))
        self.run_all(status=65)

    def test_labels_behind_the_trainer_need_accept_reset(self):
        self.configure(teacher=NO_TEACHER)
        self.run_all()
        trained = self.outcome()
        state = "checkpoints/latest/model.safetensors"
        versions = self.versions("run", "checkpoints")
        self.configure(teacher=NO_TEACHER, roles=["train"])
        # Shorter than the position, and then with no line there.
        with open(self.path("run", "labels.ndjson"), "rb") as f:
            labels = f.read().splitlines(keepends=True)
        for kept in (labels[:5000], [labels[0][:-1] + b" \n"] + labels[1:]):
            self.write("run/labels.ndjson", b"".join(kept))
            done = self.run_all(status=65)
            self.assertIn("--accept-reset", done.stderr)
            self.assertEqual(self.versions("run", "checkpoints"), versions)
        # From the beginning, but nothing is trained a second time.
        self.run_all("--accept-reset")
        self.assertEqual(self.outcome()[state], trained[state])

    def test_replaced_events_are_an_error_with_a_way_out(self):
        self.configure(teacher=NO_TEACHER)
        self.run_all()
        labels = self.digest("run", "labels.ndjson")
        self.write_events(self.lines[:2000])
        done = self.run_all(status=65)
        self.assertIn("replaced or cut", done.stderr)
        done = self.run_all("--accept-reset")
        self.assertIn("labels.generation", done.stderr)
        self.assertEqual(self.digest("run", "labels.ndjson"), labels)
        # The way out: events of another file are labeled anew.
        self.configure(teacher=NO_TEACHER, labels={"generation": 1})
        before = self.manifest("run", "checkpoints")["training"]["examples"]
        self.run_all()
        after = self.manifest("run", "checkpoints")["training"]["examples"]
        self.assertEqual(after - before, 2000)


class TestVersions(LifeCase):
    def test_keep_and_every_are_honored(self):
        self.configure(teacher=NO_TEACHER,
                       checkpoint={"every": 1000, "keep": 2},
                       publish={"every": 3000, "keep": 3})
        self.run_all()
        kept = self.versions("run", "checkpoints")
        self.assertEqual(len(kept), 2)
        published = self.versions("run", "models")
        self.assertGreaterEqual(len(published), 1)
        self.assertLessEqual(len(published), 3)
        self.assertEqual(published[-1], kept[-1])
        for part in ("checkpoints", "models"):
            self.assertEqual(
                os.readlink(self.path("run", part, "latest")), str(kept[-1]))
        files = set(os.listdir(self.path("run", "models", "latest")))
        self.assertEqual(files, {"model.safetensors", "manifest.json"})

    def test_a_version_pruned_before_it_was_published_does_no_harm(self):
        self.configure(teacher=NO_TEACHER, train={"batch": 32},
                       checkpoint={"every": 32, "keep": 1},
                       publish={"every": 32, "keep": 1})
        self.write_events(self.lines[:4000])
        self.run_all()
        self.assertEqual(self.versions("run", "models"),
                         self.versions("run", "checkpoints"))

    def test_what_was_not_published_is_published_at_the_next_start(self):
        self.configure(teacher=NO_TEACHER)
        self.run_all(crash=True, status=-signal.SIGKILL, env={
            "DISTILLD_CRASHPOINT": "publish_before_rename"})
        self.assertEqual(self.versions("run", "models"), [])
        newest = self.versions("run", "checkpoints")
        self.run_all()
        self.assertEqual(self.versions("run", "checkpoints"), newest)
        self.assertEqual(self.versions("run", "models"), newest[-1:])
        self.assert_sound()

    def test_a_failed_start_leaves_no_version(self):
        self.configure(teacher=NO_TEACHER, roles=["train"])
        self.run_all(status=66)
        self.assertEqual(self.versions("run", "checkpoints"), [])


if __name__ == "__main__":
    main()
