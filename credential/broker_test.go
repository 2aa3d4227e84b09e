package credential_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/credential"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = workspace.ID("abcdefghij")

// world is a broker over one workspace of ann's, made from https://git.example.com/acme/shop.git.
type world struct {
	*credential.Broker
	mu      sync.Mutex
	events  []identity.AuditEvent
	signing error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	w.Broker = credential.New(credential.Config{
		Workspace: func(_ context.Context, got workspace.ID) (*workspace.Workspace, error) {
			if got != id {
				return nil, workspace.ErrNotFound
			}
			return &workspace.Workspace{ID: id, Owner: "ann", Repository: "https://git.example.com/acme/shop.git"}, nil
		},
		Credential: func(_ context.Context, person, server, path string) (string, string, error) {
			return person, server + " " + path, w.signing
		},
		Audit: func(_ context.Context, e identity.AuditEvent) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	})
	return w
}

func repo(protocol, host, path string) bridge.GitCredentialParams {
	return bridge.GitCredentialParams{Protocol: protocol, Host: host, Path: path}
}

func TestAsk_TheWorkspacesOwnRepositoryAtOnce(t *testing.T) {
	for _, p := range []bridge.GitCredentialParams{
		repo("https", "git.example.com", "acme/shop.git"), repo("https", "GIT.example.com:443", "/acme/shop"),
		repo("https", "git.example.com", "acme/shop.git/info/lfs"),
	} {
		w := newWorld(t)
		c, err := w.Ask(t.Context(), id, p)
		if want := (bridge.Credential{Username: "ann", Password: "https://git.example.com acme/shop"}); err != nil || c != want {
			t.Errorf("%+v: %+v, %v", p, c, err)
		}
		if len(w.events) != 1 || w.events[0].Outcome != identity.OutcomeOK || w.events[0].Workspace != id {
			t.Errorf("audited as %+v", w.events)
		}
	}
}

func TestAsk_AnotherRepositoryWaitsForTheOwnersWord(t *testing.T) {
	for _, p := range []bridge.GitCredentialParams{
		repo("https", "git.example.com", "acme/shop2.git"), repo("https", "git.example.com", "acme/Shop"), repo("http", "git.example.com", "acme/shop"),
		repo("https", "git.example.com:8443", "acme/shop"), repo("https", "evil.example", "acme/shop"), repo("https", "git.example.com", "acme"),
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := w.Ask(ctx, id, p); !errors.Is(err, credential.ErrRefused) {
				t.Errorf("%+v, and nobody answered: %v", p, err)
			}
			if left := w.Pending("ann"); len(left) != 0 {
				t.Errorf("a question that nobody waits for is still there: %+v", left)
			}
			if len(w.events) != 1 || w.events[0].Outcome != identity.OutcomeRefused {
				t.Errorf("audited as %+v", w.events)
			}
		})
	}
}

func TestAsk_AddressesThatCouldMeanAnother(t *testing.T) {
	for _, p := range []bridge.GitCredentialParams{
		repo("https", "git.example.com", "x/../acme/shop"), repo("https", "git.example.com", "acme//shop"), repo("https", "git.example.com", "acme%2fshop"),
		repo("https", "git.example.com", "acme/shop?x"), repo("https", "git.example.com/acme", "shop"), repo("https", "ann@git.example.com", "acme/shop"),
		repo("https", "git.example.com", ""), repo("https", "git.example.com", `acme\shop`), repo("https", "", "acme/shop"),
		repo("https", "git.example.com@evil.example", "acme/shop"), repo("https", "evil.example#git.example.com", "acme/shop"),
		repo("https", "git.example.com\\@evil.example", "acme/shop"), repo("https", "evil.example?git.example.com", "acme/shop"),
		repo("https", "https://git.example.com", "acme/shop"), repo("https", "git。example.com", "acme/shop"),
		repo("https", "git.example.com%00.evil.example", "acme/shop"), repo("file", "git.example.com", "acme/shop"), repo("https://evil.example/", "git.example.com", "acme/shop"),
	} {
		w := newWorld(t)
		if _, err := w.Ask(t.Context(), id, p); !errors.Is(err, credential.ErrRepository) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// ask asks in the background, and returns once the owner is asked or there is an answer.
func (w *world) ask(t *testing.T, p bridge.GitCredentialParams) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := w.Ask(t.Context(), id, p)
		done <- err
	}()
	synctest.Wait()
	return done
}

