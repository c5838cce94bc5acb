"""One recorded or generated session, opened from settings: the day, the plan, and the settings themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

from bus.assembly import Setup
from bus.calendar import plan_session, read_exchange_day
from bus.messages import SessionPlanned
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from services.screener.feed import check_source

DEMO_IDENTITY = Identity(
    entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)


@dataclass(frozen=True)
class SessionChoice:
    """What a person chooses to play. Empty `data` = the generated market; empty `symbols` = all there are."""

    data: str = ""
    date: str = ""
    symbols: str = ""
    seed: str = ""
    speed: str = ""

    def settings(self) -> dict[str, str]:
        """Return the full settings of such a session: the proposals, with the choice put in."""
        chosen = {
            "MARKET_DATA_SOURCE": "recorded" if self.data else "",
            "MARKET_DATA_DIR": self.data,
            "MARKET_DATA_DATE": self.date,
            "MARKET_DATA_SYMBOLS": self.symbols,
            "MARKET_DATA_SEED": self.seed,
            "MARKET_DATA_SPEED": self.speed or "0",
        }
        return proposals() | {key: value for key, value in chosen.items() if value}


@dataclass(frozen=True)
class OpenedSession:
    """A session that can be played: checked settings, its plan, and one line about its data."""

    setup: Setup
    plan: SessionPlanned
    source: str


def open_session(settings: Mapping[str, str], paths: HomePaths) -> OpenedSession:
    """Check settings, day and data before anything is started; nothing is written.

    Raises:
        config.env_bot.SettingsError: with every fault of the settings.
        bus.assembly.CannotStartError: the day, the folder, a symbol or a file cannot be played.
    """
    env = parse(settings)
    plan = plan_session(read_exchange_day(env.word("MARKET_DATA_DATE")), env, 0)
    source = check_source(env, plan)
    return OpenedSession(Setup(paths=paths, env=env, identity=DEMO_IDENTITY), plan, source)
