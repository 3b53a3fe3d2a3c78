"""The studio's page as files: what is served, what it may do, and that nothing in it leads out of this machine."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cadenza.serve.studio.routes_page import PAGE, page_router, static_files


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(page_router())
    with TestClient(app, base_url="http://127.0.0.1:8764") as client:
        yield client


class Elements(HTMLParser):
    """Every element of the page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def page_elements(client: TestClient) -> list[tuple[str, dict[str, str | None]]]:
    return Elements(client.get("/").text).found


def test_the_page_may_run_files_of_its_own_and_nothing_else(client: TestClient) -> None:
    answer = client.get("/")
    policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    nonce = re.fullmatch(r"'self' 'nonce-([\w-]{20,})'", policy["style-src"])
    assert nonce is not None and f'name="style-nonce" content="{nonce[1]}"' in answer.text
    assert nonce[1] not in client.get("/").text  # another one each time
    for tag, attributes in page_elements(client):
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        assert tag != "style" and (tag != "script" or attributes["src"])


def test_everything_that_the_page_names_is_there(client: TestClient) -> None:
    named = [
        value
        for _, attributes in page_elements(client)
        for name, value in attributes.items()
        if name in ("src", "href") and value and value.startswith("/static/")
    ]
    assert len(named) > 20
    for address in named:
        assert client.get(address).status_code == 200, address


def test_all_modules_are_fetched_at_once_and_not_one_after_the_other(client: TestClient) -> None:
    hurried = {
        attributes["href"] for tag, attributes in page_elements(client) if attributes.get("rel") == "modulepreload"
    }
    imported = set()
    for name, path in static_files().items():
        if name.startswith("studio/") and path.suffix == ".js":
            for target in re.findall(r'^import .*? from "(.+?)";$', path.read_text(), re.MULTILINE):
                imported.add(target if target.startswith("/") else f"/static/studio/{target.removeprefix('./')}")
    assert imported == hurried


def test_only_the_files_of_the_list_are_served(client: TestClient) -> None:
    for name in (
        "studio.html",
        "../routes_page.py",
        "studio/../studio.html",
        "%2e%2e/__init__.py",
        "vendor/README.md",
        "",
    ):
        assert client.get(f"/static/{name}").status_code == 404, name
    assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_a_file_that_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/static/studio/studio.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = client.get("/static/studio/studio.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_who_can_unpack_gets_less_to_load(client: TestClient) -> None:
    for address in ("/", *(f"/static/{name}" for name in static_files() if not name.endswith(".woff2"))):
        packed = client.get(address)
        plain = client.get(address, headers={"Accept-Encoding": "identity"})
        assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
        assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
        if address != "/":  # each page has a number of its own
            assert packed.content == plain.content and packed.headers["etag"] == plain.headers["etag"]


def test_nothing_of_ours_names_another_machine() -> None:
    ours = [PAGE / "studio.html", *(path for name, path in static_files().items() if name.startswith("studio/"))]
    for path in ours:
        found = re.findall(r"(?:https?|wss?):?//[^\s\"'`]*", path.read_text().replace("http://www.w3.org/2000/svg", ""))
        assert not found, (path, found)


def test_what_others_wrote_has_its_licence_beside_it() -> None:
    for folder in {path.parent for name, path in static_files().items() if name.startswith("vendor/")}:
        assert (folder / "LICENSE").is_file()
        assert f"`{folder.name}`" in (PAGE / "vendor" / "README.md").read_text()


def test_every_id_that_scripts_look_up_is_on_the_page(client: TestClient) -> None:
    there = [attributes["id"] for _, attributes in page_elements(client) if attributes.get("id")]
    assert len(there) == len(set(there))
    made = {"prompt-seconds", "part-0"}  # by the scripts themselves
    for name, path in static_files().items():
        if name.startswith("studio/") and path.suffix == ".js":
            missing = set(re.findall(r'\$\("([\w-]+)"\)', path.read_text())) - set(there) - made
            assert not missing, (name, missing)


def test_every_field_has_a_name_and_its_own_line_for_errors(client: TestClient) -> None:
    elements = page_elements(client)
    labels = {attributes.get("for") for tag, attributes in elements if tag == "label"}
    ids = {attributes.get("id") for _, attributes in elements}
    for tag, attributes in elements:
        if tag in ("input", "select", "textarea") and attributes.get("id") not in (
            "keys-on",
            "volume",
        ):  # inside theirs
            assert attributes.get("aria-label") or attributes["id"] in labels, attributes
        for reference in (attributes.get("aria-describedby") or "").split():
            assert reference in ids, reference
