"""What a sweep found, as a table and as a page."""

from collections.abc import Sequence

from replay.page import page, paragraph, section, table
from replay.stats import CONVENTIONS, Stats
from replay.sweep import Verdict

Row = tuple[str, ...]
_SHOWN_MAX = 1_000
_FIGURES = Stats.__struct_fields__


def result_rows(found: Sequence[Verdict], metric: str) -> list[Row]:
    """Return a header and a row for each verdict, the metric's figure first, validation after it where there is one."""
    names = [key for key, _ in found[0].combination]
    figures = (metric, *(name for name in _FIGURES if name != metric))
    has_validation = any(verdict.validation for verdict in found)
    validated = tuple(f"validate_{name}" for name in figures) if has_validation else ()
    rows: list[Row] = [("rank", *names, *figures, *validated, "error")]
    for place, verdict in enumerate(found, 1):
        row = (str(place) if verdict.stats else "", *(value for _, value in verdict.combination))
        later = _texts(verdict.validation, figures) if has_validation else ()
        rows.append((*row, *_texts(verdict.stats, figures), *later, verdict.error))
    return rows


def _texts(stats: Stats | None, figures: Sequence[str]) -> Row:
    values = [getattr(stats, name) if stats else None for name in figures]
    return tuple("" if value is None else str(value) for value in values)


def warning(tried: int, *, has_validation: bool) -> str:
    """Return the sentence about many tries on the same days."""
    judge = "judge it by the validation's figures" if has_validation else "try it on days that were not part of this"
    return (
        f"{tried} combinations were tried on the same days: the best of many looks good by chance alone, so expect "
        f"less of it than is shown here, and {judge}."
    )


def sweep_report(found: Sequence[Verdict], metric: str, source: str, validate_from: str) -> str:
    """Return the page; it needs nothing beside itself."""
    played = [verdict for verdict in found if verdict.stats]
    failed = [verdict for verdict in found if verdict.error]
    split = (
        f" Ranked by the days before {validate_from}; validate_ figures are of the days from it."
        if validate_from
        else ""
    )
    head, *rows = result_rows(found, metric)
    shown = [(*row[:-1],) for row in rows[: min(_SHOWN_MAX, len(played))]]
    parts = [
        "<h1>Replay sweep</h1>",
        paragraph(f"{source}. {len(found)} combinations, {len(failed)} of them failed.{split}", "soft"),
        section("Read this first", paragraph(warning(len(found), has_validation=bool(validate_from)))),
        section("Ranked", table(f"By {metric}: {CONVENTIONS.get(metric, metric)}", [head[:-1], *shown], tall=True)),
    ]
    if failed:
        lines = [
            (" ".join(f"{k}={v}" for k, v in verdict.combination), verdict.error) for verdict in failed[:_SHOWN_MAX]
        ]
        parts.append(section("Failed", table("Combinations that could not be played", [("settings", "why"), *lines])))
    parts.append(section("Definitions", table("Figures", [("figure", "meaning"), *CONVENTIONS.items()])))
    return page("Replay sweep", parts)
