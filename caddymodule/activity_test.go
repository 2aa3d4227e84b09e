package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/orchestrator"
)

func TestActivity_ComesFromTheBridgeOfTheRoute(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != bridge.ActivityPath || r.Header.Get(bridge.TokenHeader) != "secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"last":[{"name":"typing","ago":1.5},{"name":"agent","ago":0}],"keepAlive":60,"cpu":0.5}`)
	}))
	t.Cleanup(srv.Close)
	route := &orchestrator.Route{Bridge: strings.TrimPrefix(srv.URL, "http://"), Token: "secret"}
	got, err := readActivity(srv.Client().Transport)(t.Context(), route)
	want := orchestrator.Activity{
		Last:      []orchestrator.ActivityAt{{Name: orchestrator.ActivityTyping, Ago: 1500 * time.Millisecond}},
		KeepAlive: time.Minute, CPU: 0.5,
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	route.Token = "another"
	if _, err := readActivity(srv.Client().Transport)(t.Context(), route); err == nil {
		t.Error("a container that refuses the token told of activity")
	}
}
