"""The secrets that tests give to a home: one set for the whole run, so that one search finds wherever one of them went.

Whatever else a run makes up (keys of generations, key pairs of the bus, passwords of staged chains) `secret_watch.py`
learns from the vaults themselves.
"""

from typing import Final

from config import credentials as c

PASSWORD: Final = "correct horse battery"
SESSION_KEY: Final = "canary5e5510n".ljust(64, "k")
TOTP_SECRET: Final = "CANARYT2TPSECRET".ljust(32, "A")
SUPERVISOR_PASSWORD: Final = "canary-Superv1sor_password"
#: One for each credential that a person may enter.
CREDENTIALS: Final = {
    c.FINNHUB_KEY: "canaryf1nnhubKey0000",
    c.ALPACA_DATA_KEY: "CANARYDATAKEYID00000",
    c.ALPACA_DATA_SECRET: "canary/d4ta+secret=canary/d4ta+secret=00",
    c.ALPACA_TRADING_KEY: "PKCANARYTRADINGKEY00",
    c.ALPACA_TRADING_SECRET: "canary/tr4de+secret=canary/tr4de+secret=",
    c.SMTP_USER: "canary-mailbox@example.invalid",
    c.SMTP_PASSWORD: 'canary mail "passw0rd" & more',
    c.WEBHOOK_URL: "https://example.invalid/hooks/canary-W3bh00k-token",
    c.ARCHIVE_PASSPHRASE: "canary words that open an archive",
    c.METRICS_TOKEN: "canary-m3tr1cs-t0ken-0123456789abcdef",
}
ALL: Final = {
    "password": PASSWORD,
    "session key": SESSION_KEY,
    "TOTP secret": TOTP_SECRET,
    "supervisor password": SUPERVISOR_PASSWORD,
    **CREDENTIALS,
}
