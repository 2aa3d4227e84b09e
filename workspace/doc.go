// Package workspace is Kalpana's domain: ids, states, records, errors and host names.
//
// It does no I/O and imports nothing else of Kalpana, so every other package may use it.
package workspace
