"""test3: the same from another device; that it is reached from one is tested in test_other_device.py."""

from tests.promises import Commands, Console, OnDemand, OtherPages, Requests


class TestStep3(Console, Commands, Requests, OnDemand, OtherPages):
    step = "test3"
    known = ("GET_TIME", "GREET_ME")
