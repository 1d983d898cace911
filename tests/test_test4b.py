"""test4b: the same as test4, with the role in the path."""

from tests.promises import Acquisition, Commands, Console, DataAsText, OnDemand, OtherPages, Roles


class TestStep4b(Console, Commands, OnDemand, OtherPages, Roles, DataAsText, Acquisition):
    step = "test4b"
