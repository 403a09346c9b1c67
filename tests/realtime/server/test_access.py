from __future__ import annotations

import base64
import ssl
import subprocess
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from realtime.errors import SettingsError
from realtime.server.access import (
    Access,
    Kind,
    check_exposure,
    check_token,
    is_loopback,
    read_token,
    server_tls,
)
from realtime.server.headers import Headers

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "correct-horse/battery+staple=~"
NAMED = base64.urlsafe_b64encode(TOKEN.encode()).rstrip(b"=").decode()
OWN = ("Host", "localhost:8765")


def reason(access: Access, kind: Kind, *fields: tuple[str, str]) -> str | None:
    refusal = access.refuse(Headers(fields), kind)
    return None if refusal is None else refusal.reason


# Who is let in


@pytest.mark.parametrize("kind", Kind)
def test_programs_of_this_machine_are_let_in(kind: Kind) -> None:
    assert Access().refuse(Headers([OWN]), kind) is None


@pytest.mark.parametrize("kind", [Kind.GUARDED, Kind.SOCKET])
@pytest.mark.parametrize(
    "fields",
    [
        [("Authorization", f"Bearer {TOKEN}")],
        [("authorization", f"bearer   {TOKEN}")],
        [("Sec-WebSocket-Protocol", f"tonewatch.v1, tonewatch.token.{NAMED}")],
        [("Sec-WebSocket-Protocol", f"tonewatch.token.{NAMED}"), ("Sec-WebSocket-Protocol", "tonewatch.v1")],
        [("Authorization", "Bearer wrong"), ("Sec-WebSocket-Protocol", f"tonewatch.token.{NAMED}")],
    ],
)
def test_the_token_lets_in(kind: Kind, fields: list[tuple[str, str]]) -> None:
    assert reason(Access(token=TOKEN), kind, OWN, *fields) is None
    assert Access(token=TOKEN).trusts(Headers(fields))


@pytest.mark.parametrize("kind", [Kind.GUARDED, Kind.SOCKET])
@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Authorization", "")],
        [("Authorization", TOKEN)],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", f"Basic {TOKEN}")],
        [("Authorization", f"Bearer {TOKEN[:-1]}")],
        [("Authorization", f"Bearer {TOKEN}x")],
        [("Authorization", f"Bearer {TOKEN.upper()}")],
        [("Authorization", f"Bearer {TOKEN}\xff")],
        [("Authorization", "Bearer \udcff")],
        [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")],
        [("Sec-WebSocket-Protocol", "tonewatch.v1")],
        [("Sec-WebSocket-Protocol", "tonewatch.token.")],
        [("Sec-WebSocket-Protocol", f"tonewatch.token.{NAMED[:-1]}")],
        [("Sec-WebSocket-Protocol", f"tonewatch.token.{NAMED}=")],
        [("Sec-WebSocket-Protocol", f"tonewatch.token.{TOKEN}")],
        [("Sec-WebSocket-Protocol", f"token.{NAMED}")],
        [("Cookie", f"token={TOKEN}")],
    ],
)
def test_without_the_token_nobody_is_let_in(kind: Kind, fields: list[tuple[str, str]]) -> None:
    access = Access(token=TOKEN)
    refusal = access.refuse(Headers([OWN, *fields]), kind)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (HTTPStatus.UNAUTHORIZED, "token")
    assert TOKEN not in refusal.text
    assert NAMED not in refusal.text
    assert not access.trusts(Headers(fields))
    assert access.refuse(Headers([OWN, *fields]), Kind.PUBLIC) is None


