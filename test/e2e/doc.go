// Package e2e tests the whole system on real parts: the kalpana binary with the root Caddyfile, a
// container engine, the workspace image with code-server, and Chromium.
package e2e
