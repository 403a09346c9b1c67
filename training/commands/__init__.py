"""The commands of ``tonewatch-train``, a module each."""
