"""Wash sales as they are booked: for each tax year and rule a version that is worked out anew when somebody orders it.

A row's `rule_version` is rule, year and number of the version, such as `us-same-security-1 2025 v2`. Old versions stay:
what was filed by one can be looked up. A purchase up to 30 days after the last sale of a year can change it.
"""

from services.ledger.hash_chain import Value
from services.ledger.reading import Books, utc_day
from services.ledger.wash_sales import Rule, tax_view


def prefix_of(rule: str, year: int) -> str:
    """Return how the names of a year's versions begin."""
    return f"{rule} {year} v"


def adjustments_of(books: Books, rule: Rule, year: int) -> list[tuple[Value, ...]]:
    """Return the wash sales of a year's losses by a rule: the columns of wash_adjustment before the rule version."""
    sold = {close.close_id: utc_day(entry.occurred_ns).year for entry in books.entries for close in entry.closed}
    return [
        (
            each.loss_close_id, each.replacement_lot_id, each.qty, each.disallowed, each.basis_added,
            each.holding_days_added,
        )
        for each in tax_view(books, rule).adjustments
        if sold[each.loss_close_id] == year
    ]  # fmt: skip
