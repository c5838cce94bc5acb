"""Finnhub's recorded answers of a free key, where they are beside the project; they are not part of it."""

from pathlib import Path

from finnhub_server import Answer, FinnhubServer, StillTime, api_of

from services.screener.finnhub_answers import Missing

RECORDED = (Path(__file__).resolve().parents[3] / "../shared/data/finnhub").resolve()


def recorded(name: str, status: int = 200) -> Answer:
    return Answer((RECORDED / name).read_bytes(), status)


if RECORDED.is_dir():

    def test_recorded_answers_when_read_then_they_are_what_finnhub_said(
        server: FinnhubServer, still: StillTime
    ) -> None:
        server.answers |= {
            "stock/symbol": recorded("stock-symbol-US.json"),
            "stock/profile2": recorded("profile-AAPL.json"),
            "stock/metric": recorded("metric-AAPL.json"),
            "quote AAPL": recorded("quote-AAPL.json"),
            "quote NOSUCH": recorded("quote-unknown.json"),
            "stock/metric PREMIUM": recorded("candle-AAPL.json", 403),
        }
        api = api_of(server, still)
        names = api.names()
        profile, metrics, quote = api.profile("AAPL"), api.metrics("AAPL"), api.quote("AAPL")
        assert (len(names), names[0].symbol, names[0].mic, names[0].type) == (25, "CRRTF", "OOTC", "Common Stock")
        assert not isinstance(profile, Missing)
        assert not isinstance(metrics, Missing)
        assert not isinstance(quote, Missing)
        assert (profile.shares_outstanding, profile.market_cap_dollars) == (14_687_360_000, 4_535_749_272_209)
        assert (metrics.pe_milli, metrics.debt_to_equity_milli) == (37_004, 796)
        assert (metrics.market_cap_dollars, metrics.volume_10_day_shares) == (4_535_749_500_000, 43_245_910)
        assert str(quote.price) == "308.82"
        assert api.quote("NOSUCH") is Missing.NO_DATA
        assert api.metrics("PREMIUM") is Missing.NOT_IN_PLAN
        assert server.paths()[:2] == ["/api/v1//stock/symbol", "/api/v1//stock/profile2"]
