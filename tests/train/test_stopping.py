"""When a run is asked to end early."""

import os
import signal

import pytest

from cadenza.train import stopping
from cadenza.train.stopping import stop_wishes


def test_the_first_signal_asks_and_a_later_one_insists(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    with stop_wishes(said.append) as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        os.kill(os.getpid(), signal.SIGINT)  # passed on twice: by the terminal and by torchrun
        assert said == ["stopping after this update"]
        monkeypatch.setattr(stopping, "INSIST_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_time_runs_out():
    with stop_wishes(print, minutes=60) as stop:
        assert not stop()
    with stop_wishes(print, minutes=1e-12) as stop:
        assert stop()
