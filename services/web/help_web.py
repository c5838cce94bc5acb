"""Help: what each state means, what is stopped and what goes on in it, and what a person does then."""

from typing import Final

from flask import Blueprint, Response, make_response, render_template

from bus.lifecycle import EFFECTS, MEANING
from bus.messages import BotState, ChainState
from services.web import security

#: What to do in each state of the chain.
WHAT_TO_DO: Final[dict[ChainState, str]] = {
    "STARTING": "Wait: a start takes a few seconds. If it lasts, the dashboard's table of services says which one is "
    "not ready, and its log says why.",
    "DISARMED": "Nothing, or arm the chain: Arm on the dashboard says what happens then, and asks for a reason and "
    "your password.",
    "ACTIVE": "Nothing. To keep what is open and buy no more: Pause entries. To stop at once: Kill switch.",
    "REDUCING": "Nothing: what is open runs to its stop or its planned exit. Arm again to open positions again.",
    "HALTED": "Read the alert and the halt's reason on the page Arm. Mend what it names, look at the open positions "
    "and at the broker's own page. Then arm again.",
}
#: What each state of the bot's day means.
BOT_STATES: Final[dict[BotState, str]] = {
    "UNCONFIGURED": "There is no configuration yet: the first page asks for it.",
    "PROVISIONED": "Configured; the services have not all been heard yet.",
    "IDLE": "Armed or not, nothing is due: no session, or it is long before the open.",
    "PRE_OPEN": "Armed, and the session opens within the hour.",
    "ANALYZING": "A strategy measures and none may enter yet, such as during the opening range.",
    "TRADING": "A strategy may enter.",
    "MONITORING": "Open positions are watched; no strategy may enter at this time.",
    "FLATTENING": "The session ends: everything is being sold.",
    "CLOSED": "The session is over.",
    "REDUCING": "No new positions, by an operator's word.",
    "HALTED": "Halted: see the state of the chain.",
    "ERROR": "A service cannot do its work: its line in the table of services says why.",
}
SERVICE_STATES: Final = {
    "up": "Heard in time.",
    "stale": "Not heard for longer than its time-out. The watchdog halts the chain when it trades.",
    "down": "Was stopped, or is silent for long. supervisord starts it again by itself; restarts are counted.",
    "never seen": "Not heard since the watchdog began.",
}
ALERT_KINDS: Final = {
    "halt": "The chain stopped. Only an operator arms again.",
    "rejection": "The broker refused an order. Its words say why: often buying power, or a halted name.",
    "order unknown": "An order may or may not have arrived. It is looked up by itself and never sent twice; it "
    "counts in the limits until it is found or excluded.",
    "books": "The ledger cannot book what it was told, or does not balance. Nothing was written; see the ledger's log.",
    "stopped stream": "A service takes nothing more from another one. Stopped streams says what happened and asks "
    "for your answer.",
    "service": "A service went silent.",
    "lost link": "The watchdog was not heard for a while: the pages showed old figures.",
    "warning": "Something keeps entries back or needs a person, though nothing is halted.",
}
pages = Blueprint("help", __name__)


@pages.get("/help")
@security.require("look")
def show() -> Response:
    """Show the help."""
    states = [(state, MEANING[state], EFFECTS[state], WHAT_TO_DO[state]) for state in MEANING]
    page = render_template(
        "help.html", states=states, bot_states=BOT_STATES, service_states=SERVICE_STATES, alert_kinds=ALERT_KINDS
    )
    return make_response(page)
