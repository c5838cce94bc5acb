"""A second implementation of a night, written like a spreadsheet: dollars as Decimal, exact fractions.

It shares nothing with the code that it judges, and no algorithm. Where the code looks for the water level by sorting,
this takes the funds out that stand on the wrong side until none does; where the code keeps lots of integers, this
keeps rows of decimals and replays each sale from the first purchase on.
"""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from fractions import Fraction

CENT = Decimal("0.01")
SHARE = Decimal("0.000000001")
DOLLAR = Decimal(1)


def cents(value: Fraction | Decimal) -> Decimal:
    exact = Fraction(value) * 100
    whole = exact.numerator // exact.denominator
    rest = exact - whole
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2):
        whole += 1
    return Decimal(whole) / 100


def worth(shares: Decimal, price: Decimal) -> Decimal:
    """What shares are worth by the broker's rule: rounded to the millionth of a dollar, and that to the cent."""
    return (shares * price).quantize(Decimal("0.000001"), ROUND_HALF_EVEN).quantize(CENT, ROUND_HALF_EVEN)


@dataclass
class Row:
    """One fund: every purchase ever (shares, cost), and the shares sold of all of them together."""

    weight: Decimal
    price: Decimal = Decimal(0)
    purchases: list[tuple[Decimal, Decimal]] = field(default_factory=list)
    sold: Decimal = Decimal(0)
    bought: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        self.bought = sum((shares for shares, _ in self.purchases), Decimal(0))

    def buy(self, shares: Decimal, paid: Decimal) -> None:
        self.purchases.append((shares, paid))
        self.bought += shares

    @property
    def shares(self) -> Decimal:
        return self.bought - self.sold

    @property
    def value(self) -> Decimal:
        return worth(self.shares, self.price)

    def cost_until(self, sold: Decimal) -> Decimal:
        """The cost of the first shares ever bought, each purchase's part rounded to the cent."""
        cost = Decimal(0)
        for shares, paid in self.purchases:
            part = min(shares, sold)
            sold -= part
            cost += paid if part == shares else cents(Fraction(paid) * Fraction(part) / Fraction(shares))
        return cost

    def gain_of(self, shares: Decimal, proceeds: Decimal) -> Decimal:
        return proceeds - (self.cost_until(self.sold + shares) - self.cost_until(self.sold))


