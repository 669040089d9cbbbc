# SPDX-License-Identifier: Apache-2.0
"""What integration tests share: a world of their own, the real binary.

A test file is `class TestX(Case)` and ends with `main()`. Each test gets an
empty folder in self.dir. The binary is that of the build under test (OUT),
or with crash points (CRASH); both come from tests/support/tally.sh.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def binary(crash=False):
    """The path of distilld, or of the one with crash points."""
    folder = (os.environ.get("CRASH", "build/crash") if crash
              else os.environ.get("OUT", "build/none"))
    return os.path.join(ROOT, folder, "distilld")


def wait_until(is_true, seconds=20, what="the condition", pause=0.01):
    """Polls until is_true() and returns its value; fails at the deadline."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = is_true()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


class Case(unittest.TestCase):
    """A test with a folder and ways to run the daemon in it."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="distilld-test-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.started = []
        self.addCleanup(self.kill_started)

    def kill_started(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        """Writes a file into the test's folder and gives its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w" if isinstance(text, str) else "wb") as f:
            f.write(text)
        return path

    def run_daemon(self, *args, status=0, seconds=120, crash=False, env=None):
        """Runs distilld to its end and checks its exit status (None: any)."""
        done = subprocess.run(
            [binary(crash), *args], cwd=self.dir, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=seconds,
            env={**os.environ, **(env or {})}, check=False)
        if status is not None:
            self.assertEqual(done.returncode, status,
                             f"{args}\n{done.stdout}\n{done.stderr}")
        return done

    def start_daemon(self, *args, crash=False, env=None):
        """Starts distilld and lends the process; it is killed at the end."""
        process = subprocess.Popen(
            [binary(crash), *args], cwd=self.dir, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})})
        self.started.append(process)
        return process


def main():
    """Runs the tests of the calling file; ends with the result line."""
    program = unittest.main(module="__main__", exit=False, verbosity=2,
                            warnings="error")
    result = program.result
    failed = (len(result.failures) + len(result.errors)
              + len(result.unexpectedSuccesses))
    skipped = len(result.skipped)
    passed = result.testsRun - failed - skipped
    sys.stderr.flush()
    more = f", {skipped} skipped" if skipped else ""
    print(f"{max(passed, 0)} passed, {failed} failed{more}", flush=True)
    sys.exit(1 if failed else 0)
