package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/store/mongo"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/store/transfer"
)

var storeCommand = caddycmd.Command{
	Name: "store", Usage: "copy sqlite mongodb|copy mongodb sqlite [--data-dir <path>] [--database <file>] [--mongodb-database <name>]",
	Short: "Moves the records from one store to another",
	Long: `
"kalpana store copy sqlite mongodb" copies everything that the SQLite database of the data directory holds
into the MongoDB database that KALPANA_MONGODB_URI leads to, reads it again and compares;
"kalpana store copy mongodb sqlite" goes the other way. The target must be empty, and no gateway may run
on either. Cut off midway, it can be run again. The source stays as it is.`,
	CobraFunc: func(cmd *cobra.Command) {
		move := &cobra.Command{
			Use: "copy <from> <to>", Short: "Copies all records: from sqlite to mongodb, or back", Args: cobra.ExactArgs(2),
		}
		dir, database := placeFlags(move)
		name := move.Flags().String("mongodb-database", "kalpana", "The database on the MongoDB server")
		move.RunE = func(cmd *cobra.Command, args []string) error {
			return storeCopy{dir: *dir, database: databaseIn(*dir, *database), uri: os.Getenv("KALPANA_MONGODB_URI"), name: *name}.
				run(cmd.Context(), args[0], args[1], cmd.OutOrStdout())
		}
		cmd.AddCommand(move)
	},
}

// storeCopy is what the command is told.
type storeCopy struct {
	dir, database string // of the SQLite store
	uri, name     string // of the MongoDB store
}

// copied is a store that can be copied.
type copied interface {
	orchestrator.Store
	transfer.Store
	Close() error
}

func (c storeCopy) run(ctx context.Context, from, to string, out io.Writer) (err error) {
	if from == to {
		return errors.New("name two stores: sqlite and mongodb")
	}
	lock, err := lockFile(c.dir)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // ends with the process
	if err := refuseRestoring(c.dir); err != nil {
		return err
	}
	source, err := c.open(ctx, from, true)
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := c.open(ctx, to, false)
	if err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	for _, s := range []copied{source, target} {
		running, err := s.Leases(ctx, keyLease, time.Now())
		if err != nil {
			return err
		}
		if len(running) > 0 {
			return fmt.Errorf("a gateway runs on one of the two stores: stop it; if it was killed, wait %v", keyLeaseLasts)
		}
	}
	summary, err := transfer.Copy(ctx, source, target)
	if err != nil {
		return err
	}
	for kind, name := range transfer.Kinds {
		fmt.Fprintf(out, "%8d %s\n", summary.Counts[kind], name)
	}
	fmt.Fprintf(out, "All of them were read again from %s and are the same. Now change the line store in the Caddyfile, and start the gateway with the same key and keyset.\n", to)
	return nil
}

func (c storeCopy) open(ctx context.Context, kind string, source bool) (copied, error) {
	switch kind {
	case "sqlite":
		if source {
			if _, err := os.Stat(c.database); err != nil { // Open would make one
				return nil, fmt.Errorf("there is no database %s", c.database)
			}
			return sqlite.Open(ctx, c.database)
		}
		return sqlite.Open(ctx, c.database, sqlite.Unfinished())
	case "mongodb":
		if c.uri == "" {
			return nil, errors.New("set KALPANA_MONGODB_URI to the connection string of MongoDB")
		}
		if source {
			return mongo.Open(ctx, c.uri, c.name)
		}
		return mongo.Open(ctx, c.uri, c.name, mongo.Unfinished())
	}
	return nil, fmt.Errorf("there is no store %q: write sqlite or mongodb", kind)
}
