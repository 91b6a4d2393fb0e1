"""Many clients train one model together: questions are steps to measure, answers are losses."""
