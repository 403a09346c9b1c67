"""Events for subscribers: a WebSocket server in a thread of its own."""
