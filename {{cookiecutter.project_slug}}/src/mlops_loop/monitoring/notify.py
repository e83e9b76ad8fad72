"""Messages to people: by webhook, as Slack takes it, and by mail, as .env says."""

import os
import smtplib
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import requests

from ..files import Content
from ..project import Paths, load_settings
from ..tracking import history

WAITS = (1, 5)  # seconds before the second and the third try
TIMEOUT = 5  # seconds


def post(address: str, subject: str, text: str) -> None:
    """Post a message to a webhook."""
    message = {"text": f"*{subject}*\n{text}"}
    requests.post(address, json=message, timeout=TIMEOUT).raise_for_status()


def mail(recipients: str, subject: str, text: str) -> None:
    """Send a mail by the server of SMTP_URL; a password is sent encrypted only."""
    server = urlsplit(os.environ.get("SMTP_URL") or "smtp://localhost")
    host, user = server.hostname or "localhost", unquote(server.username or "")
    message = EmailMessage()
    message["Subject"], message["To"] = subject, recipients
    message["From"] = user if "@" in user else recipients.split(",")[0]
    message.set_content(text)
    trust = ssl.create_default_context()
    client: smtplib.SMTP
    if server.scheme == "smtps":
        client = smtplib.SMTP_SSL(host, server.port or 465, timeout=TIMEOUT, context=trust)
    else:
        client = smtplib.SMTP(host, server.port or 25, timeout=TIMEOUT)
    with client:
        if user and server.scheme != "smtps":
            client.starttls(context=trust)
        if user:
            client.login(user, unquote(server.password or ""))
        client.send_message(message)


WAYS: Mapping[str, Callable[[str, str, str], None]] = {"NOTIFY_WEBHOOK": post, "NOTIFY_MAIL": mail}


def notify(paths: Paths, event: str, text: str, **facts: object) -> None:
    """Send a message of an event in every way that .env names.

    What came of it is in the history, without addresses, which are secrets. A failure is tried
    again twice and reported on stderr; it stops nothing.
    """
    project, came = load_settings(paths).project, Content()
    lines = [text, *(f"{name}: {value}" for name, value in facts.items())]
    for way, send in WAYS.items():
        if place := os.environ.get(way):
            came[way] = attempt(send, place, f"{project}: {event}", "\n".join(lines))
            if came[way] != "sent":
                print(f"warning: {event}: no message by {way}: {came[way]}", file=sys.stderr)
    if came:
        history.append(paths, "notify", by="loop", reason=f"{event}: {text}", **came)


def attempt(send: Callable[[str, str, str], None], place: str, subject: str, text: str) -> str:
    """Send a message in three tries; returns `sent`, or the kind of the error."""
    came = ""
    for wait in (*WAITS, 0):
        try:
            send(place, subject, text)
            return "sent"
        except (OSError, ValueError) as error:
            came = type(error).__name__  # its text may hold the address
            if isinstance(error, requests.HTTPError):
                came += f" {getattr(error.response, 'status_code', '')}"
            time.sleep(wait)
    return came
