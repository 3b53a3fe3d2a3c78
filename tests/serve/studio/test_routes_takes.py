"""The library over HTTP: finding, naming, taking along, deleting, making again."""

import io

import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="module")
def client(open_studio, new_address, tmp_path_factory):
    """A studio for the tests of this file, with each kind of database."""
    directory = tmp_path_factory.mktemp("library")
    with open_studio(directory, database=_as_text(new_address(directory))) as opened:
        yield opened


def _as_text(address):
    return address if isinstance(address, str) else f"sqlite:///{address}"


@pytest.fixture(scope="module")
def takes(client, finished) -> list[dict]:
    """Four takes, the oldest first."""
    made = []
    for text, duration, tags in (
        ("slow waltz", 0.5, ["calm"]),
        ("fast techno, 50% louder", 1.0, ["calm", "club"]),
        ("slow ballad", 0.7, []),
        ("SLOW Straße", 0.3, ["clubs"]),
    ):
        asked = {"text": text, "duration": duration, "seed": 3, "tags": tags}
        generation = client.post("/v1/generations", json=asked).json()
        made += finished(client, generation["id"])["takes"]
    return made


def titles(client, query: str) -> list[str]:
    return [take["title"] for take in client.get(f"/v1/takes?{query}").json()["items"]]


def test_search_sort_and_filters(client, takes):
    names = [take["title"] for take in takes]
    assert titles(client, "") == names[::-1]
    assert titles(client, "sort=oldest") == names
    assert titles(client, "sort=longest") == [names[i] for i in (1, 2, 0, 3)]
    assert titles(client, "sort=shortest") == [names[i] for i in (3, 0, 2, 1)]
    assert titles(client, "sort=title") == sorted(names, key=str.lower)
    assert titles(client, "query=slow+waltz") == [names[0]]
    assert titles(client, "query=STRASSE") == []
    assert titles(client, "query=stra%C3%9Fe") == [names[3]]
    assert titles(client, "query=%25") == [names[1]]  # a letter like any other
    assert titles(client, "query=_") == []
    assert titles(client, "tag=club") == [names[1]]
    assert titles(client, "model=tiny") == names[::-1]
    assert titles(client, "model=other") == []
    assert client.get("/v1/takes?sort=worst").status_code == 422


@pytest.mark.parametrize("sort", ["newest", "oldest", "title", "longest", "shortest"])
def test_pages_join(client, takes, sort):
    found, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/v1/takes?sort={sort}&limit=3{cursor and '&cursor=' + cursor}").json()
        found += [take["id"] for take in page["items"]]
        cursor = page["next"]
    assert found == [take["id"] for take in client.get(f"/v1/takes?sort={sort}").json()["items"]]
    assert client.get(f"/v1/takes?sort={sort}&cursor=bm8").status_code == 422


def test_star_tag_and_title(client, takes):
    name = takes[2]["id"]
    reply = client.patch(f"/v1/takes/{name}", json={"starred": True, "tags": ["x", "y", "x"], "title": " Évening "})
    assert reply.status_code == 200
    take = client.get(f"/v1/takes/{name}").json()
    assert (take["starred"], take["tags"], take["title"]) == (True, ["x", "y"], "Évening")
    assert titles(client, "starred=true") == ["Évening"]
    assert titles(client, "query=%C3%A9vening+y") == ["Évening"]
    assert client.patch(f"/v1/takes/{name}", json={}).json() == take
    client.patch(f"/v1/takes/{name}", json={"starred": False, "tags": [], "title": takes[2]["title"]})
    for wrong in ({"title": "x" * 201}, {"tags": [""]}, {"tags": ["a"] * 33}, {"seed": 1}):
        assert client.patch(f"/v1/takes/{name}", json=wrong).status_code == 422
    half = client.patch(
        f"/v1/takes/{name}", content=b'{"title": "\\ud800"}', headers={"content-type": "application/json"}
    )
    assert half.status_code == 422  # half a letter
    assert client.patch("/v1/takes/none", json={}).status_code == 404


