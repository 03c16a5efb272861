"""What a user can get wrong, one class per kind.

Every message is one sentence that says what is wrong, where, and what to do. The command line prints
it without a traceback and exits with 2; a program that uses the API can catch `WhichtuneError`.
"""

from __future__ import annotations


class WhichtuneError(Exception):
    """Anything a user can put right. The message is shown as it is."""


class SettingError(WhichtuneError):
    """A setting is unknown, has a value that is not allowed, or contradicts another."""


class NeedsWeightsError(SettingError):
    """What is asked can only be told of a model with weights: no fault, where a copy without them was tried."""


class UnknownNameError(WhichtuneError):
    """A method, baseline, study, named data set or model that is not registered."""


class StudyFileError(WhichtuneError):
    """A study file that cannot be read: not there, not YAML, or not a study."""


class DataError(WhichtuneError):
    """The data cannot be used: missing column, one class, empty text, unseen label, no such file."""


class ModelError(WhichtuneError):
    """The model cannot be used: not there, wrong kind, no padding token, context too long."""


class NotFiniteError(WhichtuneError):
    """Numbers of a run that are NaN or infinite, so that nothing can be told from them."""


class DivergedError(WhichtuneError):
    """A run that ends because its numbers are no longer finite: the reason of a failed row."""


class StoreError(WhichtuneError):
    """The study folder cannot be read or written."""


class PluginError(WhichtuneError):
    """A plugin that cannot be loaded, or whose names are taken."""


class ExportError(WhichtuneError):
    """A row that cannot be handed over in the form that was asked for, or a folder that is no exported row."""
