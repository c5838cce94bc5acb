"""A whole run of one seed, from an empty home to its verdict."""

import random
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Final

from sim import checkers
from sim.broker import BrokerHouse
from sim.chain import Chain
from sim.faults import PROFILES, Profile, Range
from sim.host import MS, SECOND, Host
from sim.market import FUNDS, HOLDINGS, make_day, settings
from sim.night_books import cash_in_books
from sim.operator_actor import Operator
from sim.restore import Restore
from sim.services_under_test import IDENTITY, feed_that_goes_on, new_home, simulated_world
from sim.trace import quiet, told

from bus.assembly import Setup
from bus.messages import ChainStatus, Heartbeat, LedgerSnapshot, OrdersSnapshot, PortfolioSnapshot
from services.execution.orders import FINAL_STATES

_CALM_S_MAX: Final = 400
_CHECK_NS: Final = 500 * MS
_FAULT_EVERY_NS: Final = 100 * MS
#: Daylight saving by hand, the same back, and a time service that steps.
_CLOCK_STEPS_S: Final = (-3_600, 3_600, 10)


@dataclass
class Verdict:
    """What came of a seed. `faults` is empty when every promise was kept."""

    seed: int
    profile: str
    faults: list[str]
    digest: int
    events: int
    simulated_s: float
    posts: int
    fills: int
    halts: int
    crashes: int
    reached: set[str]
    unrest: str = ""
    #: What the records of a night say was done.
    night_actions: frozenset[str] = frozenset()


