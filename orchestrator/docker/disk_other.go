//go:build !linux

package docker

import (
	"context"
	"errors"
)

func disk(string) (size, free int64, err error) { return 0, 0, errors.ErrUnsupported }

func usage(context.Context, ...string) (used int64, whole bool, err error) {
	return 0, false, errors.ErrUnsupported
}
