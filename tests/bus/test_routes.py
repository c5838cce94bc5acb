"""The routes: every table agrees with the others."""

from typing import get_args

from bus import messages as m
from bus.delivery import StepBoard
from bus.routes import ROUTES, SERVICES, STEP_MARKS, may_send, peers_of, receivers, senders_to


def test_every_route_is_between_known_services_and_of_a_reliable_type() -> None:
    for (sender, kind), targets in ROUTES.items():
        assert sender in SERVICES
        assert kind in get_args(m.ReliableMessage)
        assert targets
        assert sender not in targets
        assert all(target in SERVICES and may_send(sender, target, kind) for target in targets)


def test_a_message_when_no_route_allows_it_is_forbidden() -> None:
    allowed = {(s, r, k) for (s, k), rs in ROUTES.items() for r in rs}
    for sender in SERVICES:
        for receiver in SERVICES:
            for kind in get_args(m.AnyMessage):
                assert may_send(sender, receiver, kind) == ((sender, receiver, kind) in allowed)
    assert not may_send("strategy", "execution", m.SubmitOrder)
    assert not may_send("web", "execution", m.SubmitOrder)


def test_peers_and_senders_mirror_each_other() -> None:
    for one in SERVICES:
        for other in SERVICES:
            assert (other in peers_of(one)) == (one in senders_to(other))
    assert receivers("risk", m.OrderFilled) == ()


def test_the_step_marks_when_everybody_plays_end_at_the_screener() -> None:
    boards = {name: StepBoard(own=1) for name in ("strategy", "risk", "execution")}
    reached = False
    for _ in range(10):
        for (sender, receiver), waits in STEP_MARKS.items():
            if boards[sender].may_tell(receiver, waits):
                boards[sender].told[receiver] = 1
                if receiver == "screener":
                    reached = True
                else:
                    boards[receiver].hear(sender, 1, 0, 0)
    assert reached
