"""Short-lived processes: what they say and how they end, one that does not end, and no more than a few at once."""

import threading

import pytest

from config.paths import HomePaths
from services.web import short_process
from services.web.short_process import AT_ONCE, Job, TooManyAtOnceError, run


def asked(module: str, *arguments: str, timeout_s: float = 1) -> Job:
    return Job(module=module, arguments=arguments, given=b"canary, no question", timeout_s=timeout_s)


def test_process_when_it_ends_then_its_code_and_both_streams(home: HomePaths) -> None:
    done = run(home, asked("services.screener", "--test-connection", timeout_s=60))
    assert done.code == 2
    assert done.out == ""
    assert "reads one question from standard input" in done.err


def test_process_when_it_does_not_end_then_it_is_ended(home: HomePaths) -> None:
    done = run(home, asked("http.server", "--bind", "127.0.0.1", "0", timeout_s=1))
    assert done.code is None


def test_processes_when_as_many_run_as_may_then_the_next_is_refused_and_a_place_comes_free(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_end = threading.Barrier(AT_ONCE + 1), threading.Event()

    def hold(*_arguments: object) -> short_process.Outcome:
        began.wait(10)
        may_end.wait(10)
        return short_process.Outcome(code=0, out="", err="")

    monkeypatch.setattr(short_process, "_run", hold)
    threads = [threading.Thread(target=run, args=(home, asked("m"))) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    began.wait(10)
    with pytest.raises(TooManyAtOnceError):
        run(home, asked("m"))
    may_end.set()
    for thread in threads:
        thread.join(10)
    began.reset()
    monkeypatch.setattr(short_process, "_run", lambda *_: short_process.Outcome(code=0, out="", err=""))
    assert run(home, asked("m")).code == 0


def test_job_when_shown_then_without_what_it_is_given() -> None:
    assert repr(asked("m", "--flag")) == "Job(m --flag)"