def test_a_refusal_says_whether_there_was_a_token() -> None:
    access = Access(token=TOKEN)
    for field, found in (
        (("X", ""), "found no token"),
        (("Authorization", "Bearer x"), "found a wrong token"),
        (("Sec-WebSocket-Protocol", "tonewatch.token.eA"), "found a wrong token"),
    ):
        refusal = access.refuse(Headers([OWN, field]), Kind.SOCKET)
        assert refusal is not None
        assert refusal.text.startswith(found)


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(found: bytes, wanted: bytes) -> bool:
        compared.append((found, wanted))
        return found == wanted

    monkeypatch.setattr("realtime.server.access.hmac.compare_digest", compare)
    fields = [("Authorization", "Bearer x"), ("Sec-WebSocket-Protocol", "tonewatch.token.eA")]
    assert not Access(token=TOKEN).trusts(Headers(fields))
    assert compared == [(b"x", TOKEN.encode()), (b"eA", NAMED.encode())]


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(Access(token=TOKEN))
    assert TOKEN not in str(Access(token=TOKEN))


# Pages


@pytest.mark.parametrize("kind", [Kind.GUARDED, Kind.SOCKET])
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8765", "http://localhost:8765"),
        ("LOCALHOST:8765", "http://localhost:8765"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("127.0.0.1:80", "http://127.0.0.1"),
        ("[::1]:8765", "http://[::1]:8765"),
        ("localhost:8765", "https://friends.example"),
        ("localhost:8765", "https://FRIENDS.example:443"),
    ],
)
def test_own_and_listed_pages_are_let_in(kind: Kind, host: str, origin: str) -> None:
    access = Access(origins=("https://friends.example",))
    assert reason(access, kind, ("Host", host), ("Origin", origin)) is None


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("kind", [Kind.GUARDED, Kind.SOCKET])
@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org",
        "http://localhost",
        "http://localhost:3000",
        "https://localhost:8765",
        "http://127.0.0.1:8765",
        "http://localhost:8765.example.org",
        "http://localhost.example.org:8765",
        "http://localhost:8765@example.org",
        "http://friends.example",
        "https://friends.example:8443",
        "https://friends.example.org",
        "https://evil-friends.example",
        "https://sub.friends.example",
        "null",
        "",
        "file://",
        "http://localhost:8765 ",
    ],
)
def test_foreign_pages_are_turned_away_even_with_a_token(kind: Kind, origin: str, token: str | None) -> None:
    access = Access(token=token, origins=("https://friends.example",))
    fields = Headers([OWN, ("Origin", origin), ("Authorization", f"Bearer {TOKEN}")])
    refusal = access.refuse(fields, kind)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (HTTPStatus.FORBIDDEN, "origin")
    assert ascii(origin) in refusal.text


@pytest.mark.parametrize("kind", [Kind.GUARDED, Kind.SOCKET])
def test_a_page_that_names_itself_is_judged_as_by_its_browser(kind: Kind) -> None:
    access = Access(origins=("https://friends.example",))
    own, friend, other = (
        ("Page-Origin", origin)
        for origin in ("http://localhost:8765", "https://friends.example", "https://example.org")
    )
    assert reason(access, kind, OWN, own) is None
    assert reason(access, kind, OWN, friend) is None
    assert reason(access, kind, OWN, other) == "origin"
    # It lets nobody in whom the browser has named.
    assert reason(access, kind, OWN, own, ("Origin", "https://example.org")) == "origin"
    assert reason(access, Kind.PUBLIC, OWN, other) is None


def test_a_second_origin_does_not_help() -> None:
    fields = (OWN, ("Origin", "http://localhost:8765"), ("Origin", "https://example.org"))
    assert reason(Access(), Kind.SOCKET, *fields) == "origin"


def test_an_insecure_page_is_foreign_to_a_server_with_tls() -> None:
    access = Access().at("localhost", is_tls=True)
    assert reason(access, Kind.SOCKET, OWN, ("Origin", "https://localhost:8765")) is None
    assert reason(access, Kind.SOCKET, OWN, ("Origin", "http://localhost:8765")) == "origin"
    assert reason(access, Kind.SOCKET, ("Host", "localhost"), ("Origin", "https://localhost")) is None


