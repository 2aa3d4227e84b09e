//go:build !linux

package caddymodule

import "errors"

// gatewayProcess is known on Linux alone.
func gatewayProcess(string) int { return 0 }

func fileLimitOf(int) (uint64, bool) { return 0, false }

func listeningSockets() []socket { return nil }

func socketsOf(int) ([]uint64, error) { return nil, errors.ErrUnsupported }

func ownerOf(uint64) string { return "another program" }
