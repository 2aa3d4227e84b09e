package mongo

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

var errEmptyRevocation = errors.New("a revocation names a session, a person, a workspace or a label; this one names none")

type revocationDoc struct {
	ID        bson.ObjectID `bson:"_id"`
	At        int64         `bson:"at"`
	Session   string        `bson:"session"`
	Person    string        `bson:"person"`
	Workspace workspace.ID  `bson:"workspace"`
	Label     string        `bson:"label"`
}

func revocationDocOf(r identity.Revocation) revocationDoc {
	return revocationDoc{bson.NewObjectID(), r.At.UnixMicro(), r.Session, r.Person, r.Workspace, text(r.Label)}
}

func (d revocationDoc) read() (identity.Revocation, error) {
	return identity.Revocation{At: moment(d.At), Session: d.Session, Person: d.Person, Workspace: d.Workspace, Label: d.Label}, nil
}

// AppendRevocation implements identity.Store.
func (s *Store) AppendRevocation(ctx context.Context, r identity.Revocation) error {
	if r.Session == "" && r.Person == "" && r.Workspace == "" && r.Label == "" {
		return errEmptyRevocation
	}
	_, err := s.insert(ctx, revocations, revocationDocOf(r))
	return err
}

// Revocations implements identity.Store: those at since and later, in the order of their times.
func (s *Store) Revocations(ctx context.Context, since time.Time) ([]identity.Revocation, error) {
	return list[revocationDoc](ctx, s, revocations, bson.M{"at": bson.M{"$gte": since.UnixMicro()}},
		bson.D{{Key: "at", Value: 1}, {Key: "_id", Value: 1}})
}
