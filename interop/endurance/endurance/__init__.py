"""Two gateways under load: kills, restarts, reloads, and partners in trouble."""
