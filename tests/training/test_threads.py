"""Threads keep the order of items, and torch's thread count is given back."""

import threading

import pytest
import torch

from eventlstm.training.threads import (
    StoppedError,
    Workers,
    end_if_stopped,
    is_one_of_many,
    one_of_many,
    one_thread,
    stoppable,
)


def test_one_thread_gives_the_callers_threads_back():
    with threads(3):
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3


def test_one_thread_gives_the_callers_threads_back_after_an_error():
    with threads(3):
        with pytest.raises(RuntimeError, match="inside"), one_thread():
            raise RuntimeError("inside")
        assert torch.get_num_threads() == 3


def test_one_thread_inside_another_does_not_end_it():
    with threads(3):
        with one_thread():
            with one_thread():
                pass
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3


def test_one_thread_holds_while_another_comes_and_goes():
    seen = {}
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first():
        with one_thread():
            first_in.set()
            assert second_in.wait(timeout=60)
        seen["first, after"] = torch.get_num_threads()
        first_out.set()

    def second():
        assert first_in.wait(timeout=60)
        with one_thread():
            second_in.set()
            assert first_out.wait(timeout=60)
            seen["second, inside"] = torch.get_num_threads()
        seen["second, after"] = torch.get_num_threads()

    with threads(3):
        in_threads(first, second)
        in_threads(lambda: seen.update({"a new thread": torch.get_num_threads()}))
        assert torch.get_num_threads() == 3
    assert seen == {"first, after": 3, "second, inside": 1, "second, after": 3, "a new thread": 3}


class threads:  # noqa: N801 - reads as a verb in "with threads(3)"
    """Set torch's threads, and set them back."""

    def __init__(self, n):
        self.n = n

    def __enter__(self):
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.n)

    def __exit__(self, *error):
        torch.set_num_threads(self.before)


def in_threads(*functions):
    started = [threading.Thread(target=function) for function in functions]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(timeout=120)


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 8])
@pytest.mark.parametrize("n_items", [0, 1, 2, 5])
def test_results_come_in_the_order_of_the_items(n_jobs, n_items):
    with Workers(n_jobs) as workers:
        assert workers.map(lambda x, y: (x, y), range(n_items), range(1, n_items + 1)) == [
            (k, k + 1) for k in range(n_items)
        ]


def test_each_thread_takes_neighbours_and_the_caller_the_first_and_longest_share():
    with Workers(2) as workers:
        who = workers.map(lambda _: threading.get_ident(), range(5))
    here = threading.get_ident()
    assert [ident == here for ident in who] == [True, True, True, False, False]


def test_without_a_block_the_caller_does_all():
    here = threading.get_ident()
    assert set(Workers(3).map(lambda _: threading.get_ident(), range(5))) == {here}


def test_workers_compute_with_one_torch_thread_and_leave_the_caller_s():
    with threads(3):
        with Workers(2) as workers:
            assert workers.map(lambda _: torch.get_num_threads(), range(4)) == [1, 1, 1, 1]
        assert torch.get_num_threads() == 3


def test_an_error_in_a_worker_is_the_caller_s_and_the_threads_end():
    n_before = threading.active_count()

    def fail(item):
        if item == 3:
            raise RuntimeError("item 3")

    with pytest.raises(RuntimeError, match="item 3"), Workers(2) as workers:
        workers.map(fail, range(4))
    assert threading.active_count() == n_before


def test_what_is_told_to_a_block_holds_in_it_alone():
    stop = threading.Event()
    with stoppable(stop), one_of_many():
        end_if_stopped()
        assert is_one_of_many()
        stop.set()
        with pytest.raises(StoppedError, match=r"^$"):
            end_if_stopped()
    end_if_stopped()
    assert not is_one_of_many()
