-- People sign in at several providers, and share ports. Times are microseconds since 1970, UTC.

ALTER TABLE workspaces ADD COLUMN shares TEXT NOT NULL DEFAULT '[]'; -- JSON

ALTER TABLE people ADD COLUMN email TEXT NOT NULL DEFAULT '';
ALTER TABLE people ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE people ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;

CREATE TABLE accounts (
	provider   TEXT NOT NULL,
	subject    TEXT NOT NULL,
	person     TEXT NOT NULL,
	login      TEXT NOT NULL,
	email      TEXT NOT NULL,
	groups     TEXT NOT NULL,
	token      BLOB NOT NULL,
	revision   INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	PRIMARY KEY (provider, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX accounts_by_person ON accounts (person);

ALTER TABLE sessions ADD COLUMN provider TEXT NOT NULL DEFAULT 'link';
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN ends_at INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET ends_at = created_at + 604800000000; -- seven days

CREATE INDEX sessions_by_person ON sessions (person);

CREATE TABLE tokens (
	hash       TEXT PRIMARY KEY,
	id         TEXT NOT NULL UNIQUE,
	person     TEXT NOT NULL,
	name       TEXT NOT NULL,
	scopes     TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	used_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_person ON tokens (person);
CREATE INDEX tokens_by_end ON tokens (expires_at);
CREATE INDEX tickets_by_kind ON tickets (kind, expires_at);

ALTER TABLE revocations ADD COLUMN label TEXT NOT NULL DEFAULT '';

CREATE TABLE audit (
	id         TEXT PRIMARY KEY,
	at         INTEGER NOT NULL,
	action     TEXT NOT NULL,
	outcome    TEXT NOT NULL,
	person     TEXT NOT NULL,
	via        TEXT NOT NULL,
	workspace  TEXT NOT NULL,
	address    TEXT NOT NULL,
	user_agent TEXT NOT NULL,
	detail     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_by_person ON audit (person, id);
CREATE INDEX audit_by_workspace ON audit (workspace, id);
CREATE INDEX audit_by_time ON audit (at);