# Names of this machine


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "localhost.evil.example",
        "192.168.0.5",
        "[2001:db8::1]",
        "0.0.0.0",
    ],
)
def test_a_foreign_name_that_points_here_is_turned_away(kind: Kind, host: str) -> None:
    """The page's own origin is then that name, so that `Origin` alone would let it in."""
    access = Access()
    fields = (("Host", host), ("Origin", f"http://{host}"))
    refusal = access.refuse(Headers(fields), kind)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (HTTPStatus.FORBIDDEN, "host")
    # A page of that name does not have the token; and a server for the network has names of its own.
    proof = ("Authorization", f"Bearer {TOKEN}")
    assert reason(Access(token=TOKEN), kind, *fields, proof) is None
    assert reason(Access(insecure=True).at("0.0.0.0", is_tls=False), kind, *fields) is None


def test_a_listed_name_is_one_of_its_own() -> None:
    access = Access(origins=("https://voices.example",))
    assert (
        reason(access, Kind.SOCKET, ("Host", "voices.example"), ("Origin", "https://voices.example")) is None
    )
    assert reason(access, Kind.SOCKET, ("Host", "other.example")) == "host"


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Host", "")],
        [("Host", "localhost"), ("Host", "localhost")],
        [("Host", "localhost/../x")],
        [("Host", "localhost; script-src *")],
        [("Host", "user@localhost")],
        [("Host", "a b")],
        [("Host", "\xff")],
    ],
)
def test_a_request_names_one_host(kind: Kind, fields: list[tuple[str, str]], token: str | None) -> None:
    refusal = Access(token=token).refuse(Headers(fields), kind)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (HTTPStatus.BAD_REQUEST, "host")


@pytest.mark.parametrize("name", ["Host", "Origin"])
def test_a_refusal_is_one_short_line_whatever_was_sent(name: str) -> None:
    fields = {"Host": "localhost", name: "\r\n\x1b[31m" + "é" * 5000}
    refusal = Access().refuse(Headers(fields.items()), Kind.SOCKET)
    assert refusal is not None
    assert refusal.text.isascii()
    assert refusal.text.isprintable()
    assert len(refusal.text) < 1000


# Where it may be served


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "[::1]", "0:0:0:0:0:0:0:1"]
)
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    check_exposure(host, None, insecure=False)
    assert Access().at(host, is_tls=False) == Access()


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "192.168.0.5", "2001:db8::1", "example.org", "localhost.example.org", "127.1"],
)
def test_any_other_address_needs_a_token_or_a_word(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match=r"without a token; wanted who may .*: give --token .*--insecure"):
        check_exposure(host, None, insecure=False)
    with pytest.raises(SettingsError, match="without a token"):
        Access().at(host, is_tls=True)
    check_exposure(host, TOKEN, insecure=False)
    check_exposure(host, None, insecure=True)
    assert not Access(insecure=True).at(host, is_tls=False).is_loopback
    assert Access(token=TOKEN).at(host, is_tls=False).token == TOKEN


@pytest.mark.parametrize(
    "origin", ["example.org", "https://example.org/", "*", "null", "", "https://*.example.org"]
)
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match=r"wanted one like https://example\.org"):
        Access(origins=(origin,))


# Tokens


@pytest.mark.parametrize(
    ("token", "found"),
    [
        ("", "found 0 characters; wanted 16 to 1024"),
        ("x" * 15, "found 15 characters"),
        ("x" * 1025, "found 1025 characters"),
        ("correct horse battery", "found a space"),
        ("correct-horse-bättery", "found a space or another character"),
        ("correct-horse\r\nX: y", "found a space or another character"),
    ],
)
def test_a_token_that_does_not_do_is_refused_and_not_shown(token: str, found: str) -> None:
    for call in (lambda: check_token(token, "--token"), lambda: Access(token=token)):
        with pytest.raises(SettingsError, match=found) as caught:
            call()
        assert not token or token not in str(caught.value)


@pytest.mark.parametrize("content", [TOKEN, f"{TOKEN}\n", f"  {TOKEN} \r\nmore\n", f"{TOKEN}\n{'x' * 9999}"])
def test_a_token_is_the_first_line_of_its_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(content.encode())
    assert read_token(path) == TOKEN


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "found 0 characters"),
        (b"\nsecond-line-of-the-file\n", "found 0 characters"),
        (b"short\n", "found 5 characters"),
        (b"\xff" * 20, "found a space or another character"),
        (b"x" * 100_000, "found 1027 characters"),
    ],
)
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"{path}: the token in the first line: {found}"):
        read_token(path)


