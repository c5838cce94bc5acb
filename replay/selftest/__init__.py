"""TEST_MODE: the bot's whole logic tried from end to end, in a home of its own, with production left as it is.

`python -m replay.selftest` plays every routine on a generated session, with the embedded paper broker and a mail
server of its own, and needs neither account nor network. The watchdog starts it when control/test_mode.flag asks.
"""
