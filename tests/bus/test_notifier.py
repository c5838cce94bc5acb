"""Notices over a real mail server and a real web server: delivered, retried, counted, and never waited for."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from bus.clock import utc_now
from bus.messages import HaltRaised
from bus.notice_ways import MailAccount, MailWay, WebhookWay
from bus.notices import Wishes
from bus.notifier import QUEUE_MAX, DeliveryError, Notifier, Rhythm, notifier_of
from config.credentials import SMTP_PASSWORD, SMTP_USER, WEBHOOK_URL
from config.env_bot import parse, proposals
from config.identity import Identity
from config.vault import Secrets

ALL = Wishes(fills=True, exits=True, failures=True)
AT_ONCE = Rhythm(gather_s=0.0, retry_after_s=(0.0, 0.0))
PASSWORD = "canary-password-83"
HALT = HaltRaised(ts_event=1, ts_init=1, counter=1, source="risk", rule="operator", detail="olga: enough")


class FreePort(Controller):
    """A mail server on whatever port the system gives it."""

    def real_port(self) -> int:
        """Return that port."""
        assert self.server is not None
        return int(self.server.sockets[0].getsockname()[1])

    def _trigger_server(self) -> None:
        # The library calls its own port once to see whether it answers, and takes the 0 that was asked for.
        self.port = self.real_port()
        super()._trigger_server()


class Box:
    """A mailbox: keeps what arrives, or refuses it with a code."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse_with: list[str] = []
        self.logins: list[LoginPassword] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refuse_with:
            return self.refuse_with.pop(0)
        self.mails.append(message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default))
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, login: Any) -> AuthResult:
        self.logins.append(login)
        return AuthResult(success=login.password == PASSWORD.encode(), handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate of localhost that nobody but this test trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = utc_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trust(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@pytest.fixture
def start_mail_server() -> Iterator[Callable[..., tuple[Box, int]]]:
    """Start a mail server on a free port; it stops when the test ends."""
    running: list[FreePort] = []

    def start(**options: Any) -> tuple[Box, int]:
        box = Box()
        if options.pop("asks_for_login", False):
            options |= {"authenticator": box.authenticate, "auth_required": True}
        controller = FreePort(box, hostname="127.0.0.1", port=0, **options)
        controller.start()
        running.append(controller)
        return box, controller.real_port()

    yield start
    for controller in running:
        controller.stop()


def account(port: int, **changes: Any) -> MailAccount:
    plain = MailAccount(
        host="localhost", port=port, security="NONE", sender="bot@example.org", receivers=("a@example.org",)
    )
    return replace(plain, **changes)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_mail_when_the_server_takes_it_has_subject_text_and_date(start_mail_server: Any) -> None:
    box, port = start_mail_server()

    MailWay(account(port, receivers=("a@example.org", "b@example.org"))).deliver("[BOT] HALTED\nBcc: x@y", "Halt 1.\n")

    (mail,) = box.mails
    assert (mail["Subject"], mail["To"]) == ("[BOT] HALTED Bcc: x@y", "a@example.org, b@example.org")
    assert mail["Bcc"] is None
    assert mail.get_content().splitlines() == ["Halt 1."]
    assert mail["Date"].endswith("+0000")


def test_mail_with_starttls_logs_in_over_the_encrypted_line(
    start_mail_server: Any, server_tls: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    box, port = start_mail_server(tls_context=server_tls, require_starttls=True, asks_for_login=True)
    known = account(port, security="STARTTLS", user="olga", password=PASSWORD)

    MailWay(known, trust).deliver("one", "text")
    with pytest.raises(DeliveryError, match="SMTPAuthenticationError 535") as refused:
        MailWay(replace(known, password="wrong-canary"), trust).deliver("two", "text")

    assert len(box.mails) == 1
    assert box.logins[0].login == b"olga"
    assert "canary" not in str(refused.value)
    assert PASSWORD not in repr(known)


@pytest.mark.parametrize("security", ["STARTTLS", "TLS"])
def test_mail_to_a_server_with_a_strange_certificate_is_not_sent(
    start_mail_server: Any, server_tls: ssl.SSLContext, security: str
) -> None:
    options = {"ssl_context": server_tls} if security == "TLS" else {"tls_context": server_tls}
    box, port = start_mail_server(**options)

    with pytest.raises(DeliveryError, match="certificate is not accepted"):
        MailWay(account(port, security=security)).deliver("one", "text")

    assert box.mails == []


def test_mail_when_nobody_listens_names_the_server() -> None:
    with pytest.raises(DeliveryError, match=r"localhost:1 did not take the mail: Connection refused"):
        MailWay(account(1)).deliver("one", "text")


def test_notices_of_one_moment_share_a_letter(start_mail_server: Any) -> None:
    box, port = start_mail_server()
    notifier = Notifier("BOT", ALL, [MailWay(account(port))], Rhythm(gather_s=0.3))

    for counter in (1, 2, 3):
        notifier.hear(replace(HALT, counter=counter))
    wait_for(lambda: bool(box.mails))
    notifier.close()

    (mail,) = box.mails
    assert mail["Subject"] == "[BOT] HALTED: operator (and 2 more)"
    assert [f"Halt {counter} " in mail.get_content() for counter in (1, 2, 3)] == [True] * 3


def test_letter_that_is_refused_is_tried_again_and_the_remark_goes_away(start_mail_server: Any) -> None:
    box, port = start_mail_server()
    box.refuse_with = ["451 later", "451 later"]
    notifier = Notifier("BOT", ALL, [MailWay(account(port))], AT_ONCE)

    notifier.hear(HALT)
    wait_for(lambda: bool(box.mails))
    notifier.close()

    assert len(box.mails) == 1
    assert notifier.remark() == ""


def test_letter_that_is_given_up_is_counted_and_the_next_one_tells_of_it(start_mail_server: Any) -> None:
    box, port = start_mail_server()
    box.refuse_with = ["550 no"] * 3
    notifier = Notifier("BOT", ALL, [MailWay(account(port))], AT_ONCE)

    notifier.hear(HALT)
    wait_for(lambda: "1 are lost" in notifier.remark())
    assert "SMTPDataError 550" in notifier.remark()
    notifier.hear(HALT)
    wait_for(lambda: bool(box.mails))
    notifier.close()

    assert "1 notices before these are lost" in box.mails[0].get_content()
    assert notifier.remark() == ""


class Stuck:
    """A way that does not return before it is let go."""

    name = "stuck"

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.letters: list[str] = []

    def deliver(self, subject: str, text: str) -> None:
        self.may_go.wait(10)
        self.letters.append(text)


def test_way_that_hangs_holds_up_neither_the_caller_nor_another_way(start_mail_server: Any) -> None:
    box, port = start_mail_server()
    stuck = Stuck()
    notifier = Notifier("BOT", ALL, [stuck, MailWay(account(port))], AT_ONCE)

    for counter in range(QUEUE_MAX + 50):
        notifier.hear(replace(HALT, counter=counter))
        if not counter:
            wait_for(lambda: bool(box.mails))

    assert "are lost" in notifier.remark()
    stuck.may_go.set()
    notifier.close(10)
    assert len(stuck.letters) == 2
    assert "notices before these are lost" in stuck.letters[1]


@pytest.fixture
def hook() -> Iterator[tuple[str, list[tuple[str, Any]], list[int]]]:
    """Serve a webhook: its address, what was posted to it, and the codes it answers with before 200."""
    posted: list[tuple[str, Any]] = []
    codes: list[int] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            posted.append((self.path, body))
            self.send_response(codes.pop(0) if codes else 200)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hooks/canary-token?x=1", posted, codes
    server.shutdown()
    server.server_close()


def test_webhook_is_posted_to_as_json(hook: tuple[str, list[tuple[str, Any]], list[int]]) -> None:
    address, posted, _ = hook

    WebhookWay(address).deliver("[BOT] HALTED", "Halt 1.")

    ((path, body),) = posted
    assert path == "/hooks/canary-token?x=1"
    assert body["text"] == "[BOT] HALTED\nHalt 1."


@pytest.mark.parametrize("code", [302, 404, 500])
def test_webhook_that_answers_otherwise_is_not_followed_and_its_address_not_told(
    hook: tuple[str, list[tuple[str, Any]], list[int]], code: int
) -> None:
    address, posted, codes = hook
    codes.append(code)

    with pytest.raises(DeliveryError, match=f"answered {code}") as refused:
        WebhookWay(address).deliver("one", "text")

    assert len(posted) == 1
    assert "canary" not in str(refused.value)


def secrets(credentials: dict[str, str]) -> Secrets:
    identity = Identity(
        entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
    )
    return Secrets(generation=1, settings={}, identity=identity, users=(), credentials=credentials, coa={}, curve={})


def test_notifier_of_settings_without_server_or_webhook_does_nothing() -> None:
    notifier = notifier_of(parse(proposals()), secrets({}))

    notifier.hear(HALT)

    assert threading.active_count() == len([thread for thread in threading.enumerate() if "notices" not in thread.name])


def test_notifier_of_settings_sends_by_mail_and_webhook(
    start_mail_server: Any, hook: tuple[str, list[tuple[str, Any]], list[int]]
) -> None:
    box, port = start_mail_server()
    address, posted, _ = hook
    env = parse(
        proposals()
        | {"SMTP_HOST": "localhost", "SMTP_PORT": str(port), "SMTP_SECURITY": "NONE"}
        | {"SMTP_FROM": "bot@example.org", "SMTP_TO": "a@example.org, b@example.org"}
    )
    notifier = notifier_of(env, secrets({SMTP_USER: "", SMTP_PASSWORD: "", WEBHOOK_URL: address}))

    notifier.hear(HALT)
    notifier.close(10)

    assert box.mails[0]["Subject"] == posted[0][1]["subject"] == "[TBOT_USA_main_PAPER_BOT01] HALTED: operator"
