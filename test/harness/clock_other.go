//go:build !(linux && amd64)

package harness

import (
	"errors"
	"time"
)

// MoveClock needs Linux on amd64.
func (i *Installation) MoveClock(time.Duration) error { return errors.ErrUnsupported }
