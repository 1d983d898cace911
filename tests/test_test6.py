"""test6: a live plot."""

from tests.promises import Acquisition, Commands, Console, OnDemand, Plot, Roles, Shared


class TestStep6(Console, Commands, OnDemand, Roles, Acquisition, Shared, Plot):
    step = "test6"
