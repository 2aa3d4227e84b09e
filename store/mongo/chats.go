package mongo

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/workspace"
)

type chatDoc struct {
	ID        string       `bson:"_id"`
	Workspace workspace.ID `bson:"workspace"`
	Person    string       `bson:"person"`
	Revision  int64        `bson:"revision"`
	CreatedAt int64        `bson:"created_at"`
	Fields    chatFields   `bson:",inline"`
}

// chatFields are those that an update sets.
type chatFields struct {
	Title     string      `bson:"title"`
	State     agent.State `bson:"state"`
	Holder    string      `bson:"holder"`
	Data      []byte      `bson:"data"`
	UpdatedAt int64       `bson:"updated_at"`
}

func chatFieldsOf(c *agent.Chat, updated time.Time) chatFields {
	return chatFields{text(c.Title), c.State, text(c.Holder), notNull(c.Data), updated.UnixMicro()}
}

func chatDocOf(c *agent.Chat, revision int64) chatDoc {
	return chatDoc{c.ID, c.Workspace, c.Person, revision, c.CreatedAt.UnixMicro(), chatFieldsOf(c, c.UpdatedAt)}
}

func (d chatDoc) read() (*agent.Chat, error) {
	f := d.Fields
	return &agent.Chat{
		ID: d.ID, Workspace: d.Workspace, Person: d.Person, Title: f.Title, State: f.State, Holder: f.Holder, Data: rawJSON(f.Data),
		Revision: d.Revision, CreatedAt: moment(d.CreatedAt), UpdatedAt: moment(f.UpdatedAt),
	}, nil
}

// rawJSON returns JSON as it was stored; none is nil.
func rawJSON(b []byte) json.RawMessage {
	if len(b) == 0 {
		return nil
	}
	return b
}

// messageID is one of each message: a chat's id has no slash.
func messageID(chat, id string) string { return chat + "/" + text(id) }

type messageDoc struct {
	Key       string `bson:"_id"`
	Chat      string `bson:"chat"`
	ID        string `bson:"id"`
	Seq       int64  `bson:"seq"`
	Role      string `bson:"role"`
	UI        []byte `bson:"ui"`
	Model     []byte `bson:"model"`
	CreatedAt int64  `bson:"created_at"`
}

func messageDocOf(m *agent.Message) messageDoc {
	return messageDoc{
		messageID(m.Chat, m.ID), m.Chat, text(m.ID), m.Seq, text(m.Role), notNull(m.UI), notNull(m.Model), m.CreatedAt.UnixMicro(),
	}
}

func (d messageDoc) read() (*agent.Message, error) {
	return &agent.Message{
		Chat: d.Chat, ID: d.ID, Seq: d.Seq, Role: d.Role, UI: rawJSON(d.UI), Model: rawJSON(d.Model), CreatedAt: moment(d.CreatedAt),
	}, nil
}

// CreateChat implements agent.Store. It sets c.Revision.
func (s *Store) CreateChat(ctx context.Context, c *agent.Chat) error {
	const first = 1
	if err := c.Check(); err != nil {
		return err
	}
	// A delete that comes in between has looked for chats already, or will find this one, or Purge does.
	exists, err := s.exists(ctx, workspaces, bson.M{"_id": c.Workspace})
	if err != nil {
		return err
	}
	if !exists {
		return workspace.ErrNotFound
	}
	made, err := s.insert(ctx, chats, chatDocOf(c, first))
	if err == nil && !made {
		err = workspace.ErrConflict
	}
	if err == nil {
		c.Revision = first
	}
	return err
}

// Chat implements agent.Store.
func (s *Store) Chat(ctx context.Context, id string) (*agent.Chat, error) {
	return one[chatDoc](ctx, s, chats, bson.M{"_id": id}, workspace.ErrNotFound)
}

// Chats implements agent.Store.
func (s *Store) Chats(ctx context.Context, id workspace.ID, person string) ([]*agent.Chat, error) {
	filter := bson.M{}
	if id != "" {
		filter["workspace"] = id
	}
	if person != "" {
		filter["person"] = person
	}
	return list[chatDoc](ctx, s, chats, filter, bson.D{{Key: "updated_at", Value: -1}, {Key: "_id", Value: 1}})
}

// RunningChats implements agent.Store.
func (s *Store) RunningChats(ctx context.Context) ([]*agent.Chat, error) {
	return list[chatDoc](ctx, s, chats, bson.M{"state": agent.StateRunning}, bson.D{{Key: "updated_at", Value: -1}, {Key: "_id", Value: 1}})
}

