-- Who came in by a rule of the configuration comes in only as long as one matches.

ALTER TABLE people ADD COLUMN by_rule INTEGER NOT NULL DEFAULT 0;
ALTER TABLE people ADD COLUMN admin_by_rule INTEGER NOT NULL DEFAULT 0;
