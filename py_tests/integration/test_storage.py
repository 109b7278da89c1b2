"""Who may do what with a session's files, through Storage and its client (FILE-01, FILE-02)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from storage3.exceptions import StorageApiError

from support.served import anonymous, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage3._sync.file_api import SyncBucketProxy

    from support.served import Served
    from taximeter.people import Person

MEBIBYTE = 1024 * 1024


def files(person: Person) -> SyncBucketProxy:
    return person.client.storage.from_("session-files")


def refused(call: Callable[[], Any]) -> str:
    """The status that the client is told; letting the call through is a failure."""
    with pytest.raises(StorageApiError) as error:
        call()
    return str(error.value.status)


def register(person: Person, session_id: str, path: str, size: int) -> dict[str, Any]:
    return person.row(
        "register_session_file",
        p_session_id=session_id,
        p_storage_path=path,
        p_name=path.rsplit("/", 1)[1],
        p_type="image/png",
        p_size=size,
    )


class Scene:
    """A session that was accepted, its two people, and one file of the customer's."""

    def __init__(self, served: Served) -> None:
        self.customer, self.mechanic = served.person("customer"), served.mechanic()
        self.id = served.waiting_session(self.customer, self.mechanic)
        self.path = f"{self.id}/photo.png"
        files(self.customer).upload(self.path, b"bytes")


@pytest.fixture
def scene(served: Served) -> Scene:
    return Scene(served)


@pytest.fixture(scope="module")
def two(served: Served) -> tuple[Scene, Scene]:
    """Two sessions in which nothing changes."""
    return Scene(served), Scene(served)


def objects(served: Served, session_id: str) -> list[str]:
    with served.connect() as connection:
        rows = connection.execute(
            "select name from storage.objects where name like '%%' || %s || '%%' order by name",
            (session_id,),
        )
        return [row["name"] for row in rows]


def test_both_share_files_in_the_folder_of_their_session(scene: Scene) -> None:
    """FILE-01, FILE-02: each adds, both read, list and sign, and the size is the stored one"""
    files(scene.mechanic).upload(f"{scene.id}/deep/diagram.png", b"diagram")
    for person in (scene.customer, scene.mechanic):
        assert files(person).download(scene.path) == b"bytes"
        assert [row["name"] for row in files(person).list(scene.id)] == ["deep", "photo.png"]
        signed = files(person).create_signed_url(scene.path, 60)["signedURL"]
        assert signed is not None
        assert httpx.get(signed, trust_env=False).content == b"bytes"
    wrong = refusal(
        scene.customer,
        "register_session_file",
        p_session_id=scene.id,
        p_storage_path=scene.path,
        p_name="photo.png",
        p_type="image/png",
        p_size=4,
    )
    assert (wrong.status, wrong.message) == (422, "invalid_argument")
    row = register(scene.customer, scene.id, scene.path, 5)
    assert (row["uploaded_by"], row["size"]) == (scene.customer.user_id, 5)
    (listed,) = scene.mechanic.rows("list_session_files", p_session_id=scene.id)
    assert listed == row


def test_a_signed_upload_is_its_signers(served: Served, scene: Scene) -> None:
    """FILE-01, FILE-03: whoever brings the bytes, the object belongs to who asked for the URL"""
    path = f"{scene.id}/later.png"
    ticket = files(scene.mechanic).create_signed_upload_url(path)
    files(anonymous(served)).upload_to_signed_url(path, ticket["token"], b"later")
    assert register(scene.mechanic, scene.id, path, 5)["uploaded_by"] == scene.mechanic.user_id


@pytest.mark.parametrize("who", ["stranger", "another mechanic", "anonymous"])
def test_others_reach_nothing(served: Served, scene: Scene, who: str) -> None:
    """FILE-01, SEC-01: no reading, listing, signing, adding, replacing, copying, removing"""
    other = {"stranger": served.person, "another mechanic": served.mechanic}.get(who)
    person = other() if other else anonymous(served)
    mine = f"{scene.id}/mine.png"
    assert files(person).list(scene.id) == []
    assert files(person).list() == []
    assert not files(person).exists(scene.path)
    for read in (
        lambda: files(person).download(scene.path),
        lambda: files(person).info(scene.path),
        lambda: files(person).create_signed_url(scene.path, 60),
        lambda: files(person).copy(scene.path, mine),
        lambda: files(person).move(scene.path, mine),
    ):
        assert refused(read) == "404"
    for write in (
        lambda: files(person).upload(mine, b"bytes"),
        lambda: files(person).update(scene.path, b"other"),
        lambda: files(person).upload(scene.path, b"other", {"upsert": "true"}),
        lambda: files(person).create_signed_upload_url(mine),
    ):
        assert refused(write) == "403"
    assert files(person).remove([scene.path]) == []
    assert httpx.get(files(person).get_public_url(scene.path), trust_env=False).is_error
    assert objects(served, scene.id) == [scene.path]
    assert files(scene.customer).download(scene.path) == b"bytes"


