"""test7: Start and Stop buttons, and a legend."""

from tests.promises import Acquisition, Buttons, Commands, Console, OnDemand, OtherPages, Plot, Roles, Shared


class TestStep7(Console, Commands, OnDemand, OtherPages, Roles, Acquisition, Shared, Plot, Buttons):
    step = "test7"
