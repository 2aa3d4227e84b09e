// Package gateway is one behaviour suite: what Kalpana promises about who gets in, asked of a running
// deployment from outside, as a browser or an attacker would.
//
// "go test ./test/gateway" starts deployments of its own, one for each form: workspaces below the
// console's domain, and workspaces on a registrable domain of their own. Each is the real gateway with
// the root Caddyfile, on a real container engine. The containers run test/gateway/app, which records
// the bytes that reach it, on top of the workspace image.
//
//	KALPANA_TEST_BINARY       the gateway to test, instead of building one
//	KALPANA_IMAGE             the workspace image to build on (default kalpana/workspace:latest)
//
// To test a deployment that is there already, name it. Its workspaces must be made of an image like
// that of the suite (FROM the workspace image, with test/gateway/app as the entry point), and two people
// must be able to have twenty workspaces each; theirs are deleted in the end. Its rate limits must be
// off, and its start_timeout short, 30s say.
//
//	KALPANA_TEST_CONSOLE      address of the console, e.g. https://kalpana.example.com
//	KALPANA_TEST_WORKSPACES   parent domain of the workspaces (default ws. + the console's host)
//	KALPANA_TEST_ADMIN_LINKS  sign-in links of one person, separated by spaces; each is used once
//	KALPANA_TEST_MEMBER_LINKS sign-in links of another person
//	KALPANA_TEST_DIAL         host:port to connect to, whatever the name (default: by DNS)
//
// One link each is enough for most of it. A test that needs one more session, or a look into the
// store, is skipped where it cannot have them.
package gateway
