"""What several kinds of task share: rows, a learner that cross-validates, prompts for samples."""
