"""`prefork.dev.stop`: what a signal handler may set."""

from __future__ import annotations

import os
import signal
import threading

from prefork.dev.stop import Stop


def test_it_is_set_once_and_for_all() -> None:
    stop = Stop()
    assert not stop.is_set()
    assert not stop.wait(0.001)
    stop.set()
    stop.set()
    assert stop.is_set()
    assert all(stop.wait(60) for _ in range(3))


def test_another_thread_ends_the_wait() -> None:
    stop = Stop()
    thread = threading.Thread(target=stop.set)
    thread.start()
    while not stop.wait(60):
        pass
    thread.join()


def test_a_signal_handler_may_set_it_wherever_the_waiting_thread_is() -> None:
    """With a lock that the interrupted `wait` holds this would stand still sooner or later."""
    before = signal.signal(signal.SIGUSR1, lambda *_: stops[-1].set())
    stops = [Stop()]
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(150):
            stops.append(Stop())
            while not stops[-1].wait(0.00001):
                pass
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
