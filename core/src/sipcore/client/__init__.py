"""The typed client of the WebSocket control protocol: take calls, place calls, follow calls from any program.

>>> async with connect("ws://127.0.0.1:8080") as client, client.offers() as offers:
...     async for offer in offers:
...         async with offer.answer() as call, call.audio() as frames:
...             async for frame in frames:
...                 await call.play(frame)
"""

from sipcore.client.call import ClientCall
from sipcore.client.client import Client, connect
from sipcore.client.offer import Offer

__all__ = ["Client", "ClientCall", "Offer", "connect"]
