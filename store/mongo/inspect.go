package mongo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/identity"
)

// Info is what a database says of itself.
type Info struct {
	Where   string    // servers and database, without user and password
	Version int       // of its schema
	Known   int       // the newest schema that this program knows
	Newest  time.Time // of what is in the audit log; zero where there is nothing
	Ports   []int     // that workspaces have
}

// Inspect looks at a database and changes nothing. Errors: fs.ErrNotExist where there is none; else
// those of [Open]. Where is filled in once uri is understood.
func Inspect(ctx context.Context, uri, database string, opts ...Option) (Info, error) {
	s, err := connect(uri, database, opts...)
	if err != nil {
		return Info{}, err
	}
	defer s.Close() //nolint:errcheck // it only reads
	info := Info{Where: fmt.Sprintf("%s at %s", database, s.hosts), Known: len(migrations)}
	found, err := s.schema(ctx)
	if errors.Is(err, errNoSchema) {
		names, err := s.db.ListCollectionNames(ctx, bson.M{})
		switch {
		case err != nil:
			return info, s.fault(ctx, err)
		case len(names) > 0:
			return info, s.foreign()
		}
		return info, fs.ErrNotExist
	}
	if err != nil {
		return info, err
	}
	info.Version = found.Version
	if err := s.refuses(found); err != nil {
		return info, err
	}
	newest, err := s.Audit(ctx, identity.AuditQuery{Limit: 1})
	if err != nil {
		return info, err
	}
	if len(newest) > 0 {
		info.Newest = newest[0].At
	}
	ports, err := s.Ports(ctx)
	info.Ports = slices.Sorted(maps.Keys(ports))
	return info, err
}