def test_what_is_there_is_not_replaced(served: Served, scene: Scene) -> None:
    """FILE-01: evidence: neither by who added it nor by the other, by no verb"""
    for person in (scene.customer, scene.mechanic):
        mine = files(person)
        assert refused(partial(mine.upload, scene.path, b"other")) == "409"
        for call in (
            partial(mine.upload, scene.path, b"other", {"upsert": "true"}),
            partial(mine.update, scene.path, b"other"),
            partial(mine.move, scene.path, f"{scene.id}/b.png"),
        ):
            assert refused(call) == "403"
    assert objects(served, scene.id) == [scene.path]
    assert files(scene.mechanic).download(scene.path) == b"bytes"


@pytest.mark.parametrize(
    "shape",
    [
        "{theirs}/x.png",
        "{mine}/../{theirs}/x.png",
        "{mine}/%2e%2e/{theirs}/x.png",
        "{mine}/..%2f{theirs}/x.png",
        "{mine}%2f..%2f{theirs}/x.png",
        "{mine}/..",
        "{mine}/a/../../x.png",
        "{mine}/./../x.png",
        "{upper}/x.png",
        "{mine}x/x.png",
        "x{mine}/x.png",
        "x/{mine}/x.png",
        "{mine}",
        "{mine}%20/x.png",
        "%20{mine}/x.png",
        "{mine}/.hidden",
        "{mine}/a//x.png",
        "{mine}//x.png",
        "/{mine}/x.png",
        "{mine}/a%0ab.png",
        "{mine}/a%00b.png",
        "{mine}/%ff.png",
        "{mine}/a%5cb.png",
        "{mine}/*",
        "{mine}/%EF%BC%8E%EF%BC%8E/x.png",
        "{{{mine}}}/x.png",
    ],
)
def test_a_path_that_only_looks_like_ones_own_is_refused(
    served: Served, two: tuple[Scene, Scene], shape: str
) -> None:
    """FILE-01, EDGE-01: sent as written by who may add to one of two sessions; nothing changes"""
    scene, theirs = two
    path = shape.format(mine=scene.id, upper=scene.id.upper(), theirs=theirs.id)
    raw_path = f"/storage/v1/object/session-files/{path}".encode()
    session = scene.customer.client.auth.get_session()
    assert session is not None
    with served.http(served.keys.publishable, session.access_token) as client:
        url = httpx.URL(f"{served.url}/", raw_path=raw_path)
        for verb in ("POST", "PUT"):
            answer = client.request(verb, url, content=b"bytes")
            assert 400 <= answer.status_code < 500
        assert client.get(url).is_error
    assert objects(served, scene.id) == [scene.path]
    assert objects(served, theirs.id) == [theirs.path]


def test_a_removed_object_has_no_row(served: Served, scene: Scene) -> None:
    """FILE-02: who added it removes it before the end, not the other; the row goes with it"""
    register(scene.customer, scene.id, scene.path, 5)
    assert files(scene.mechanic).remove([scene.path]) == []
    assert len(scene.mechanic.rows("list_session_files", p_session_id=scene.id)) == 1
    removed = files(scene.customer).remove([scene.path])
    assert [row["name"] for row in removed] == [scene.path]
    assert scene.mechanic.rows("list_session_files", p_session_id=scene.id) == []
    assert objects(served, scene.id) == []
    assert refused(lambda: files(scene.mechanic).download(scene.path)) == "404"


def test_before_somebody_accepts_and_after_the_end(served: Served, scene: Scene) -> None:
    """FILE-01: no folder before; afterwards both still read, and nobody adds or removes"""
    early = served.person("early")
    pending = str(early.row("create_session", p_plan="chat10")["id"])
    assert refused(lambda: files(early).upload(f"{pending}/x.png", b"x")) == "403"

    scene.customer.row("end_session_with_semantics", p_session_id=scene.id)
    for person in (scene.customer, scene.mechanic):
        assert files(person).download(scene.path) == b"bytes"
        assert refused(partial(files(person).upload, f"{scene.id}/x.png", b"x")) == "403"
        assert files(person).remove([scene.path]) == []
    assert objects(served, scene.id) == [scene.path]


def test_the_service_reads_and_removes_everything(served: Served, scene: Scene) -> None:
    """FILE-02: what the dispatcher does for a removed file, with the secret key"""
    register(scene.customer, scene.id, scene.path, 5)
    with served.http(served.keys.secret) as client:
        got = client.get(f"/storage/v1/object/session-files/{scene.path}")
        assert got.content == b"bytes"
        removed = client.request(
            "DELETE", "/storage/v1/object/session-files", json={"prefixes": [scene.path]}
        )
        assert [row["name"] for row in removed.json()] == [scene.path]
    assert scene.customer.rows("list_session_files", p_session_id=scene.id) == []


def test_the_largest_file_is_taken_and_a_larger_one_is_not(served: Served, scene: Scene) -> None:
    """FILE-01, STACK-01: 10 MiB pass; 413 from the bucket above that, from the gateway far above"""
    largest = b"x" * (10 * MEBIBYTE)
    path = f"{scene.id}/large.bin"
    files(scene.customer).upload(path, largest)
    assert files(scene.mechanic).download(path) == largest
    for size in (10 * MEBIBYTE + 1, 13 * MEBIBYTE):
        larger = partial(files(scene.customer).upload, f"{scene.id}/larger.bin", b"x" * size)
        assert refused(larger) == "413"
    assert objects(served, scene.id) == [path, scene.path]
