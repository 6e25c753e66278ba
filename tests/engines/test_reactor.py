"""Reactor: descriptors, moments, threads and signals in one wait, without burning time."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from onex.engines.reactor import Reactor


@pytest.fixture
def reactor():
    made = Reactor()
    yield made
    made.close()


def test_a_thread_wakes_the_one_that_waits(reactor: Reactor) -> None:
    told: list[str] = []
    thread = threading.Thread(
        target=lambda: (time.sleep(0.05), reactor.post(lambda: told.append("x")))
    )
    thread.start()
    reactor.wait(time.perf_counter() + 60)
    thread.join()
    assert told == ["x"]


def test_a_signal_handler_wakes_it_too(reactor: Reactor) -> None:
    told: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: reactor.post(lambda: told.append(1)))
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        reactor.wait(time.perf_counter() + 60)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert told == [1]


def test_what_is_posted_meanwhile_is_handled_once_and_in_order(reactor: Reactor) -> None:
    told: list[int] = []
    numbers = range(4_000)
    threads = [
        threading.Thread(target=lambda part=part: [reactor.post(lambda n=n: told.append(n)) for n in part])
        for part in (numbers[:2_000], numbers[2_000:])
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    while len(told) < len(numbers):
        reactor.wait(time.perf_counter() + 60)
    for thread in threads:
        thread.join()
    assert [n for n in told if n < 2_000] == list(numbers[:2_000])
    assert [n for n in told if n >= 2_000] == list(numbers[2_000:])


def test_moments_come_in_time_and_a_later_one_replaces_an_earlier(reactor: Reactor) -> None:
    told: list[str] = []
    now = time.perf_counter()
    reactor.set_timer("a", now + 0.02, lambda: told.append("early"))
    reactor.set_timer("a", now + 0.05, lambda: told.append("late"))
    reactor.set_timer("b", now + 0.01, lambda: told.append("cleared"))
    reactor.clear_timer("b")
    while not told:
        reactor.wait()
    assert told == ["late"]
    assert time.perf_counter() >= now + 0.05


def test_one_callback_may_close_what_another_is_about_to_read(reactor: Reactor) -> None:
    pipes = [os.pipe() for _ in range(2)]
    told: list[int] = []

    def first_come(own: int, other: int) -> None:
        told.append(own)
        reactor.unwatch(other)
        os.close(other)

    (a, a_end), (b, b_end) = pipes
    reactor.watch(a, lambda: first_come(a, b))
    reactor.watch(b, lambda: first_come(b, a))
    for end in (a_end, b_end):
        os.write(end, b"x")
    reactor.wait()
    assert len(told) == 1
    reactor.unwatch(told[0])
    for descriptor in (told[0], a_end, b_end):
        os.close(descriptor)


def test_waiting_takes_no_processor_time(reactor: Reactor) -> None:
    used = time.process_time()
    reactor.wait(time.perf_counter() + 0.3)
    assert time.process_time() - used < 0.1
