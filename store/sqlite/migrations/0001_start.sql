-- Times are microseconds since 1970, UTC.

CREATE TABLE workspaces (
	id             TEXT PRIMARY KEY,
	owner          TEXT NOT NULL,
	name           TEXT NOT NULL,
	template       TEXT NOT NULL,
	repository     TEXT NOT NULL,
	state          TEXT NOT NULL,
	reason         TEXT NOT NULL,
	revision       INTEGER NOT NULL,
	container      TEXT NOT NULL,
	image          TEXT NOT NULL,
	address        TEXT NOT NULL,
	ide_port       INTEGER NOT NULL,
	bridge_port    INTEGER NOT NULL,
	created_at     INTEGER NOT NULL,
	updated_at     INTEGER NOT NULL,
	started_at     INTEGER NOT NULL,
	last_active_at INTEGER NOT NULL,
	last_activity  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX workspaces_by_owner ON workspaces (owner, created_at);

-- Every id that a workspace ever had. Rows are never deleted.
CREATE TABLE used_ids (
	id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE ports (
	port      INTEGER PRIMARY KEY,
	workspace TEXT NOT NULL REFERENCES workspaces ON DELETE CASCADE
) STRICT;

CREATE INDEX ports_by_workspace ON ports (workspace);

CREATE TABLE leases (
	name     TEXT PRIMARY KEY,
	holder   TEXT NOT NULL,
	ends_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE people (
	id         TEXT PRIMARY KEY,
	name       TEXT NOT NULL,
	role       TEXT NOT NULL,
	created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
	hash       TEXT PRIMARY KEY,
	person     TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	seen_at    INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_end ON sessions (expires_at);

CREATE TABLE tickets (
	hash       TEXT PRIMARY KEY,
	kind       TEXT NOT NULL,
	payload    BLOB NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX tickets_by_end ON tickets (expires_at);

-- The empty text is a field that is not set.
CREATE TABLE revocations (
	number    INTEGER PRIMARY KEY,
	at        INTEGER NOT NULL,
	session   TEXT NOT NULL,
	person    TEXT NOT NULL,
	workspace TEXT NOT NULL
) STRICT;

CREATE INDEX revocations_by_time ON revocations (at);
