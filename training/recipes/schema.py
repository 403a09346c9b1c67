"""What a recipe may say: one frozen, validated section per table of its TOML file.

`training.recipes` reads the files; a key that is not here is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec

from realtime.speaker import Adaptation

if TYPE_CHECKING:
    from realtime.features import FeatureSpec
    from realtime.types import Smoothing

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
Part: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1)]
Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]
Amount: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Sizes: TypeAlias = Annotated[tuple[Count, ...], msgspec.Meta(min_length=1)]
Range: TypeAlias = tuple[float, float]
"""The lowest and the highest of values that are drawn evenly between them."""
Change: TypeAlias = Annotated[float, msgspec.Meta(ge=-0.5, le=1)]
Rate: TypeAlias = Annotated[float, msgspec.Meta(ge=0.5, le=2)]
"""Slower than half, Signalsmith's stretch draws from a generator that nobody can seed."""
Semitones: TypeAlias = Annotated[float, msgspec.Meta(ge=-24, le=24)]
Bitrate: TypeAlias = Annotated[float, msgspec.Meta(ge=8, le=160)]
"""In kbit/s; MP3 has none beyond these at 16 to 24 kHz."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all sections share: frozen, and no key that is not named."""


class Reported(Section, frozen=True, kw_only=True):
    """What a system's authors say of it, with the split that they say it of."""

    accuracy: Share | None = None
    macro_f1: Share | None = None
    split: str = ""


class Selection(Section, frozen=True, kw_only=True):
    """Which features the model sees: the most important ones, learnt on the training part."""

    method: Literal["none", "forest", "mutual-information"] = "none"
    n_features: Natural = 0
    """How many are kept."""
    n_trees: Count = 100
    """Trees of the forest."""
    share: Part = 0.3
    """Share of the rows that each tree sees."""


class Varying(Section, frozen=True, kw_only=True, tag_field="kind"):
    """What all steps of augmentation share."""

    probability: Share = 1.0
    """Share of the copies that it is done to."""

    def __post_init__(self) -> None:
        """Refuse a range that is the wrong way round."""
        for key in self.__struct_fields__:
            value = getattr(self, key)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{key} is {list(value)}; wanted the lower end first")


class Speed(Varying, frozen=True, kw_only=True, tag="speed"):
    """Faster or slower, as a share: pitch, formants and tempo move together, as another speaker's would."""

    change: tuple[Change, Change] = (-0.1, 0.1)


class TimeStretch(Varying, frozen=True, kw_only=True, tag="time-stretch"):
    """Faster or slower at the same pitch: 1 leaves it as it is, 2 is twice as fast."""

    rate: tuple[Rate, Rate] = (0.85, 1.15)


class PitchShift(Varying, frozen=True, kw_only=True, tag="pitch-shift"):
    """Higher or lower at the same pace."""

    semitones: tuple[Semitones, Semitones] = (-2.0, 2.0)


class Gain(Varying, frozen=True, kw_only=True, tag="gain"):
    """Louder or softer."""

    gain_db: Range = (-12.0, 12.0)


class Noise(Varying, frozen=True, kw_only=True, tag="noise"):
    """A stretch of a recording of noise under the voice."""

    snr_db: Range = (5.0, 25.0)
    """Level of the voice over that of the noise."""
    folder: str = ""
    """Of the recordings, in any folders below it; the data folder's `noise` where it is empty."""


class RoomNoise(Varying, frozen=True, kw_only=True, tag="room-noise"):
    """The steady noise of a room and its microphone, of a random colour between white and brown."""

    level_dbfs: Range = (-80.0, -50.0)


class Room(Varying, frozen=True, kw_only=True, tag="room"):
    """A simulated room, of random size, with the speaker and the microphone somewhere in it."""

    rt60_s: tuple[Positive, Positive] = (0.2, 0.7)
    """How long its sound takes to fall by 60 dB."""
    distance_m: tuple[Positive, Positive] = (0.3, 2.5)
    """Between speaker and microphone."""


class Band(Varying, frozen=True, kw_only=True, tag="band"):
    """What a device lets through.

    ``telephone``: 300 to 3400 Hz, in 8 bits at 8 kHz; ``laptop``: its microphone's 150 to 7000 Hz.
    """

    device: Literal["telephone", "laptop"] = "telephone"


