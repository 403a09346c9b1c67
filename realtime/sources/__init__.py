"""Where audio comes from: each a context manager that yields chunks."""

from realtime.sources.device import Device, devices
from realtime.sources.file import FileSource
from realtime.sources.microphone import MicrophoneSource
from realtime.sources.pcm import PcmSource, decode_pcm
from realtime.sources.resample import StreamResampler

__all__ = [
    "Device",
    "FileSource",
    "MicrophoneSource",
    "PcmSource",
    "StreamResampler",
    "decode_pcm",
    "devices",
]
