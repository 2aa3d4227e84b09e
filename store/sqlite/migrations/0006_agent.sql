-- Chats with agents, what agents may spend and have used, and people's own keys at providers of models. Times are
-- microseconds since 1970, UTC; money is in millionths of a US dollar.

CREATE TABLE chats (
	id         TEXT PRIMARY KEY,
	workspace  TEXT NOT NULL REFERENCES workspaces ON DELETE CASCADE,
	person     TEXT NOT NULL,
	title      TEXT NOT NULL,
	state      TEXT NOT NULL,
	holder     TEXT NOT NULL,
	data       BLOB NOT NULL,
	revision   INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX chats_by_workspace ON chats (workspace, updated_at);
CREATE INDEX chats_by_person ON chats (person, updated_at);
CREATE INDEX chats_by_time ON chats (updated_at);
CREATE INDEX chats_by_state ON chats (state, updated_at);

CREATE TABLE messages (
	chat       TEXT NOT NULL REFERENCES chats ON DELETE CASCADE,
	id         TEXT NOT NULL,
	seq        INTEGER NOT NULL,
	role       TEXT NOT NULL,
	ui         BLOB NOT NULL,
	model      BLOB NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (chat, id)
) STRICT;

CREATE INDEX messages_by_place ON messages (chat, seq, id);

CREATE TABLE budget_counters (
	key      TEXT PRIMARY KEY,
	cost     INTEGER NOT NULL,
	tokens   INTEGER NOT NULL,
	ends_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX budget_counters_by_end ON budget_counters (ends_at);

-- What calls under way have reserved of a counter.
CREATE TABLE budget_holds (
	counter TEXT NOT NULL,
	hold    TEXT NOT NULL,
	cost    INTEGER NOT NULL,
	tokens  INTEGER NOT NULL,
	ends_at INTEGER NOT NULL,
	PRIMARY KEY (counter, hold)
) STRICT, WITHOUT ROWID;

CREATE INDEX budget_holds_by_end ON budget_holds (ends_at);

CREATE TABLE agent_usage (
	day       TEXT NOT NULL,
	person    TEXT NOT NULL,
	workspace TEXT NOT NULL,
	model     TEXT NOT NULL,
	calls     INTEGER NOT NULL,
	input     INTEGER NOT NULL,
	output    INTEGER NOT NULL,
	cached    INTEGER NOT NULL,
	reasoning INTEGER NOT NULL,
	cost      INTEGER NOT NULL,
	own_cost  INTEGER NOT NULL,
	PRIMARY KEY (day, person, workspace, model)
) STRICT, WITHOUT ROWID;

CREATE INDEX agent_usage_by_person ON agent_usage (person, day);
CREATE INDEX agent_usage_by_workspace ON agent_usage (workspace, day);

CREATE TABLE model_keys (
	person     TEXT PRIMARY KEY,
	sealed     BLOB NOT NULL,
	last       TEXT NOT NULL,
	updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
