package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestClientAddress_IsWhatCaddyTakesItFor(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if got := clientAddress(r); got != "" { // the connection's is taken then
		t.Errorf("outside of Caddy: %q", got)
	}
	vars := map[string]any{caddyhttp.ClientIPVarKey: "203.0.113.7"}
	if got := clientAddress(r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars))); got != "203.0.113.7" {
		t.Errorf("behind a trusted proxy: %q", got)
	}
}
