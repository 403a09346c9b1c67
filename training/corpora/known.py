"""The corpora that Tonewatch knows by their files' names, described one by one.

References
----------
Livingstone & Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)", PLoS ONE
13(5), 2018, doi:10.1371/journal.pone.0196391.
Christop, "nEMO: Dataset of Emotional Speech in Polish", LREC-COLING 2024, arXiv:2404.06292.
Cao et al., "CREMA-D: Crowd-Sourced Emotional Multimodal Actors Dataset", IEEE Transactions on Affective
Computing 5(4), 2014, doi:10.1109/TAFFC.2014.2336244.
Pichora-Fuller & Dupuis, "Toronto emotional speech set (TESS)", Borealis, 2020, doi:10.5683/SP2/E8H2MF.
Haq & Jackson, "Multimodal Emotion Recognition", in Machine Audition, IGI Global, 2010,
doi:10.4018/978-1-61520-919-4.ch017.
Burkhardt et al., "A Database of German Emotional Speech", Interspeech 2005,
doi:10.21437/Interspeech.2005-446.
Costantini et al., "EMOVO Corpus: an Italian Emotional Speech Database", LREC 2014.
Ma et al., "EmoBox: Multilingual Multi-corpus Speech Emotion Recognition Toolkit and Benchmark", Interspeech
2024, arXiv:2406.07162.
"""

from __future__ import annotations

import re

from realtime.types import LABELS
from training.corpora.layouts import Layout

_NC_SA = (
    "which is licensed under CC BY-NC-SA 4.0: this model is for non-commercial use, to be shared under the "
    "same licence"
)
_ACTORS = (
    (1, 11, 20, 21),
    (4, 10, 12, 14),
    (8, 9, 19, 23),
    (3, 5, 7, 24),
    (2, 15, 16, 18),
    (6, 13, 17, 22),
)
"""EmoBox's six test folds of RAVDESS, by actor: what folds.json holds, for copies without it."""

RAVDESS = Layout(
    name="ravdess",
    title="RAVDESS",
    licence=f"trained on RAVDESS (Livingstone & Russo 2018, doi:10.1371/journal.pone.0196391), {_NC_SA}",
    example="03-VC-EE-II-SS-RR-AA",
    # Modality (03: audio alone), vocal channel, emotion, intensity, statement, repetition, actor.
    pattern=re.compile(
        r".*/03-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])-\d\d-\d\d-(?P<speaker>\d\d)"
    ),
    emotions={f"{number:02d}": label for number, label in enumerate(LABELS, start=1)},
    channels={"01": "speech", "02": "song"},
    intensities={"01": "normal", "02": "strong"},
    n_clips={"speech": 1440, "song": 1012},
    folds=tuple(tuple(f"ravdess-{actor:02d}" for actor in fold) for fold in _ACTORS),
    folder=re.compile(r"(?i:actor)_(?P<speaker>\d\d)"),
    impossible=(
        (re.compile(r"03-0[12]-01-02-.*"), "its name says neutral and strong, which RAVDESS never is"),
        (re.compile(r"03-02-0[78]-.*"), "its name says song with disgust or surprise, which RAVDESS has not"),
    ),
)

NEMO = Layout(
    name="nemo",
    title="nEMO",
    licence=f"trained on nEMO (Christop 2024, arXiv:2404.06292), {_NC_SA}",
    example="SPEAKER_EMOTION_SENTENCE, such as EB0_anger_10",
    pattern=re.compile(
        r".*/(?P<speaker>[A-Z]{2}\d)_(?P<emotion>anger|fear|happiness|neutral|sadness|surprised)_\d+"
    ),
    emotions={
        "anger": "angry",
        "fear": "fearful",
        "happiness": "happy",
        "neutral": "neutral",
        "sadness": "sad",
        "surprised": "surprised",
    },
    n_clips={"speech": 4481},
    folder=re.compile(r"(?P<speaker>[A-Z]{2}\d)"),
)

CREMA_D = Layout(
    name="crema-d",
    title="CREMA-D",
    licence=(
        "trained on CREMA-D (Cao et al. 2014, doi:10.1109/TAFFC.2014.2336244), which is licensed under the "
        "Open Database License 1.0: name it where you use this model"
    ),
    example="ACTOR_SENTENCE_EMOTION_LEVEL, such as 1001_DFA_ANG_XX",
    # One published name, 1040_ITH_SAD_X, has lost a letter.
    pattern=re.compile(
        r".*/(?P<speaker>1\d{3})_[A-Z]{3}_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<intensity>LO|MD|HI|XX?)"
    ),
    emotions={
        "ANG": "angry",
        "DIS": "disgust",
        "FEA": "fearful",
        "HAP": "happy",
        "NEU": "neutral",
        "SAD": "sad",
    },
    intensities={"LO": "normal", "MD": "normal", "HI": "strong"},
    n_clips={"speech": 7442},
)

