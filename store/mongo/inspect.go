package mongo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Info is what a database says of itself.
type Info struct {
	Hosts   string    // of the connection string
	Version int       // of its schema
	Known   int       // the newest schema that this program knows
	Newest  time.Time // of all that was written at; zero where that is unknown
	Ports   []int     // that workspaces have
}

// Inspect looks at a database and changes nothing. Errors: fs.ErrNotExist where there is none;
// workspace.ErrStoreDown where [Open] would refuse it.
func Inspect(ctx context.Context, uri, database string) (Info, error) {
	info := Info{Known: len(migrations)}
	s, err := connect(uri, database)
	if err != nil {
		return info, err
	}
	info.Hosts = s.hosts
	err = s.inspect(ctx, &info)
	return info, errors.Join(err, s.Close())
}

func (s *Store) inspect(ctx context.Context, info *Info) error {
	found, err := s.schema(ctx)
	if errors.Is(err, errNoSchema) {
		names, err := s.db.ListCollectionNames(ctx, bson.M{})
		if err != nil {
			return s.fault(ctx, err)
		}
		if len(names) > 0 {
			return s.foreign()
		}
		return fs.ErrNotExist
	}
	if err == nil {
		err = s.refused(found)
	}
	if err != nil {
		return err
	}
	info.Version = found.Version
	claims, err := s.Ports(ctx)
	if err != nil {
		return err
	}
	for port := range claims {
		info.Ports = append(info.Ports, port)
	}
	slices.Sort(info.Ports)
	events, err := s.Audit(ctx, identity.AuditQuery{Limit: 1})
	if len(events) > 0 {
		info.Newest = events[0].At
	}
	return err
}

// foreign is the error of a database that another program has filled.
func (s *Store) foreign() error {
	return fmt.Errorf("%w: the database %s holds collections of another program; name another database", workspace.ErrStoreDown, s.database)
}

// refused returns why a database of ours is not used.
func (s *Store) refused(found schema) error {
	switch {
	case found.Version > len(migrations):
		return fmt.Errorf("%w: the database %s was written by a newer Kalpana (schema %d, this one knows %d); run the newer one, or restore the backup from before the upgrade",
			workspace.ErrStoreDown, s.database, found.Version, len(migrations))
	case found.Copying && !s.unfinished:
		return fmt.Errorf("%w: a copy into the database %s was cut off; run kalpana store copy again", workspace.ErrStoreDown, s.database)
	}
	return nil
}
