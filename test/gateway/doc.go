// Package gateway is one behaviour suite: what Kalpana promises about who gets in, asked of a running
// deployment from outside, as a browser or an attacker would.
//
// "go test ./test/gateway" starts deployments of its own, one for each form: workspaces below the
// console's domain, over plain HTTP, and workspaces on a registrable domain of their own, over TLS; and one
// with rate limits. Each is the real gateway with
// the root Caddyfile, on a real container engine. The containers run test/gateway/app, which records
// the bytes that reach it, on top of the workspace image.
//
//	KALPANA_TEST_BINARY       the gateway to test, instead of building one
//	KALPANA_IMAGE             the workspace image to build on (default kalpana/workspace:latest)
//
// To test a deployment that is there already, name it. Its workspaces must be made of an image like
// that of the suite (FROM the workspace image, with test/gateway/app as the entry point), a person must
// be able to have twenty of them, and these lines must be in its global option kalpana:
//
//	rate_limits off
//	share_limit public
//	start_timeout 30s
//
// and no login but link.
//
//	KALPANA_TEST_CONSOLE      address of the console, e.g. https://kalpana.example.com
//	KALPANA_TEST_WORKSPACES   parent domain of the workspaces (default ws. + the console's host)
//	KALPANA_TEST_ADMIN_LINK   a sign-in link of an admin
//	KALPANA_TEST_MEMBER_LINK  a sign-in link of a member (default: the admin invites one, which works where
//	                          no login provider is set up)
//	KALPANA_TEST_DIAL         host:port to connect to, whatever the name (default: by DNS)
//
// All workspaces of these two people are deleted in the end. A test that needs to look into the store, or
// to come from several addresses, is skipped there.
package gateway
