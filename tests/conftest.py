"""Settings that every test runs with, also when pytest is started by hand."""

import os

from tools.run_tests import SETTINGS

for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)
