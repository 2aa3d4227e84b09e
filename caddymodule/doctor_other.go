//go:build !linux

package caddymodule

// gatewayProcess is known on Linux alone.
func gatewayProcess(string) int { return 0 }

func fileLimitOf(int) (uint64, bool) { return 0, false }
