"""What is left of a run for others to read: report files, a summary for GitHub, and a config that replays failures."""
