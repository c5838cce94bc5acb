"""Ten minutes of an exchange through Interactive Brokers' protocol, with the line lost on the way: none is wrong."""

import time
from collections.abc import Callable, Sequence

from ibkr_data_bench import DataBench
from live_day import MINUTE, OPEN, PLAN, SECOND, TellingPuts, a_status
from msgspec.structs import replace

from bus.messages import MICROS, NANOS, BarBatch, FeedEnded, MarketMessage, PastBars
from services.screener.generator import generate
from services.screener.ibkr_history import IbkrBars
from services.screener.live_names import Watched
from services.screener.live_session import LivePorts, LiveSession

MINUTES = 10
DAY = replace(PLAN, close_ns=OPEN + MINUTES * MINUTE)
MARKET = generate(DAY, 2)
NAMES = ("SPY", "ALVQ", "DOVQ", "RARQ")
PART_NS = 5 * SECOND


def text(micros: int) -> str:
    return f"{micros / MICROS:.6f}"


def truth() -> dict[int, dict[str, tuple[int, ...]]]:
    """Return each minute's bars of the names that traded: open, high, low, close and whole shares."""
    found: dict[int, dict[str, tuple[int, ...]]] = {}
    bars = MARKET.bars
    for minute in range(MINUTES):
        for name in NAMES:
            place = MARKET.symbols.index(name)
            columns = (bars.opens, bars.highs, bars.lows, bars.closes, bars.volumes)
            values = tuple(int(column[minute, place]) for column in columns)
            if values[3]:
                found.setdefault(minute, {})[name] = values
    return found


TRUTH = truth()


class Exchange:
    """Says five seconds after five seconds through a gateway, and keeps the minutes that are over as its history."""

    def __init__(self, ib: DataBench) -> None:
        self.ib = ib
        self.session: LiveSession | None = None
        self.said: list[MarketMessage] = []
        for name in NAMES:
            ib.gateway.minutes[name] = []
        ib.gateway.has_pacing = False

    def begin(self) -> LiveSession:
        stream = self.ib.stream()
        clock = LivePorts(
            stream=stream,
            past=IbkrBars(self.ib.line, lambda: self.ib.now_ns),
            puts=TellingPuts(),
            utc_ns=lambda: self.ib.now_ns,
            boot_ns=self.ib.boot_ns,
            is_simulated=False,
            on_fault=self._fault,
        )
        self.session = LiveSession(DAY, Watched(symbols=NAMES, barred=NAMES, left_out=(), room=0), clock)
        return self.session

    def _fault(self, words: str) -> None:
        raise AssertionError(words)

    def hear(self) -> None:
        assert self.session is not None
        while not self.session.has_ended and (message := self.session.next()) is not None:
            self.said.append(message)
            self.session.hear_status(a_status(7, message.step))

    def go_on(self, until_ns: int, *, is_mute: bool = False) -> None:
        """Let time go on by five seconds after the other, as fast as the bot hears them."""
        while self.ib.now_ns < OPEN + until_ns:
            at_ns = self.ib.now_ns
            self.ib.now_ns += PART_NS
            self.ib.skipped_ns += PART_NS
            if at_ns >= OPEN:
                self._say((at_ns - OPEN) // PART_NS, is_mute=is_mute)
            for _ in range(6):
                time.sleep(0.01)
                self.ib.skipped_ns += SECOND // 4
                self.hear()

    def _say(self, part: int, *, is_mute: bool) -> None:
        minute, place = divmod(part, 12)
        for name, (first, high, low, last, volume) in TRUTH.get(minute, {}).items():
            # The first five seconds have the open, the next the extremes, the last the close; each a twelfth of it all.
            prices = [(first,) * 4, (first, high, low, last)][place == 1] if place < 11 else (last,) * 4
            share = volume // 12 if place else volume - 11 * (volume // 12)
            if not is_mute:
                words = tuple(map(text, prices))
                start_s = OPEN // SECOND + 5 * part
                self.ib.gateway.say_bar(name, start_s, words, f"{share / NANOS:.9f}")
            if place == 11:
                whole = (OPEN // SECOND + 60 * minute, *map(text, (first, high, low, last)), f"{volume / NANOS:.9f}")
                self.ib.gateway.minutes[name].append(whole)


def told(said: Sequence[MarketMessage]) -> dict[int, dict[str, tuple[int, ...]]]:
    """Return the minutes as a listener has them at the end: what is said again replaces all that was."""
    found: dict[int, dict[str, tuple[int, ...]]] = {}
    for one in said:
        if isinstance(one, PastBars) and one.begins:
            found = {}
        elif isinstance(one, BarBatch):
            for bar in one.bars:
                values = (bar.open_micros, bar.high_micros, bar.low_micros, bar.close_micros, bar.volume_nanos)
                found.setdefault((one.ts_event - OPEN) // MINUTE - 1, {})[bar.symbol] = values
    return found


def play(ib: DataBench, trouble: Callable[[Exchange], None]) -> list[MarketMessage]:
    exchange = Exchange(ib)
    session = exchange.begin()
    exchange.go_on(-SECOND)
    exchange.go_on(2 * MINUTE + 20 * SECOND)
    trouble(exchange)
    exchange.go_on((MINUTES + 2) * MINUTE)
    session.close()
    return exchange.said


def check(said: Sequence[MarketMessage]) -> None:
    assert isinstance(said[-1], FeedEnded), said[-3:]
    assert told(said) == TRUTH
    new = [(one.ts_event, bar.symbol) for one in said if type(one) is BarBatch for bar in one.bars]
    assert len(new) == len(set(new)), "no minute of a name is ever new twice"
    assert [at for at, _ in new] == sorted(at for at, _ in new), "minutes come in order"


def test_minutes_when_nothing_happens_then_they_are_those_of_the_exchange(ib: DataBench) -> None:
    said = play(ib, lambda _exchange: None)
    check(said)
    assert set(told(said)) == set(range(MINUTES))


def test_minutes_when_the_data_was_lost_for_two_minutes_then_none_is_missing_at_the_end(ib: DataBench) -> None:
    def lose(exchange: Exchange) -> None:
        ib.gateway.say(1100, "Connectivity between IB and Trader Workstation has been lost.")
        exchange.go_on(4 * MINUTE + 15 * SECOND, is_mute=True)
        ib.gateway.lose_data()
        ib.gateway.say(1101, "Connectivity between IB and Trader Workstation has been restored, data lost.")

    check(play(ib, lose))


def test_minutes_when_the_gateway_was_restarted_then_none_is_missing_at_the_end(ib: DataBench) -> None:
    def restart(exchange: Exchange) -> None:
        ib.gateway.stop()
        exchange.go_on(3 * MINUTE + 40 * SECOND, is_mute=True)
        ib.gateway.start()

    check(play(ib, restart))
