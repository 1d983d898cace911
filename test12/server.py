"""Step 12: a stock ticker. Each page subscribes to the symbols that it wants, and gets those only.

Run:  python server.py      then open the address that it prints, on several devices.
      python server.py --source prices.csv      replays a recording: a CSV file with time,symbol,price.
New:  subscriptions; a snapshot first, then only what has changed; rows of a table changed in place.
"""

from pathlib import Path

from common.demos.market import open_market
from common.events import EventServer
from common.options import parse_options

options = parse_options(
    __doc__,
    rate=10,
    extra={"--source": {"type": Path, "metavar": "FILE", "help": "replay the prices in this CSV file"}},
)
market = open_market(options.source, options.rate, options.seed)
server = EventServer(options.host, options.port)
server.register_page("", Path(__file__).parent / "client.html")
subscriptions = {}  # for each client the set of its symbols


def quote(symbol, price):
    """Return price, change and percent as they are to be shown: ["187.12", "+1.02", "+0.55"].

    Money is Decimal, and travels as text. As a float 0.1 + 0.2 is 0.30000000000000004, here and in the page.
    """
    close = market.closes[symbol]
    change = price - close
    if not change:
        return [f"{price:f}", f"{change:f}", "0.00" if close else None]
    # Prices can be negative, as that of oil in April 2020; and of nothing there are no percents.
    percent = f"{100 * change / abs(close):+.2f}" if close else None
    return [f"{price:f}", f"{change:+f}", percent]


quotes = {symbol: quote(symbol, price) for symbol, price in market.prices.items()}


@server.on_connect
def welcome(e):
    subscriptions[e.client] = set()
    e.client.send("source", market.source)
    e.client.send("symbols", list(market.closes))


@server.on_disconnect
def forget(e):
    del subscriptions[e.client]


@server.on_message("subscribe")
def subscribe(e):
    if is_refused(e):
        return
    subscriptions[e.client].update(e.data)
    # No update can come in between, so the page has the whole state now and misses none of its changes.
    e.client.send("snapshot", {symbol: quotes[symbol] for symbol in e.data if symbol in quotes})


@server.on_message("unsubscribe")
def unsubscribe(e):
    if not is_refused(e):
        subscriptions[e.client].difference_update(e.data)


def is_refused(e):
    """Tell a client what is wrong with the symbols that it names. One wrong symbol, and all are refused."""
    likely = " or ".join(repr(symbol) for symbol in list(market.closes)[:2])
    if not isinstance(e.data, list) or not all(isinstance(symbol, str) for symbol in e.data):
        e.client.send("error", f"{e.event!r} needs a list of symbols, such as {likely}")
        return True
    for symbol in e.data:
        if symbol not in market.closes:
            e.client.send("error", f"unknown symbol {symbol[:20]!r}; try one in the list, such as {likely}")
            return True
    return False


def update():
    # The market stands still while nobody is there, so that a recording does not run out unseen.
    if market.ended or not subscriptions:
        return
    changed = {}
    for symbol, price in market.update().items():
        latest = quote(symbol, price)
        if quotes.get(symbol) != latest:
            quotes[symbol] = changed[symbol] = latest
    for client, wanted in subscriptions.items():
        news = {symbol: latest for symbol, latest in changed.items() if symbol in wanted}
        if news:
            client.send("quotes", news)
    if market.ended:
        print(market.source)
        server.send_all("source", market.source)


server.every(1 / options.rate, update)

if __name__ == "__main__":
    server.run()
