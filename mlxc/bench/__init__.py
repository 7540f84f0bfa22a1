"""The transferability benchmark: protocol, sets, runner, table."""
