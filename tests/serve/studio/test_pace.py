"""How fast it goes: what was measured last counts most, and models are told apart."""

import pytest

from cadenza.serve.studio.pace import Pace


def test_a_steady_pace_is_found_and_a_change_followed():
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.rate("small") is None
    pace.begin("one")
    for _ in range(10):
        now[0] += 0.5
        pace.heard("one", "small", 1.0)
    assert pace.rate("small") == pytest.approx(2.0)
    for _ in range(60):
        now[0] += 1.0
        pace.heard("one", "small", 1.0)
    assert pace.rate("small") == pytest.approx(1.0, abs=0.01)
    assert pace.rates().keys() == {"small"}
    assert pace.seconds_made == 70
    pace.end("one")
