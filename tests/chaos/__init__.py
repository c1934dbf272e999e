"""The crash suite: a campaign with follow-ups, while everything it leans on fails in turn.

`place` is where it runs, `audience` who is written to, `faults` what goes wrong, `campaign` plays one campaign through
a list of faults, `watcher` looks on from the provider's side, `judge` compares all sides afterwards, `report` writes
the result. See docs/reliability.md.
"""
