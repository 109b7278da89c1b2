"""session-files under Deno: one call stores, registers and signs; what is refused is not kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import httpx
import pytest

from support.edge import Edge, edge, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Server
    from taximeter.people import Person, Row

FILES = "session-files"
PHOTO = ("Brämse links.JPG", b"\xff\xd8 a photo", "image/jpeg")
SHOWN = {"id", "name", "type", "size", "uploaded_by", "created_at", "url"}
NOTHING_IS_REGISTERED: LiteralString = """
create function private.refuse_files() returns trigger language plpgsql as $$
begin
  raise exception 'the disk is full';
end
$$;
create trigger refuse_files before insert on public.session_files
for each row execute function private.refuse_files();
"""


@dataclass(slots=True)
class Room:
    """A session with the two people in it."""

    edge: Edge
    session: str
    customer: Person
    mechanic: Person

    def upload(self, by: Person | None, file: Any = PHOTO, session: str | None = None) -> Any:
        files = {} if file is None else {"file": file}
        data = {"session_id": session or self.session}
        return self.edge.ask(FILES, by=by, data=data, files=files)

    def listed(self, by: Person | None) -> httpx.Response:
        return self.edge.ask(FILES, by=by, method="GET", params={"session_id": self.session})

    def remove(self, by: Person | None, file_id: str) -> httpx.Response:
        return self.edge.ask(FILES, by=by, method="DELETE", params={"file_id": file_id})

    def stored(self) -> list[Row]:
        with self.edge.served.connect() as connection:
            return connection.execute(
                "select name, metadata from storage.objects where name like %s",
                (f"{self.session}/%",),
            ).fetchall()


@pytest.fixture(scope="module")
def front(server: Server) -> Iterator[Edge]:
    with edge(server, (FILES,), {}) as running:
        yield running


@pytest.fixture
def room(front: Edge) -> Room:
    customer, mechanic = front.served.person("customer"), front.served.mechanic()
    return Room(front, front.served.waiting_session(customer, mechanic), customer, mechanic)


def added(response: httpx.Response) -> Row:
    assert response.status_code == 201, response.text
    file: Row = response.json()["file"]
    assert set(file) == SHOWN
    return file


def test_a_file_is_stored_registered_and_signed_in_one_call(room: Room) -> None:
    """FILE-03: `<session>/<uuid>.<ext>`, 3600 s in caches, a signed address for an hour"""
    file = added(room.upload(room.customer))
    assert {name: file[name] for name in ("name", "type", "size", "uploaded_by")} == {
        "name": PHOTO[0],
        "type": PHOTO[2],
        "size": len(PHOTO[1]),
        "uploaded_by": room.customer.user_id,
    }
    (stored,) = room.stored()
    folder, _, name = stored["name"].partition("/")
    assert folder == room.session
    assert len(name) == len("00000000-0000-4000-8000-000000000000.jpg")
    assert name.endswith(".jpg")
    assert stored["metadata"]["cacheControl"] == "max-age=3600"
    fetched = httpx.get(file["url"], trust_env=False)
    assert (fetched.status_code, fetched.content) == (200, PHOTO[1])
    assert fetched.headers["content-type"] == PHOTO[2]


def test_both_see_the_files_newest_first(room: Room) -> None:
    """FILE-03"""
    first = added(room.upload(room.customer))
    second = added(room.upload(room.mechanic, ("b.txt", b"b", "text/plain")))
    for person in (room.customer, room.mechanic):
        files = room.listed(person).json()["files"]
        assert [file["id"] for file in files] == [second["id"], first["id"]]
        assert all(set(file) == SHOWN for file in files)
        assert httpx.get(files[1]["url"], trust_env=False).content == PHOTO[1]


def test_what_cannot_be_signed_has_no_address(room: Room) -> None:
    """FILE-03: an admin sees the rows, and the storage shows its objects to participants only"""
    added(room.upload(room.customer))
    (file,) = room.listed(room.edge.served.operator()).json()["files"]
    assert file["url"] is None


def test_who_added_a_file_takes_it_away_object_and_row(room: Room) -> None:
    """FILE-03: nobody else may, and after the end nobody"""
    file = added(room.upload(room.customer))
    stranger = room.edge.served.person("stranger")
    assert said(room.remove(stranger, file["id"])) == (404, "file_not_found")
    assert said(room.remove(room.mechanic, file["id"])) == (403, "role_required")
    assert len(room.stored()) == 1
    removed = room.remove(room.customer, file["id"])
    assert (removed.status_code, removed.json()) == (200, {"file": {"id": file["id"]}})
    assert room.stored() == []
    assert room.listed(room.customer).json() == {"files": []}
    assert said(room.remove(room.customer, file["id"])) == (404, "file_not_found")


def test_after_the_end_files_stay_and_none_comes(room: Room) -> None:
    """FILE-03, FILE-01"""
    file = added(room.upload(room.customer))
    room.customer.row("end_session_with_semantics", p_session_id=room.session)
    assert said(room.upload(room.customer)) == (410, "session_ended")
    assert said(room.remove(room.customer, file["id"])) == (410, "session_ended")
    assert len(room.stored()) == 1
    (kept,) = room.listed(room.customer).json()["files"]
    assert httpx.get(kept["url"], trust_env=False).content == PHOTO[1]


def test_refused_requests_change_nothing(room: Room) -> None:
    """EDGE-01, FILE-03: nobody's, somebody else's and malformed requests of every kind"""
    stranger, served = room.edge.served.person("stranger"), room.edge.served
    file = added(room.upload(room.customer))
    expired = served.token(sub=room.customer.user_id, role="authenticated", exp=time.time() - 60)
    forged = expired[:-4] + "AAAA"
    before, stored = room.edge.fingerprint(), room.edge.one("select count(*) from storage.objects")

    for response in (
        room.upload(stranger),
        room.listed(stranger),
        room.upload(room.customer, session="11111111-1111-4111-8111-111111111111"),
    ):
        assert said(response) == (404, "session_not_found")
    for token in (None, expired, forged, "rubbish", served.keys.publishable):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        data, sent = {"session_id": room.session}, {"file": PHOTO}
        for response in (
            room.edge.ask(FILES, headers=headers, data=data, files=sent),
            room.edge.ask(FILES, headers=headers, method="GET", params=data),
            room.edge.ask(FILES, headers=headers, method="DELETE", params={"file_id": file["id"]}),
        ):
            assert said(response)[0] == 401, response.text
    largest = room.edge.one("select private.setting_integer('max_file_bytes')")
    for by, what, expected in (
        (room.customer, None, (400, "file_missing")),
        (room.customer, ("page.html", b"<script>", "text/html"), (415, "unsupported_file_type")),
        (room.customer, ("empty.txt", b"", "text/plain"), (422, "invalid_argument")),
        (room.customer, ("a.bin", bytes(largest + 1), "image/png"), (413, "file_too_large")),
        (room.customer, ("a.bin", bytes(largest + 100_000), "image/png"), (413, "body_too_large")),
    ):
        assert said(room.upload(by, what)) == expected
    asked: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({"json": {"session_id": room.session}}, (400, "invalid_body")),
        ({"files": {"photo": PHOTO}}, (400, "file_missing")),
        ({"files": {"file": PHOTO}}, (422, "invalid_argument")),
        ({"files": {"file": PHOTO}, "data": {"session_id": "../x"}}, (422, "invalid_argument")),
        ({"method": "GET"}, (422, "invalid_argument")),
        ({"method": "DELETE", "params": {"file_id": "1"}}, (422, "invalid_argument")),
        ({"method": "PUT"}, (405, "method_not_allowed")),
    ]
    for request, refusal in asked:
        assert said(room.edge.ask(FILES, by=room.customer, **request)) == refusal
    assert room.edge.one("select count(*) from storage.objects") == stored
    assert room.edge.fingerprint() == before


def test_the_largest_file_is_taken(room: Room) -> None:
    """FILE-03: exactly as large as the setting says"""
    largest = room.edge.one("select private.setting_integer('max_file_bytes')")
    assert added(room.upload(room.mechanic, ("a.png", bytes(largest), "image/png")))


def test_a_name_is_shown_without_its_folders_and_tricks(room: Room) -> None:
    """FILE-03: and is in the bucket in plain characters only"""
    file = added(room.upload(room.customer, ("../é\u202egpj.p h p", b"x", "image/png")))
    assert file["name"] == "égpj.p h p"
    assert room.stored()[0]["name"].endswith(".bin")


def test_what_cannot_be_registered_is_not_kept(server: Server) -> None:
    """FILE-03: a clear 5xx, and neither an object nor a row is left behind"""
    with edge(server, (FILES,), {}) as front:
        customer, mechanic = front.served.person("customer"), front.served.mechanic()
        room = Room(front, front.served.waiting_session(customer, mechanic), customer, mechanic)
        with front.served.connect() as connection:
            connection.execute(NOTHING_IS_REGISTERED)
        refused = room.upload(customer)
        assert 400 <= refused.status_code <= 599
        assert "the disk is full" in refused.text
        assert room.stored() == []
        assert room.listed(customer).json() == {"files": []}
