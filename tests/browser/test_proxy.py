"""The page behind a proxy, which goes by a name of its own, ends TLS, or puts a path before the server's."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import soundfile

from realtime.server.access import Access
from realtime.types import State

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.browser.conftest import Complaints, MakeSpeaker, OpenPage, OpenServer
    from tests.conftest import MakeVoice, OpenProxy

expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright").expect

PREFIX = "/voices/of/mine"
TOKEN = "a-token-for-tests-0123456789"


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_page_whose_name_the_server_does_not_know_says_why_it_is_refused(
    open_server: OpenServer,
    open_proxy: OpenProxy,
    open_page: OpenPage,
    complaints: Complaints,
    token: str | None,
) -> None:
    complaints.server_may_be_gone = True
    server = open_server(access=Access(token=token))
    proxy = open_proxy(server.port)
    page = open_page(proxy.url + ("" if token is None else f"#token={token}"), wait=False)
    notice = page.locator("#notice-text")
    expect(notice).to_contain_text(f"found a page of '{proxy.origin}'")
    expect(notice).to_contain_text("--origin")


@pytest.mark.parametrize("keeps_host", [True, False])
def test_below_a_path_everything_is_found(  # noqa: PLR0917 - fixtures
    open_server: OpenServer,
    open_proxy: OpenProxy,
    open_page: OpenPage,
    make_speaker: MakeSpeaker,
    make_voice: MakeVoice,
    tmp_path: Path,
    *,
    keeps_host: bool,
) -> None:
    proxy = open_proxy(prefix=PREFIX, keeps_host=keeps_host)
    server = open_server(access=Access(origins=(proxy.origin,)))
    proxy.server_port = server.port
    page = open_page(proxy.url)
    shown = page.locator(".empty")
    shown.filter(has_text=f"--to ws://127.0.0.1:{proxy.port}{PREFIX}/audio").wait_for()
    expect(shown).to_contain_text(f"{PREFIX}/asyncapi.json")
    make_speaker(server, "kitchen").tell(State.LISTENING)
    page.locator(".card .name", has_text="kitchen").wait_for()
    page.locator("a[href='#files']").first.click()
    # What is sent goes to the same place.
    soundfile.write(tmp_path / "voice.wav", make_voice(4), 16_000)
    page.locator("#files input[multiple]").set_input_files(tmp_path / "voice.wav")
    page.locator("#files tr.job.done").wait_for()


@pytest.mark.parametrize("keeps_host", [True, False])
def test_where_a_proxy_ends_tls_a_listed_page_is_let_in(
    open_server: OpenServer,
    open_proxy: OpenProxy,
    browser: Browser,
    certificate: tuple[str, str],
    *,
    keeps_host: bool,
) -> None:
    ending = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ending.load_cert_chain(*certificate)
    proxy = open_proxy(keeps_host=keeps_host, tls=ending)
    assert proxy.origin.startswith("https://")
    proxy.server_port = open_server(access=Access(token=TOKEN, origins=(proxy.origin,))).port
    # Nobody has signed the certificate.
    context = browser.new_context(ignore_https_errors=True)
    try:
        page = context.new_page()
        page.goto(f"{proxy.url}#token={TOKEN}")
        page.locator("#connection[data-state=open]").wait_for()
    finally:
        context.close()
