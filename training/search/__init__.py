"""The search for better values of a recipe's keys.

Optuna chooses values; each trial's models are judged by the inner speakers of some folds of the speaker
protocol, and never get those folds' test speakers.
"""

from training.search.defaults import default_space
from training.search.folds import Fold, plan_folds
from training.search.journal import Journal, Tried
from training.search.recipe import Source, check_out, read_source, write_found
from training.search.report import explain, table
from training.search.run import Found, search
from training.search.space import (
    Between,
    Choices,
    Dimension,
    Space,
    check_space,
    read_space,
    space_to_toml,
)
from training.search.trial import Bench, Job, Outcome, try_recipe

__all__ = [
    "Bench",
    "Between",
    "Choices",
    "Dimension",
    "Fold",
    "Found",
    "Job",
    "Journal",
    "Outcome",
    "Source",
    "Space",
    "Tried",
    "check_out",
    "check_space",
    "default_space",
    "explain",
    "plan_folds",
    "read_source",
    "read_space",
    "search",
    "space_to_toml",
    "table",
    "try_recipe",
    "write_found",
]
