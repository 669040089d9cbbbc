#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checks can fail: the tally of tests, layers, words, sizes."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import ROOT, Case, main  # noqa: E402

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"


class TestTally(Case):
    def tally(self, *scripts):
        paths = []
        for i, script in enumerate(scripts):
            paths.append(self.write(f"test_{i}", "#!/bin/sh\n" + script))
            os.chmod(paths[-1], 0o755)
        return subprocess.run(
            [os.path.join(ROOT, "tests/support/tally.sh"), *paths],
            env={**os.environ, "OUT": self.path("out"), "TEST_S": "1"},
            capture_output=True, text=True, check=False)

    def assert_tally(self, last, status, *scripts):
        done = self.tally(*scripts)
        self.assertEqual(done.stdout.splitlines()[-1], last, done.stdout)
        self.assertEqual(done.returncode, status)

    def test_sums_results(self):
        self.assert_tally("5 passed, 0 failed, 1 skipped", 0,
                          "echo 2 passed, 0 failed",
                          "echo 3 passed, 0 failed, 1 skipped")

    def test_counts_failures(self):
        self.assert_tally("4 passed, 2 failed", 1,
                          "echo 1 passed, 2 failed; exit 1",
                          "echo 3 passed, 0 failed")

    def test_counts_crash_after_result(self):
        self.assert_tally("3 passed, 1 failed", 1,
                          "echo 3 passed, 0 failed; kill -SEGV $$")

    def test_counts_missing_result(self):
        self.assert_tally("0 passed, 1 failed", 1, "echo all is well")

    def test_counts_test_of_nothing(self):
        self.assert_tally("0 passed, 1 failed", 1, "echo 0 passed, 0 failed")

    def test_stops_hanging_test(self):
        self.assert_tally("0 passed, 1 failed", 1, "read x </dev/zero")

    def test_fails_without_tests(self):
        self.assert_tally("0 passed, 0 failed", 1)


class TestSource(Case):
    def setUp(self):
        super().setUp()
        shutil.copytree(os.path.join(ROOT, ".ci"), self.path(".ci"))
        self.write("Makefile", "all:\n")
        self.write("tests/unit/test_ok.c", SPDX)
        self.write("stages/train/ok.c",
                   SPDX + '#include "stages/event/x.h"\n#include <stdio.h>\n')
        subprocess.run(["git", "init", "-q", self.dir], check=True)

    def check(self, name):
        subprocess.run(["git", "-C", self.dir, "add", "-A"], check=True)
        return subprocess.run([self.path(".ci", name)], capture_output=True,
                              text=True, check=False)

    def assert_refuses(self, name, path, text, what):
        self.assertEqual(self.check(name).returncode, 0)
        self.write(path, text)
        done = self.check(name)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn(what, done.stdout)

    def test_layers_refuse_other_stage(self):
        self.assert_refuses("layers", "stages/train/a.c",
                            SPDX + '#include "stages/emit/emit.h"\n',
                            "stages/train/a.c:2: must not include")

    def test_layers_refuse_upward_include(self):
        self.assert_refuses("layers", "daemon/base/a.c",
                            '#include "daemon/io/loop.h"\n',
                            "daemon/base/a.c:1: must not include")

    def test_layers_refuse_model_that_does_io(self):
        self.assert_refuses("layers", "stages/model/a.h",
                            '#include "daemon/io/file.h"\n',
                            "stages/model/a.h:1: must not include")

    def test_layers_refuse_foreign_library(self):
        self.assert_refuses("layers", "stages/model/a.c",
                            "#include <cblas.h>\n", "<cblas.h>")

    def test_words_refuse_exit(self):
        self.assert_refuses("words", "stages/train/a.c",
                            SPDX + "void f(void) { exit(1); }\n",
                            "outside of main.c")

    def test_words_refuse_unbounded_copy(self):
        self.assert_refuses("words", "stages/train/a.c",
                            SPDX + "void f(char *a) { strcpy(a, a); }\n",
                            "unbounded")

    def test_words_refuse_missing_license_line(self):
        self.assert_refuses("words", "stages/train/a.c", "int x;\n",
                            "no SPDX line")

    def test_sizes_refuse_long_function(self):
        body = "    x++;\n" * 71
        self.assert_refuses("sizes", "stages/train/a.c",
                            "int\nf(void)\n{\n" + body + "}\n",
                            "function of 71 lines")

    def test_sizes_refuse_long_file(self):
        self.assert_refuses("sizes", "stages/train/a.c", "\n" * 801,
                            "longer than 800 lines")


if __name__ == "__main__":
    main()
