"""Brokers: what an order is sent to. Each answers with reports; `interface` says what each must do."""
