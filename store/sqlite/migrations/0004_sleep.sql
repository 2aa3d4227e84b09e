-- What a workspace was told to be, its newest wake, when it sleeps, and what people may use. Times are
-- microseconds since 1970, UTC; -62135596800000000 is the zero time.

ALTER TABLE workspaces ADD COLUMN state_since INTEGER NOT NULL DEFAULT -62135596800000000;
ALTER TABLE workspaces ADD COLUMN desired TEXT NOT NULL DEFAULT 'stopped';
ALTER TABLE workspaces ADD COLUMN last_start TEXT NOT NULL DEFAULT '{"at":"0001-01-01T00:00:00Z"}'; -- JSON
ALTER TABLE workspaces ADD COLUMN keep_awake_until INTEGER NOT NULL DEFAULT -62135596800000000;
ALTER TABLE workspaces ADD COLUMN schedule TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE workspaces ADD COLUMN disk_used INTEGER NOT NULL DEFAULT 0;
UPDATE workspaces SET state_since = updated_at;
UPDATE workspaces SET desired = 'running' WHERE state IN ('running', 'starting');
UPDATE workspaces SET desired = 'deleting' WHERE state = 'deleting';

ALTER TABLE people ADD COLUMN quota TEXT NOT NULL DEFAULT '{}'; -- JSON
