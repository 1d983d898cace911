"""Step 13: a factory floor: many sensors, averages and alerts, in a figure built with Plotly.

Run:  python server.py      then open the address that it prints, on several devices.
      python server.py --listen-tcp 5679      takes the readings of other programs instead of simulated ones.
New:  a figure that Python builds, and to which points are added; averages, and alerts with hysteresis;
      readings from other programs, as JSON lines over TCP.
"""

import asyncio
import html
import itertools
import sys
import time
from pathlib import Path

from common.demos import factory
from common.events import EventServer
from common.options import parse_options

try:
    import plotly
    import plotly.graph_objects as go
except ModuleNotFoundError:
    sys.exit('This step needs plotly. In the root of the repository, type: pip install -e ".[plotly]"')

HOT, COOL = 80, 75  # °C: an alert is raised above the one, and cleared below the other
AVERAGE_OF = 10  # readings
MAX_POINTS, WINDOW = 600, 300  # points of each sensor in the figure, over so many seconds at most
MAX_SENSORS, MAX_ALERTS = 50, 100  # more alerts than sensors, so that some in a full list have been cleared
MAX_UNSENT = 1400  # readings that wait to be sent; even the longest of them fit into one message

options = parse_options(__doc__, rate=2, extra=factory.OPTIONS)
LINE = {"average_of": AVERAGE_OF, "max_points": MAX_POINTS, "silent_after": options.silent_after}
server = EventServer(options.host, options.port)
server.register_page("", Path(__file__).parent / "client.html")
server.register_page("plotly.min.js", Path(plotly.__file__).parent / "package_data" / "plotly.min.js")
sensors = {}
alerts = []
numbers = itertools.count(1)
refused = 0
room = asyncio.Event()
late = {"placed": 0, "too_late": 0}  # readings that came after a newer one of their sensor
news = {"sensors": [], "readings": []}  # what pages have not been told yet, by the name of the event


def trace(sensor):
    """Return a sensor's line: the moving average over time."""
    times, averages = sensor.curve()
    return go.Scatter(
        x=times,
        y=averages,
        mode="lines",
        line=sensor.line,
        # Plotly takes <b> and the like in a name for HTML; escaped, it is text.
        name=html.escape(sensor.id, quote=False),
        hovertemplate="%{fullData.name}<br>%{y:.1f} °C, %{x|%H:%M:%S}<extra></extra>",
        meta={"sensor_id": sensor.id},
    ).to_plotly_json()


def figure():
    layout = {
        # Whatever a visitor has zoomed to stays, also in a new figure, as long as this stays the same.
        "uirevision": "factory floor",
        "template": "none",
        "showlegend": False,
        "hovermode": "closest",
        "margin": {"l": 52, "r": 32, "t": 32, "b": 36},
        "xaxis": {"type": "date", "tickangle": 0},
        "yaxis": {"ticksuffix": " °C", "zeroline": False},
        "meta": {"max_points": MAX_POINTS, "window": WINDOW},
    }
    result = go.Figure(layout=layout)
    for y, dash, text in [(HOT, "solid", "too hot above"), (COOL, "dot", "normal again below")]:
        where = "top left" if y == HOT else "bottom left"
        line = {"color": "#d64535", "dash": dash, "width": 1.5}
        result.add_hline(y, line=line, annotation={"text": f"{text} {y} °C"}, annotation_position=where)
    return {**result.to_plotly_json(), "data": [trace(sensor) for sensor in sensors.values()]}


