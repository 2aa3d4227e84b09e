package ratelimit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestTake_ABurstThenTheRate(t *testing.T) {
	l := New(60, time.Minute, 10)
	for i := range 10 {
		if wait := l.Take("a", start); wait != 0 {
			t.Fatalf("event %d waits for %v", i, wait)
		}
	}
	for range 3 { // what is refused does not count
		if wait := l.Take("a", start); wait != time.Second {
			t.Errorf("it waits for %v", wait)
		}
	}
	if wait := l.Take("b", start); wait != 0 {
		t.Errorf("another key waits for %v", wait)
	}
	if wait := l.Take("a", start.Add(time.Second)); wait != 0 {
		t.Errorf("a second later it waits for %v", wait)
	}
	allowed := 0
	for i := range 10 * 60 {
		if l.Take("a", start.Add(time.Hour+time.Duration(i)*time.Second/10)) == 0 {
			allowed++
		}
	}
	if allowed < 69 || allowed > 70 {
		t.Errorf("%d events in a minute", allowed)
	}
}

func TestWait_CountsNothing(t *testing.T) {
	l := New(1, time.Minute, 1)
	for range 5 {
		if wait := l.Wait("a", start); wait != 0 {
			t.Fatalf("it waits for %v", wait)
		}
	}
	l.Take("a", start)
	if wait := l.Wait("a", start.Add(20*time.Second)); wait != 40*time.Second {
		t.Errorf("it waits for %v", wait)
	}
	if wait := l.Take("a", start.Add(time.Minute)); wait != 0 {
		t.Errorf("a minute later it waits for %v", wait)
	}
}

func TestTake_NoLimiterAllowsEverything(t *testing.T) {
	var l *Limiter
	for range 1000 {
		if l.Take("a", start) != 0 || l.Wait("a", start) != 0 {
			t.Fatal("refused")
		}
	}
}

func TestLimiter_RemembersABoundedNumberOfKeys(t *testing.T) {
	l := New(1, time.Hour, 1)
	for i := range 10 * MaxKeys {
		l.Take(fmt.Sprint(i), start)
		if i%1000 == 0 { // one that keeps knocking is not forgotten
			if wait := l.Take("busy", start); (wait == 0) != (i == 0) {
				t.Fatalf("after %d keys, the busy one waits for %v", i, wait)
			}
		}
		if n := len(l.recent) + len(l.former); n > MaxKeys {
			t.Fatalf("%d keys", n)
		}
	}
	if wait := l.Take(fmt.Sprint(10*MaxKeys-1), start); wait == 0 {
		t.Error("the newest key is forgotten")
	}
}

func TestTake_ManyAtOnceGetNoMore(t *testing.T) {
	l := New(1, time.Hour, 10)
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 50 {
				if l.Take("a", start) == 0 {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != 10 {
		t.Errorf("%d events", taken.Load())
	}
}

func TestAddressKey_IsTheSubscribers(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9": "2001:db8:1:2::/64", "2001:db8:1:3::9": "2001:db8:1:3::/64",
		"fe80::1%eth0": "fe80::/64", "::1": "::/64",
		"": "unknown", "192.0.2.7:80": "unknown", "unix": "unknown", "@": "unknown",
	} {
		if got := AddressKey(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
