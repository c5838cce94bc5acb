"""The routines about who is outside of the chain: a broker that is asked without trading, and people who are told."""

import time
from typing import Final

import msgspec

from bus.messages import MICROS, NANOS
from config.connection_check import ARGUMENT, EXIT_IN, EXIT_OUT, Answer, Question
from config.vault import Vault
from replay.selftest.ground import Ground, RoutineFailedError, expect
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, OrderRequest
from services.execution.brokers.paper import PaperBroker

_CASH_MICROS: Final = 10_000 * MICROS
_ORDER: Final = OrderRequest(
    client_order_id="tb1-test-mode",
    symbol="SPY",
    side="BUY",
    qty_nanos=NANOS,
    order_type="LIMIT",
    #: One cent: no market comes there.
    limit_micros=MICROS // 100,
    stop_micros=0,
    trail_bps=0,
    ts_ns=1,
    reduces=False,
)
#: Who is asked, by BROKER_NAME.
_PROVIDERS: Final = {"ALPACA": "alpaca", "IBKR": "ibkr"}
_LETTERS_S: Final = 30.0
_POLL_S: Final = 0.2


def broker_dry_run(ground: Ground) -> str:
    """Place an order that cannot trade at the embedded broker, take it back, and see that nothing has changed."""
    ground.paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    broker = PaperBroker(ground.paths.state / "dry_run_broker.db", starting_cash_micros=_CASH_MICROS)
    try:
        expect(dry_run_faults(broker, ground))
    finally:
        broker.close()
    words = (
        "An order was accepted, refused when it came twice, found by its id, cancelled; no money and no share moved."
    )
    return f"{words} {_let_in(ground)}" if ground.asks_broker else words


def dry_run_faults(broker: Broker, ground: Ground) -> list[str]:
    """Return what a broker does wrong with one order that cannot trade."""
    found = [f"the broker cannot be traded through: {fault}" for fault in broker.faults()]
    before = broker.account("", 1)
    for what, report, kind in (
        ("a new order", broker.submit(_ORDER), r.BrokerAccepted),
        ("the same order again", broker.submit(_ORDER), r.BrokerDuplicate),
    ):
        ground.say(f"{what}: {report}")
        if not isinstance(report, kind):
            found.append(f"{what} was answered with {type(report).__name__}")
    resting = [one.client_order_id for one in broker.open_orders(1)]
    if resting != [_ORDER.client_order_id]:
        found.append(f"the open orders are {resting or 'none'} after one order was accepted")
    ended = [*broker.cancel(_ORDER.client_order_id, 2), *broker.lookup(_ORDER.client_order_id, 3)]
    ground.say(f"its cancel and its look-up: {ended}")
    if not any(isinstance(report, r.BrokerCancelled) for report in ended):
        found.append("the cancel was not carried out")
    if broker.open_orders(4):
        found.append("an order rests at the broker after it was cancelled")
    after = broker.account("", 5)
    if (after.cash_micros, after.symbols) != (before.cash_micros, before.symbols):
        found.append("cash or positions are not what they were")
    return found


def _let_in(ground: Ground) -> str:
    """Ask the broker of the production settings whether it lets the bot in; it only asks, and no order is sent."""
    provider = _PROVIDERS.get(Vault(ground.production).open().settings.get("BROKER_NAME", ""))
    if provider is None:
        return "The settings name the embedded broker: there is nobody else to ask."
    question = msgspec.json.encode(Question(provider=provider))
    said = ground.command(
        "-m", "services.execution", ARGUMENT, home=ground.production, given=question, codes=(EXIT_IN, EXIT_OUT)
    )
    answer = msgspec.json.decode(said, type=Answer)
    if not answer.is_in:
        raise RoutineFailedError(
            f"the broker of the settings does not let the bot in: {' '.join(answer.words)}",
            "Look at the credentials and the settings of the broker; 'python -m config doctor' asks it again.",
        )
    return " ".join(answer.words)


def notification(ground: Ground) -> str:
    """See that the letters about the session's fills and its halt have come to this run's own mail server."""
    end = time.monotonic() + _LETTERS_S
    while faults := letter_faults(ground.letters.letters()):
        if time.monotonic() > end:
            remark = "; ".join(str(line["detail"]) for line in ground.chain.chain_state().get("services", []))
            raise RoutineFailedError(f"after {_LETTERS_S:g} s {'; '.join(faults)}. {remark}".strip())
        time.sleep(_POLL_S)
    letters = ground.letters.letters()
    for subject, _text in letters:
        ground.say(f"a letter came: {subject}")
    words = f"{len(letters)} letters about fills and the halt came to this run's own mail server"
    if not ground.sends_letter:
        return f"{words}; nobody else was written to."
    return f"{words}. {_letter_to_people(ground)}"


def letter_faults(letters: list[tuple[str, str]]) -> list[str]:
    """Return what nobody was told of."""
    texts = [f"{subject}\n{text}" for subject, text in letters]
    return [
        f"no letter tells of {what}"
        for what, words in (("the halt", "HALTED"), ("a purchase", "bought"), ("a sale", "sold"))
        if not any(words in text for text in texts)
    ]


def _letter_to_people(ground: Ground) -> str:
    """Send one letter by each way that production has; its settings are read, nothing of it is written."""
    answers = []
    for way in ("mail", "webhook"):
        question = msgspec.json.encode(Question(provider=way))
        said = ground.command(
            "-m", "bus.notice_check", home=ground.production, given=question, codes=(EXIT_IN, EXIT_OUT)
        )
        answer = msgspec.json.decode(said, type=Answer)
        answers.append((answer.is_in, f"{way}: {' '.join(answer.words)}"))
    if not any(is_in for is_in, _ in answers):
        raise RoutineFailedError(" ".join(words for _, words in answers))
    return " ".join(words for _, words in answers)
