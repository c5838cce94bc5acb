"""The table of settings, one file a group; config/env_bot_settings.py puts the groups in order."""
