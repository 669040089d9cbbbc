#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The schemas agree with their examples: tests/support/validate_schemas.py."""

import pathlib
import runpy

runpy.run_path(
    str(pathlib.Path(__file__).parents[1] / "support" / "validate_schemas.py"),
    run_name="__main__",
)
