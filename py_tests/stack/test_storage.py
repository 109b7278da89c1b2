"""Storage speaks as hosted does: with both official clients, and one test for each repair of lite.

The bucket of these tests has policies of its own; what the project's policies allow is tested in
`integration/test_storage.py`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from storage3.exceptions import StorageApiError

from support.served import Served, served_clone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage3._sync.file_api import SyncBucketProxy

    from support.database import Server
    from taximeter.people import Person

JAVASCRIPT = Path(__file__).with_name("storage_client.mjs")
# Folders are a person's own; nobody may change an object, and `kept` ones are not removed either.
PROBES = """
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values
  ('probe', 'probe', false, 1000, array['image/png']), ('open', 'open', true, null, null);
create policy "probe: own folder, read" on storage.objects for select to authenticated
using (bucket_id in ('probe', 'open') and (storage.foldername(name))[1] = auth.uid()::text);
create policy "probe: own folder, add" on storage.objects for insert to authenticated
with check (bucket_id in ('probe', 'open') and (storage.foldername(name))[1] = auth.uid()::text);
create policy "probe: own folder, remove" on storage.objects for delete to authenticated
using (bucket_id = 'probe' and (storage.foldername(name))[1] = auth.uid()::text
  and storage.filename(name) !~ '^kept');
