package sqlite

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestEveryConnectionIsSafe(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		if err := s.writer.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("the writer's %s is %s (%v), want %s", pragma, got, err, want)
		}
	}
	if _, err := s.reader.ExecContext(t.Context(), "DELETE FROM people"); err == nil {
		t.Error("a reader can write")
	}
}

func TestAMigrationHappensWhollyOrNotAtAll(t *testing.T) {
	released := migrations
	defer func() { migrations = released }()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "kalpana.db")
	s, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	w := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann"}
	if err := s.CreateWorkspace(ctx, w, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	const good = "CREATE TABLE added (n INTEGER); INSERT INTO added VALUES (1);"
	migrations = append(released[:len(released):len(released)], good, "DELETE FROM workspaces; DELETE FROM missing")
	if s, err = Open(ctx, path); err == nil {
		_ = s.Close()
		t.Fatal("a migration that fails was taken")
	}
	if !errors.Is(err, workspace.ErrStoreDown) {
		t.Errorf("%v is no ErrStoreDown", err)
	}

	migrations = append(released[:len(released):len(released)], good)
	for range 2 {
		if s, err = Open(ctx, path); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Workspace(ctx, w.ID); err != nil {
			t.Error(err)
		}
		var rows int
		if err := s.reader.QueryRowContext(ctx, "SELECT count(*) FROM added").Scan(&rows); err != nil || rows != 1 {
			t.Errorf("the migration ran %d times (%v), want once", rows, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What was written under the first schema reads under the newest as it was, and can be written.
func TestMigration_FromTheFirstSchemaLosesNothing(t *testing.T) {
	released := migrations
	defer func() { migrations = released }()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "kalpana.db")
	migrations = released[:1]
	s, err := Open(ctx, path, Unfinished()) // that schema cannot tell
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO used_ids VALUES ('abcdefghij')`,
		`INSERT INTO workspaces VALUES ('abcdefghij', 'ann', 'mine', 'node', 'https://example.com/a', 'running', 'why', 7,
			'container', 'image', '127.0.0.1', 40000, 40001, 1000000, 2000000, 3000000, 4000000, 'typed')`,
		`INSERT INTO ports VALUES (40000, 'abcdefghij'), (40001, 'abcdefghij')`,
		`INSERT INTO leases VALUES ('wake/abcdefghij', 'g1', 9000000)`,
		`INSERT INTO people VALUES ('ann', 'Ann', 'admin', 1000000)`,
		`INSERT INTO sessions VALUES ('h1', 'ann', 1000000, 2000000, 86400000000)`,
		`INSERT INTO tickets VALUES ('h2', 'link', x'7b7d', 9000000)`,
		`INSERT INTO revocations (at, session, person, workspace) VALUES (1000000, 'h0', '', 'abcdefghij')`,
	} {
		if _, err := s.writer.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	migrations = released
	if s, err = Open(ctx, path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0).UTC() }
	same := func(what string, want, got any, err error) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", what, err, diff)
		}
	}
	w, err := s.Workspace(ctx, "abcdefghij")
	same("workspace", &workspace.Workspace{
		ID: "abcdefghij", Owner: "ann", Name: "mine", Template: "node", Repository: "https://example.com/a", State: workspace.StateRunning,
		Reason: "why", Revision: 7, Container: "container", Image: "image", Address: "127.0.0.1", IDEPort: 40000, BridgePort: 40001,
		CreatedAt: at(1), UpdatedAt: at(2), StartedAt: at(3), LastActiveAt: at(4), LastActivity: "typed",
		StateSince: at(2), Desired: workspace.StateRunning,
	}, w, err)
	ports, err := s.Ports(ctx)
	same("ports", map[int]workspace.ID{40000: "abcdefghij", 40001: "abcdefghij"}, ports, err)
	held, err := s.AcquireLease(ctx, "wake/abcdefghij", "g2", at(8), at(20))
	same("a held lease", false, held, err)
	person, err := s.Person(ctx, "ann")
	same("person", identity.Person{ID: "ann", Name: "Ann", Role: identity.RoleAdmin, Revision: 1, CreatedAt: at(1)}, person, err)
	session, err := s.Session(ctx, "h1")
	same("session", identity.Session{
		Hash: "h1", Person: "ann", Provider: "link", CreatedAt: at(1), SeenAt: at(2), ExpiresAt: at(86400), EndsAt: at(1).Add(identity.SessionMax),
	}, session, err)
	revocations, err := s.Revocations(ctx, at(0))
	same("revocations", []identity.Revocation{{At: at(1), Session: "h0", Workspace: "abcdefghij"}}, revocations, err)
	ticket, err := s.TakeTicket(ctx, "link", "h2", at(8))
	same("ticket", identity.Ticket{Hash: "h2", Kind: "link", Payload: []byte("{}"), ExpiresAt: at(9)}, ticket, err)

	w.Shares = []workspace.Share{{Port: 3000, Level: workspace.SharePublic}}
	same("writing the workspace", nil, nil, s.UpdateWorkspace(ctx, w))
	person.Disabled = true
	same("writing the person", nil, nil, s.UpdatePerson(ctx, &person))
	shared, err := s.Workspace(ctx, w.ID)
	same("the workspace then", w, shared, err)
}
