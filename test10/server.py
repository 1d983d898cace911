"""Step 10: named events between Python and the page, and who is connected.

Run:  python server.py      then open the address that it prints, on several devices.
New:  events with a name and data; callbacks for what arrives, and for who comes and goes; a timer.
"""

import time
from pathlib import Path

from common.events import MAX_INTEGER, Data, EventServer
from common.options import parse_options

options = parse_options(__doc__)
server = EventServer(options.host, options.port)
server.register_page("", Path(__file__).parent / "client.html")
started = time.monotonic()
total = 0


def send_time():
    server.send_all("time", Data(seconds=round(time.monotonic() - started, 1)))


@server.on_message("click")
def count_click(e):
    global total
    # What a page sends as { count: 3 } arrives as Data. It may be anything else too, so look first.
    count = vars(e.data).get("count") if isinstance(e.data, Data) else None
    if type(count) is not int or not 0 < count <= MAX_INTEGER:
        e.client.send("error", "'click' needs a count, such as { count: 3 }")
        return
    print(f"Click {count} of {e.client.address}")
    total += 1
    server.send_all("total", total)
    e.client.send("thanks", f"The server has received your click {count}.")


@server.on_connect
def tell_total(e):
    # A page that is opened late needs what the others have been told.
    e.client.send("total", total)


def tell_who_is_there(e):
    server.send_all("clients", [client.address for client in server.clients])


server.on_connect(tell_who_is_there)
server.on_disconnect(tell_who_is_there)
server.every(0.1, send_time)

if __name__ == "__main__":
    server.run()
