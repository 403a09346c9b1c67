"""Reports of trained models: pictures, a page, a text and the training history, made from plain data."""

from training.report.data import (
    ClassIntervals,
    Clips,
    Embedding,
    Features,
    Judged,
    ReportData,
    Setting,
)
from training.report.settings import settings_of
from training.report.storage import load_data, save_data
from training.report.write import ReportFiles, write_report

__all__ = [
    "ClassIntervals",
    "Clips",
    "Embedding",
    "Features",
    "Judged",
    "ReportData",
    "ReportFiles",
    "Setting",
    "load_data",
    "save_data",
    "settings_of",
    "write_report",
]
