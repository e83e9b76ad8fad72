"""Messages by webhook and mail, against servers on this machine."""

import socketserver
from typing import Any

import pytest
from mlops_loop.monitoring import notify
from mlops_loop.tracking import history
from projects import Project
from webhooks import running, webhook

SECRET = "T0KEN"


def mailbox(got: list[str]) -> socketserver.TCPServer:
    """A server of mail, without TLS; each line that it gets."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            is_data = False
            for line in self.rfile:
                text = line.decode().strip()
                got.append(text)
                if is_data and text != ".":
                    continue
                is_data = text.upper() == "DATA"
                code = {"DATA": b"354", "QUIT": b"221"}.get(text.upper(), b"250")
                self.wfile.write(code + b" ok\r\n")

    return socketserver.TCPServer(("127.0.0.1", 0), Handler)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "WAITS", (0, 0))


def sent(project: Project) -> list[dict[str, Any]]:
    """The result of each message."""
    return [entry.content for entry in history.read(project, "notify")]


def test_a_webhook_is_tried_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[dict[str, Any]] = []
    with running(webhook([500, 503, 200], got)) as port:
        monkeypatch.setenv("NOTIFY_WEBHOOK", f"http://127.0.0.1:{port}/{SECRET}")
        notify.notify(project, "alarm", "the loss is high", version=3)
    assert got == [{"text": "*shop: alarm*\nthe loss is high\nversion: 3"}] * 3
    assert sent(project) == [{"NOTIFY_WEBHOOK": "sent"}]


def test_mail_arrives(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[str] = []
    with running(mailbox(got)) as port:
        monkeypatch.setenv("NOTIFY_MAIL", "ada@example.org,ben@example.org")
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{port}")
        notify.notify(project, "promoted", "version 4", gain="7 %")
    recipients = [line for line in got if line.lower().startswith("rcpt")]
    assert [line.partition("<")[2].partition(">")[0] for line in recipients] == [
        "ada@example.org",
        "ben@example.org",
    ]
    assert "Subject: shop: promoted" in got
    assert got[got.index("") + 1 : got.index(".")] == ["version 4", "gain: 7 %"]
    assert sent(project) == [{"NOTIFY_MAIL": "sent"}]


@pytest.mark.parametrize("scheme", ["http", "no scheme"])
def test_what_cannot_be_sent_is_reported_without_secrets(
    scheme: str,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    got: list[str] = []
    with running(mailbox(got)) as port, running(webhook([404] * 3, [])) as other:
        monkeypatch.setenv("NOTIFY_WEBHOOK", f"{scheme}://127.0.0.1:{other}/{SECRET}")
        monkeypatch.setenv("NOTIFY_MAIL", "ada@example.org")
        monkeypatch.setenv("SMTP_URL", f"smtp://ada:{SECRET}@127.0.0.1:{port}")
        notify.notify(project, "alarm", "the loss is high")
    kind = "HTTPError 404" if scheme == "http" else "InvalidSchema"
    assert sent(project) == [
        {"NOTIFY_WEBHOOK": kind, "NOTIFY_MAIL": "SMTPNotSupportedError"},
    ]
    warned = capsys.readouterr().err
    assert warned.splitlines()[0] == f"warning: alarm: no message by NOTIFY_WEBHOOK: {kind}"
    told = f"{warned}{history.read(project)}{got}"
    assert SECRET not in told, "a password is not sent in the clear either"


def test_without_settings_nothing_is_sent_nor_recorded(project: Project) -> None:
    notify.notify(project, "alarm", "the loss is high")
    assert history.read(project) == []


def test_settings_of_env_are_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[dict[str, Any]] = []
    with running(webhook([200], got)) as port:
        monkeypatch.delenv("NOTIFY_WEBHOOK", raising=False)
        (project.root / ".env").write_text(f"NOTIFY_WEBHOOK=http://127.0.0.1:{port}/\n")
        notify.notify(project, "frozen", "an audit")
        monkeypatch.delenv("NOTIFY_WEBHOOK")
    assert len(got) == 1
