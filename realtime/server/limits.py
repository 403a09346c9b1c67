"""What a server allows: every bound in one place, so that nothing about it grows without one."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one server.

    Raises
    ------
    ValueError
        One of them is not above 0.
    """

    n_subscribers: int = 4096
    """Subscribers at a time."""
    n_senders: int = 128
    """Senders at a time, those included whose connection is lost and who are waited for."""
    n_handshakes: int = 256
    """Connections at a time that have not said what they want, and as many again that were answered and
    stay; of the last second there may be four times as many."""
    handshake_s: float = 5.0
    """How long a handshake may take, in seconds."""
    n_message_bytes: int = 262_144
    """Length of a message of a sender, in bytes."""
    n_request_bytes: int = 1024
    """Length of a message of a subscriber, in bytes; what it says is not listened to."""
    history_s: float = 600.0
    """How long messages are remembered for those who come later, in seconds."""
    n_history_per_hop: int = 3
    """Messages remembered of each stream for each of its hops in that time: enough for a prediction and a
    new state at each, and the end of a segment and the beginning of the next at every second one."""
    n_history_total: int = 50_000
    """Messages remembered in all, whatever that leaves of `history_s`: about 50 MB."""
    n_replayed: int = 10_000
    """Messages of the past that one subscriber gets at the most: the newest."""
    n_queued: int = 64
    """Messages kept for a slow subscriber: about half a minute of predictions."""
    stall_s: float = 15.0
    """How long a live sender may send nothing before it is closed, in seconds."""
    resume_s: float = 60.0
    """How long a sender that lost its connection is waited for, in seconds."""
    speed: float = 100.0
    """How much faster than real time a sender may send for long."""
    burst_s: float = 60.0
    """Audio that a sender may send at once, whatever the speed, in seconds."""
    queue_s: float = 5.0
    """Audio kept for a sender before its connection is not read any more, in seconds."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"found {field.name} of {value}; wanted more than 0")
