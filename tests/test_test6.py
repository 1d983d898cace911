"""test6: a live plot."""

from tests.promises import Acquisition, Commands, Console, OnDemand, OtherPages, Plot, Roles, Shared


class TestStep6(Console, Commands, OnDemand, OtherPages, Roles, Acquisition, Shared, Plot):
    step = "test6"
