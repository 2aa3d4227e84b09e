// Package soak walks at random through what can happen to an installation: people start, stop, pause,
// restart, rebuild, delete and use workspaces, containers end or are removed behind its back, gateways are
// killed and come back, the engine is restarted, its event stream is cut, the configuration is reloaded.
// When all is quiet again, records and containers agree, and no file is lost.
//
//	make soak                          1,000 events on 20 workspaces, with a new seed, which is printed
//	make soak SEED=… EVENTS=… WORKSPACES=…   another walk, or the same events again
//
// What happens at the same time differs from run to run, so a seed plays the same events in the same order
// but not at the same moments.
package soak
