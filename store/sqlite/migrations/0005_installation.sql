-- What all gateways on one store have in common, by name. Rows never change.

CREATE TABLE installation (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