// UpdateChat implements agent.Store. On an error it leaves c as it was.
func (s *Store) UpdateChat(ctx context.Context, c *agent.Chat) error {
	if err := c.Check(); err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	changed, err := s.update(ctx, chats, bson.M{"_id": c.ID, "revision": c.Revision},
		bson.M{"$set": chatFieldsOf(c, now), "$inc": bson.M{"revision": int64(1)}})
	if err == nil && !changed {
		err = s.guarded(ctx, chats, c.ID, workspace.ErrNotFound, workspace.ErrConflict)
	}
	if err == nil {
		c.Revision++
		c.UpdatedAt = now
	}
	return err
}

// DeleteChat implements agent.Store. The chat goes first: without it, its messages are nobody's.
func (s *Store) DeleteChat(ctx context.Context, id string) error {
	if _, err := s.deleteOne(ctx, chats, bson.M{"_id": id}); err != nil {
		return err
	}
	_, err := s.delete(ctx, messages, bson.M{"chat": id})
	return err
}

// deleteChats removes those of a workspace.
func (s *Store) deleteChats(ctx context.Context, id workspace.ID) error {
	ids, err := listBy[onlyID](ctx, s, chats, bson.M{"workspace": id}, options.Find().SetProjection(bson.M{"_id": 1}))
	for _, chat := range ids {
		err = errors.Join(err, s.DeleteChat(ctx, chat))
	}
	return err
}

// PutMessage implements agent.Store.
func (s *Store) PutMessage(ctx context.Context, m *agent.Message) error {
	if err := m.Check(); err != nil {
		return err
	}
	exists, err := s.exists(ctx, chats, bson.M{"_id": m.Chat})
	if err != nil {
		return err
	}
	if !exists {
		return workspace.ErrNotFound
	}
	if err := s.putMessage(ctx, m); err != nil {
		return err
	}
	// A delete that came in between has removed the messages already, or will find this one.
	if exists, err = s.exists(ctx, chats, bson.M{"_id": m.Chat}); err != nil || exists {
		return err
	}
	if _, err := s.deleteOne(ctx, messages, bson.M{"_id": messageID(m.Chat, m.ID)}); err != nil {
		return err
	}
	return workspace.ErrNotFound
}

func (s *Store) putMessage(ctx context.Context, m *agent.Message) error {
	doc := messageDocOf(m)
	_, err := s.db.Collection(messages).ReplaceOne(ctx, bson.M{"_id": doc.Key}, doc, options.Replace().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) { // two inserted it at once
		_, err = s.db.Collection(messages).ReplaceOne(ctx, bson.M{"_id": doc.Key}, doc)
	}
	return s.fault(ctx, err)
}

// Messages implements agent.Store.
func (s *Store) Messages(ctx context.Context, chat string) ([]*agent.Message, error) {
	return list[messageDoc](ctx, s, messages, bson.M{"chat": chat}, bson.D{{Key: "seq", Value: 1}, {Key: "id", Value: 1}})
}

// CutMessages implements agent.Store.
func (s *Store) CutMessages(ctx context.Context, chat string, from int64) error {
	_, err := s.delete(ctx, messages, bson.M{"chat": chat, "seq": bson.M{"$gte": from}})
	return err
}

// purgeChats removes chats whose workspace is gone, and messages whose chat is.
func (s *Store) purgeChats(ctx context.Context) error {
	for _, orphans := range []struct {
		collection, field, owners string
		remove                    func(ctx context.Context, owner string) error
	}{
		{chats, "workspace", workspaces, func(ctx context.Context, id string) error { return s.deleteChats(ctx, workspace.ID(id)) }},
		{messages, "chat", chats, s.DeleteChat},
	} {
		owners, err := s.distinct(ctx, orphans.collection, orphans.field)
		if err != nil {
			return err
		}
		there, err := s.recordedIn(ctx, orphans.owners, owners)
		if err != nil {
			return err
		}
		for _, owner := range owners {
			if there[owner] {
				continue
			}
			if err := orphans.remove(ctx, owner); err != nil {
				return err
			}
		}
	}
	return nil
}

// distinct returns the values that a field of a collection has. (FerretDB v1 answers the command distinct with a
// document that does not decode where there is none.)
func (s *Store) distinct(ctx context.Context, collection, field string) ([]string, error) {
	cursor, err := s.db.Collection(collection).Aggregate(ctx, bson.A{bson.M{"$group": bson.M{"_id": "$" + field}}})
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	var values []onlyID
	if err := cursor.All(ctx, &values); err != nil {
		return nil, s.fault(ctx, err)
	}
	ids := make([]string, len(values))
	for i, v := range values {
		ids[i] = v.ID
	}
	return ids, nil
}
