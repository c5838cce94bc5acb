"""Web: shows the chain to people and takes their word: first configuration, arm, stop and kill.

Decides nothing about trading. Hears the status of every service and every event, over the lossy status topic.
Says nothing on the bus: what an operator orders goes to the control folder, which every service reads. Owns
no database; writes the vault once (first configuration), control/arm.json, control_start.txt,
control_stop.txt, halt records and control/provision_ledger.json.
"""
