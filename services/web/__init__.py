"""Web: shows the chain to people and takes their word: configuration, arm, stop, kill, stopped streams.

Decides nothing about trading. Hears the status of every service and every event, over the lossy status topic.
Says nothing that trades: what an operator orders goes to the control folder, which every service reads; on the bus it
tells a halt at once, and gives a stopped stream's receiver the operator's answer (`ResolveStream`). Owns the audit log
(audit/audit.db, its head in state/); writes the vault, control/arm.json, control_start.txt, control_stop.txt, halt
records and control/provision_ledger.json.
"""
