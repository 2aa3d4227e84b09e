package mongo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Codes of the server: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
const (
	codeUnauthorized         = 13
	codeAuthenticationFailed = 18
	codeOutOfDiskSpace       = 14031
	codeAtlas                = 8000 // of the hosted service, for several faults
)

// fault names what the driver reports: the context's error, workspace.ErrStorageFull or
// workspace.ErrStoreDown. The cause is told but not wrapped: a time limit of ours is no end of the
// caller's context.
func (s *Store) fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	cause := s.redacted(err)
	has := func(code int) bool {
		var fault mongo.ServerError
		return errors.As(err, &fault) && fault.HasErrorCode(code)
	}
	switch {
	case has(codeOutOfDiskSpace), has(codeAtlas) && strings.Contains(cause, "space quota"):
		return fmt.Errorf("%w: make room on MongoDB's disks (%s): %s", workspace.ErrStorageFull, s.hosts, cause)
	case has(codeAuthenticationFailed), strings.Contains(cause, "auth error"):
		return fmt.Errorf("%w: MongoDB at %s does not take the user name and password of the connection string: %s", workspace.ErrStoreDown, s.hosts, cause)
	case has(codeUnauthorized):
		return fmt.Errorf("%w: the user of the connection string lacks the role readWrite on the database %s: %s", workspace.ErrStoreDown, s.database, cause)
	case mongo.IsNetworkError(err), mongo.IsTimeout(err), strings.Contains(cause, "connection pool"): // whose connections another failure closed
		return fmt.Errorf("%w: MongoDB at %s cannot be reached, or has no primary: %s", workspace.ErrStoreDown, s.hosts, cause)
	}
	return fmt.Errorf("%w: MongoDB at %s: %s", workspace.ErrStoreDown, s.hosts, cause)
}

// redacted returns the error's text without the password, whatever the driver or the server says.
func (s *Store) redacted(err error) string {
	cause := err.Error()
	if s.secret != "" {
		cause = strings.ReplaceAll(cause, s.secret, "***")
		cause = strings.ReplaceAll(cause, url.QueryEscape(s.secret), "***")
	}
	return cause
}
