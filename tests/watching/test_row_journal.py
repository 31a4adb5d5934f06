"""Lines that nobody would send again survive until a state holds them."""

import pytest

from eventlstm.watching.row_journal import RowJournal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.rows"


def reopened(journal):
    journal.close()
    return RowJournal(journal.path)


def test_lines_are_there_again_until_a_state_knows_them(path):
    journal = RowJournal(path)
    assert journal.replay(0) == []
    journal.start(0)
    journal.add([b"a", b"b"])
    journal.add([b"c"])
    journal = reopened(journal)
    assert journal.replay(0) == [b"a", b"b", b"c"] and journal.replay(2) == [b"c"] and journal.replay(3) == []
    journal.start(3)
    journal.add([b"d"])
    journal = reopened(journal)
    assert journal.replay(3) == [b"d"]
    journal.close()


def test_a_state_written_before_the_journal_began_anew_leaves_out_what_it_knows(path):
    journal = RowJournal(path)
    journal.start(10)
    journal.add([b"k", b"l"])
    journal = reopened(journal)
    assert journal.replay(11) == [b"l"] and journal.replay(12) == []
    journal.close()


@pytest.mark.parametrize(
    ("kept", "lines"), [(b"", []), (b"aft", []), (b"after 3\n", []), (b"after 3\na\nhalf", [b"a"])]
)
def test_what_was_cut_while_it_was_written_is_left_out(path, kept, lines):
    path.write_bytes(kept)
    journal = RowJournal(path)
    assert journal.replay(3) == lines
    journal.close()
