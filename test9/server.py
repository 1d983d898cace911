"""Step 9: the server serves the dashboard itself, on the port of its sockets.

Run:  python server.py      then open the address that it prints, or scan the code with a phone.
      python server.py --sensor cpu      reads this machine instead.
New:  HTTP on the WebSocket port; one address for everyone; a heartbeat, by which pages notice an outage.
"""

import asyncio
import json
from email.utils import formatdate
from pathlib import Path

from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

from common.clients import MAX_BACKLOG, send_to_all
from common.http import HttpConnection
from common.log import Log
from common.network import announce
from common.options import parse_options
from common.running import run
from common.sampling import readings
from common.sensors import SENSORS

SEND_EVERY = 4  # of the logged readings, clients get every fourth

options = parse_options(__doc__, sensors=["accelerometer", "cpu"], rate=20)
sensor = SENSORS[options.sensor](options.rate, options.seed)
running = asyncio.Event()
clients = {"/control": set(), "/data": set()}
log = Log(Path(__file__).parent / "logs", sensor.fields, lambda _: send_to_all(clients["/control"], state()))

# Whatever is not in this table cannot be fetched, so no path leads out of these folders.
HERE = Path(__file__).parent
SHARED = ["style.css", "page.js", "plot.js", "vendor/uPlot.iife.min.js", "vendor/uPlot.min.css", "icon.svg"]
FILES = {f"/common/static/{name}": HERE.parent / "common" / "static" / name for name in SHARED}
FILES["/"] = FILES["/dashboard"] = HERE / "client.html"
FILES["/favicon.ico"] = FILES["/common/static/icon.svg"]  # where browsers look for an icon by themselves
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def serve_file(connection, request):
    """Answer a plain HTTP request; None tells the library that it is not one, but a WebSocket's."""
    if "websocket" in ",".join(request.headers.get_all("Upgrade")).lower():
        return None
    file = FILES.get(request.path.partition("?")[0])
    if request.method not in ("GET", "HEAD"):
        response = connection.respond(405, "This server answers GET and HEAD only.\n")
        response.headers["Allow"] = "GET, HEAD"
    elif file is None:
        response = connection.respond(404, "Nothing here. The dashboard is at / and at /dashboard.\n")
    else:
        body = file.read_bytes()
        headers = Headers(
            {
                "Date": formatdate(usegmt=True),
                "Content-Type": f"{TYPES[file.suffix]}; charset=utf-8",
                "Content-Length": str(len(body)),
                "Connection": "close",
                # A browser asks for the file anew each time, so what you edit is what you see.
                "Cache-Control": "no-cache",
            }
        )
        response = Response(200, "OK", headers, body)
    if request.method == "HEAD":
        response.body = b""
    return response


async def acquire():
    async for seq, time_ns, values in readings(sensor, options.rate, running):
        log.write(seq, time_ns, values)
        if (seq - 1) % SEND_EVERY == 0:
            # A message is text, and JSON is text for a dict: {"time": 1767225600.25, "x": 0.12, …}
            reading = {"time": time_ns / 1e9, **dict(zip(sensor.fields, values, strict=True))}
            send_to_all(clients["/data"], json.dumps(reading))


async def handler(connection):
    role = connection.request.path.partition("?")[0]
    if role not in clients:
        print(f"Refused a client with the path {role[:100]!r}")
        await connection.close(1008, "the path must be /control or /data")
        return
    print(f"Hello, client ({role[1:]})")
    clients[role].add(connection)
    try:
        if role == "/control":
            # A page that is opened late needs what the others have been told.
            await connection.send(json.dumps({"fields": sensor.fields}))
            await connection.send(state())
        async for message in connection:
            print(f"Received {message[:100]!r}")
            await connection.send(json.dumps({"reply": handle_command(role, message)}))
            # A client that floods this loop must not keep it from the others.
            await asyncio.sleep(0)
    except ConnectionClosed:
        # The client left without a goodbye: it crashed, or its network failed.
        pass
    finally:
        clients[role].discard(connection)
        print(f"Bye, client ({role[1:]})")


def handle_command(role, command):
    if role == "/data":
        return "ERROR: this is the data socket; send commands on the control socket"
    if command == "START":
        running.set()
        send_to_all(clients["/control"], state())
        return "OK: started"
    if command == "STOP":
        running.clear()
        send_to_all(clients["/control"], state())
        return "OK: stopped"
    return f"ERROR: unknown command {command[:40]!r}; try START or STOP"


def state():
    return json.dumps({"running": running.is_set(), "log_error": log.error})


async def send_heartbeat():
    """Say something every second. A page that hears nothing for a while knows that its network has failed."""
    while True:
        log.flush()
        send_to_all(clients["/control"], state())
        await asyncio.sleep(1)


async def main():
    # An HttpConnection answers requests with a body, too, on which the library's own would hang up.
    server = await serve(
        handler,
        options.host,
        options.port,
        process_request=serve_file,
        create_connection=HttpConnection,
        compression=None,
        write_limit=MAX_BACKLOG,
        close_timeout=2,
    )
    announce(options, serves_page=True)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send_heartbeat())
        tasks.create_task(acquire())
        await server.serve_forever()


if __name__ == "__main__":
    with log:
        run(main(), options)
