package docker

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// What the engine lists is remembered while containers are made and removed.
func TestOwned_AListAndARemovalAtOnce(t *testing.T) {
	t.Parallel()
	r := &Runtime{}
	id := strings.Repeat("0", fullIDLength)
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		defer close(done)
		for range 1000 {
			ids := map[string]bool{}
			for n := range 100 {
				ids[strconv.Itoa(n)] = true
				r.limited.set(strconv.Itoa(n), orchestrator.Limits{})
			}
			r.found(ids)
		}
	})
	for n := 0; ; n++ {
		select {
		case <-done:
			work.Wait()
			if !r.owned.has("99") || !r.limited.are("99", orchestrator.Limits{}) {
				t.Error("what was listed is forgotten")
			}
			return
		default:
			r.owned.add(id)
			r.owned.drop(id)
		}
	}
}
