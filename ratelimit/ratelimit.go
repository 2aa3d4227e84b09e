// Package ratelimit bounds how often something may be done, by whoever does it.
package ratelimit

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// MaxKeys is how many keys a Limiter remembers at most.
const MaxKeys = 10_000

// Limiter bounds how often each key may do something. A nil Limiter allows everything. Its memory
// is bounded: beyond [MaxKeys] it forgets the keys that were silent longest.
type Limiter struct {
	rate  rate.Limit
	burst int

	mu sync.Mutex
	// Keys move to recent when they are used. When recent has half of MaxKeys, it becomes former,
	// and what was former is forgotten.
	recent, former map[string]*rate.Limiter
}

// New returns a Limiter that allows a key burst events at once, and n in each of per over time.
func New(n int, per time.Duration, burst int) *Limiter {
	return &Limiter{rate: rate.Limit(float64(n) / per.Seconds()), burst: burst, recent: map[string]*rate.Limiter{}}
}

// Take counts an event of key at now. It returns 0, or how long the key has to wait: then the
// event did not count.
func (l *Limiter) Take(key string, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.bucket(key).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// Wait returns how long key has to wait for an event; it counts none.
func (l *Limiter) Wait(key string, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.bucket(key).ReserveN(now, 1)
	defer r.CancelAt(now)
	return r.DelayFrom(now)
}

// Knows reports whether key has counted an event and is remembered.
func (l *Limiter) Knows(key string) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent[key] != nil || l.former[key] != nil
}

func (l *Limiter) bucket(key string) *rate.Limiter {
	if b := l.recent[key]; b != nil {
		return b
	}
	b := l.former[key]
	if b == nil {
		b = rate.NewLimiter(l.rate, l.burst)
	}
	if len(l.recent) >= MaxKeys/2 {
		l.former, l.recent = l.recent, make(map[string]*rate.Limiter, MaxKeys/2)
	}
	l.recent[key] = b
	return b
}

// AddressKey returns the key of an IP address. All of an IPv6 network of 64 bits, which is what one
// subscriber gets, has one.
func AddressKey(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown"
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		prefix, _ := ip.Prefix(64)
		return prefix.String()
	}
	return ip.String()
}

// SetRetryAfter says in an answer how long to wait, in whole seconds.
func SetRetryAfter(h http.Header, wait time.Duration) {
	h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
}
