"""Which microphones there are, and which one is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from realtime.errors import DeviceError, NoPortAudioError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Device:
    """An input device, as PortAudio sees it.

    Parameters
    ----------
    index
        Its number, which may change when devices come and go.
    name
        Its name.
    host_api
        The sound system it is reached through: ALSA, Core Audio, Windows WASAPI...
    channels
        The most input channels it has.
    sample_rate
        Its own sample rate, in Hz.
    default
        Whether the system records from it unless told otherwise.
    """

    index: int
    name: str
    host_api: str
    channels: int
    sample_rate: int
    default: bool

    def __str__(self) -> str:
        return f"{self.index} '{self.name}' ({self.host_api})"


class CallbackTime(Protocol):
    """The times that PortAudio passes to a callback."""

    inputBufferAdcTime: float  # noqa: N815 - PortAudio's name
    """When the first sample of the buffer was captured, in seconds on the stream's own clock."""


class CallbackFlags(Protocol):
    """What PortAudio says about a buffer."""

    input_overflow: bool
    """Samples were lost before, or in, this buffer."""


class InputStream(Protocol):
    """An open device."""

    def start(self) -> None:
        """Begin to call back."""

    def abort(self, ignore_errors: bool = ...) -> None:  # noqa: FBT001 - sounddevice's signature
        """Stop at once."""

    def close(self, ignore_errors: bool = ...) -> None:  # noqa: FBT001 - sounddevice's signature
        """Let go of the device."""


class AudioBackend(Protocol):
    """The part of the module `sounddevice` that is used."""

    @property
    def InputStream(self) -> Callable[..., InputStream]:  # noqa: N802 - sounddevice's name
        """Open a device, which calls back with (samples, n_samples, CallbackTime, CallbackFlags)."""

    @property
    def PortAudioError(self) -> type[Exception]:  # noqa: N802 - sounddevice's name
        """What is raised when PortAudio refuses."""

    def query_devices(self, device: int | None = None, kind: str | None = None) -> Any:  # noqa: ANN401
        """Return a dictionary per device; with `kind`, that of the default device alone."""

    def query_hostapis(self, index: int | None = None) -> Any:  # noqa: ANN401 - dictionaries
        """Return a dictionary per sound system."""

    def _initialize(self) -> None: ...

    def _terminate(self) -> None: ...


def load_backend() -> AudioBackend:
    """Import sounddevice.

    Raises
    ------
    NoPortAudioError
        If the PortAudio library is missing from the system.
    DeviceError
        If PortAudio cannot be started.
    """
    try:
        import sounddevice  # noqa: PLC0415 - needs PortAudio, and starts it
    except OSError as error:
        raise NoPortAudioError(
            f"a microphone needs the PortAudio library, which cannot be loaded ({error}); install it with "
            "`sudo apt install libportaudio2` (Debian, Ubuntu, Raspberry Pi OS), "
            "`sudo dnf install portaudio` (Fedora), `sudo pacman -S portaudio` (Arch) or "
            "`brew install portaudio` (macOS), or try without a microphone: --demo"
        ) from error
    except Exception as error:
        # The module that could name this error by its class has just failed to be imported.
        if type(error).__name__ != "PortAudioError":
            raise
        raise _not_started(error) from error
    return cast("AudioBackend", sounddevice)


def devices(*, backend: AudioBackend | None = None) -> tuple[Device, ...]:
    """List the input devices.

    Parameters
    ----------
    backend
        The module `sounddevice`, which is imported by default.

    Returns
    -------
    tuple of Device
        By index; none of them `default` if the system has no default input.

    Raises
    ------
    NoPortAudioError
        If the PortAudio library is missing from the system.
    DeviceError
        If PortAudio cannot be started, or asked.
    """
    backend = backend or load_backend()
    try:
        host_apis = [str(host_api["name"]) for host_api in backend.query_hostapis()]
        all_devices = list(backend.query_devices())
    except backend.PortAudioError as error:
        raise _not_started(error) from error
    try:
        default = int(backend.query_devices(kind="input")["index"])
    except (backend.PortAudioError, ValueError):
        default = -1
    return tuple(
        Device(
            index=index,
            name=str(found["name"]),
            host_api=host_apis[found["hostapi"]],
            channels=int(found["max_input_channels"]),
            sample_rate=round(found["default_samplerate"]),
            default=index == default,
        )
        for index, found in enumerate(all_devices)
        if found["max_input_channels"] > 0
    )


def _not_started(error: Exception) -> DeviceError:
    return DeviceError(
        f"PortAudio, which microphones need, cannot be used: {error}; is the system's sound running, and may "
        "this program use it? Or try without a microphone: --demo"
    )


def find_device(wanted: int | str | None, available: tuple[Device, ...]) -> Device:
    """Return the one device that is meant.

    Parameters
    ----------
    wanted
        An index; a name, or a part of it, in any case, with ", HOST API" after it if need be; or None for
        the default. A whole name wins over parts of other names.
    available
        The input devices.

    Raises
    ------
    DeviceError
        If none fits, or several do.
    """
    if not available:
        raise DeviceError(
            "no input device was found; connect a microphone (`tonewatch devices` lists what is there), "
            "or try without one: --demo"
        )
    if wanted is None:
        fitting = [device for device in available if device.default]
        found = "the system has no default input device"
    elif isinstance(wanted, int):
        fitting = [device for device in available if device.index == wanted]
        found = f"no input device has the index {wanted}"
    else:
        text = wanted.casefold().strip()
        names = [(device, f"{device.name}, {device.host_api}".casefold()) for device in available]
        fitting = [device for device, name in names if text in {name, device.name.casefold().strip()}]
        fitting = fitting or [device for device, name in names if text in name]
        found = f"no input device has {wanted!r} in its name"
    if len(fitting) > 1:
        raise DeviceError(
            f"{wanted!r} fits {len(fitting)} input devices: {_listed(fitting)}; "
            "choose one by its index, or by more of its name"
        )
    if not fitting:
        raise DeviceError(f"{found}; choose one of: {_listed(available)}")
    return fitting[0]


def _listed(found: tuple[Device, ...] | list[Device]) -> str:
    return ", ".join(str(device) for device in found)