def test_a_token_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent: cannot be read \(No such file"):
        read_token(tmp_path / "absent")
    with pytest.raises(SettingsError, match=r"cannot be read \(Is a directory\)"):
        read_token(tmp_path)


# TLS


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files made by the openssl command: a certificate with its key, another key, the key encrypted."""
    folder = tmp_path_factory.mktemp("pem")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2")
    openssl(
        "req", "-x509", *curve, "-nodes", *subject, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"
    )
    openssl(
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-out",
        folder / "other.pem",
    )
    openssl(
        "pkcs8", "-topk8", "-in", folder / "key.pem", "-passout", "pass:secret", "-out", folder / "locked.pem"
    )
    openssl(
        "ec",
        "-aes128",
        "-in",
        folder / "key.pem",
        "-passout",
        "pass:secret",
        "-out",
        folder / "locked-old.pem",
    )
    openssl("x509", "-in", folder / "cert.pem", "-outform", "DER", "-out", folder / "cert.der")
    cert, key = (folder / "cert.pem").read_text(), (folder / "key.pem").read_text()
    (folder / "both.pem").write_text(cert + key)
    lines = cert.splitlines()
    (folder / "damaged.pem").write_text("\n".join([*lines[:2], "x" * 64, *lines[3:]]))
    (folder / "empty.pem").touch()
    return lambda name: folder / f"{name}.pem" if name != "der" else folder / "cert.der"


@pytest.mark.parametrize(("cert", "key"), [("cert", "key"), ("both", "both")])
def test_a_certificate_and_its_key_speak_tls(pem: Callable[[str], Path], cert: str, key: str) -> None:
    server = server_tls(pem(cert), pem(key))
    assert server.minimum_version >= ssl.TLSVersion.TLSv1_2
    client = ssl.create_default_context(cafile=pem("cert"))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    n_turns = 0
    while ends:
        n_turns += 1
        assert n_turns < 20
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)


@pytest.mark.parametrize(
    ("cert", "key", "found"),
    [
        (
            "absent",
            "key",
            r"absent\.pem: cannot be read \(No such file.*\); wanted a certificate in PEM for --cert",
        ),
        (
            "cert",
            "absent",
            r"absent\.pem: cannot be read \(No such file.*\); wanted a private key in PEM for --key",
        ),
        ("empty", "key", r"empty\.pem: found no certificate"),
        ("der", "key", r"cert\.der: found no certificate; wanted a certificate in PEM for --cert"),
        ("key", "cert", r"key\.pem: found no certificate"),
        ("cert", "cert", r"cert\.pem: found no private key; wanted a private key in PEM for --key"),
        (
            "cert",
            "other",
            r"other\.pem: found the private key of another certificate than .*cert\.pem; wanted its own",
        ),
        ("cert", "locked", r"locked\.pem: found an encrypted private key; .*openssl pkey"),
        ("cert", "locked-old", r"locked-old\.pem: found an encrypted private key; .*openssl pkey"),
        ("damaged", "key", r"damaged\.pem, .*key\.pem: found a damaged certificate or private key"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(
    pem: Callable[[str], Path], cert: str, key: str, found: str
) -> None:
    with pytest.raises(SettingsError, match=found) as caught:
        server_tls(pem(cert), pem(key))
    assert "\n" not in str(caught.value)


def test_a_key_that_may_not_be_read_is_named(
    pem: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read \(Is a directory\); wanted a private key"):
        server_tls(pem("cert"), tmp_path)
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        # Made up, since whoever runs the tests may be allowed to read everything.
        if path.name == "key.pem":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        SettingsError, match=r"key\.pem: cannot be read \(Permission denied\); wanted a private key"
    ):
        server_tls(pem("cert"), pem("key"))
