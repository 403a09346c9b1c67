"""The errors that Tonewatch raises on purpose.

::

    TonewatchError                what was found, what was wanted, what to do
    ├── SettingsError             a flag, a configuration key or a value that cannot be used
    ├── FeatureError              a feature specification that contradicts itself
    ├── ArtifactError             a model folder that is missing, damaged, tampered with or too new
    │   └── UnknownModelError     no model of that name
    ├── ClassifierError           what runs a model is missing, or refuses it
    ├── SourceError               audio that cannot be read
    │   ├── NoPortAudioError      the system's PortAudio library is missing
    │   └── DeviceError           no such microphone, more than one, or none that can be opened
    ├── SinkError                 a place where events cannot go
    │   └── AddressError          an address that cannot be served on
    ├── SubscriptionError         a server that cannot be subscribed to, or sent to
    ├── ProtocolError             what a sender sends is not understood, or not offered
    └── CorpusError               training data that cannot be used

Each is one line a user can act upon. The commands print it and end with exit code 2; any other
exception is a defect of Tonewatch.
"""


class TonewatchError(Exception):
    """Base of every error that Tonewatch raises on purpose."""


class SettingsError(TonewatchError):
    """A flag, a configuration key or a value cannot be used."""


class FeatureError(TonewatchError):
    """A feature specification contradicts itself."""


class ArtifactError(TonewatchError):
    """A model folder is missing, damaged, tampered with or too new."""


class UnknownModelError(ArtifactError):
    """No model has that name; the message lists those there are."""


class ClassifierError(TonewatchError):
    """What runs a model (TFLite's runtime, or scikit-learn) is missing, or it refuses the model."""


class SourceError(TonewatchError):
    """Audio cannot be read."""


class NoPortAudioError(SourceError):
    """The PortAudio library, which microphones need, is missing from the system."""


class DeviceError(SourceError):
    """No microphone fits the request, several do, or the system lets none be opened."""


class SinkError(TonewatchError):
    """Events cannot go to the place asked for."""


class AddressError(SinkError):
    """An address cannot be served on."""


class SubscriptionError(TonewatchError):
    """A server refuses the subscription, or the audio, or what it sends is not understood."""


class ProtocolError(TonewatchError):
    """What a sender sends is not understood, or asks for what is not offered.

    Parameters
    ----------
    code
        What it is, for programs, as in `realtime.messages.Error`.
    message
        What it is, for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class CorpusError(TonewatchError):
    """Training data cannot be used."""


class TrainingError(TonewatchError):
    """A model cannot be trained, or what was trained cannot be kept."""
