"""When a run is asked to end early."""

import os
import signal

import pytest

from cadenza.train import stopping
from cadenza.train.stopping import Wishes, stop_wishes


def test_the_first_signal_asks_and_a_later_one_insists(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    with stop_wishes(said.append) as stop:
        assert not any(stop().signals)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop() == Wishes((True, False, False), False)
        os.kill(os.getpid(), signal.SIGINT)  # passed on twice: by the terminal and by torchrun
        assert said == ["stopping after this update"]
        monkeypatch.setattr(stopping, "INSIST_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_scheduler_never_insists(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stopping, "INSIST_SECONDS", 0.0)
    with stop_wishes(print) as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop().signals == (False, True, False)


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with stop_wishes(print) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not any(stop().signals)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which these tests may have been started with, or not
        with stop_wishes(print) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop().signals == (False, False, True)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_time_runs_out():
    with stop_wishes(print, minutes=60) as stop:
        assert not stop().time
    with stop_wishes(print, minutes=1e-12) as stop:
        assert stop().time