def test_every_format_and_parts_of_it(client, takes):
    take = takes[1]
    for form, kind in (("flac", "audio/flac"), ("wav", "audio/wav"), ("mp3", "audio/mpeg"), ("opus", "audio/ogg")):
        reply = client.get(f"/v1/takes/{take['id']}/audio?format={form}&download=1")
        assert reply.headers["content-type"] == kind
        name = f"fast-techno-50-louder-3.{form}"
        assert reply.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert soundfile.info(io.BytesIO(reply.content)).duration == pytest.approx(1.0, abs=0.05)
        part = client.get(f"/v1/takes/{take['id']}/audio?format={form}", headers={"Range": "bytes=100-199"})
        assert part.status_code == 206
        assert part.content == reply.content[100:200]
    assert client.get(f"/v1/takes/{take['id']}/audio?format=aiff").status_code == 422


def test_pictures(client, takes):
    reply = client.get(f"/v1/takes/{takes[1]['id']}/peaks").json()
    assert reply["seconds"] == 1.0
    assert len(reply["peaks"]) == 1200
    assert all(-1 <= low <= high <= 1 for low, high in reply["peaks"])
    picture = client.get(f"/v1/takes/{takes[1]['id']}/spectrogram.png")
    assert picture.headers["content-type"] == "image/png"
    assert client.get(f"/v1/takes/{takes[1]['id']}/spectrogram.png").content == picture.content
    assert client.get("/v1/takes/none/peaks").status_code == 404
    assert client.get("/v1/takes/none/spectrogram.png").status_code == 404


def test_rendered_again_it_is_the_same(client, finished, takes):
    reply = client.post(f"/v1/takes/{takes[0]['id']}/render")
    assert reply.status_code == 202
    again = finished(client, reply.json()["id"])["takes"][0]
    assert again["seed"] == takes[0]["seed"]
    one, other = (client.get(f"/v1/takes/{take['id']}/audio").content for take in (takes[0], again))
    assert np.array_equal(*(soundfile.read(io.BytesIO(content))[0] for content in (one, other)))
    assert client.delete(f"/v1/takes/{again['id']}").status_code == 204
    assert client.post("/v1/takes/none/render").status_code == 404


def test_deleted_it_is_gone(client, finished):
    asked = {"text": "to be deleted", "duration": 0.2, "count": 2}
    generation = client.post("/v1/generations", json=asked).json()["id"]
    first, second = finished(client, generation)["items"]
    directory = client.app.state.studio.library.directory
    client.get(f"/v1/takes/{first}/audio?format=wav")
    assert len(list(directory.rglob(f"{first}*"))) == 3
    assert client.delete(f"/v1/takes/{first}").status_code == 204
    assert not list(directory.rglob(f"{first}*"))
    assert client.get(f"/v1/takes/{first}").status_code == 404
    assert client.get(f"/v1/takes/{first}/audio").status_code == 404
    assert client.delete(f"/v1/takes/{first}").status_code == 404
    assert client.get(f"/v1/generations/{generation}").json()["items"] == [second]
    client.delete(f"/v1/takes/{second}")
    assert client.get(f"/v1/generations/{generation}").status_code == 404


def test_what_is_needed_or_being_made_is_not_deleted(client, finished, takes):
    asked = {"text": "long", "duration": 500.0, "prompt": takes[0]["id"]}
    generation = client.post("/v1/generations", json=asked).json()
    assert client.delete(f"/v1/takes/{takes[0]['id']}").status_code == 409
    assert client.delete(f"/v1/takes/{generation['items'][0]}").status_code == 409
    client.patch(f"/v1/takes/{generation['items'][0]}", json={"starred": True})
    client.post(f"/v1/generations/{generation['id']}/cancel")
    over = finished(client, generation["id"])["takes"][0]
    assert over["starred"], "what was changed while it was made stays changed"
    client.delete(f"/v1/takes/{over['id']}")
