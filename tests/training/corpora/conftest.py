"""Made-up recordings, and names for each corpus that is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from training.corpora import LAYOUTS, Channel, Clip, Intensity, Layout

RATE = 16_000

EXAMPLES: dict[str, dict[str, tuple[str, str, Channel, Intensity | None]]] = {
    # Below a corpus's folder, as its publisher lays it out: label, speaker, channel, intensity.
    "ravdess": {
        "Audio_Speech_Actors_01-24/Actor_01/03-01-01-01-01-01-01.wav": ("neutral", "01", "speech", "normal"),
        "Audio_Speech_Actors_01-24/Actor_02/03-01-02-02-01-01-02.wav": ("calm", "02", "speech", "strong"),
        "Audio_Song_Actors_01-24/Actor_03/03-02-03-01-01-01-03.wav": ("happy", "03", "song", "normal"),
        "Audio_Song_Actors_01-24/Actor_24/03-02-04-02-02-02-24.wav": ("sad", "24", "song", "strong"),
        "speech/Actor_05/03-01-05-01-01-01-05.flac": ("angry", "05", "speech", "normal"),
        "song/Actor_06/03-02-06-01-01-01-06.flac": ("fearful", "06", "song", "normal"),
        "03-01-07-01-01-01-07.WAV": ("disgust", "07", "speech", "normal"),
        "03-01-08-01-01-01-08.wav": ("surprised", "08", "speech", "normal"),
    },
    "nemo": {
        "EB0/EB0_anger_10.flac": ("angry", "EB0", "speech", None),
        "EB0/EB0_fear_3.flac": ("fearful", "EB0", "speech", None),
        "IC0/IC0_happiness_90.wav": ("happy", "IC0", "speech", None),
        "samples/KD0_neutral_1.wav": ("neutral", "KD0", "speech", None),
        "samples/MK0_sadness_1.wav": ("sad", "MK0", "speech", None),
        "WR0_surprised_1.wav": ("surprised", "WR0", "speech", None),
    },
    "crema-d": {
        "AudioWAV/1001_DFA_ANG_XX.wav": ("angry", "1001", "speech", None),
        "AudioWAV/1002_IEO_DIS_LO.wav": ("disgust", "1002", "speech", "normal"),
        "AudioWAV/1002_IEO_FEA_MD.wav": ("fearful", "1002", "speech", "normal"),
        "AudioWAV/1091_IEO_HAP_HI.wav": ("happy", "1091", "speech", "strong"),
        "AudioWAV/1091_WSI_NEU_XX.wav": ("neutral", "1091", "speech", None),
        "AudioWAV/1040_ITH_SAD_X.wav": ("sad", "1040", "speech", None),
    },
    "tess": {
        "OAF_angry/OAF_back_angry.wav": ("angry", "OAF", "speech", None),
        "OAF_disgust/OAF_back_disgust.wav": ("disgust", "OAF", "speech", None),
        "OAF_Fear/OAF_back_fear.wav": ("fearful", "OAF", "speech", None),
        "YAF_happy/YAF_dog_happy.wav": ("happy", "YAF", "speech", None),
        "OAF_neutral/OA_bite_neutral.wav": ("neutral", "OAF", "speech", None),
        "OAF_Pleasant_surprise/OAF_back_ps.wav": ("surprised", "OAF", "speech", None),
        "YAF_pleasant_surprised/YAF_back_ps.wav": ("surprised", "YAF", "speech", None),
        "YAF_back_sad.wav": ("sad", "YAF", "speech", None),
    },
    "savee": {
        "ALL/DC_a01.wav": ("angry", "DC", "speech", None),
        "AudioData/DC/d01.wav": ("disgust", "DC", "speech", None),
        "AudioData/JE/f01.wav": ("fearful", "JE", "speech", None),
        "JK_h15.wav": ("happy", "JK", "speech", None),
        "KL/n30.wav": ("neutral", "KL", "speech", None),
        "KL/KL_sa15.wav": ("sad", "KL", "speech", None),
        "KL/su15.wav": ("surprised", "KL", "speech", None),
    },
    "emodb": {
        "wav/03a01Wa.wav": ("angry", "03", "speech", None),
        "wav/03a01Lc.wav": ("boredom", "03", "speech", None),
        "wav/08a01Ea.wav": ("disgust", "08", "speech", None),
        "wav/08b10Ab.wav": ("fearful", "08", "speech", None),
        "wav/16b03Fa.wav": ("happy", "16", "speech", None),
        "16b03Td.wav": ("sad", "16", "speech", None),
        "03a01Nc.wav": ("neutral", "03", "speech", None),
    },
    "emovo": {
        "f1/dis-f1-b1.wav": ("disgust", "f1", "speech", None),
        "f1/gio-f1-b2.wav": ("happy", "f1", "speech", None),
        "m3/pau-m3-n5.wav": ("fearful", "m3", "speech", None),
        "m3/rab-m3-l4.wav": ("angry", "m3", "speech", None),
        "m2/sor-m2-d1.wav": ("surprised", "m2", "speech", None),
        "tri-m2-d2.wav": ("sad", "m2", "speech", None),
        "EMOVO/neu-f2-b3.wav": ("neutral", "f2", "speech", None),
    },
}


class MadeUp:
    """Writes recordings that nobody made."""

    def clips(self, name: str, folder: Path) -> list[Clip]:
        """Return what a corpus's example names mean."""
        return [
            Clip(folder / path, label, f"{name}-{speaker}", name, channel, intensity)
            for path, (label, speaker, channel, intensity) in EXAMPLES[name].items()
        ]

    def corpus(self, name: str, folder: Path) -> Path:
        """Write a corpus: a recording under each of its example names."""
        for seed, path in enumerate(EXAMPLES[name]):
            self.write(folder / path, seed=sorted(EXAMPLES).index(name) * 100 + seed)
        return folder

    def sound(self, seed: int = 0, seconds: float = 0.3) -> npt.NDArray[np.float64]:
        """Return noise of a modest level, another one for each seed."""
        return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))

    def write(
        self,
        path: Path,
        samples: npt.NDArray[np.float64] | None = None,
        *,
        seed: int = 0,
        rate: int = RATE,
        subtype: str = "PCM_16",
    ) -> Path:
        """Write a recording, and the folders above it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, self.sound(seed) if samples is None else samples, rate, subtype)
        return path


@pytest.fixture(scope="session")
def made_up() -> MadeUp:
    return MadeUp()


@pytest.fixture(params=list(LAYOUTS))
def layout(request: pytest.FixtureRequest) -> Layout:
    """Each corpus that is known, those added later too."""
    return LAYOUTS[request.param]
