-- In whose name people commit, where they said so themselves.

ALTER TABLE people ADD COLUMN git_name TEXT NOT NULL DEFAULT '';
ALTER TABLE people ADD COLUMN git_email TEXT NOT NULL DEFAULT '';
