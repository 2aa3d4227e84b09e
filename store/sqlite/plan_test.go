package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
)

// What people and gateways ask for again and again must not read a whole table.
func TestQueriesUseIndexes(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, query := range []string{
		"SELECT " + workspaceColumns + " FROM workspaces WHERE id = ?",
		"SELECT " + workspaceColumns + " FROM workspaces WHERE owner = ? ORDER BY created_at, id",
		"SELECT count(*) FROM workspaces WHERE owner = ?",
		"DELETE FROM ports WHERE workspace = ?",
		"SELECT name, holder, ends_at FROM leases WHERE name >= ? AND substr(name, 1, length(?)) = ? AND ends_at > ? ORDER BY name",
		"SELECT " + accountColumns + " FROM accounts WHERE provider = ? AND subject = ?",
		"SELECT " + accountColumns + " FROM accounts WHERE person = ? ORDER BY created_at, provider, subject",
		"SELECT " + sessionColumns + " FROM sessions WHERE hash = ?",
		"SELECT " + sessionColumns + " FROM sessions WHERE person = ? ORDER BY created_at DESC, hash",
		"SELECT " + tokenColumns + " FROM tokens WHERE person = ? ORDER BY created_at DESC, id",
		"DELETE FROM tokens WHERE person = ? AND id = ?",
		"SELECT " + ticketColumns + " FROM tickets WHERE kind = ? ORDER BY expires_at DESC, hash",
		"DELETE FROM tickets WHERE hash = ? AND kind = ? AND expires_at > ?",
		"SELECT " + revocationColumns + " FROM revocations WHERE at >= ? ORDER BY at, number",
		"SELECT " + auditColumns + " FROM audit WHERE 1 AND person = ? AND id < ? ORDER BY id DESC LIMIT ?",
		"SELECT " + auditColumns + " FROM audit WHERE 1 AND workspace = ? ORDER BY id DESC LIMIT ?",
		"DELETE FROM audit WHERE at < ?",
		"SELECT " + chatColumns + " FROM chats WHERE id = ?",
		"SELECT " + chatColumns + " FROM chats WHERE workspace = ?" + chatOrder,
		"SELECT " + chatColumns + " FROM chats WHERE person = ?" + chatOrder,
		"SELECT " + chatColumns + " FROM chats WHERE workspace = ? AND person = ?" + chatOrder,
		"SELECT " + chatColumns + " FROM chats WHERE state = ?" + chatOrder,
		"SELECT " + messageColumns + " FROM messages WHERE chat = ? ORDER BY seq, id",
		"DELETE FROM messages WHERE chat = ? AND seq >= ?",
		"DELETE FROM budget_holds WHERE counter = ? AND hold = ?",
		"DELETE FROM budget_holds WHERE ends_at < ?",
		"DELETE FROM budget_counters WHERE ends_at < ?",
		"SELECT " + usageColumns + " FROM agent_usage WHERE day >= ? AND person = ? AND workspace = ? ORDER BY day DESC, person, workspace, model",
		"DELETE FROM agent_usage WHERE day < ?",
		"DELETE FROM sessions WHERE expires_at < ?",
		"DELETE FROM tokens WHERE expires_at < ?",
		"DELETE FROM tickets WHERE expires_at < ?",
	} {
		args := make([]any, strings.Count(query, "?"))
		rows, err := s.writer.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(detail, "SCAN") {
				t.Errorf("%s reads a whole table: %s", query, detail)
			}
		}
		if err := rows.Err(); err != nil {
			t.Error(err)
		}
		_ = rows.Close()
	}
}
