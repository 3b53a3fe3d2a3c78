"""What every test runs under: one thread per process, shapes checked at every call."""

import importlib.util
import os
import signal
import sys

# Before torch is imported anywhere: tests are many and tiny, and a second thread costs more than it gives.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # tests marked `network` remove it for themselves

# Some machines are told to keep no compiled files. Then every worker and every program that a test starts would compile
# all of the package anew, with its checks: 8 s of a core. They lie in __pycache__, where Python puts them by itself.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that starts the tests in the background makes them ignore Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest

import typecheck

typecheck.install()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, whatever markers were asked for."""
    import torch

    reasons = {}
    if not torch.cuda.is_available():
        reasons["gpu"] = "no CUDA device"
    if os.environ.get("CADENZA_NETWORK") != "1":
        reasons["network"] = "CADENZA_NETWORK=1 allows downloads"
    if importlib.util.find_spec("playwright") is None:
        reasons["browser"] = "playwright is not installed"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