@dataclass
class Sheet:
    """The account: percentages as fractions of one."""

    cash: Decimal
    rows: dict[str, Row]
    float_part: Decimal = Decimal("0.10")
    tax_part: Decimal = Decimal("0.20")
    payroll_part: Decimal = Decimal("0.10")
    tax: Decimal = Decimal(0)
    payroll: Decimal = Decimal(0)
    tax_due: Decimal = Decimal(0)
    payroll_due: Decimal = Decimal(0)
    carry: Decimal = Decimal(0)

    @property
    def held(self) -> Decimal:
        return sum((row.value for row in self.rows.values()), Decimal(0))

    def night(self, gain: Decimal, *, rebalances: bool = False) -> None:
        self.allocate(gain)
        touched: set[str] = set()
        if rebalances:
            sales = self.rebalance_sales()
            touched |= set(sales)
            if sales:
                self.allocate(self.sell(sales))
        float_sold = False
        for _ in range(4):
            sales = self.float_sales()
            if not sales:
                break
            float_sold = True
            self.allocate(self.sell(sales))
        if not float_sold:
            self.buy(self.float_excess(), touched)

    def allocate(self, gain: Decimal) -> None:
        base = max(gain - self.carry, Decimal(0))
        self.carry = max(self.carry - gain, Decimal(0))
        tax = cents(base * self.tax_part)
        self.tax_due += tax
        self.payroll_due += cents((base - tax) * self.payroll_part)
        paid = min(self.tax_due, max(self.cash, Decimal(0)))
        self.cash, self.tax, self.tax_due = self.cash - paid, self.tax + paid, self.tax_due - paid
        paid = min(self.payroll_due, max(self.cash, Decimal(0)))
        self.cash, self.payroll, self.payroll_due = self.cash - paid, self.payroll + paid, self.payroll_due - paid

    def wanted_float(self, cash: Decimal, held: Decimal, due: Decimal) -> Decimal:
        return cents(max(cash - due + held, Decimal(0)) * self.float_part)

    def float_excess(self) -> Decimal:
        due = self.tax_due + self.payroll_due
        excess = min(self.cash - due - self.wanted_float(self.cash, self.held, due), self.cash)
        return excess.quantize(CENT, ROUND_FLOOR)

    def sell(self, sales: dict[str, Decimal]) -> Decimal:
        gain = Decimal(0)
        for symbol, shares in sales.items():
            row = self.rows[symbol]
            proceeds = worth(shares, row.price)
            gain += row.gain_of(shares, proceeds)
            row.sold += shares
            self.cash += proceeds
        return gain

    def shares_for(self, symbol: str, amount: Decimal) -> Decimal:
        row = self.rows[symbol]
        if row.value - amount < DOLLAR:
            return row.shares
        return min((amount / row.price).quantize(SHARE, ROUND_CEILING), row.shares)

    def rebalance_sales(self) -> dict[str, Decimal]:
        due = self.tax_due + self.payroll_due
        pot = max(self.cash - due + self.held - self.wanted_float(self.cash, self.held, due), Decimal(0))
        targets = split(pot, {symbol: Fraction(pot) * Fraction(row.weight) for symbol, row in self.rows.items()})
        sales = {}
        for symbol in sorted(self.rows):
            row = self.rows[symbol]
            if row.weight == 0 and row.shares:
                sales[symbol] = row.shares
            elif row.value - targets[symbol] >= DOLLAR:
                sales[symbol] = self.shares_for(symbol, row.value - targets[symbol])
        return sales

    def float_sales(self) -> dict[str, Decimal]:
        due = self.tax_due + self.payroll_due
        amount = self.wanted_float(self.cash, self.held, due) + due - self.cash
        if amount < DOLLAR:
            return {}
        sales: dict[str, Decimal] = {}
        for _ in range(400):
            sales = {s: self.shares_for(s, part) for s, part in self.sale_parts(amount).items()}
            proceeds = gain = Decimal(0)
            for symbol, shares in sales.items():
                row = self.rows[symbol]
                brought = worth(shares, row.price)
                proceeds, gain = proceeds + brought, gain + row.gain_of(shares, brought)
            base = max(gain - self.carry, Decimal(0))
            tax = cents(base * self.tax_part)
            owed = due + tax + cents((base - tax) * self.payroll_part)
            held = sum(
                (worth(row.shares - sales.get(s, Decimal(0)), row.price) for s, row in self.rows.items()),
                Decimal(0),
            )
            missing = self.wanted_float(self.cash + proceeds, held, owed) + owed - self.cash - proceeds
            if missing <= 0 or amount >= self.held:
                break
            amount += missing
        return sales

    def sale_parts(self, amount: Decimal) -> dict[str, Decimal]:
        parts: dict[str, Decimal] = {}
        zero = [s for s, row in self.rows.items() if row.weight == 0 and row.value > 0]
        for symbol in sorted(zero, key=lambda s: (-self.rows[s].value, s)):
            if amount > 0:
                parts[symbol] = min(self.rows[symbol].value, max(amount, DOLLAR))
                amount -= parts[symbol]
        inside = {s for s, row in self.rows.items() if row.weight and row.value > 0}
        if amount <= 0 or not inside:
            return parts
        amount = max(amount, DOLLAR)
        while True:
            legs = self.level(min(amount, sum(self.rows[s].value for s in inside)), inside, sign=-1)
            small = [s for s in legs if legs[s] < DOLLAR and legs[s] < self.rows[s].value]
            if not small or len(inside) == 1:
                return parts | legs
            least = min(legs[s] for s in small)
            inside.remove(max(s for s in small if legs[s] == least))

    def buy(self, amount: Decimal, touched: set[str]) -> None:
        inside = {s for s, row in self.rows.items() if row.weight and s not in touched}
        while inside and amount >= DOLLAR:
            legs = self.level(amount, inside, sign=1)
            if min(legs.values()) >= DOLLAR:
                for symbol, cost in legs.items():
                    row = self.rows[symbol]
                    shares = (cost / row.price).quantize(SHARE, ROUND_FLOOR)
                    paid = worth(shares, row.price)
                    if shares:
                        row.buy(shares, paid)
                        self.cash -= paid
                return
            least = min(legs.values())
            inside = set(legs) - {max(s for s in legs if legs[s] == least)}

    def level(self, amount: Decimal, symbols: set[str], *, sign: int) -> dict[str, Decimal]:
        """Deal every fund to one value for each part of weight; those on the other side of it are taken out."""
        inside = set(symbols)
        while True:
            weight = sum((Fraction(self.rows[s].weight) for s in inside), Fraction(0))
            value = sum((Fraction(self.rows[s].value) for s in inside), Fraction(0))
            level = (value + sign * Fraction(amount)) / weight
            exact = {s: sign * (level * Fraction(self.rows[s].weight) - Fraction(self.rows[s].value)) for s in inside}
            wrong = {s for s, leg in exact.items() if leg < 0}
            if not wrong:
                return {s: leg for s, leg in split(amount, exact).items() if leg}
            inside -= wrong


def split(total: Decimal, exact: dict[str, Fraction]) -> dict[str, Decimal]:
    """Round exact parts to cents: down first, then one cent each to the largest rests."""
    down = {s: Decimal(part.numerator * 100 // part.denominator) / 100 for s, part in exact.items()}
    parts_total = sum(exact.values(), Fraction(0))
    left = int(Decimal(parts_total.numerator * 100 // parts_total.denominator) - sum(down.values()) * 100)
    for symbol in sorted(exact, key=lambda s: (Fraction(down[s]) - exact[s], s))[:left]:
        down[symbol] += CENT
    return down