class Clipping(Varying, frozen=True, kw_only=True, tag="clipping"):
    """Distortion by a microphone that is too loud: the loudest share of the samples is cut off."""

    share: tuple[Share, Share] = (0.0, 0.05)


class Silence(Varying, frozen=True, kw_only=True, tag="silence"):
    """Silence around: in a stream, a voice begins and ends at any moment."""

    before_s: tuple[Amount, Amount] = (0.0, 1.5)
    after_s: tuple[Amount, Amount] = (0.0, 0.0)


class Mp3(Varying, frozen=True, kw_only=True, tag="mp3"):
    """What MP3 leaves of it, at a constant bit rate."""

    bitrate_kbps: tuple[Bitrate, Bitrate] = (24.0, 64.0)


Step: TypeAlias = (
    Speed | TimeStretch | PitchShift | Gain | Noise | RoomNoise | Room | Band | Clipping | Silence | Mp3
)


class Inputs(Section, frozen=True, kw_only=True):
    """How the network's inputs are varied, anew in every epoch; 0 for not at all."""

    noise: Amount = 0.0
    """Standard deviation of the noise added to scaled features."""
    mixup: Amount = 0.0
    """Alpha of mixup: rows and labels are blended with others', by a share drawn from Beta(alpha, alpha)."""
    n_feature_masks: Natural = 0
    feature_mask: Natural = 0
    """Neighbouring features, or columns of frames, that a mask covers at most."""
    n_time_masks: Natural = 0
    time_mask: Natural = 0
    """Frames that a mask covers at most, where frames are the input."""


class Augmentation(Section, frozen=True, kw_only=True):
    """Varied copies of each training clip, trained on beside the clip as it is."""

    n_copies: Natural = 0
    steps: tuple[Step, ...] = ()
    """What is done to each copy, in this order."""
    inputs: Inputs = Inputs()


class Layer(Section, frozen=True, kw_only=True):
    """A dense layer with ReLU, and what follows it."""

    units: Count
    batch_norm: bool = False
    dropout: Share = 0.0
    l2: Amount = 0.0
    """Weight of the squared weights in the loss."""


class Block(Section, frozen=True, kw_only=True):
    """A convolution over time with ReLU, and what follows it."""

    filters: Count
    kernel: Count = 5
    """Frames that it sees."""
    batch_norm: bool = True
    pool: Count = 1
    """Neighbouring frames of which the largest is kept."""
    dropout: Share = 0.0


class Dense(Section, frozen=True, kw_only=True, tag_field="kind", tag="dense"):
    """A dense network on pooled features."""

    layers: tuple[Layer, ...]


class Framed(Section, frozen=True, kw_only=True):
    """What networks over frames share."""

    sees: tuple[str, ...] = ()
    """Families of features that it looks at, by their keys; all of them where it is empty."""


class Conv(Framed, frozen=True, kw_only=True, tag_field="kind", tag="conv"):
    """Convolutions over frames, their mean over time or all of them, and dense layers."""

    blocks: tuple[Block, ...]
    pooling: Literal["mean", "flatten"] = "mean"
    layers: tuple[Layer, ...] = ()


class Lstm(Framed, frozen=True, kw_only=True, tag_field="kind", tag="lstm"):
    """Recurrent layers over frames, of which the last one's last state goes on, and dense layers."""

    units: Sizes
    bidirectional: bool = False
    """Whether each recurrent layer goes over the frames in both directions."""
    dropout: Share = 0.0
    """Behind each recurrent layer."""
    layers: tuple[Layer, ...] = ()


class ConvLstm(Framed, frozen=True, kw_only=True, tag_field="kind", tag="conv-lstm"):
    """Convolutions over frames, recurrent layers over what they give, and dense layers."""

    blocks: tuple[Block, ...]
    units: Sizes
    bidirectional: bool = False
    """Whether each recurrent layer goes over what the convolutions give in both directions."""
    dropout: Share = 0.0
    """Behind each recurrent layer."""
    layers: tuple[Layer, ...] = ()


class ConvGruAttention(Framed, frozen=True, kw_only=True, tag_field="kind", tag="conv-gru-attention"):
    """Convolutions, a recurrent layer in both directions, and a mean over time weighed by attention."""

    blocks: tuple[Block, ...]
    units: Count
    """Size of the recurrent layer's state, in each direction."""
    dropout: Share = 0.0
    """Behind the mean over time."""
    layers: tuple[Layer, ...] = ()


