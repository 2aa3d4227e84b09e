package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"time"
)

// tx is a write transaction. Its methods' errors are the store's, ready to be returned.
type tx struct {
	*sql.Tx
	ctx   context.Context //nolint:containedctx // it lives as long as the call that made it
	store *Store

	prepared map[string]*sql.Stmt // where it is set, statements are compiled once
}

// write runs f in one transaction that holds the database's write lock from its start, so that
// what f reads stays true until it commits. It commits unless f returns an error.
func (s *Store) write(ctx context.Context, f func(*tx) error) error {
	// Whoever waits for this process's other writers waits no longer for it: when another process has the
	// lock, each of them waits.
	deadline := time.Now().Add(s.wait)
	queued, cancel := context.WithDeadline(ctx, deadline)
	conn, err := s.writer.Conn(queued)
	cancel()
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return s.lockHeld()
	}
	if err != nil {
		return s.fault(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	t, err := s.begin(ctx, conn, deadline)
	if err != nil {
		return s.fault(ctx, err)
	}
	defer func() { _ = t.Rollback() }() // does nothing after a commit
	if err := f(&tx{Tx: t, ctx: ctx, store: s}); err != nil {
		return err
	}
	return s.fault(ctx, t.Commit())
}

// begin takes the write lock. It asks every millisecond or two: SQLite's own waiting, which grows
// to 100 ms between two attempts, lets a busy process starve another for seconds.
func (s *Store) begin(ctx context.Context, conn *sql.Conn, deadline time.Time) (*sql.Tx, error) {
	for {
		t, err := conn.BeginTx(ctx, nil) // BEGIN IMMEDIATE, which waits for writerPatience
		if err == nil || !locked(err) || time.Now().After(deadline) {
			return t, err
		}
	}
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	result, err := t.run(query, args)
	if err != nil {
		return 0, t.store.fault(t.ctx, err)
	}
	n, err := result.RowsAffected()
	return n, t.store.fault(t.ctx, err)
}

func (t *tx) run(query string, args []any) (sql.Result, error) {
	if t.prepared == nil {
		return t.ExecContext(t.ctx, query, args...)
	}
	statement := t.prepared[query]
	if statement == nil {
		var err error
		if statement, err = t.PrepareContext(t.ctx, query); err != nil { //nolint:sqlclosecheck // ends with the transaction
			return nil, err
		}
		t.prepared[query] = statement
	}
	return statement.ExecContext(t.ctx, args...)
}

// find scans the row that query returns into dest and reports whether there was one.
func (t *tx) find(query string, args, dest []any) (bool, error) {
	err := t.QueryRowContext(t.ctx, query, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, t.store.fault(t.ctx, err)
}

// reading makes a T of a row.
type reading[T any] func(scan func(...any) error) (T, error)

// one returns the row that query names, or missing.
func one[T any](ctx context.Context, s *Store, missing error, read reading[T], query string, args ...any) (T, error) {
	found, err := read(s.reader.QueryRowContext(ctx, query, args...).Scan)
	if err == nil {
		return found, nil
	}
	var none T
	if errors.Is(err, sql.ErrNoRows) {
		return none, missing
	}
	return none, s.fault(ctx, err)
}

// list returns what read makes of each row of query.
func list[T any](ctx context.Context, s *Store, read reading[T], query string, args ...any) ([]T, error) {
	var all []T
	err := each(ctx, s, func(one T) error {
		all = append(all, one)
		return nil
	}, read, query, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// each calls yield with what read makes of each row of query, until yield fails.
func each[T any](ctx context.Context, s *Store, yield func(T) error, read reading[T], query string, args ...any) error {
	rows, err := s.reader.QueryContext(ctx, query, args...)
	if err != nil {
		return s.fault(ctx, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		one, err := read(rows.Scan)
		if err != nil {
			return s.fault(ctx, err)
		}
		if err := yield(one); err != nil {
			return err
		}
	}
	return s.fault(ctx, rows.Err())
}

// moment scans a column into a time.
type moment struct{ *time.Time }

// Scan implements sql.Scanner.
func (m moment) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return errors.New("a time is not an integer")
	}
	*m.Time = time.UnixMicro(n).UTC()
	return nil
}

// document keeps what it points to as JSON in a column.
type document struct{ of any }

// Scan implements sql.Scanner.
func (d document) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return errors.New("a document is not text")
	}
	return json.Unmarshal([]byte(text), d.of)
}

// Value implements driver.Valuer.
func (d document) Value() (driver.Value, error) {
	raw, err := json.Marshal(d.of)
	return string(raw), err
}

// raw scans a column of bytes into JSON; none are nil.
type raw struct{ *json.RawMessage }

// Scan implements sql.Scanner.
func (r raw) Scan(value any) error {
	bytes, ok := value.([]byte)
	if !ok {
		return errors.New("JSON is not bytes")
	}
	*r.RawMessage = nil
	if len(bytes) > 0 {
		*r.RawMessage = append(json.RawMessage(nil), bytes...)
	}
	return nil
}
