"""test8: several fields, and the time of each reading."""

from tests.promises import (
    Acquisition,
    Buttons,
    Commands,
    Console,
    OnDemand,
    OtherPages,
    Plot,
    Roles,
    SeveralFields,
    Shared,
)


class TestStep8(
    Console, Commands, OnDemand, OtherPages, Roles, Acquisition, Shared, Plot, Buttons, SeveralFields
):
    step = "test8"
