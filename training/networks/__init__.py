"""Keras networks, built from what recipes say of them.

::

    model = networks.build(Dense(layers=(Layer(units=64),)), (392,), 8)    features -> probabilities
    networks.embedding(model)                                              features -> last hidden layer

Each kind of network is one function of `training.networks.kinds`, registered for that kind's settings; a
new kind is a struct of `training.recipes.schema` and such a function. TensorFlow is loaded with the first
network.
"""

from training.networks.loading import load_tensorflow, seed_everything, use_one_thread
from training.networks.model import PROBABILITIES, build, count_parameters, embedding, set_weights

__all__ = [
    "PROBABILITIES",
    "build",
    "count_parameters",
    "embedding",
    "load_tensorflow",
    "seed_everything",
    "set_weights",
    "use_one_thread",
]
