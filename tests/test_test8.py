"""test8: several fields, and the time of each reading."""

from tests.promises import (
    Acquisition,
    Buttons,
    Commands,
    Console,
    OnDemand,
    Plot,
    Roles,
    SeveralFields,
    Shared,
)


class TestStep8(Console, Commands, OnDemand, Roles, Acquisition, Shared, Plot, Buttons, SeveralFields):
    step = "test8"