class Block2d(Section, frozen=True, kw_only=True):
    """A convolution over time and bands, its normalisation, ReLU, and what follows them."""

    filters: Count
    kernel: Count = 3
    """Frames, and bands, that it sees."""
    stride: tuple[Count, Count] = (1, 1)
    """Step between its places, in frames and in bands."""
    pool: Count = 1
    """Neighbouring frames of which the largest is kept."""
    dropout: Share = 0.0


class Conv2dGruAttention(Framed, frozen=True, kw_only=True, tag_field="kind", tag="conv2d-gru-attention"):
    """Bands as a picture, the other columns beside it; a recurrent layer, and a mean weighed by attention."""

    n_bands: Count
    """Columns in front of those that it sees, neighbours of which are alike: mel bands."""
    blocks2d: tuple[Block2d, ...]
    """Over the bands."""
    blocks: tuple[Block, ...] = ()
    """Over the other columns."""
    joined: Layer
    """What brings both together, frame by frame."""
    units: Count
    """Size of the recurrent layer's state, in each direction."""
    dropout: Share = 0.0
    """Behind the mean over time."""
    layers: tuple[Layer, ...] = ()


Single: TypeAlias = Dense | Conv | Lstm | ConvLstm | ConvGruAttention | Conv2dGruAttention
"""Kinds of networks that stand alone, or with others in an ensemble."""


