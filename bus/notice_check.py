"""Send one letter, in a process of its own, to see whether notices arrive: `python -m bus.notice_check`."""

import sys
from typing import Final

from bus.clock import iso_utc, utc_ns
from bus.notifier import DeliveryError, mail_way, webhook_way
from config.connection_check import Answer, Question, answer_on_stdio
from config.env_bot import EnvBot, SettingsError, parse
from config.paths import HomePaths, home_paths
from config.vault import Secrets, Vault, VaultError

_SUBJECT: Final = "TradeBot: a test of notices"
#: What lacks where nothing can be sent.
_LACKS: Final = {
    "mail": "SMTP_HOST is empty, so no mail is sent: set the mail server on the page of settings.",
    "webhook": "There is no webhook, so none is called: enter its address.",
}


def main() -> int:
    """Answer the question on standard input; return the exit code."""
    return answer_on_stdio(lambda question: check(question, home_paths()))


def check(question: Question, paths: HomePaths) -> Answer:
    """Send one letter by the way that is asked for, with typed credentials or with those that are kept."""
    if question.provider not in _LACKS:
        return Answer(is_in=False, words=(f"There is no way '{question.provider}' to be tested.",))
    try:
        secrets = Vault(paths).open()
        return _sent(question, secrets, parse(secrets.settings))
    except (VaultError, SettingsError) as error:
        return Answer(is_in=False, words=(str(error),))


def _sent(question: Question, secrets: Secrets, env: EnvBot) -> Answer:
    kept = question.keys or secrets.credentials
    way = mail_way(env, kept) if question.provider == "mail" else webhook_way(kept)
    if way is None:
        return Answer(is_in=False, words=(_LACKS[question.provider],))
    text = f"{secrets.identity.bot_identity} can reach you. Somebody asked for this test at {iso_utc(utc_ns())}."
    try:
        way.deliver(_SUBJECT, text)
    except DeliveryError as error:
        return Answer(is_in=False, words=(f"Not sent: {error}.",))
    return Answer(is_in=True, words=(f"Sent by {way.name}: look whether “{_SUBJECT}” has arrived.",))


if __name__ == "__main__":
    sys.exit(main())