async def record(reading):
    """Take in a reading: average it, hold it against the thresholds, and note what pages have to be told."""
    # Who brings readings faster than they are sent has to wait, so nothing piles up and nothing is lost.
    while len(news["readings"]) >= MAX_UNSENT:
        room.clear()
        await room.wait()
    sensor_id, timestamp = reading["sensor_id"], reading["timestamp"]
    if sensor_id not in sensors:
        if len(sensors) == MAX_SENSORS:
            raise ValueError(f"there are {MAX_SENSORS} sensors already, and {sensor_id!r} would be one more")
        sensor = factory.FloorSensor(sensor_id, len(sensors), **LINE)
        sensors[sensor_id] = sensor
        server.send_all("trace", trace(sensor))
    sensor = sensors[sensor_id]
    reading["timestamp"] = timestamp = sensor.time_of(timestamp)
    if sensor.is_late(timestamp):
        return record_late(sensor, reading)
    average = sensor.add(timestamp, reading["temperature"])
    news["readings"].append({**reading, "average": average})
    watch(sensor, average, timestamp)
    set_state(sensor, "too hot" if sensor.alert else "normal")


def watch(sensor, average, timestamp):
    """Raise an alert above one threshold, and clear it below a lower one: noise changes nothing."""
    if sensor.alert is None and average > HOT:
        sensor.alert = {"number": next(numbers), "sensor_id": sensor.id, "raised": timestamp}
        alerts.append(sensor.alert)
        if len(alerts) > MAX_ALERTS:
            alerts.remove(next(alert for alert in alerts if "cleared" in alert))
        news["alerts"] = alerts
    elif sensor.alert and average < COOL:
        sensor.alert["cleared"] = timestamp
        sensor.alert = None
        news["alerts"] = alerts


def set_state(sensor, state):
    if state != sensor.state:
        sensor.state = state
        news["sensors"].append(sensor.status())


def record_late(sensor, reading):
    """Put a late reading where it belongs in the line. What is true now, only the newest one says."""
    average = sensor.add_late(reading["timestamp"], reading["temperature"])
    late["too_late" if average is None else "placed"] += 1
    news["late"] = late
    if average is not None:
        news["readings"].append({**reading, "average": average, "late": True})


def find_silent():
    for sensor in sensors.values():
        if sensor.state != "silent" and time.monotonic() - sensor.heard > options.silent_after:
            set_state(sensor, "silent")
            # A point without a value makes a gap: no line is drawn across the silence.
            news["readings"].append({**sensor.status(), "average": None})


def send_news():
    global news
    told, news = news, {"sensors": [], "readings": []}
    room.set()
    for event, data in told.items():
        if data != []:
            server.send_all(event, data)


def send_mended():
    """Send the lines anew to which pages cannot just add points."""
    send_news()  # what these lines hold must not be added to them again
    for sensor in sensors.values():
        if sensor.mended:
            sensor.mended = False
            server.send_all("trace", trace(sensor))


@server.on_connect
def tell_all(e):
    # The figure holds what still waits to be sent, and nobody must get it twice.
    send_news()
    e.client.send("figure", figure())
    e.client.send("sensors", [sensor.status() for sensor in sensors.values()])
    e.client.send("alerts", alerts)
    e.client.send("refused", refused)
    e.client.send("late", late)


@server.on_message("acknowledge")
def acknowledge(e):
    alert = next((alert for alert in alerts if alert["number"] == e.data), None)
    if alert is None or type(e.data) is not int:  # True equals 1, too
        e.client.send("error", f"there is no alert {e.data!r:.40}")
    else:
        alert.setdefault("acknowledged", time.time())
        news["alerts"] = alerts


async def receive(reader, writer):
    """Take the readings of one program. A good line gets no answer, a bad one is told what is wrong."""
    global refused
    async for line in factory.lines(reader):
        if not line.strip():
            continue  # an empty line only says that the program is there
        try:
            await record(factory.parse_reading(line))
        except ValueError as error:
            refused += 1
            news["refused"] = refused
            factory.send_line(writer, {"error": str(error)})
        # A sender that floods this loop must not keep it from the others.
        await asyncio.sleep(0)


async def simulate():
    for reading in floor.read():
        await record(reading)


server.every(0.1, send_news)
server.every(0.2, find_silent)
server.every(1, send_mended)

if __name__ == "__main__":
    if options.listen_tcp:
        server.background(factory.listen, factory.listener(options.host, options.listen_tcp, server), receive)
    else:
        floor = factory.Floor(options.rate, options.seed)
        server.every(1 / options.rate, simulate)
    server.run()
