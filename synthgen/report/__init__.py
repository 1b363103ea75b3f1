"""What people look at: a run folder becomes one self-contained report.html. Gathers and draws; judges nothing."""
