package bridge

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func activityFrom(t *testing.T, handler http.HandlerFunc) (Activity, error) {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return ReadActivity(t.Context(), srv.Client(), srv.URL+"/", testToken)
}

func activityOf(t *testing.T, body string) (Activity, error) {
	t.Helper()
	return activityFrom(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
}

func TestActivity_IsReadWithTheToken(t *testing.T) {
	got, err := activityFrom(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != ActivityPath || r.Header.Get(TokenHeader) != testToken {
			t.Errorf("%s with the token %q", r.URL, r.Header.Get(TokenHeader))
		}
		fmt.Fprint(w, `{"last":[{"name":"typing","ago":12.5},{"name":"terminal","ago":0}],"keepAlive":3600,"cpu":0.03}`)
	})
	want := Activity{Last: []LastActivity{{"typing", 12.5}, {"terminal", 0}}, KeepAlive: 3600, CPU: 0.03}
	if err != nil || !cmp.Equal(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if got.Last[0].Since() != 12500*time.Millisecond || got.KeptAwake() != time.Hour {
		t.Errorf("%v %v", got.Last[0].Since(), got.KeptAwake())
	}
}

func TestActivity_WhatAContainerClaimsIsBounded(t *testing.T) {
	got, err := activityOf(t, `{"last":[{"name":"agent","ago":0},{"name":"\u001b[31m","ago":1},{"name":"save","ago":9e300},`+
		`{"name":"typing","ago":7},{"name":"typing","ago":3}],"keepAlive":1e9,"cpu":40,"more":true}`)
	want := Activity{
		Last:      []LastActivity{{"typing", 3}, {"save", maxAgo.Seconds()}},
		KeepAlive: MaxKeepAlive.Seconds(), CPU: 1,
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestActivity_WhatIsImpossibleIsABadAnswer(t *testing.T) {
	for _, body := range []string{
		``, `null and void`, `[]`, `{"cpu":"high"}`, `{"cpu":-0.1}`, `{"cpu":1e999}`, `{"keepAlive":-1}`,
		`{"last":[{"name":"typing","ago":-1}]}`, `{"last":{"typing":1}}`,
		`{"last":[{"name":"` + strings.Repeat("x", activityLimit) + `","ago":1}]}`,
	} {
		if got, err := activityOf(t, body); !errors.Is(err, ErrBadAnswer) {
			t.Errorf("%.60s: %+v, %v", body, got, err)
		}
	}
}

func TestActivity_StatusesHaveNames(t *testing.T) {
	for status, want := range map[int]error{401: ErrUnauthorized, 404: ErrNoActivity, 302: ErrBadAnswer, 500: ErrBadAnswer, 204: ErrBadAnswer} {
		_, err := activityFrom(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://192.0.2.1/")
			w.WriteHeader(status)
		})
		if !errors.Is(err, want) {
			t.Errorf("status %d: %v, want %v", status, err, want)
		}
	}
}

func TestActivity_AContainerThatIsFrozenIsLeftAfterTwoSeconds(t *testing.T) {
	began := time.Now()
	_, err := activityFrom(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if took := time.Since(began); err == nil || took < time.Second || took > 10*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}

func FuzzActivity(f *testing.F) {
	f.Add(1.0, 2.0, 3.0, "typing")
	f.Fuzz(func(t *testing.T, ago, keep, cpu float64, name string) {
		got, err := Activity{Last: []LastActivity{{name, ago}, {ActivitySave, ago}}, KeepAlive: keep, CPU: cpu}.checked()
		if err != nil {
			return
		}
		if got.CPU < 0 || got.CPU > 1 || got.KeptAwake() < 0 || got.KeptAwake() > MaxKeepAlive {
			t.Errorf("%+v", got)
		}
		for _, l := range got.Last {
			if l.Since() < 0 || l.Since() > maxAgo {
				t.Errorf("%+v", l)
			}
		}
	})
}
