package storetest

import (
	"context"
	"strconv"
	"testing"
)

var installation = []promise{
	{"WhatIsSettledFirstStays", whatIsSettledFirstStays},
	{"OfManyGatewaysAllGetTheSame", ofManyGatewaysAllGetTheSame},
}

func wantSettled(t *testing.T, s Store, name, value, want string) {
	t.Helper()
	got, err := s.Settle(t.Context(), name, value)
	must(t, err)
	if got != want {
		t.Errorf("settling %s as %q returned %q, want %q", name, value, got, want)
	}
}

func whatIsSettledFirstStays(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	wantSettled(t, one, "name", "first", "first")
	wantSettled(t, other, "name", "second", "first")
	wantSettled(t, other, "other name", "second", "second")
	wantSettled(t, b.Open(t), "name", "", "first")
}

func ofManyGatewaysAllGetTheSame(t *testing.T, b Backend) {
	n := winners(t, b, 10, func(ctx context.Context, s Store, i int) (bool, error) {
		mine := strconv.Itoa(i)
		kept, err := s.Settle(ctx, "name", mine)
		return kept == mine, err
	})
	if n != 1 {
		t.Errorf("%d gateways got their own, want 1", n)
	}
}