"""
PNG: Any = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def probes(server: Server) -> Iterator[Served]:
    """An API of this module's own, because of the probes' buckets and policies."""
    with served_clone(server) as running:
        with running.connect() as connection:
            connection.execute(PROBES.encode())
        yield running


@pytest.fixture
def person(probes: Served) -> Person:
    return probes.person()


def bucket(person: Person) -> SyncBucketProxy:
    return person.client.storage.from_("probe")


def http(probes: Served, person: Person) -> httpx.Client:
    session = person.client.auth.get_session()
    assert session is not None
    return probes.http(probes.keys.publishable, session.access_token)


def upload(client: httpx.Client, path: str, content: bytes = b"bytes") -> httpx.Response:
    return client.post(f"/storage/v1/object/probe/{path}", content=content, headers=PNG)


def stored(probes: Served) -> list[Path]:
    """The files that hold bytes now."""
    return sorted(path for path in probes.storage_directory.iterdir() if path.suffix != ".json")


def test_the_python_client_works_unchanged(person: Person) -> None:
    """STACK-01: upload, list, download, sign, signed upload, public URL, copy, remove"""
    folder = person.user_id
    files = bucket(person)
    answer = files.upload(f"{folder}/a.png", b"bytes", PNG)
    assert (answer.path, answer.full_path) == (f"{folder}/a.png", f"probe/{folder}/a.png")
    files.upload(f"{folder}/deep/b.png", b"deeper", PNG)
    assert files.download(f"{folder}/a.png") == b"bytes"
    assert [(row["name"], row["id"] is None) for row in files.list(folder)] == [
        ("a.png", False),
        ("deep", True),
    ]
    assert [row["name"] for row in files.list(folder, {"search": "de"})] == ["deep"]
    assert files.list(folder)[0]["metadata"]["size"] == 5
    signed = files.create_signed_url(f"{folder}/a.png", 60)["signedURL"]
    assert signed is not None
    assert httpx.get(signed, trust_env=False).content == b"bytes"
    many = files.create_signed_urls([f"{folder}/a.png", f"{folder}/missing.png"], 60)
    assert [bool(each["error"]) for each in many] == [False, True]
    ticket = files.create_signed_upload_url(f"{folder}/c.png")
    done = files.upload_to_signed_url(ticket["path"], ticket["token"], b"signed", PNG)
    assert done.full_path == f"probe/{folder}/c.png"
    assert files.download(f"{folder}/c.png") == b"signed"
    files.copy(f"{folder}/a.png", f"{folder}/d.png")
    assert files.download(f"{folder}/d.png") == b"bytes"
    assert files.info(f"{folder}/a.png")["name"] == f"{folder}/a.png"
    assert (files.exists(f"{folder}/a.png"), files.exists(f"{folder}/z.png")) == (True, False)
    removed = files.remove([f"{folder}/a.png", f"{folder}/missing.png"])
    assert [row["name"] for row in removed] == [f"{folder}/a.png"]
    assert [row["name"] for row in files.list(folder)] == ["c.png", "d.png", "deep"]

    everybodys = person.client.storage.from_("open")
    everybodys.upload(f"{folder}/a.txt", b"open")
    public = everybodys.get_public_url(f"{folder}/a.txt")
    assert httpx.get(public, trust_env=False).content == b"open"


@pytest.mark.parametrize(
    ("content", "options", "status"),
    [
        pytest.param(b"x" * 1001, PNG, "413", id="larger than the bucket's limit"),
        pytest.param(b"x", {"content-type": "text/html"}, "415", id="a type it does not take"),
    ],
)
def test_the_python_client_is_told_of_the_buckets_limits(
    probes: Served, person: Person, content: bytes, options: Any, status: str
) -> None:
    """STACK-01: 413 and 415, and nothing is kept"""
    before = stored(probes)
    with pytest.raises(StorageApiError) as refused:
        bucket(person).upload(f"{person.user_id}/a", content, options)
    assert str(refused.value.status) == status
    assert bucket(person).list(person.user_id) == []
    assert stored(probes) == before


def test_a_size_at_the_limit_is_taken(person: Person) -> None:
    """STACK-01"""
    bucket(person).upload(f"{person.user_id}/a.png", b"x" * 1000, PNG)
    assert bucket(person).download(f"{person.user_id}/a.png") == b"x" * 1000


def test_a_second_upload_and_an_upsert_are_refused(person: Person) -> None:
    """STACK-01: 409 without, 403 with upsert where no policy allows updates; the first stays"""
    path = f"{person.user_id}/a.png"
    bucket(person).upload(path, b"first", PNG)
    upsert: Any = {**PNG, "upsert": "true"}
    for options, status in ((PNG, "409"), (upsert, "403")):
        with pytest.raises(StorageApiError) as refused:
            bucket(person).upload(path, b"second", options)
        assert str(refused.value.status) == status
    assert bucket(person).download(path) == b"first"


def test_the_javascript_client_works_unchanged(probes: Served, person: Person) -> None:
    """STACK-01: `createClient(url, key)` and every call of a bucket"""
    node = shutil.which("node")
    assert node is not None
    session = person.client.auth.get_session()
    assert session is not None
    asked = {
        "url": probes.url,
        "key": probes.keys.publishable,
        "token": session.access_token,
        "folder": person.user_id,
    }
    finished = subprocess.run(
        [node, str(JAVASCRIPT)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    told: dict[str, Any] = json.loads(finished.stdout)
    folder = person.user_id

    def short(answer: Any) -> Any:
        return answer.get("code", answer)

    assert told["blob"]["path"] == f"{folder}/blob.png"
    assert told["blob"]["fullPath"] == f"probe/{folder}/blob.png"
    assert told["buffer"]["path"] == f"{folder}/deep/er.png"
    assert short(told["again"]) == "409"
    assert short(told["upsert"]) == "403"
    assert short(told["large"]) == "413"
    assert short(told["type"]) == "415"
    assert told["download"] == {"text": "blob", "type": "image/png"}
    assert short(told["missing"]) == "404"
    assert told["list"] == [["blob.png", True], ["deep", False]]
    assert told["page"] == ["deep"]
    assert told["signed"] == {"status": 200, "text": "blob"}
    assert [bool(url) for url, _ in told["signedMany"]] == [True, False]
    assert [error is None for _, error in told["signedMany"]] == [True, False]
    assert told["signedUpload"] == {
        "path": f"{folder}/signed.png",
        "fullPath": f"probe/{folder}/signed.png",
    }
    assert told["signedUploaded"] == {"text": "blob", "type": "image/png"}
    assert told["info"] == f"{folder}/blob.png"
    assert (told["exists"], told["existsNot"]) == (True, False)
    assert told["open"]["path"] == f"{folder}/a.txt"
    assert told["public"] == {"status": 200, "text": "open"}
    assert told["closed"]["status"] == 400
    assert short(told["move"]) == "403"
    assert told["copy"]["path"] == f"probe/{folder}/copy.png"
    assert told["remove"] == [f"{folder}/blob.png"]
    assert short(told["removed"]) == "404"


@pytest.mark.parametrize("field", ["", "file", "picture"])
@pytest.mark.parametrize("is_signed", [False, True], ids=["posted", "put to a signed URL"])
def test_a_form_is_stored_as_its_file(
    probes: Served, person: Person, field: str, is_signed: bool
) -> None:
    """STACK-01: whatever the file's part is called; its type comes along, and its lifetime"""
    path = f"{person.user_id}/a.png"
    form: dict[str, Any] = {
        "data": {"cacheControl": "77"},
        "files": {field: ("a.png", b"\x89PNG\r\n\x00--", "image/png")},
    }
    with http(probes, person) as client:
        if is_signed:
            ticket = client.post(f"/storage/v1/object/upload/sign/probe/{path}").json()
            answer = client.put(f"/storage/v1{ticket['url']}", **form)
        else:
            answer = client.post(f"/storage/v1/object/probe/{path}", **form)
        assert (answer.status_code, answer.json()["Key"]) == (200, f"probe/{path}")
        found = client.get(f"/storage/v1/object/probe/{path}")
    assert found.content == b"\x89PNG\r\n\x00--"
    assert found.headers["content-type"] == "image/png"
    # Lite keeps this of a posted object only.
    assert found.headers["cache-control"] == ("no-cache" if is_signed else "max-age=77")