class Ensemble(Section, frozen=True, kw_only=True, tag_field="kind", tag="ensemble"):
    """Networks side by side, each trained with a seed of its own; their mean is the model's answer."""

    members: Annotated[tuple[Single, ...], msgspec.Meta(min_length=2)]
    """Of a recipe that was read, all that are asked: those of its file, as often as they are trained."""
    trainings: Count = 1
    """How often each of them is trained, from another seed each time; all are asked."""

    @property
    def once(self) -> Ensemble:
        """The same with each member trained once."""
        return Ensemble(members=self.members[: len(self.members) // self.trainings])


class Forest(Section, frozen=True, kw_only=True, tag_field="kind", tag="random-forest"):
    """Scikit-learn's random forest."""

    n_trees: Count = 200
    max_depth: Count = 30
    bootstrap: bool = True
    min_leaf: Count = 1


class Neighbours(Section, frozen=True, kw_only=True, tag_field="kind", tag="knn"):
    """Scikit-learn's k nearest neighbours."""

    n_neighbours: Count = 5
    weights: Literal["uniform", "distance"] = "uniform"


class Svm(Section, frozen=True, kw_only=True, tag_field="kind", tag="svm"):
    """Scikit-learn's support vector machine, one class against one; its margins become probabilities."""

    c: Positive = 1.0
    kernel: Literal["rbf", "linear"] = "rbf"


Network: TypeAlias = Single | Ensemble
"""Kinds of models that Keras trains, and that are shipped as TFLite."""
Estimator: TypeAlias = Forest | Neighbours | Svm
"""Kinds of models that scikit-learn fits, and that are shipped as skops archives."""


class Fitting(Section, frozen=True, kw_only=True):
    """How a network is trained; estimators fit themselves."""

    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Positive = 1e-3
    """At first."""
    schedule: Literal["plateau", "cosine", "constant"] = "plateau"
    """``plateau``: it falls while the inner part does not get better; ``cosine``: to 0, over `n_epochs`."""
    weight_decay: Amount = 0.0
    """Of adamw."""
    batch_size: Count = 128
    n_epochs: Count = 100
    """At most."""
    n_draws: Natural = 0
    """Windows drawn of each clip in an epoch; 0 for all of them, each once."""
    plain_share: Share = 0.5
    """Share of these that come from the clip as it is; the others come from its varied copies."""
    intensity: Amount = 0.0
    """What telling how strong the emotion is weighs beside telling which; 0 for a network that does not."""
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """Share of each label's probability that is spread over all classes while training."""
    label_subsets: Share = 0.0
    """Share of the rows that lose each label but their own with even chance while training."""
    kind_of: dict[str, str] = msgspec.field(default_factory=dict)
    """Labels that are a kind of another. Where a corpus lacks the one, it may have called it by the other's
    name, so its clips of that name tell nothing of it; its other clips tell that they are none."""
    patience: Count = 15
    """Epochs without a higher accuracy on the inner part until it stops; the best weights are kept."""
    rate_patience: Count = 5
    """Epochs without a higher accuracy on the inner part until the learning rate falls (plateau)."""
    rate_factor: Part = 0.5
    """What it is multiplied by then."""
    refit: bool = False
    """Whether the network is then trained again, for as many epochs as were best, on the inner part too."""


class Speakers(Section, frozen=True, kw_only=True):
    """How the model gets used to a speaker: their running statistics are taken from its inputs."""

    prior_s: Positive = 15.0
    """Seconds of the corpus's mean that their own is blended with."""
    memory_s: Positive = 120.0
    """Seconds after which what was heard of them fades."""
    deviation: bool = False
    """Whether inputs are also divided by their running deviation."""
    n_windows: Count = 40
    """Of their other windows that the statistics are drawn from while training, at most."""
    strangers: Share = 0.25
    """Share of the windows that are trained on as if nothing was heard of them before."""
    logit_adjustment: Share = 0.0
    """How far labels that a speaker is usually given are held back when the model runs; 1 is all the way."""
    label_prior_s: Positive = 30.0
    """Seconds of all labels being equally likely that the speaker's usual ones are blended with."""

    @property
    def adaptation(self) -> Adaptation:
        """What of it matters when the model runs."""
        return Adaptation(
            prior_s=self.prior_s,
            memory_s=self.memory_s,
            deviation=self.deviation,
            logit_adjustment=self.logit_adjustment,
            label_prior_s=self.label_prior_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One named way to train: everything that shapes a model but the recordings and the seed.

    Parameters
    ----------
    name
        As the command line calls it: its file's.
    description
        One line for people.
    labels
        The classes, in the order of `realtime.types.LABELS`; clips with others are left out.
    features
        What is computed from the audio.
    window_s, hop_s
        Length of a window and the step to the next, in seconds.
    model
        The network or the estimator: its kind, and that kind's settings.
    reported
        What its authors say of the system that it follows.
    selection
        Which features the model sees.
    balance
        ``oversample``: rows of the smaller classes are repeated until all are as large as the largest;
        ``downsample``: rows of the larger ones are left out; ``class-weights``: rarer classes weigh more,
        so that all windows of each weigh the same. Where `n_draws` has as many drawn of each clip, a class
        whose clips are longer, and have more windows, weighs less in the end (disgust, which nobody
        sings in RAVDESS, 0.7 of the mean beside nEMO).
    augmentation
        How training clips, and the network's inputs, are varied.
    speakers
        How the model gets used to a speaker; not at all where it is None.
    fitting
        How a network is trained.
    smoothing
        How successive windows' probabilities are combined when the model runs.
    """

    name: str
    description: str
    labels: tuple[str, ...]
    features: FeatureSpec
    model: Network | Estimator
    smoothing: Smoothing
    window_s: float = 3.0
    hop_s: float = 0.5
    reported: Reported | None = None
    selection: Selection = field(default_factory=Selection)
    balance: Literal["none", "oversample", "downsample", "class-weights"] = "none"
    augmentation: Augmentation = field(default_factory=Augmentation)
    speakers: Speakers | None = None
    fitting: Fitting = field(default_factory=Fitting)

    @property
    def window(self) -> int:
        """Length of a window, in samples."""
        return round(self.window_s * self.features.sample_rate)

    @property
    def hop(self) -> int:
        """Step between windows, in samples."""
        return round(self.hop_s * self.features.sample_rate)

    @property
    def sees_frames(self) -> bool:
        """Whether the model sees a matrix of frames instead of a pooled vector."""
        return self.features.output == "frames"

    @property
    def tells_intensity(self) -> bool:
        """Whether the model also tells how strong the emotion is."""
        return self.is_network and self.fitting.intensity > 0

    @property
    def members(self) -> tuple[Single | Estimator, ...]:
        """The models that are asked together: one, where it is no ensemble."""
        return self.model.members if isinstance(self.model, Ensemble) else (self.model,)

    @property
    def trainings(self) -> int:
        """How often each of them is trained, from another seed each time."""
        return self.model.trainings if isinstance(self.model, Ensemble) else 1

    @property
    def is_network(self) -> bool:
        """Whether Keras trains the model; scikit-learn fits it otherwise."""
        return isinstance(self.model, Network)
