"""Step 11: a page driven from an ordinary Python loop.

Run:  python server.py      the page opens by itself; open the address that is printed on other devices too.
New:  start(), update() and close(); a loop that shows how far it is; no server, no async, no callbacks.
"""

import math
import random
import time

from common.live_page import start
from common.options import parse_options
from common.running import end_on_signals

options = parse_options(__doc__, rate=20)


def work(step):
    """What your program does: a step of a simulation, a batch of a training run, a move of a robot."""
    time.sleep(1 / options.rate)
    return 50 + 30 * math.sin(step / 30) + random.gauss(0, 2)


def main():
    with start("client.html", host=options.host, port=options.port) as page:
        # track() shows how far a loop is: the count, the rate, and the time left.
        for step in page.track(range(601), id="steps"):
            load = work(step)
            bar = 100 - abs(step % 200 - 100)  # from 0 to 100 and back, three times
            page.update(bar=bar, status=f"The bar is at {bar}", load=load, percent=f"{load:.0f} %")
        page.update(status="All is done")
    # Here every page has the last values, and says that the run has ended.


if __name__ == "__main__":
    end_on_signals()
    random.seed(options.seed)
    main()