@dataclass
class Run:
    """One seed in the making: a directed run changes it before `play`."""

    seed: int
    profile: Profile
    direct: Callable[[Chain], None] | None = None
    is_told: bool = False
    restore: Restore | None = None

    def play(self) -> Verdict:
        """Play the seed and judge it."""
        host = Host(self.seed)
        rng = host.rng
        self.mix = self.profile.draw(rng)
        self.house = BrokerHouse(host, self.mix)
        speed, positions = rng.choice(self.profile.speeds), rng.choice(("keep", "keep", "flatten"))
        has_night = self.profile.has_night
        env = settings(speed, positions, self.profile.entry_timeout_s, has_night=has_night)
        day = make_day(random.Random(rng.getrandbits(32)), has_night=has_night)
        with quiet(), new_home() as paths:
            setup = Setup(paths=paths, env=env, identity=IDENTITY, holdings=HOLDINGS if has_night else {})
            self.chain = chain = Chain(host, self.house, setup, self.mix, self.profile.services)
            chain.points = self.profile.points
            chain.restart_ns = _ns(self.profile.restart_s)
            self.operator = Operator(chain)
            self.operator.slow_ns = _ns(self.profile.answers_after_s) if self.profile.answers_after_s else None
            with simulated_world(host, self.house, day, chain.failpoint, chain.opened) as reads:
                self.reads = reads
                self.operator.changed = reads.changed
                teller = told(chain) if self.is_told else nullcontext()
                feed = nullcontext() if self.profile.feed_waits else feed_that_goes_on()
                self.house.told_ns = None if self.profile.feed_waits else 0
                with teller, feed, closing(chain):
                    self._disturbed()
                    self._calm()
                    return self._verdict()

    # --- phases -----

    def _disturbed(self) -> None:
        chain, host = self.chain, self.chain.host
        if self.direct is not None:
            self.direct(chain)
        for name in self.profile.services:
            host.after(host.between(0, 300 * MS), f"start {name}", lambda name=name: chain.start(name))  # type: ignore[misc]  # mypy cannot infer the default
        self.operator.begin()
        if self.profile.has_night:
            self.operator.look_after_the_holdings()
        self.house.entered = self._entered
        if self.profile.restores:
            self.restore = Restore(chain, host.rng.choice(self.profile.restores))
            early, late = self.profile.restore_s
            self.restore.begin(host.between(int(early * SECOND), int(late * SECOND)))
        seconds = self.profile.fault_s[0] + host.rng.random() * (self.profile.fault_s[1] - self.profile.fault_s[0])
        end = host.boot_ns() + int(seconds * SECOND)
        if any(
            (
                self.mix.crash_rate,
                self.mix.pause_rate,
                self.mix.cut_rate,
                self.mix.halt_rate,
                self.mix.stop_rate,
                self.mix.clock_rate,
            )
        ):
            host.after(SECOND, "trouble", lambda: self._trouble(end))
        while host.boot_ns() < end and not (chain.feed_ended and self._is_at_rest()):
            host.run_until(min(end, host.boot_ns() + _CHECK_NS))

    def _trouble(self, end_ns: int) -> None:
        """Every 100 ms, perhaps, one of the disturbances that come by themselves."""
        chain, host, mix = self.chain, self.chain.host, self.mix
        if host.boot_ns() >= end_ns:
            return
        host.after(_FAULT_EVERY_NS, "trouble", lambda: self._trouble(end_ns))
        share = _FAULT_EVERY_NS / SECOND
        if host.chance(mix.crash_rate * share):
            name = host.rng.choice(self.profile.targets)
            if chain.processes[name].runner is not None:
                chain.crash(name, "kill -9")
        if host.chance(mix.pause_rate * share):
            chain.freeze(host.rng.choice(self.profile.targets), host.between(100 * MS, 4 * SECOND))
        if host.chance(mix.cut_rate * share):
            sender, receiver = host.rng.sample(self.profile.targets, 2)
            chain.net.cuts[sender, receiver] = host.boot_ns() + host.between(300 * MS, 6 * SECOND)
        if host.chance(mix.halt_rate * share):
            self.operator.halt()
        if host.chance(mix.stop_rate * share):
            self.operator.stop()
        if host.chance(mix.clock_rate * share):
            host.set_wall_clock(host.rng.choice(_CLOCK_STEPS_S) * SECOND)

    def _entered(self) -> None:
        host = self.chain.host
        if host.chance(self.chain.mix.strike):
            host.after(host.between(0, 2 * SECOND), "strike", self._strike)

    def _strike(self) -> None:
        """Give a reason why entries may not stand any more, and perhaps disturb whoever has to cancel them."""
        chain, host = self.chain, self.chain.host
        cause = host.rng.choice(("halt", "stop", "watchdog", "risk"))
        if cause == "halt":
            self.operator.halt()
        elif cause == "stop":
            self.operator.stop()
        else:
            chain.crash("watchdog" if cause == "watchdog" else "risk", "struck")
        if host.chance(0.3):
            host.after(host.between(0, 3 * SECOND), "strike", self._strike_execution)

    def _strike_execution(self) -> None:
        chain, host = self.chain, self.chain.host
        if host.chance(0.5):
            chain.crash("execution", "struck")
        else:
            chain.freeze("execution", host.between(500 * MS, 4 * SECOND))

    def _calm(self) -> None:
        chain, host = self.chain, self.chain.host
        chain.calm_down()
        self.operator.reaction_ns = (300 * MS, 600 * MS)
        self.operator.slow_ns = None
        self.calm_ns = host.boot_ns()
        end = host.boot_ns() + _CALM_S_MAX * SECOND
        while host.boot_ns() < end:
            host.run_until(host.boot_ns() + _CHECK_NS)
            if self._ends_halted() or self._is_at_rest():
                # What is said last, and what nobody expects any more, may still come.
                host.run_until(host.boot_ns() + 2 * SECOND)
                if self._ends_halted() or self._is_at_rest():
                    return

    def _ends_halted(self) -> bool:
        """Tell whether a halt stands that only a person could mend; then nobody arms any more."""
        halt = self.chain.control.read().halt
        is_stopped = bool(self.profile.ends_in) and halt is not None and halt.rule in self.profile.ends_in
        if is_stopped:
            self.operator.answers = False
        return is_stopped and self.chain.host.boot_ns() > self.calm_ns + 20 * SECOND

    def _is_at_rest(self) -> bool:
        return not self._unrest()

    def _unrest(self) -> str:
        """Return what is not at an end yet; empty when nothing moves any more."""
        chain, house = self.chain, self.house
        if not chain.feed_ended:
            return f"the feed is at step {house.step}"
        if house.working():
            return f"orders work at the broker: {[order.key for order in house.working()]}"
        if house.on_the_way:
            return "an order is on its way to the broker"
        held = {symbol: qty for symbol, qty in house.positions.items() if qty and symbol not in FUNDS}
        if held:
            return f"positions are held: {held}"
        for name in self.profile.services:
            beat = chain.status(name, Heartbeat)
            if beat is None or beat.outbox_depth or beat.state != "ready":
                return (
                    f"{name}: {beat.outbox_depth if beat else '?'} messages wait, {beat.state if beat else 'unheard'}"
                )
        orders = chain.status("execution", OrdersSnapshot)
        open_orders = [
            f"{line.leg} {line.symbol} {line.state}" for line in orders.orders if line.state not in FINAL_STATES
        ]
        if open_orders:
            return f"execution has open orders: {open_orders}"
        if self._booked_cash() != house.cash_micros:
            return "the ledger does not have the broker's cash"
        positions = chain.status("risk", PortfolioSnapshot).positions
        return f"risk knows of positions: {[line.symbol for line in positions]}" if positions else ""

    def _booked_cash(self) -> int:
        if self.profile.has_night:
            # What the ledger says is without the reserves.
            return cash_in_books(self.chain.paths.entities / IDENTITY.entity_folder / IDENTITY.ledger_file)
        said: int = self.chain.status("ledger", LedgerSnapshot).cash_micros
        return said

    # --- the end -----

    def _verdict(self) -> Verdict:
        chain, host = self.chain, self.chain.host
        unrest = self._unrest()
        ended_ns = host.boot_ns()
        books = checkers.read_books(chain.paths, has_night=self.profile.has_night)
        case = checkers.Case(
            house=self.house,
            books=books,
            granted=chain.granted,
            armed=self.operator.armed,
            stops=self.operator.stops,
            raised_at=self.reads.raised_at,
            ended_ns=ended_ns,
            away=chain.away,
            errors=chain.errors,
            unrest=unrest,
            ends_in=self.profile.ends_in,
            chain_state=status.state if (status := chain.status("watchdog", ChainStatus)) else "",
            must_end_halted=self.restore.must_halt if self.restore else False,
            forgotten=self.restore.approved if self.restore else [],
        )
        for entry in books.entries:
            host.note(str(entry))
        return Verdict(
            seed=self.seed,
            profile=self.profile.name,
            faults=checkers.check(case),
            digest=host.digest,
            events=host.events,
            simulated_s=(ended_ns - 3_600 * SECOND) / SECOND,
            posts=len(self.house.posts),
            fills=len(self.house.fills),
            halts=len(books.halts),
            crashes=len(chain.crashes),
            reached=chain.reached,
            unrest=unrest,
            night_actions=books.night.actions if books.night else frozenset(),
        )


def _ns(seconds: Range) -> tuple[int, int]:
    return int(seconds[0] * SECOND), int(seconds[1] * SECOND)


def run_seed(seed: int, profile: str = "swarm") -> Verdict:
    """Play one seed of a profile."""
    return Run(seed, PROFILES[profile]).play()
