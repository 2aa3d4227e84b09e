package sqlite

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/workspace"
)

const (
	chatColumns    = "id, workspace, person, title, state, holder, data, revision, created_at, updated_at"
	messageColumns = "chat, id, seq, role, ui, model, created_at"

	chatOrder = " ORDER BY updated_at DESC, id"
)

func readChat(scan func(...any) error) (*agent.Chat, error) {
	c := new(agent.Chat)
	err := scan(&c.ID, &c.Workspace, &c.Person, &c.Title, &c.State, &c.Holder, raw{&c.Data}, &c.Revision,
		moment{&c.CreatedAt}, moment{&c.UpdatedAt})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func readMessage(scan func(...any) error) (*agent.Message, error) {
	m := new(agent.Message)
	err := scan(&m.Chat, &m.ID, &m.Seq, &m.Role, raw{&m.UI}, raw{&m.Model}, moment{&m.CreatedAt})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// CreateChat implements agent.Store. It sets c.Revision.
func (s *Store) CreateChat(ctx context.Context, c *agent.Chat) error {
	const first = 1
	if err := c.Check(); err != nil {
		return err
	}
	err := s.write(ctx, func(tx *tx) error {
		var n int
		found, err := tx.find("SELECT 1 FROM workspaces WHERE id = ?", []any{c.Workspace}, []any{&n})
		if err != nil {
			return err
		}
		if !found {
			return workspace.ErrNotFound
		}
		made, err := tx.insertChat(c, first)
		if err == nil && made == 0 {
			err = workspace.ErrConflict
		}
		return err
	})
	if err == nil {
		c.Revision = first
	}
	return err
}

func (t *tx) insertChat(c *agent.Chat, revision int64) (int64, error) {
	return t.exec("INSERT INTO chats ("+chatColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		c.ID, c.Workspace, c.Person, c.Title, c.State, c.Holder, notNull(c.Data), revision,
		c.CreatedAt.UnixMicro(), c.UpdatedAt.UnixMicro())
}

// Chat implements agent.Store.
func (s *Store) Chat(ctx context.Context, id string) (*agent.Chat, error) {
	return one(ctx, s, workspace.ErrNotFound, readChat, "SELECT "+chatColumns+" FROM chats WHERE id = ?", id)
}

// Chats implements agent.Store.
func (s *Store) Chats(ctx context.Context, id workspace.ID, person string) ([]*agent.Chat, error) {
	const of = "SELECT " + chatColumns + " FROM chats"
	switch {
	case id != "" && person != "":
		return list(ctx, s, readChat, of+" WHERE workspace = ? AND person = ?"+chatOrder, id, person)
	case id != "":
		return list(ctx, s, readChat, of+" WHERE workspace = ?"+chatOrder, id)
	case person != "":
		return list(ctx, s, readChat, of+" WHERE person = ?"+chatOrder, person)
	}
	return list(ctx, s, readChat, of+chatOrder)
}

// RunningChats implements agent.Store.
func (s *Store) RunningChats(ctx context.Context) ([]*agent.Chat, error) {
	return list(ctx, s, readChat, "SELECT "+chatColumns+" FROM chats WHERE state = ?"+chatOrder, agent.StateRunning)
}

// UpdateChat implements agent.Store. On an error it leaves c as it was.
func (s *Store) UpdateChat(ctx context.Context, c *agent.Chat) error {
	if err := c.Check(); err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	err := s.write(ctx, func(tx *tx) error {
		n, err := tx.exec(`UPDATE chats SET title = ?, state = ?, holder = ?, data = ?, updated_at = ?, revision = revision + 1
			WHERE id = ? AND revision = ?`,
			c.Title, c.State, c.Holder, notNull(c.Data), now.UnixMicro(), c.ID, c.Revision)
		if err != nil || n > 0 {
			return err
		}
		found, err := tx.hasChat(c.ID)
		switch {
		case err != nil:
			return err
		case found:
			return workspace.ErrConflict
		}
		return workspace.ErrNotFound
	})
	if err == nil {
		c.Revision++
		c.UpdatedAt = now
	}
	return err
}

func (t *tx) hasChat(id string) (bool, error) {
	var n int
	return t.find("SELECT 1 FROM chats WHERE id = ?", []any{id}, []any{&n})
}

// DeleteChat implements agent.Store. The messages go with it, by their foreign key.
func (s *Store) DeleteChat(ctx context.Context, id string) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM chats WHERE id = ?", id)
		return err
	})
}

// PutMessage implements agent.Store.
func (s *Store) PutMessage(ctx context.Context, m *agent.Message) error {
	if err := m.Check(); err != nil {
		return err
	}
	return s.write(ctx, func(tx *tx) error {
		found, err := tx.hasChat(m.Chat)
		if err != nil {
			return err
		}
		if !found {
			return workspace.ErrNotFound
		}
		return tx.putMessage(m)
	})
}

func (t *tx) putMessage(m *agent.Message) error {
	_, err := t.exec("INSERT INTO messages ("+messageColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET seq = excluded.seq, role = excluded.role, ui = excluded.ui, model = excluded.model, created_at = excluded.created_at`,
		m.Chat, m.ID, m.Seq, m.Role, notNull(m.UI), notNull(m.Model), m.CreatedAt.UnixMicro())
	return err
}

// Messages implements agent.Store.
func (s *Store) Messages(ctx context.Context, chat string) ([]*agent.Message, error) {
	return list(ctx, s, readMessage, "SELECT "+messageColumns+" FROM messages WHERE chat = ? ORDER BY seq, id", chat)
}

// CutMessages implements agent.Store.
func (s *Store) CutMessages(ctx context.Context, chat string, from int64) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM messages WHERE chat = ? AND seq >= ?", chat, from)
		return err
	})
}
