from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from realtime import artifact, classifier, decision
from realtime.artifact import Scores
from realtime.errors import TrainingError
from realtime.recognizer import Recognizer
from realtime.types import Prediction
from training import dataset, evaluation, experiment, fit, networks, protocols, study
from training.evaluation import Evaluation
from training.judgement import judge
from training.recipes import digest
from training.recipes.schema import Speakers
from training.workers import Workers

if TYPE_CHECKING:
    from pathlib import Path

    from realtime.artifact import Card
    from tests.training.conftest import Gather, Notes
    from training.corpora import Corpus
    from training.recipes import Recipe

NETWORK_FILES = ("model.tflite", "preprocess.npz", "card.json")
ESTIMATOR_FILES = ("model.skops", "preprocess.npz", "card.json")


class Silent:
    """A watcher that nobody asks."""

    def warn(self, line: str) -> None: ...
    def begin(self, title: str, n_steps: int) -> None: ...
    def advance(self, n_steps: int = 1, note: str = "") -> None: ...
    def end(self, note: str = "") -> None: ...


def run(
    recipe: Recipe, corpus: Corpus, out: Path, cache: Path, *, watcher: Any = None, **changes: Any
) -> Card:
    clips = [hashlib.sha256(clip.path.read_bytes()).hexdigest() for clip in corpus.clips]
    settings: dict[str, Any] = {
        "seed": 5,
        "hold_out": "speakers",
        "quantisation": "float32",
        "workers": Workers(),
        "fresh": False,
        "with_report": False,
        "command": "as a test makes it",
    } | changes
    return experiment.run(recipe, corpus, clips, out, cache=cache, watcher=watcher or Silent(), **settings)


def files(folder: Path, names: tuple[str, ...]) -> list[bytes]:
    return [(folder / name).read_bytes() for name in names]


def predictions(folder: Path, corpus: Corpus) -> list[Prediction]:
    """Return what the recognizer says of a recording."""
    model = classifier.load(folder)
    recognizer = Recognizer(model)
    samples = dataset.read_clip(corpus.clips[0].path, model.spec.sample_rate)
    events = [*recognizer.push(samples), *recognizer.finish()]
    return [event for event in events if isinstance(event, Prediction)]


def write_scores(folder: Path, recipe: Recipe, corpus: Corpus, **changes: Any) -> Evaluation:
    used = [clip for clip in corpus.clips if clip.label in recipe.labels]
    lines = [f"{hashlib.sha256(c.path.read_bytes()).hexdigest()} {c.label} {c.speaker}" for c in used]
    figures = Scores(n=9, accuracy=0.5, uar=0.4, macro_f1=0.3, ece=0.1, confusion=[[3, 0, 0]] * 3)
    measured = Evaluation(
        recipe=recipe.name,
        recipe_sha256=digest(recipe),
        labels=list(recipe.labels),
        corpora=["ravdess"],
        data_sha256=hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(),
        commands={"speaker": f"tonewatch-train evaluate {recipe.name} --protocols speaker"},
        seeds={"speaker": [42]},
        versions={},
        thresholds={"0.9": 0.75},
        scores={"speaker": {"clips": {"all": figures}}},
    )
    measured = msgspec.structs.replace(measured, **changes)
    evaluation.write(folder, measured)
    return measured


