"""The servers of the fan-out benchmark, one a function, each as its own documentation would write it."""

import asyncio
import importlib.util
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from types import ModuleType

from common.log import Log
from common.sensors import SENSORS
from tests.benchmarks.fanout import BROADCASTS, CLIENTS, INTERVAL, ROOT, pin
from tests.support import free_port

SENSOR = SENSORS["accelerometer"](rate=20, seed=1)
# The readings of a run, as test9's own data path gets them, and as JSON text.
READINGS = [(1_767_225_600_251_234_567 + number * 200_000_000, SENSOR.read()) for number in range(BROADCASTS)]
OBJECTS = [
    {"time": time_ns / 1e9, **dict(zip(SENSOR.fields, values, strict=True))} for time_ns, values in READINGS
]
MESSAGES = [json.dumps(reading) for reading in OBJECTS]


async def ticks(clients: Collection[object]) -> AsyncIterator[int]:
    """Yield a reading's number when it is time to broadcast it, and tell the processor time of each run."""
    while len(clients) < CLIENTS:  # noqa: ASYNC110 -- no server of these tells when a set has grown
        await asyncio.sleep(0.01)
    print("Ready", flush=True)
    loop = asyncio.get_running_loop()
    while await asyncio.to_thread(sys.stdin.readline):
        before = time.process_time()
        due = loop.time()
        for number in range(BROADCASTS):
            yield number
            due += INTERVAL
            await asyncio.sleep(due - loop.time())
        await asyncio.to_thread(sys.stdin.readline)
        print(f"Processor time {time.process_time() - before}", flush=True)


def listen() -> socket.socket:
    """Listen on a free port of this machine alone."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=CLIENTS)
    print(f"Listening on port {listener.getsockname()[1]}", flush=True)
    return listener


async def bare_asyncio() -> None:
    from websockets.utils import accept_key

    frames = [bytes([0x81, len(message)]) + message.encode() for message in MESSAGES]
    clients = set()

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept_key(key).encode()
            )
            clients.add(self.transport)

        def connection_lost(self, error: Exception | None) -> None:
            clients.discard(self.transport)

    server = await asyncio.get_running_loop().create_server(Connection, sock=listen())
    async for number in ticks(clients):
        for transport in clients:
            transport.write(frames[number])
    await server.serve_forever()


async def websockets() -> None:
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    clients = set()

    async def handler(connection: ServerConnection) -> None:
        clients.add(connection)
        await connection.wait_closed()
        clients.discard(connection)

    async with serve(handler, sock=listen()):
        async for number in ticks(clients):
            broadcast(clients, MESSAGES[number])
        await asyncio.Event().wait()


async def test9() -> None:
    """All of test9's `main()` with its own options; only the readings come at the pace of the benchmark."""
    server = load(ROOT / "test9" / "server.py", "--host", "127.0.0.1", "--port", str(free_port()))
    server.log = Log(Path(sys.argv[2]), server.sensor.fields, tell=lambda text: None)

    async def readings(*_: object) -> AsyncIterator[tuple[int, int, list[float]]]:
        seq = 0
        async for number in ticks(server.clients["/data"]):
            for _ in range(server.SEND_EVERY):
                seq += 1
                yield seq, *READINGS[number]

    server.readings = readings
    await server.main()


def load(path: Path, *arguments: str) -> ModuleType:
    """Import a step's server.py as if it had been started with these arguments."""
    specification = importlib.util.spec_from_file_location("step", path)
    module = importlib.util.module_from_spec(specification)
    argv = sys.argv
    sys.argv = [path.name, *arguments]
    specification.loader.exec_module(module)
    sys.argv = argv
    return module


async def fastapi() -> None:
    import uvicorn
    from fastapi import FastAPI, WebSocket

    app = FastAPI()
    clients = set()

    @app.websocket("/data")
    async def data(websocket: WebSocket) -> None:
        await websocket.accept()
        clients.add(websocket)
        async for _ in websocket.iter_text():
            pass
        clients.discard(websocket)

    async def acquire() -> None:
        async for number in ticks(clients):
            for client in clients:
                await client.send_text(MESSAGES[number])

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    await asyncio.gather(server.serve(sockets=[listen()]), acquire())


async def aiohttp() -> None:
    from aiohttp import web

    clients = set()

    async def data(request: web.Request) -> web.WebSocketResponse:
        client = web.WebSocketResponse()
        await client.prepare(request)
        clients.add(client)
        async for _ in client:
            pass
        clients.discard(client)
        return client

    app = web.Application()
    app.add_routes([web.get("/data", data)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listen()).start()
    async for number in ticks(clients):
        for client in clients:
            await client.send_str(MESSAGES[number])
    await asyncio.Event().wait()


async def tornado() -> None:
    from tornado.httpserver import HTTPServer
    from tornado.web import Application
    from tornado.websocket import WebSocketHandler

    clients = set()

    class Data(WebSocketHandler):
        def open(self) -> None:
            clients.add(self)

        def on_message(self, message: str | bytes) -> None:
            pass

        def on_close(self) -> None:
            clients.discard(self)

    listener = listen()
    listener.setblocking(False)
    HTTPServer(Application([("/data", Data)])).add_socket(listener)
    async for number in ticks(clients):
        for client in clients:
            client.write_message(MESSAGES[number])
    await asyncio.Event().wait()


async def python_socketio() -> None:
    import socketio
    import uvicorn

    sio = socketio.AsyncServer(async_mode="asgi")
    clients = set()

    @sio.event
    async def connect(sid: str, environ: dict, auth: object) -> None:
        clients.add(sid)

    @sio.event
    async def disconnect(sid: str, reason: str) -> None:
        clients.discard(sid)

    async def acquire() -> None:
        async for number in ticks(clients):
            await sio.emit("reading", OBJECTS[number])

    server = uvicorn.Server(uvicorn.Config(socketio.ASGIApp(sio), log_level="warning"))
    await asyncio.gather(server.serve(sockets=[listen()]), acquire())


if __name__ == "__main__":
    pin(0)
    function = sys.argv[1].lower().replace(" ", "_").replace("-", "_")
    asyncio.run(globals()[function]())
