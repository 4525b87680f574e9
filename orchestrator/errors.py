"""What the person can mend: one readable paragraph, exit code 2, never a traceback.

UserError
 +-- StudyLocked     another orchestrator works on the study
 +-- SweepChanged    the sweep is not the one that the study was made with
 +-- DatabaseDamaged         the study database is not sound
 +-- StudyDeleted    the study was deleted while its sweep ran
"""


class UserError(Exception):
    """A mistake or a state of things that the person can mend; the message is all they see."""


class StudyLocked(UserError):
    """Another orchestrator works on this study; the message names it."""


class SweepChanged(UserError):
    """The study was made with other settings; the message lists every difference."""


class DatabaseDamaged(UserError):
    """The study database is not sound; the message says what SQLite found, and what to do."""


class StudyDeleted(UserError):
    """Somebody deleted the study, in the dashboard perhaps, while its sweep ran."""