@pytest.fixture(scope="module")
def network(quick: Recipe, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a network; what it was trained from lies beside it, in ``cache``."""
    folder = tmp_path_factory.mktemp("network")
    run(quick, corpus, folder / "tiny", folder / "cache")
    return folder / "tiny"


@pytest.fixture(scope="module")
def estimator(forest: Recipe, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("estimator")
    run(forest, corpus, folder / "tiny-forest", folder / "cache")
    return folder / "tiny-forest"


def test_networks_alone_are_trained_on_one_thread(
    quick: Recipe, forest: Recipe, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for recipe in (quick, forest):
        monkeypatch.setattr(networks, "use_one_thread", lambda name=recipe.name: asked.append(name))
        run(recipe, corpus, tmp_path / recipe.name, tmp_path / "cache")
    assert asked == [quick.name]


def test_a_card_says_that_clips_were_held_out(forest: Recipe, corpus: Corpus, tmp_path: Path) -> None:
    for refit, said in (
        (False, "all clips but 5 of them, by which"),
        (True, "all clips; how long, and its temp"),
    ):
        recipe = replace(forest, fitting=msgspec.structs.replace(forest.fitting, refit=refit))
        card = run(recipe, corpus, tmp_path / "out", tmp_path / "cache", hold_out="clips")
        assert card.training.note.startswith(f"trained on {said}")


def test_a_networks_card_says_what_it_is(network: Path, quick: Recipe) -> None:
    card = artifact.read(network).card
    assert (card.name, card.runtime, card.quantisation) == ("tiny", "tflite", "float32")
    training = card.training
    assert (training.recipe, training.recipe_sha256) == ("tiny", digest(quick))
    assert training.corpora == ["ravdess"]
    assert training.labels == {"ravdess": list(quick.labels)}
    assert "CC BY-NC-SA 4.0" in training.licence
    assert training.command == "as a test makes it"
    assert training.seed == 5
    # All but the last fold's two speakers, by whom it stopped.
    assert training.n_clips == 30
    assert training.note.startswith("trained on all speakers but ravdess-05, ravdess-06")
    assert training.versions == study.versions()
    assert 0 <= training.parity <= 1e-4
    assert (card.n_features, card.n_selected, card.input_shape) == (44, 20, [1, 20])
    assert (card.scores, card.thresholds) == ({}, {})
    assert "There are no scores yet" in card.scores_note
    assert set(card.exports) == {"float32", "float16", "int8"}
    assert card.exports["float32"].n_bytes == (network / "model.tflite").stat().st_size
    assert str(network.parent) not in (network / "card.json").read_text()


def test_an_estimators_card_says_what_it_is(estimator: Path) -> None:
    card = artifact.read(estimator).card
    assert (card.runtime, card.quantisation, card.input_shape) == ("skops", "float32", [1, 44])
    # On both parts in the end.
    assert card.training.n_clips == 45
    assert "trained on all speakers; how long" in card.training.note
    assert set(card.exports) == {"skops"}
    assert card.exports["skops"].n_bytes == (estimator / "model.skops").stat().st_size
    assert card.training.parity <= 1e-4


@pytest.mark.parametrize("kind", ["network", "estimator"])
def test_the_recognizer_runs_it(
    kind: str, corpus: Corpus, gather_study: Gather, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    recipe = request.getfixturevalue({"network": "quick", "estimator": "forest"}[kind])
    found = predictions(folder, corpus)
    assert found
    gathered = gather_study(recipe, corpus, folder.parent / "cache")
    fitted = study.train_one(gathered, protocols.shipped(gathered.corpus, 5))
    rows = gathered.examples.windows.rows(np.array([0]), copies=False)
    inputs = fitted.preprocessing(gathered.examples.windows.features[rows])
    wanted = fit.predict(recipe, fitted, inputs)
    assert len(found) == len(wanted)
    for prediction, probabilities in zip(found, wanted, strict=True):
        assert prediction.stream.labels == recipe.labels
        assert np.asarray(prediction.probabilities) == pytest.approx(probabilities, abs=1e-4)


@pytest.mark.parametrize("quantisation", ["float32", "int8"])
def test_the_recognizer_tells_an_intensity_where_the_model_does(
    quick: Recipe, corpus: Corpus, gather_study: Gather, tmp_path: Path, quantisation: str
) -> None:
    telling = replace(quick, fitting=msgspec.structs.replace(quick.fitting, intensity=0.5))
    clips = tuple(
        replace(clip, intensity="strong" if number % 2 else "normal")
        for number, clip in enumerate(corpus.clips)
    )
    told = replace(corpus, clips=clips)
    card = run(telling, told, tmp_path / "tiny", tmp_path / "cache", quantisation=quantisation)
    assert card.intensity
    assert card.output_shape == [1, len(telling.labels) + 1]
    found = predictions(tmp_path / "tiny", told)
    gathered = gather_study(telling, told, tmp_path / "cache")
    fitted = study.train_one(gathered, protocols.shipped(gathered.corpus, 5))
    rows = gathered.examples.windows.rows(np.array([0]), copies=False)
    inputs = fitted.preprocessing(gathered.examples.windows.features[rows])
    probabilities, intensities = fit.predict_both(telling, fitted, inputs)
    assert intensities is not None
    tolerance = 1e-4 if quantisation == "float32" else 0.1
    assert np.asarray([p.probabilities for p in found]) == pytest.approx(probabilities, abs=tolerance)
    smoothed = decision.Smoother(telling.smoothing, 1)
    expected = [float(smoothed.push(intensities[row : row + 1])[0]) for row in range(len(rows))]
    assert [p.intensity for p in found] == pytest.approx(expected, abs=tolerance)


def test_the_recognizer_gets_used_to_a_speaker_as_the_ruler_does(
    quick: Recipe, corpus: Corpus, gather_study: Gather, tmp_path: Path
) -> None:
    speakers = Speakers(prior_s=2.0, deviation=True, logit_adjustment=1.0, label_prior_s=2.0)
    adapting = replace(quick, speakers=speakers)
    run(adapting, corpus, tmp_path / "tiny", tmp_path / "cache")
    found = predictions(tmp_path / "tiny", corpus)
    gathered = gather_study(adapting, corpus, tmp_path / "cache")
    fitted = study.train_one(gathered, protocols.shipped(gathered.corpus, 5))
    judged = judge(adapting, fitted, gathered.examples.windows, np.array([0]))
    assert len(judged.probabilities) > 1
    assert np.asarray([p.probabilities for p in found]) == pytest.approx(judged.probabilities, abs=1e-4)
    # The same model, whose answers are left as they are.
    plain = replace(quick, speakers=msgspec.structs.replace(speakers, logit_adjustment=0.0))
    again = gather_study(plain, corpus, tmp_path / "cache")
    assert again.digest == gathered.digest
    unadjusted = judge(plain, fitted, again.examples.windows, np.array([0]))
    assert np.array_equal(unadjusted.probabilities[0], judged.probabilities[0])
    assert not np.allclose(unadjusted.probabilities[1:], judged.probabilities[1:], atol=1e-3)


def test_an_interrupted_fit_goes_on_and_the_same_seed_gives_the_same_bytes(
    network: Path, quick: Recipe, corpus: Corpus, tmp_path: Path, watcher: Notes
) -> None:
    watcher.interrupt_at = "training"
    with pytest.raises(KeyboardInterrupt):
        run(quick, corpus, tmp_path / "tiny", tmp_path / "cache", watcher=watcher)
    assert not (tmp_path / "tiny").exists()
    (left,) = (tmp_path / "cache" / "models").iterdir()
    assert left.name.endswith(".unfinished.npz")
    watcher.interrupt_at = ""
    watcher.stages.clear()
    card = run(quick, corpus, tmp_path / "tiny", tmp_path / "cache", watcher=watcher)
    assert files(tmp_path / "tiny", NETWORK_FILES) == files(network, NETWORK_FILES)
    assert artifact.read(tmp_path / "tiny").card == card
    assert watcher.stages == ["features", "features of varied copies", "training", "exports"]
    assert watcher.n_done["features"] == watcher.n_done["features of varied copies"] == 45
    # Both epochs are told of, the one before the interrupt too.
    assert watcher.n_done["training"] == 2
    assert not list((tmp_path / "cache").rglob("*.unfinished*"))


def test_an_estimator_of_the_same_seed_is_the_same_bytes(
    estimator: Path, forest: Recipe, corpus: Corpus, tmp_path: Path
) -> None:
    run(forest, corpus, tmp_path / "tiny-forest", tmp_path / "cache")
    assert files(tmp_path / "tiny-forest", ESTIMATOR_FILES) == files(estimator, ESTIMATOR_FILES)
    run(forest, corpus, tmp_path / "other" / "tiny-forest", tmp_path / "cache", seed=6)
    assert (tmp_path / "other" / "tiny-forest" / "model.skops").read_bytes() != files(
        estimator, ESTIMATOR_FILES
    )[0]


def test_scores_of_the_same_recipe_go_into_the_card(
    forest: Recipe, corpus: Corpus, estimator: Path, tmp_path: Path, watcher: Notes
) -> None:
    out = tmp_path / "tiny-forest"
    measured = write_scores(out, forest, corpus)
    card = run(forest, corpus, out, estimator.parent / "cache", watcher=watcher)
    assert card.scores == measured.scores
    assert card.thresholds == {"0.9": 0.75}
    assert "--protocols speaker" in card.scores_note
    assert card.exports["skops"].accuracy == 0.5
    assert not [line for line in watcher.warnings if "scores" in line]
    # What was measured stays what it is.
    assert evaluation.read(out) == measured


@pytest.mark.parametrize(
    "changes",
    [{"recipe_sha256": "of another"}, {"corpora": ["ravdess", "nemo"]}, {"data_sha256": "of others"}],
)
def test_scores_of_another_recipe_are_left_out(
    forest: Recipe,
    corpus: Corpus,
    estimator: Path,
    tmp_path: Path,
    watcher: Notes,
    *,
    changes: dict[str, Any],
) -> None:
    out = tmp_path / "tiny-forest"
    write_scores(out, forest, corpus, **changes)
    card = run(forest, corpus, out, estimator.parent / "cache", watcher=watcher)
    assert (card.scores, card.thresholds) == ({}, {})
    (line,) = (line for line in watcher.warnings if "scores" in line)
    assert "is of another recipe or other corpora; left out of the card" in line


def test_damaged_scores_are_told_before_anything_is_done(
    forest: Recipe, corpus: Corpus, tmp_path: Path, watcher: Notes
) -> None:
    (tmp_path / "tiny-forest").mkdir()
    (tmp_path / "tiny-forest" / "scores.json").write_text("{")
    with pytest.raises(TrainingError, match="not an evaluation"):
        run(forest, corpus, tmp_path / "tiny-forest", tmp_path / "cache", watcher=watcher)
    assert not watcher.stages


def test_several_corpora_stand_in_the_card(forest: Recipe, both: Corpus, cache: Path, tmp_path: Path) -> None:
    card = run(forest, both, tmp_path / "tiny-forest", cache)
    assert card.training.corpora == ["ravdess", "nemo"]
    assert card.training.labels == {
        "ravdess": ["neutral", "calm", "happy"],
        "nemo": ["neutral", "happy"],
    }


def test_a_fit_has_its_report(
    forest: Recipe, corpus: Corpus, estimator: Path, tmp_path: Path, watcher: Notes
) -> None:
    out = tmp_path / "tiny-forest"
    run(forest, corpus, out, estimator.parent / "cache", watcher=watcher, with_report=True)
    assert (out / "report" / "report.html").stat().st_size > 1000
    assert list((out / "report" / "pictures").glob("*.svg"))
    assert "report" in watcher.stages
    # The model is none of its business.
    assert files(out, ESTIMATOR_FILES) == files(estimator, ESTIMATOR_FILES)


def test_a_recipe_of_ones_own_may_be_named_otherwise(
    forest: Recipe, corpus: Corpus, estimator: Path, tmp_path: Path
) -> None:
    renamed = replace(forest, name="renamed", description="otherwise")
    card = run(renamed, corpus, tmp_path / "my-model", estimator.parent / "cache")
    assert (card.name, card.training.recipe) == ("my-model", "renamed")
    assert (tmp_path / "my-model" / "model.skops").read_bytes() == (estimator / "model.skops").read_bytes()


def test_trainings_of_one_model_are_shared_out(
    often: Recipe, corpus: Corpus, tmp_path: Path, watcher: Notes
) -> None:
    card = run(often, corpus, tmp_path / "often", tmp_path, watcher=watcher, workers=Workers(2))
    assert watcher.n_done["trainings"] == 3
    assert {f"shipped-seed-{seed}" for seed in (5, 6, 7)} <= set(watcher.notes)
    # Their exports agree with them, or nothing were written.
    assert artifact.read(tmp_path / "often").card == card
