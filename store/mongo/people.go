package mongo

import (
	"context"
	"encoding/json"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

type personDoc struct {
	ID        string       `bson:"_id"`
	Revision  int64        `bson:"revision"`
	CreatedAt int64        `bson:"created_at"`
	Fields    personFields `bson:",inline"`
}

// personFields are those that an update sets.
type personFields struct {
	Name        string        `bson:"name"`
	Email       string        `bson:"email"`
	GitName     string        `bson:"git_name"`
	GitEmail    string        `bson:"git_email"`
	Role        identity.Role `bson:"role"`
	Disabled    bool          `bson:"disabled"`
	ByRule      bool          `bson:"by_rule"`
	AdminByRule bool          `bson:"admin_by_rule"`
	Quota       string        `bson:"quota"`
}

func personFieldsOf(p identity.Person) (personFields, error) {
	quota, err := json.Marshal(p.Quota)
	return personFields{
		Name: text(p.Name), Email: text(p.Email), GitName: text(p.GitName), GitEmail: text(p.GitEmail), Role: p.Role, Disabled: p.Disabled,
		ByRule: p.ByRule, AdminByRule: p.AdminByRule, Quota: string(quota),
	}, err
}

func personDocOf(p identity.Person) (personDoc, error) {
	fields, err := personFieldsOf(p)
	return personDoc{p.ID, p.Revision, p.CreatedAt.UnixMicro(), fields}, err
}

func (d personDoc) read() (identity.Person, error) {
	f := d.Fields
	p := identity.Person{
		ID: d.ID, Name: f.Name, Email: f.Email, GitName: f.GitName, GitEmail: f.GitEmail, Role: f.Role, Disabled: f.Disabled,
		ByRule: f.ByRule, AdminByRule: f.AdminByRule, Revision: d.Revision, CreatedAt: moment(d.CreatedAt),
	}
	return p, json.Unmarshal([]byte(f.Quota), &p.Quota)
}

// CreatePerson implements identity.Store.
func (s *Store) CreatePerson(ctx context.Context, p identity.Person) error {
	doc, err := personDocOf(p)
	if err != nil {
		return err
	}
	return s.create(ctx, people, doc)
}

// create inserts a document whose id must be new.
func (s *Store) create(ctx context.Context, collection string, doc any) error {
	made, err := s.insert(ctx, collection, doc)
	if err == nil && !made {
		err = identity.ErrExists
	}
	return err
}

// Person implements identity.Store.
func (s *Store) Person(ctx context.Context, id string) (identity.Person, error) {
	return one[personDoc](ctx, s, people, bson.M{"_id": id}, identity.ErrNotFound)
}

// People implements identity.Store.
func (s *Store) People(ctx context.Context) ([]identity.Person, error) {
	return list[personDoc](ctx, s, people, bson.M{}, bson.D{{Key: "created_at", Value: 1}, {Key: "_id", Value: 1}})
}

// UpdatePerson implements identity.Store. On an error it leaves p as it was.
func (s *Store) UpdatePerson(ctx context.Context, p *identity.Person) error {
	fields, err := personFieldsOf(*p)
	if err != nil {
		return err
	}
	changed, err := s.update(ctx, people, bson.M{"_id": p.ID, "revision": p.Revision},
		bson.M{"$set": fields, "$inc": bson.M{"revision": int64(1)}})
	if err == nil && !changed {
		err = s.guarded(ctx, people, p.ID, identity.ErrNotFound, workspace.ErrConflict)
	}
	if err == nil {
		p.Revision++
	}
	return err
}