func TestAnswer_HoldsForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		other := repo("https", "git.example.com", "acme/other")
		changes, stop := w.Watch()
		defer stop()
		first, second := w.ask(t, other), w.ask(t, other)
		<-changes
		pending := w.Pending("ann")
		if len(pending) != 1 || pending[0].Repository != "acme/other" || pending[0].Server != "https://git.example.com" {
			t.Fatalf("two who ask for one repository make the questions %+v", pending)
		}
		if w.Pending("bob") != nil {
			t.Error("a question is somebody else's too")
		}
		if err := w.Answer("bob", pending[0].ID, true, time.Hour); !errors.Is(err, credential.ErrAnswered) {
			t.Errorf("somebody else answers: %v", err)
		}
		if err := w.Answer("ann", pending[0].ID, true, time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(<-first, <-second); err != nil {
			t.Fatal(err)
		}
		if err := w.Answer("ann", pending[0].ID, false, 0); !errors.Is(err, credential.ErrAnswered) {
			t.Errorf("answered twice: %v", err)
		}
		time.Sleep(59 * time.Minute)
		if err := <-w.ask(t, other); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		third := w.ask(t, other)
		if len(w.Pending("ann")) != 1 {
			t.Fatal("the word holds for longer than was said")
		}
		_ = w.Answer("ann", w.Pending("ann")[0].ID, true, 0)
		if err := <-third; err != nil {
			t.Fatal(err)
		}
		fourth := w.ask(t, other)
		if len(w.Pending("ann")) != 1 {
			t.Fatal("once was more than once")
		}
		_ = w.Answer("ann", w.Pending("ann")[0].ID, false, time.Hour)
		if err := <-fourth; !errors.Is(err, credential.ErrRefused) {
			t.Fatal(err)
		}
		if err := <-w.ask(t, other); !errors.Is(err, credential.ErrRefused) || w.Pending("ann") != nil {
			t.Errorf("asked again at once after a refusal: %v", err)
		}
	})
}

func TestForget_TakesTheWordBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		other := repo("https", "git.example.com", "acme/other")
		done := w.ask(t, other)
		_ = w.Answer("ann", w.Pending("ann")[0].ID, true, time.Hour)
		<-done
		w.Forget(id)
		done = w.ask(t, other)
		if len(w.Pending("ann")) != 1 {
			t.Fatal("the word still holds")
		}
		_ = w.Answer("ann", w.Pending("ann")[0].ID, false, 0)
		<-done
	})
}

// A container may ask for ever: what it asks of a provider and writes in the audit log stays little, and holds up nobody
// else's.
func TestAsk_AContainerThatFloodsIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		own := repo("https", "git.example.com", "acme/shop")
		for range 1000 {
			_, _ = w.Ask(t.Context(), id, own)
		}
		if _, err := w.Ask(t.Context(), id, own); !errors.Is(err, credential.ErrTooOften) || len(w.events) > 100 {
			t.Errorf("%v, after %d answers", err, len(w.events))
		}
		if _, err := w.Ask(t.Context(), "bcdefghijk", own); errors.Is(err, credential.ErrTooOften) {
			t.Errorf("another workspace: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := w.Ask(t.Context(), id, own); err != nil {
			t.Errorf("a minute later: %v", err)
		}
	})
}

func TestAsk_QuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var asked []<-chan error
		for _, name := range []string{"a", "b", "c", "d"} {
			asked = append(asked, w.ask(t, repo("https", "git.example.com", "acme/"+name)))
		}
		if err := <-w.ask(t, repo("https", "git.example.com", "acme/e")); !errors.Is(err, credential.ErrTooMany) {
			t.Errorf("a fifth: %v", err)
		}
		for _, q := range w.Pending("ann") {
			_ = w.Answer("ann", q.ID, false, 0)
		}
		for _, done := range asked {
			<-done
		}
	})
}
