#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""conf/distilld.service, as far as systemd's own tools judge it."""

import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import ROOT, Case, binary, main  # noqa: E402

UNIT = os.path.join(ROOT, "conf", "distilld.service")


class TestUnit(Case):
    def setUp(self):
        super().setUp()
        with open(UNIT, encoding="utf-8") as f:
            self.text = f.read()
        # The tools look whether the program is there.
        self.unit = self.write("distilld.service", self.text.replace(
            "/usr/local/bin/distilld", binary()))

    def analyze(self, *args):
        done = subprocess.run(["systemd-analyze", *args, self.unit],
                              capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    @unittest.skipIf(shutil.which("systemd-analyze") is None,
                     "no systemd-analyze")
    def test_systemd_understands_it_and_finds_it_closed(self):
        self.assertNotIn("distilld.service:", self.analyze("verify"))
        found = re.search(r"exposure level for distilld.service: ([0-9.]+)",
                          self.analyze("security", "--offline=true"))
        self.assertLess(float(found.group(1)), 2.0)

    def test_a_stop_has_longer_than_draining_may_take(self):
        stop = int(re.search(r"TimeoutStopSec=(\d+)s", self.text).group(1))
        done = self.run_daemon("config", "reference")
        drain = int(re.search(r"^# *shutdown_timeout: (\d+)s|"
                              r"^shutdown_timeout: (\d+)s",
                              done.stdout, re.M).group(0).split()[-1][:-1])
        self.assertGreater(stop, drain)

    def test_what_a_restart_cannot_mend_is_not_restarted(self):
        """The statuses that say so are the program's own."""
        line = re.search(r"RestartPreventExitStatus=(.*)", self.text).group(1)
        for status, args in ((64, ["run"]),
                             (66, ["run", "-c", "/nowhere.yaml"]),
                             (78, ["run", "-c", self.write("b.yaml", "a: 1")])):
            self.assertIn(str(status), line.split())
            self.run_daemon(*args, status=status)


if __name__ == "__main__":
    main()