def test_a_form_without_a_file_is_refused(probes: Served, person: Person) -> None:
    """STACK-01"""
    with http(probes, person) as client:
        answer = client.post(
            f"/storage/v1/object/probe/{person.user_id}/a.png",
            content=b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\nb\r\n--b--\r\n',
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "InvalidRequest")
        broken = client.post(
            f"/storage/v1/object/probe/{person.user_id}/a.png",
            content=b"no form at all",
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
        assert (broken.status_code, broken.json()["error"]) == (400, "InvalidRequest")


def test_the_limit_of_a_bucket_holds_without_a_length(probes: Served, person: Person) -> None:
    """STACK-01: also for a body that comes in chunks and does not say how long it is"""
    with http(probes, person) as client:
        answer = client.post(
            f"/storage/v1/object/probe/{person.user_id}/a.png",
            content=(b"x" * 100 for _ in range(11)),
            headers=PNG,
        )
    assert answer.json()["statusCode"] == "413"


def test_signed_urls_have_the_names_that_clients_read(probes: Served, person: Person) -> None:
    """STACK-01: `signedURL` and `url`, relative to /storage/v1"""
    path = f"{person.user_id}/a.png"
    with http(probes, person) as client:
        upload(client, path)
        sign = client.post(f"/storage/v1/object/sign/probe/{path}", json={"expiresIn": 60}).json()
        many = client.post(
            "/storage/v1/object/sign/probe", json={"expiresIn": 60, "paths": [path, "z"]}
        ).json()
        ticket = client.post(f"/storage/v1/object/upload/sign/probe/{person.user_id}/b.png").json()
    assert sign["signedURL"].startswith(f"/object/sign/probe/{path}?token=")
    assert many[0]["signedURL"].startswith(f"/object/sign/probe/{path}?token=")
    assert (many[1]["signedURL"], many[1]["error"] is None) == (None, False)
    assert ticket["url"].startswith(f"/object/upload/sign/probe/{person.user_id}/b.png?token=")


@pytest.mark.parametrize("path", ["list/probe", "sign/probe", "sign/probe/a.png"])
@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"1", b"null", b'{"prefix": 1}'])
def test_a_body_that_is_wrong_is_the_clients_error(
    probes: Served, person: Person, path: str, body: bytes
) -> None:
    """STACK-01, EDGE-01"""
    with http(probes, person) as client:
        answer = client.post(
            f"/storage/v1/object/{path}",
            content=body,
            headers={"content-type": "application/json"},
        )
    if path.startswith("list") and body in {b"", b"[]", b'{"prefix": 1}'}:
        assert (answer.status_code, answer.json()) == (200, [])
    else:
        assert answer.status_code == 400


def test_a_list_is_of_one_folder(probes: Served, person: Person) -> None:
    """STACK-01: names in it, deeper ones as folders, in order, by pages, by their beginning"""
    folder = person.user_id
    names = ["b_1.png", "b11.png", "a.png", "sub/x.png", "sub/y.png", "sub2/z.png"]

    def listed(**asked: object) -> list[str]:
        answer = client.post("/storage/v1/object/list/probe", json={"prefix": folder, **asked})
        assert answer.status_code == 200
        return [row["name"] for row in answer.json()]

    with http(probes, person) as client:
        for name in names:
            assert upload(client, f"{folder}/{name}").status_code == 200
        assert listed() == ["a.png", "b11.png", "b_1.png", "sub", "sub2"]
        assert listed(prefix=f"{folder}/") == ["a.png", "b11.png", "b_1.png", "sub", "sub2"]
        assert listed(prefix=f"{folder}/sub") == ["x.png", "y.png"]
        assert listed(prefix=folder[:10]) == []
        assert listed(search="B_") == ["b_1.png"]
        assert listed(limit=2, offset=1) == ["b11.png", "b_1.png"]
        newest = {"column": "created_at", "order": "desc"}
        assert listed(sortBy=newest, limit=1) == ["a.png"]


