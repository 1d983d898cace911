"""test14: the log is the history."""

from tests.promises import Commands, Console, Programs
from tests.promises_of_logs import ServedFromTheLog


class TestStep14(Console, Commands, Programs, ServedFromTheLog):
    step = "test14"
