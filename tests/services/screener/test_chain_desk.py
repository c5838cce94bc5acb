"""Live chains of the best candidates: asked for beside the feed, with their age, and again before they are old."""

import threading

import pytest
from live_day import MINUTE, OPEN, SECOND, until

from bus.messages import ListedPut, OptionsListed
from services.screener.chain_desk import ChainDesk
from services.screener.chain_source import ChainError
from services.screener.settings import PutWindow

DATE = "2025-03-12"
WINDOW = PutWindow(days_min=7, days_max=45, names_max=2, age_max_ns=60 * MINUTE)


class Chains:
    """A source of chains that answers when a test lets it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, str]] = []
        self.faults: set[str] = set()
        self.empty: set[str] = set()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def puts(self, underlying: str, price_micros: int, session_date: str) -> tuple[ListedPut, ...]:
        self.asked.append((underlying, price_micros, session_date))
        assert self.may_answer.wait(10)
        if underlying in self.faults:
            raise ChainError(f"no chain of {underlying} for a reason")
        if underlying in self.empty:
            return ()
        return (ListedPut(symbol=f"{underlying}250321P00100000", open_interest=1, delta_ppm=None),)


class Bench:
    def __init__(self) -> None:
        self.source = Chains()
        self.boot_ns, self.utc_ns = 1_000 * SECOND, OPEN
        self.prices = {"AAA": 10, "BBB": 20, "CCC": 30}
        self.desk = ChainDesk(self.source, WINDOW, utc_ns=lambda: self.utc_ns, boot_ns=lambda: self.boot_ns)

    def next(self) -> OptionsListed:
        return until(self.look, "chain")

    def look(self) -> OptionsListed | None:
        return self.desk.listed(lambda name: self.prices.get(name, 0))

    def rest(self) -> None:
        """Look until nothing is under way any more."""
        until(lambda: self.desk._asking is None or not self.desk._asking.is_alive(), "end")
        assert self.look() is None


def test_chains_when_candidates_are_known_then_those_of_the_best_come_one_by_one_and_the_rest_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.desk.follow(DATE, ["AAA", "BBB", "CCC"])
    assert "no chain, so no put, of CCC: LIVE_PUT_NAMES_MAX is reached" in caplog.text
    first, second = bench.next(), bench.next()
    assert (first.underlying, second.underlying) == ("AAA", "BBB")
    assert (first.session_date, first.ts_event) == (DATE, OPEN)
    assert bench.source.asked == [("AAA", 10, DATE), ("BBB", 20, DATE)]
    assert bench.desk.puts == ("AAA250321P00100000", "BBB250321P00100000")
    bench.rest()


def test_chains_when_asked_for_then_nobody_waits() -> None:
    bench = Bench()
    bench.source.may_answer.clear()
    bench.desk.follow(DATE, ["AAA"])
    assert [bench.look() for _ in range(50)] == [None] * 50
    bench.source.may_answer.set()
    assert bench.next().underlying == "AAA"


def test_chains_when_half_as_old_as_they_may_be_then_they_are_asked_for_again_at_the_price_of_then() -> None:
    bench = Bench()
    bench.desk.follow(DATE, ["AAA"])
    bench.next()
    bench.boot_ns += 30 * MINUTE - 1
    bench.rest()
    bench.boot_ns, bench.utc_ns, bench.prices["AAA"] = bench.boot_ns + 1, OPEN + 30 * MINUTE, 12
    again = bench.next()
    assert again.ts_event == OPEN + 30 * MINUTE
    assert bench.source.asked[-1] == ("AAA", 12, DATE)


def test_a_chain_when_it_cannot_be_had_then_it_is_said_and_asked_for_again() -> None:
    bench = Bench()
    bench.source.faults.add("AAA")
    bench.desk.follow(DATE, ["AAA"])
    until(lambda: bench.look() or bench.desk.remark, "word of it")
    assert bench.desk.remark == "no chain of AAA"
    bench.source.faults.clear()
    bench.boot_ns += 60 * SECOND
    assert bench.next().underlying == "AAA"
    assert bench.desk.remark == ""


def test_a_chain_when_it_is_empty_then_it_is_said_and_a_name_without_a_price_is_not_asked_for() -> None:
    bench = Bench()
    bench.source.empty.add("AAA")
    bench.prices["BBB"] = 0
    bench.desk.follow(DATE, ["AAA", "BBB"])
    assert bench.next().puts == ()
    assert bench.desk.remark == "no chain of AAA"
    bench.rest()
    assert [name for name, _, _ in bench.source.asked] == ["AAA"]


def test_chains_when_a_later_list_names_others_then_theirs_come_and_what_was_just_listed_is_quoted_on() -> None:
    bench = Bench()
    bench.desk.follow(DATE, ["AAA", "BBB"])
    bench.next(), bench.next()
    bench.desk.follow(DATE, ["CCC", "BBB"])
    assert bench.next().underlying == "CCC"
    bench.rest()
    assert [name for name, _, _ in bench.source.asked] == ["AAA", "BBB", "CCC"], "BBB's was there already"
    assert bench.desk.puts == ("AAA250321P00100000", "BBB250321P00100000", "CCC250321P00100000")
    bench.desk.follow(DATE, ["CCC"])
    assert bench.desk.puts == ("BBB250321P00100000", "CCC250321P00100000")


def test_chains_when_a_session_ends_then_the_next_one_begins_anew() -> None:
    bench = Bench()
    bench.desk.follow(DATE, ["AAA"])
    bench.next()
    bench.desk.follow("2025-03-13", ["BBB"])
    assert bench.next().session_date == "2025-03-13"
    assert bench.desk.puts == ("BBB250321P00100000",)
