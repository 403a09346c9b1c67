"""Events for subscribers: a WebSocket server in a thread of its own."""

from typing import Final

EVENTS_PATH: Final = "/events"
"""Where on a server the events are."""