@pytest.mark.parametrize("forged", ["a.b.c", "nonsense", "", "another", "expired", "other"])
def test_a_forged_signature_is_the_clients_error(
    probes: Served, person: Person, forged: str
) -> None:
    """STACK-01, EDGE-01: 4xx for downloads and uploads, and no bytes"""
    path = f"{person.user_id}/a.png"
    claims = {"sub": path, "bucket": "probe", "intent": "download"}
    with http(probes, person) as client:
        upload(client, path)
        signed = client.post(f"/storage/v1/object/sign/probe/{path}", json={"expiresIn": 60}).json()
        good = signed["signedURL"].split("token=")[1]
        head, body, mark = good.split(".")
        token = {
            "another": f"{head}.{body}.{mark[::-1]}",
            "expired": probes.token(**claims, exp=1_000_000_000),
            "other": probes.token(**{**claims, "sub": "elsewhere"}),
        }.get(forged, forged)
        with probes.http() as nobody:
            assert nobody.get(f"/storage/v1{signed['signedURL']}").status_code == 200
            for method, where in (("GET", "sign"), ("PUT", "upload/sign")):
                answer = nobody.request(
                    method, f"/storage/v1/object/{where}/probe/{path}?token={token}"
                )
                assert answer.status_code in {400, 403}
                assert b"bytes" not in answer.content


def test_removing_takes_the_bytes_along(probes: Served, person: Person) -> None:
    """STACK-01: although nobody else deletes a row of storage.objects"""
    before = stored(probes)
    with http(probes, person) as client:
        for name in ("a.png", "kept.png"):
            upload(client, f"{person.user_id}/{name}")
        assert len(stored(probes)) == len(before) + 2
        names = [f"{person.user_id}/a.png", f"{person.user_id}/kept.png"]
        removed = client.request("DELETE", "/storage/v1/object/probe", json={"prefixes": names})
        assert [row["name"] for row in removed.json()] == [f"{person.user_id}/a.png"]
    assert len(stored(probes)) == len(before) + 1
    with probes.connect() as connection, pytest.raises(Exception, match="Direct deletion"):
        connection.execute("delete from storage.objects")


def test_of_uploads_to_one_path_at_once_one_is_kept_whole(probes: Served, person: Person) -> None:
    """STACK-01: the others are told, and none leaves its bytes under the row of the first"""
    for _ in range(3):
        path = f"{person.user_id}/{uuid.uuid4()}.png"
        with http(probes, person) as client, ThreadPoolExecutor(8) as pool:
            contents = [bytes([65 + n]) * 500 for n in range(8)]
            answers = list(pool.map(partial(upload, client, path), contents))
            kept = client.get(f"/storage/v1/object/probe/{path}").content
        codes = [answer.status_code for answer in answers]
        assert sorted(codes) == [200, *[400] * 7]
        assert {a.json()["statusCode"] for a in answers if a.status_code == 400} == {"409"}
        assert kept == contents[codes.index(200)]


@pytest.mark.parametrize(
    "name", ["with space.png", "plus+&=@$,;:'!().png", "ümlaut.png", "a" * 250 + ".png"]
)
def test_a_name_keeps_its_characters(person: Person, name: str) -> None:
    """STACK-01: from the client to the row, and back"""
    bucket(person).upload(f"{person.user_id}/{name}", b"bytes", PNG)
    assert [row["name"] for row in bucket(person).list(person.user_id)] == [name]
    assert bucket(person).download(f"{person.user_id}/{name}") == b"bytes"


def test_no_path_leaves_its_folder(probes: Served, person: Person) -> None:
    """STACK-01, STACK-03: `..` in every spelling is refused or is the path it stands for"""
    other = probes.person("other")
    bucket(other).upload(f"{other.user_id}/secret.png", b"secret", PNG)
    before = stored(probes)
    ups = ("..", "%2e%2e", "%2e.", "..%2f..", "%2e%2e%2f..", "..%5c..", "....//..")
    with http(probes, person) as client:
        for up in ups:
            for where in (f"{other.user_id}/secret.png", "x.png"):
                path = f"{person.user_id}/{up}/{where}"
                raw = httpx.URL(
                    f"{probes.url}/", raw_path=f"/storage/v1/object/probe/{path}".encode()
                )
                answer = client.get(raw)
                assert answer.status_code in {400, 404}
                assert b"secret" not in answer.content
                assert client.post(raw, content=b"mine", headers=PNG).status_code in {400, 404}
    assert bucket(other).download(f"{other.user_id}/secret.png") == b"secret"
    assert stored(probes) == before
