// Package faults tests what people see, and what is left behind, when something fails: the engine, the
// store, the gateway itself, a container, a client, or the clock. Each test runs the real gateway on a real
// engine of the package's own. The faults, and the tests in this and other packages that show them,
// are listed in docs/operations/faults.md.
package faults
