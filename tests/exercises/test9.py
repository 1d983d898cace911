"""The exercises of test9. To see how far you are: pytest tests/exercises/test9.py"""

import re

from tests.exercises import Look, exercise
from tests.promises import request


@exercise("FILES says what can be fetched, and TYPES its type. After log.write() there is log.file.name.")
def test_1_download(look: Look) -> None:
    server = look.start("--rate", "100")
    look.find("nothing at /log.csv while there is no log", request("GET", "/log.csv").status, 404)
    with look.connect() as control, look.connect("data") as data:
        look.find("a START that works", look.ask(control, "START"), "OK: started")
        data.recv(timeout=10)
        look.find("a file at /log.csv after START", request("GET", "/log.csv").status, 200)
        data.recv(timeout=10)
        look.find("a STOP that works", look.ask(control, "STOP"), "OK: stopped")
    server.wait_for("Logging to")
    response = request("GET", "/log.csv")
    look.find("the type text/csv", response.headers["Content-Type"], re.compile("text/csv(;.*)?"))
    look.find("the whole log", response.body.decode(), server.log.read_text(encoding="utf-8"))
    page = look.page()
    with page.expect_download() as download:
        page.evaluate("() => { location = '/log.csv'; }")
    look.find("a download in the browser", download.value.suggested_filename, re.compile(r".*\.csv"))


@exercise("Three places: your class in common/sensors.py, its name in SENSORS there, and in test9/server.py.")
def test_2_own_sensor(look: Look) -> None:
    offered = re.search(r"--sensor \{(.*?)\}", look.help())
    names = offered[1].split(",") if offered else []
    own = [name for name in names if name not in ("accelerometer", "cpu")]
    look.find(f"a sensor besides accelerometer and cpu in {names}", own, bool)
    server = look.start("--sensor", own[-1], "--rate", "50")
    page = look.page()
    look.pages.command(page, "START")
    look.readings(page, 2)
    legend = page.get_by_role("list", name="Legend")
    look.wait(f"a value of {own[-1]} in the legend", legend.inner_text, lambda text: re.search(r"\d", text))
    server.wait_for("Logging to")
    columns = server.log.read_text(encoding="utf-8").splitlines()[0].split(",")[2:]
    fields = legend.locator(".name").all_inner_texts()
    look.find("the fields of the legend in the log", columns, fields)
