"""A library whose database is lost has its takes still."""

import pytest

from cadenza.errors import UserError
from cadenza.pipelines.take import Take as Record
from cadenza.serve.studio.adopting import adopt, asked_of
from cadenza.serve.studio.library import Library
from cadenza.serve.studio.tables import Database
from cadenza.testing import noise


def test_takes_come_back_without_their_database(open_studio, finished, tmp_path):
    with open_studio(tmp_path) as client:
        asked = {"text": [[0, "calm"], [0.2, "loud"]], "duration": 0.4, "seed": 6, "top_k": 9}
        before = finished(client, client.post("/v1/generations", json=asked).json()["id"])["takes"][0]
        peaks = client.get(f"/v1/takes/{before['id']}/peaks").json()
    for path in tmp_path.glob("studio.sqlite*"):
        path.unlink()
    noise(0.1).write(tmp_path / "takes" / "foreign.flac")
    (tmp_path / "takes" / f"{before['id']}.json").unlink()
    with open_studio(tmp_path) as client:
        (after,) = client.get("/v1/takes").json()["items"]
        same = ("id", "title", "text", "seed", "model", "duration", "sample_rate", "channels", "complete", "status")
        assert {name: after[name] for name in same} == {name: before[name] for name in same}
        assert after["loudness_lufs"] == pytest.approx(before["loudness_lufs"], abs=0.05)
        assert after["asked"]["text"] == asked["text"]
        assert after["asked"]["top_k"] == 9
        drawn = client.get(f"/v1/takes/{before['id']}/peaks").json()
        assert len(drawn["peaks"]) == len(peaks["peaks"])
        assert client.get(f"/v1/generations/{after['generation']}").json()["status"] == "done"
        assert client.post(f"/v1/takes/{after['id']}/render").status_code == 202
    database = Database(tmp_path / "studio.sqlite")
    assert adopt(Library(tmp_path, database, 1.0)) == 0
    database.close()


def test_settings_that_a_studio_does_not_take(tiny):
    record = Record.from_metadata(tiny.generate("x", 0.1, 2**60).metadata)
    with pytest.raises(UserError, match="beyond what a studio takes"):
        asked_of(record)
