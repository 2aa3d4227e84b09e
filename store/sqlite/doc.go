// Package sqlite keeps Kalpana's records in one SQLite file in the data directory. [Store]
// implements orchestrator.Store and identity.Store.
//
// Several processes of one machine may open the same file. Every write is a transaction that takes
// the database's write lock first (BEGIN IMMEDIATE), so writes of all processes happen one after
// the other; reads never wait for them (WAL). A write is on the disk before its method returns
// (synchronous=FULL): neither a killed process nor a power cut takes back what was acknowledged.
//
// The file must be on a local file system, for WAL needs shared memory. Back it up with
// "sqlite3 kalpana.db '.backup copy.db'", never by copying the file of a running gateway. No code
// of the process may open the file by itself: closing it would drop SQLite's POSIX locks.
package sqlite
