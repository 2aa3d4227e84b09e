package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kalpana-dev/kalpana/upstream"
)

// slowly is a dialer that takes a second, to a server that answers after so long, and so long from a
// connection's second answer on, if that is set.
type slowly struct {
	answer time.Duration
	then   time.Duration
	err    error
	dials  atomic.Int64
	now    atomic.Int64
	most   atomic.Int64
}

func (s *slowly) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.dials.Add(1)
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	defer s.now.Add(-1)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.err != nil {
		return nil, s.err
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		answer := s.answer
		for in := bufio.NewReader(theirs); ; {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			time.Sleep(answer)
			if s.then > 0 {
				answer = s.then
			}
			if _, err := io.WriteString(theirs, hello); err != nil {
				return
			}
		}
	}()
	return ours, nil
}

func ask(ctx context.Context, tr http.RoundTripper) error {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:1/", http.NoBody)
	r.RequestURI = ""
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
}

func askAtOnce(ctx context.Context, tr http.RoundTripper, n int) []error {
	faults := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { faults[i] = ask(ctx, tr) })
	}
	all.Wait()
	return faults
}

// askAll asks so often at once, and is to be answered each time.
func askAll(t *testing.T, tr http.RoundTripper, n int) {
	t.Helper()
	for _, err := range askAtOnce(t.Context(), tr, n) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTransport_ManyAtOnceShareFewConnectionsWhereAnswersAreQuick(t *testing.T) {
	for _, test := range []struct {
		answer time.Duration
		n      int
	}{{0, 500}, {1500 * time.Microsecond, 15_000}} { // the last of those in some three seconds
		synctest.Test(t, func(t *testing.T) {
			s := &slowly{answer: test.answer}
			tr := upstream.New(s.dial, patience)
			defer tr.CloseIdleConnections()
			askAll(t, tr, test.n)
			// Those of the first dials, and of the second, which began before an answer was there.
			if n := s.dials.Load(); n > 16 {
				t.Errorf("%d connections were made", n)
			}
		})
	}
}

func TestTransport_WhereConnectionsComeBackNoMoreOthersAreMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowly{answer: 100 * time.Millisecond, then: time.Hour}
		tr := upstream.New(s.dial, patience)
		defer tr.CloseIdleConnections()
		start := time.Now()
		askAll(t, tr, 80)
		if took := time.Since(start); took > time.Hour+10*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestTransport_SlowAnswersKeepNobodyFromAConnectionOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowly{answer: time.Hour}
		tr := upstream.New(s.dial, patience)
		defer tr.CloseIdleConnections()
		start := time.Now()
		askAll(t, tr, 80)
		if took := time.Since(start); took > time.Hour+10*time.Second || s.most.Load() > 8 {
			t.Errorf("it took %s, with up to %d dials at a time", took, s.most.Load())
		}
	})
}

func TestTransport_AFailedDialIsEverybodysWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowly{err: errors.New("nothing listens")}
		start := time.Now()
		for _, err := range askAtOnce(t.Context(), upstream.New(s.dial, patience), 80) {
			if !errors.Is(err, s.err) {
				t.Error(err)
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestTransport_WhoLeavesTheLineHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowly{answer: 10 * time.Second}
		tr := upstream.New(s.dial, patience)
		defer tr.CloseIdleConnections()
		leaving, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			for _, err := range askAtOnce(leaving, tr, 40) { // some dial, some wait
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
		time.Sleep(time.Second / 2)
		all.Go(func() {
			for _, err := range askAtOnce(t.Context(), tr, 40) {
				if err != nil {
					t.Error(err)
				}
			}
		})
		synctest.Wait()
		leave()
		all.Wait()
	})
}
