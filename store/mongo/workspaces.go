package mongo

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/kalpana-dev/kalpana/workspace"
)

// workspaceDoc is a workspace's document. Structured fields are JSON, as in the other stores.
type workspaceDoc struct {
	ID        workspace.ID    `bson:"_id"`
	Owner     string          `bson:"owner"`
	Revision  int64           `bson:"revision"`
	CreatedAt int64           `bson:"created_at"`
	Fields    workspaceFields `bson:",inline"`
}

// workspaceFields are those that an update sets.
type workspaceFields struct {
	Name           string          `bson:"name"`
	Template       string          `bson:"template"`
	Repository     string          `bson:"repository"`
	State          workspace.State `bson:"state"`
	StateSince     int64           `bson:"state_since"`
	Reason         string          `bson:"reason"`
	Desired        workspace.State `bson:"desired"`
	Container      string          `bson:"container"`
	Image          string          `bson:"image"`
	Address        string          `bson:"address"`
	IDEPort        int             `bson:"ide_port"`
	BridgePort     int             `bson:"bridge_port"`
	Shares         string          `bson:"shares"`
	UpdatedAt      int64           `bson:"updated_at"`
	StartedAt      int64           `bson:"started_at"`
	LastActiveAt   int64           `bson:"last_active_at"`
	LastActivity   string          `bson:"last_activity"`
	LastStart      string          `bson:"last_start"`
	KeepAwakeUntil int64           `bson:"keep_awake_until"`
	Schedule       string          `bson:"schedule"`
	DiskUsed       int64           `bson:"disk_used"`
}

func fieldsOf(w *workspace.Workspace, updated time.Time) (workspaceFields, error) {
	shares, err1 := json.Marshal(w.Shares)
	start, err2 := json.Marshal(w.LastStart)
	schedule, err3 := json.Marshal(w.Schedule)
	return workspaceFields{
		Name: text(w.Name), Template: text(w.Template), Repository: text(w.Repository),
		State: w.State, StateSince: w.StateSince.UnixMicro(), Reason: text(w.Reason), Desired: w.Desired,
		Container: text(w.Container), Image: text(w.Image), Address: text(w.Address), IDEPort: w.IDEPort, BridgePort: w.BridgePort,
		Shares: string(shares), UpdatedAt: updated.UnixMicro(), StartedAt: w.StartedAt.UnixMicro(),
		LastActiveAt: w.LastActiveAt.UnixMicro(), LastActivity: text(w.LastActivity), LastStart: string(start),
		KeepAwakeUntil: w.KeepAwakeUntil.UnixMicro(), Schedule: string(schedule), DiskUsed: w.DiskUsed,
	}, errors.Join(err1, err2, err3)
}

func docOf(w *workspace.Workspace, revision int64) (workspaceDoc, error) {
	fields, err := fieldsOf(w, w.UpdatedAt)
	return workspaceDoc{ID: w.ID, Owner: w.Owner, Revision: revision, CreatedAt: w.CreatedAt.UnixMicro(), Fields: fields}, err
}

func (d workspaceDoc) read() (*workspace.Workspace, error) {
	f := d.Fields
	w := &workspace.Workspace{
		ID: d.ID, Owner: d.Owner, Name: f.Name, Template: f.Template, Repository: f.Repository,
		State: f.State, StateSince: moment(f.StateSince), Reason: f.Reason, Desired: f.Desired, Revision: d.Revision,
		Container: f.Container, Image: f.Image, Address: f.Address, IDEPort: f.IDEPort, BridgePort: f.BridgePort,
		CreatedAt: moment(d.CreatedAt), UpdatedAt: moment(f.UpdatedAt), StartedAt: moment(f.StartedAt),
		LastActiveAt: moment(f.LastActiveAt), LastActivity: f.LastActivity,
		KeepAwakeUntil: moment(f.KeepAwakeUntil), DiskUsed: f.DiskUsed,
	}
	return w, errors.Join(
		json.Unmarshal([]byte(f.Shares), &w.Shares),
		json.Unmarshal([]byte(f.LastStart), &w.LastStart),
		json.Unmarshal([]byte(f.Schedule), &w.Schedule))
}

// CreateWorkspace implements orchestrator.Store. It sets w.Revision.
func (s *Store) CreateWorkspace(ctx context.Context, w *workspace.Workspace, limit int) error {
	const first = 1
	doc, err := docOf(w, first)
	if err != nil {
		return err
	}
	if err := s.reserve(ctx, w.Owner, w.ID, limit); err != nil {
		return err
	}
	fresh, err := s.insert(ctx, usedIDs, bson.M{"_id": w.ID})
	if err == nil && !fresh {
		err = workspace.ErrConflict
	}
	if err == nil {
		_, err = s.db.Collection(workspaces).InsertOne(ctx, doc)
		err = s.fault(ctx, err)
	}
	if errors.Is(err, workspace.ErrConflict) {
		s.afterwards(ctx, func(ctx context.Context) error { return s.unreserve(ctx, w.Owner, w.ID) })
	}
	// After any other error the record may be there: the reservation stays until that is known.
	if err != nil {
		return err
	}
	w.Revision = first
	return nil
}

// Workspace implements orchestrator.Store.
func (s *Store) Workspace(ctx context.Context, id workspace.ID) (*workspace.Workspace, error) {
	return one[workspaceDoc](ctx, s, workspaces, bson.M{"_id": id}, workspace.ErrNotFound)
}

// Workspaces implements orchestrator.Store.
func (s *Store) Workspaces(ctx context.Context, owner string) ([]*workspace.Workspace, error) {
	filter := bson.M{}
	if owner != "" {
		filter["owner"] = owner
	}
	return list[workspaceDoc](ctx, s, workspaces, filter, bson.D{{Key: "created_at", Value: 1}, {Key: "_id", Value: 1}})
}

// UpdateWorkspace implements orchestrator.Store. On an error it leaves w as it was.
func (s *Store) UpdateWorkspace(ctx context.Context, w *workspace.Workspace) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	fields, err := fieldsOf(w, now)
	if err != nil {
		return err
	}
	changed, err := s.update(ctx, workspaces, bson.M{"_id": w.ID, "revision": w.Revision},
		bson.M{"$set": fields, "$inc": bson.M{"revision": int64(1)}})
	if err == nil && !changed {
		err = s.guarded(ctx, workspaces, w.ID, workspace.ErrNotFound, workspace.ErrConflict)
	}
	if err == nil {
		w.Revision++
		w.UpdatedAt = now
	}
	return err
}

// DeleteWorkspace implements orchestrator.Store. The id stays in used_ids.
func (s *Store) DeleteWorkspace(ctx context.Context, id workspace.ID, revision int64) error {
	var doc workspaceDoc
	err := s.db.Collection(workspaces).FindOneAndDelete(ctx, bson.M{"_id": id, "revision": revision}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return s.guarded(ctx, workspaces, id, workspace.ErrNotFound, workspace.ErrConflict)
	}
	if err != nil {
		return s.fault(ctx, err)
	}
	// It is gone, whatever becomes of this: the ports and the place are free without a record, and nobody comes to
	// its chats.
	s.afterwards(ctx, func(ctx context.Context) error {
		_, err := s.delete(ctx, ports, bson.M{"workspace": id})
		return errors.Join(err, s.unreserve(ctx, doc.Owner, id), s.deleteChats(ctx, id))
	})
	return nil
}

// afterwards tidies up although ctx may have ended. What it leaves, Purge finds.
func (s *Store) afterwards(ctx context.Context, tidy func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.wait)
	defer cancel()
	_ = tidy(ctx)
}
