package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

type accountDoc struct {
	ID        string        `bson:"_id"`
	Provider  string        `bson:"provider"`
	Subject   string        `bson:"subject"`
	Revision  int64         `bson:"revision"`
	CreatedAt int64         `bson:"created_at"`
	Fields    accountFields `bson:",inline"`
}

// accountFields are those that an update sets.
type accountFields struct {
	Person    string `bson:"person"`
	Login     string `bson:"login"`
	Email     string `bson:"email"`
	Groups    string `bson:"groups"`
	Token     []byte `bson:"token"`
	UpdatedAt int64  `bson:"updated_at"`
}

// accountID is one of each user of each provider: the name of a provider has no slash.
func accountID(provider, subject string) string { return provider + "/" + text(subject) }

func accountFieldsOf(a *identity.Account) accountFields {
	return accountFields{a.Person, text(a.Login), text(a.Email), text(a.Groups), notNull(a.Token), a.UpdatedAt.UnixMicro()}
}

func accountDocOf(a *identity.Account, revision int64) accountDoc {
	return accountDoc{accountID(a.Provider, a.Subject), a.Provider, text(a.Subject), revision, a.CreatedAt.UnixMicro(), accountFieldsOf(a)}
}

func (d accountDoc) read() (*identity.Account, error) {
	f := d.Fields
	return &identity.Account{
		Provider: d.Provider, Subject: d.Subject, Person: f.Person, Login: f.Login, Email: f.Email, Groups: f.Groups,
		Token: f.Token, Revision: d.Revision, CreatedAt: moment(d.CreatedAt), UpdatedAt: moment(f.UpdatedAt),
	}, nil
}

// CreateAccount implements identity.Store. It sets a.Revision.
func (s *Store) CreateAccount(ctx context.Context, a *identity.Account) error {
	const first = 1
	if err := s.create(ctx, accounts, accountDocOf(a, first)); err != nil {
		return err
	}
	a.Revision = first
	return nil
}

// Account implements identity.Store.
func (s *Store) Account(ctx context.Context, provider, subject string) (*identity.Account, error) {
	return one[accountDoc](ctx, s, accounts, bson.M{"_id": accountID(provider, subject)}, identity.ErrNotFound)
}

// Accounts implements identity.Store.
func (s *Store) Accounts(ctx context.Context, person string) ([]*identity.Account, error) {
	filter := bson.M{}
	if person != "" {
		filter["person"] = person
	}
	return list[accountDoc](ctx, s, accounts, filter, bson.D{{Key: "created_at", Value: 1}, {Key: "_id", Value: 1}})
}

// UpdateAccount implements identity.Store. On an error it leaves a as it was.
func (s *Store) UpdateAccount(ctx context.Context, a *identity.Account) error {
	id := accountID(a.Provider, a.Subject)
	changed, err := s.update(ctx, accounts, bson.M{"_id": id, "revision": a.Revision},
		bson.M{"$set": accountFieldsOf(a), "$inc": bson.M{"revision": int64(1)}})
	if err == nil && !changed {
		err = s.guarded(ctx, accounts, id, identity.ErrNotFound, workspace.ErrConflict)
	}
	if err == nil {
		a.Revision++
	}
	return err
}

// DeleteAccount implements identity.Store.
func (s *Store) DeleteAccount(ctx context.Context, provider, subject string) error {
	_, err := s.deleteOne(ctx, accounts, bson.M{"_id": accountID(provider, subject)})
	return err
}
