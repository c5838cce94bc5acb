"""Tells people by mail and webhook, on threads of their own: whoever has something to tell never waits for a server.

Notices wait in a bounded queue, one for each way. All that wait go into one letter; a letter that is not taken is tried
again with growing pauses, then given up and counted. The queue lives in memory: what waits when the process ends is
lost, and what happened is in the journals, the logs and on the page in any case.
"""

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from bus.messages import Message
from bus.notices import Notice, Wishes, letter, notice_of
from config.credentials import SMTP_PASSWORD, SMTP_USER, WEBHOOK_URL
from config.env_bot import EnvBot
from config.vault import Secrets

logger = logging.getLogger(__name__)
QUEUE_MAX: Final = 256


class DeliveryError(Exception):
    """A letter was not taken; the message says by whom and why, without any secret."""


class LetterWay(Protocol):
    """One way out of the machine."""

    name: str

    def deliver(self, subject: str, text: str) -> None:
        """Deliver one letter.

        Raises:
            DeliveryError: it was not taken.
        """
        ...


class Rhythm(Struct, frozen=True, kw_only=True):
    """How long a letter waits for more notices, and the pauses before it is tried again, in seconds."""

    gather_s: float = 2.0
    retry_after_s: tuple[float, ...] = (5.0, 30.0, 120.0)


class LetterDesk:
    """One way's queue and thread; the thread begins with the first notice.

    Args:
        bot_identity: stands in every subject.
        way: who delivers.
        rhythm: its waits.
    """

    def __init__(self, bot_identity: str, way: LetterWay, rhythm: Rhythm) -> None:
        self._bot_identity = bot_identity
        self._way = way
        self._rhythm = rhythm
        self._waiting: deque[Notice] = deque()
        self._lock = threading.Condition()
        self._ended = threading.Event()
        self._lost = 0
        self._failure = ""
        self._thread: threading.Thread | None = None

    def put(self, notice: Notice) -> None:
        """Queue a notice; when the queue is full the oldest one is lost."""
        with self._lock:
            if len(self._waiting) == QUEUE_MAX:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(notice)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"notices-{self._way.name}", daemon=True)
                self._thread.start()
            self._lock.notify()

    def remark(self) -> str:
        """Return what a person should know about letters that were not sent; empty when all is well."""
        with self._lock:
            lost = f", {self._lost} are lost" if self._lost else ""
            return f"notices by {self._way.name} are not sent{lost}: {self._failure}" if self._failure or lost else ""

    def close(self) -> None:
        """Send what waits once, without another try, and end."""
        with self._lock:
            self._ended.set()
            self._lock.notify()

    def join(self, timeout_s: float) -> None:
        """Wait for the end, and no longer than this."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while self._wait():
            self._ended.wait(self._rhythm.gather_s)
            with self._lock:
                notices, lost = tuple(self._waiting), self._lost
                self._waiting.clear()
            is_sent = self._deliver(*letter(self._bot_identity, notices, lost))
            with self._lock:
                # Whoever got this letter was told in it of the losses before it.
                self._lost += -lost if is_sent else len(notices)

    def _wait(self) -> bool:
        with self._lock:
            while not self._waiting and not self._ended.is_set():
                self._lock.wait()
            return bool(self._waiting)

    def _deliver(self, subject: str, text: str) -> bool:
        for pause_s in (*self._rhythm.retry_after_s, None):
            try:
                self._way.deliver(subject, text)
            except DeliveryError as error:
                logger.warning("a notice was not sent by %s: %s", self._way.name, error)
                with self._lock:
                    self._failure = str(error)
                if pause_s is None or self._ended.wait(pause_s):
                    return False
            else:
                with self._lock:
                    self._failure = ""
                return True
        return False


class Notifier:
    """Makes notices of messages and queues them for every way there is.

    Args:
        bot_identity: stands in every subject.
        wishes: what is told at all.
        ways: where to; with none nothing is ever queued.
        rhythm: how long letters wait.
    """

    def __init__(
        self, bot_identity: str, wishes: Wishes, ways: Sequence[LetterWay], rhythm: Rhythm | None = None
    ) -> None:
        self._wishes = wishes
        self._desks = tuple(LetterDesk(bot_identity, way, rhythm or Rhythm()) for way in ways)

    def hear(self, message: Message) -> None:
        """Queue what there is to tell of a message; never waits for anybody outside."""
        notice = notice_of(message, self._wishes) if self._desks else None
        if notice is not None:
            for desk in self._desks:
                desk.put(notice)

    def remark(self) -> str:
        """Return what a person should know about notices that were not sent; empty when all is well."""
        return "; ".join(words for desk in self._desks if (words := desk.remark()))

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what waits, once and without another try, and end; returns within the time in any case."""
        for desk in self._desks:
            desk.close()
        for desk in self._desks:
            desk.join(timeout_s / len(self._desks))


def notifier_of(env: EnvBot, secrets: Secrets) -> Notifier:
    """Return the notifier that the settings ask for; without a server or a webhook it tells nobody."""
    wishes = Wishes(
        fills=env.flag("NOTIFY_ON_FILL"), exits=env.flag("NOTIFY_ON_EXIT"), failures=env.flag("NOTIFY_ON_FAILURE")
    )
    found = mail_way(env, secrets.credentials), webhook_way(secrets.credentials)
    return Notifier(secrets.identity.bot_identity, wishes, [way for way in found if way is not None])


def mail_way(env: EnvBot, kept: Mapping[str, str]) -> LetterWay | None:
    """Return the way through the mail server; None where SMTP_HOST is empty."""
    # Mail and TLS are a few megabytes of a process that has no other use for them.
    from bus.notice_ways import MailAccount, MailWay

    if not env.word("SMTP_HOST"):
        return None
    account = MailAccount(
        host=env.word("SMTP_HOST"),
        port=env.whole("SMTP_PORT"),
        security=env.word("SMTP_SECURITY"),
        sender=env.word("SMTP_FROM"),
        receivers=tuple(part.strip() for part in env.word("SMTP_TO").split(",") if part.strip()),
        user=kept.get(SMTP_USER, ""),
        password=kept.get(SMTP_PASSWORD, ""),
    )
    return MailWay(account)


def webhook_way(kept: Mapping[str, str]) -> LetterWay | None:
    """Return the way through the webhook; None where there is none."""
    from bus.notice_ways import WebhookWay

    return WebhookWay(kept[WEBHOOK_URL]) if kept.get(WEBHOOK_URL) else None
