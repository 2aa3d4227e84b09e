//go:build !linux

package docker

import "errors"

type kernelQuotas struct{}

func (kernelQuotas) may(string) error { return errors.ErrUnsupported }

func (kernelQuotas) keep(string) error { return errors.ErrUnsupported }

func (kernelQuotas) bound(string, func(int64) int64) error { return errors.ErrUnsupported }
