"""The exercises of test2. To see how far you are: pytest tests/exercises/test2.py"""

import re

from tests.exercises import Look, exercise


@exercise("answer() has an `if` for each command. random.randint(1, 6) is a throw; return it as text.")
def test_1_roll_dice(look: Look) -> None:
    look.start()
    with look.connect() as connection:
        throws = [look.ask(connection, "ROLL_DICE") for _ in range(100)]
        look.find("ROLL_DICE answered with a number from 1 to 6", throws[0], re.compile("[1-6]"))
        look.find("every number in a hundred throws", sorted(set(throws)), list("123456"))
        error = look.ask(connection, "FOO")
        look.find("an error for FOO that names ROLL_DICE too", error, lambda text: "ROLL_DICE" in text)


@exercise("message.startswith('ECHO ') tells, and message.removeprefix('ECHO ') is what follows.")
def test_2_echo(look: Look) -> None:
    look.start()
    page = look.page()
    response = page.get_by_label("Response")
    for text in ("hello", "two words", "<b>not bold</b>"):
        look.pages.command(page, "GREET_ME")
        look.wait("a response to GREET_ME", response.inner_text, "Hello! Nice to meet you.")
        look.pages.command(page, f"ECHO {text}")
        look.wait("another response", response.inner_text, lambda shown: "Hello!" not in shown)
        look.find(f"the response {text!r} to the command {f'ECHO {text}'!r}", response.inner_text(), text)


@exercise("command.upper() makes capitals of all letters.")
def test_3_small_letters(look: Look) -> None:
    look.start()
    with look.connect() as connection:
        for command in ("greet_me", "Greet_Me"):
            wanted = look.ask(connection, "GREET_ME")
            look.find(f"the answer of GREET_ME to {command}", look.ask(connection, command), wanted)
        for command in ("get_time", "Get_Time"):
            time = look.ask(connection, command)
            look.find(f"the time in answer to {command}", time, re.compile(r"[\d-]+T[\d:.]+Z"))
        look.find("an error for foo", look.ask(connection, "foo"), lambda text: text.startswith("ERROR"))