TESS = Layout(
    name="tess",
    title="TESS",
    licence=(
        "trained on TESS (Pichora-Fuller & Dupuis 2020, doi:10.5683/SP2/E8H2MF), which is licensed under "
        "CC BY-NC-ND 4.0: this model is for non-commercial use"
    ),
    example="SPEAKER_WORD_EMOTION, such as OAF_back_angry",
    pattern=re.compile(
        r".*/(?P<speaker>[OY]AF?)_[A-Za-z]+_(?P<emotion>angry|disgust|fear|happy|neutral|ps|sad)"
    ),
    emotions={
        "angry": "angry",
        "disgust": "disgust",
        "fear": "fearful",
        "happy": "happy",
        "neutral": "neutral",
        # Pleasant surprise.
        "ps": "surprised",
        "sad": "sad",
    },
    # One published name, OA_bite_neutral, has lost a letter.
    aliases={"OA": "OAF", "YA": "YAF"},
    n_clips={"speech": 2800},
    folder=re.compile(r"(?P<speaker>[OY]AF)_(?P<emotion>\w+)"),
    folder_emotions={
        "angry": "angry",
        "disgust": "disgust",
        "fear": "fearful",
        "happy": "happy",
        "neutral": "neutral",
        "pleasant_surprise": "surprised",
        "pleasant_surprised": "surprised",
        "ps": "surprised",
        "sad": "sad",
    },
)

SAVEE = Layout(
    name="savee",
    title="SAVEE",
    licence=(
        "trained on SAVEE (Haq & Jackson 2010, doi:10.4018/978-1-61520-919-4.ch017), which the University of "
        "Surrey gives to researchers who register: this model is for research"
    ),
    example="DC_a01, or a01 in a folder DC",
    pattern=re.compile(r"(?:.*/)?(?P<speaker>DC|JE|JK|KL)[/_](?P<emotion>sa|su|[adfhn])\d\d"),
    emotions={
        "a": "angry",
        "d": "disgust",
        "f": "fearful",
        "h": "happy",
        "n": "neutral",
        "sa": "sad",
        "su": "surprised",
    },
    n_clips={"speech": 480},
    folder=re.compile(r"(?P<speaker>DC|JE|JK|KL)"),
)

EMODB = Layout(
    name="emodb",
    title="EmoDB",
    licence=(
        "trained on EmoDB (Burkhardt et al. 2005, doi:10.21437/Interspeech.2005-446), which its makers give "
        "away freely: name it where you use this model"
    ),
    example="SPEAKER, sentence, emotion, take, such as 03a01Fa",
    pattern=re.compile(r".*/(?P<speaker>\d\d)[ab]\d\d(?P<emotion>[WLEAFTN])[a-z]?"),
    # By their German names: Wut, Langeweile, Ekel, Angst, Freude, Trauer.
    emotions={
        "W": "angry",
        "L": "boredom",
        "E": "disgust",
        "A": "fearful",
        "F": "happy",
        "T": "sad",
        "N": "neutral",
    },
    n_clips={"speech": 535},
)

EMOVO = Layout(
    name="emovo",
    title="EMOVO",
    licence=(
        "trained on EMOVO (Costantini et al. 2014, LREC), which its makers give to researchers: this model "
        "is for research"
    ),
    example="EMOTION-SPEAKER-SENTENCE, such as dis-f1-b1",
    pattern=re.compile(r".*/(?P<emotion>dis|gio|pau|rab|sor|tri|neu)-(?P<speaker>[fm]\d)-[a-z]\d"),
    # By their Italian names: disgusto, gioia, paura, rabbia, sorpresa, tristezza, neutro.
    emotions={
        "dis": "disgust",
        "gio": "happy",
        "pau": "fearful",
        "rab": "angry",
        "sor": "surprised",
        "tri": "sad",
        "neu": "neutral",
    },
    n_clips={"speech": 588},
    folder=re.compile(r"(?P<speaker>[fm]\d)"),
)

LAYOUTS = {layout.name: layout for layout in (RAVDESS, NEMO, CREMA_D, TESS, SAVEE, EMODB, EMOVO)}
"""The known corpora by name, in the order in which several are combined."""
