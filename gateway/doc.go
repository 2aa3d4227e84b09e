// Package gateway is the HTTP path from a browser to a workspace:
//
//	host → grant → origin → wake → proxy
//
// On a running workspace it touches neither the store nor the engine.
package gateway
