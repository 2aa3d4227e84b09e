// Package identity knows who a browser belongs to: people, sessions, sign-in links, and the grants
// that open one workspace host to one browser.
//
// A session is checked in the store; it lives on the console alone. A grant is checked in memory,
// on every request of a workspace host, so it is authenticated (HMAC-SHA256) and names session,
// person and host. What ends a grant early is appended to the store as a [Revocation], which every
// gateway reads every two seconds.
package identity
