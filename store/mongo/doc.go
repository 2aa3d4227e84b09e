// Package mongo keeps Kalpana's records in a MongoDB database, which several gateways share. It implements orchestrator.Store and identity.Store.
//
// It uses atomic operations on single documents and plain unique indexes alone: no transactions, TTL
// or partial indexes, and no change streams. Where a promise concerns several documents, they are
// written in an order that leaves nothing that hurts when a gateway is killed in between; the next
// call that meets what was left, or [Store.Purge], removes it:
//
//   - A workspace's id is retired (used_ids) before its record is made.
//   - An owner's workspaces are counted in one document of the owner's (owners), which also names them.
//     A name without a record is taken away again when the owner comes to the limit.
//   - A deleted workspace's record goes first. A port whose workspace has no record is free; a chat whose workspace
//     has none, and a message whose chat has none, are removed.
//   - What a call of a model reserves of a budget is held on one counter after the other, and ends by itself.
//
// Writes wait for the journals of a majority and are retried once by the driver, reads are of what a
// majority has, from the primary. Times are microseconds since 1970, UTC: a BSON date would cut them to
// milliseconds.
package mongo
