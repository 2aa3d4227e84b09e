package identity_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// vault is an installation whose people have connected accounts. Its clock is the bubble's.
type vault struct {
	*site
	path   string            // of the keyset
	tokens map[string]string // by subject, as people gave them
}

func inVault(t *testing.T, test func(t *testing.T, v *vault)) {
	inBubble(t, func(t *testing.T, s *site) {
		v := &vault{site: s, path: filepath.Join(s.dir, "keyset.json"), tokens: map[string]string{}}
		first := v.start(v.store)
		for i := range 3 {
			v.connect(first, fmt.Sprint(i))
		}
		v.add(&identity.Account{Provider: "oidc", Subject: "empty", Person: "p0"}) // keeps no token
		test(t, v)
	})
}

// process is one gateway.
type process struct {
	*identity.Service
	sealer *identity.Sealer
}

func (p process) seal(a *identity.Account, token string) (err error) {
	a.Token, err = p.sealer.Seal([]byte(token), "accounts", a.Person, "token")
	return err
}

func (p process) token(a *identity.Account) ([]byte, error) {
	return p.sealer.Open(a.Token, "accounts", a.Person, "token")
}

// start is a process of its own.
func (v *vault) start(store identity.Store) process {
	v.t.Helper()
	return v.startWith(store, loadSealer(v.t, v.path))
}

func (v *vault) startWith(store identity.Store, sealer *identity.Sealer) process {
	v.t.Helper()
	cfg := v.config()
	cfg.Store, cfg.Sealer, cfg.Now = store, sealer, nil
	return process{v.service(cfg), sealer}
}

func (v *vault) account(service process, subject, token string) *identity.Account {
	v.t.Helper()
	a := &identity.Account{Provider: "github", Subject: subject, Person: "p" + subject, Login: "login" + subject}
	mustBe(v.t, "seal", service.seal(a, token), nil)
	return a
}

func (v *vault) add(a *identity.Account) {
	v.t.Helper()
	mustBe(v.t, "store", v.store.CreateAccount(context.Background(), a), nil)
}

func (v *vault) connect(service process, subject string) {
	v.t.Helper()
	v.tokens[subject] = "token of " + subject
	v.add(v.account(service, subject, v.tokens[subject]))
}

// open checks that a gateway opens every token.
func (v *vault) open(what string, service process) {
	v.t.Helper()
	accounts, err := v.store.Accounts(context.Background(), "")
	mustBe(v.t, what, err, nil)
	got := map[string]string{}
	for _, a := range accounts {
		if len(a.Token) == 0 {
			continue
		}
		token, err := service.token(a)
		mustBe(v.t, what+": "+a.Subject, err, nil)
		got[a.Subject] = string(token)
	}
	if diff := cmp.Diff(v.tokens, got); diff != "" {
		v.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// keys returns how many keys the keyset has.
func (v *vault) keys() int {
	v.t.Helper()
	text, err := os.ReadFile(v.path)
	mustBe(v.t, "read", err, nil)
	return strings.Count(string(text), `"keyId":`)
}

func (v *vault) rotate(service process) identity.Rotation {
	v.t.Helper()
	done, err := service.RotateKeyset(context.Background())
	mustBe(v.t, "rotate", err, nil)
	if !done.Complete || done.Keyset != "" {
		v.t.Errorf("rotate: %+v", done)
	}
	return done
}

// sealedTokens returns the tokens as they are stored.
func (v *vault) sealedTokens() string {
	v.t.Helper()
	accounts, err := v.store.Accounts(context.Background(), "")
	mustBe(v.t, "accounts", err, nil)
	var all strings.Builder
	for _, a := range accounts {
		all.Write(a.Token)
	}
	return all.String()
}

func TestRotate_SealsEverythingAnewAndRemovesTheOldKey(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		old, err := os.ReadFile(v.path)
		mustBe(t, "read", err, nil)
		before := v.sealedTokens()
		// What a crash while writing left.
		stray := filepath.Join(v.dir, ".keyset.json-123")
		mustBe(t, "write", os.WriteFile(stray, old, 0o600), nil)

		service := v.start(v.store)
		if done := v.rotate(service); done.Resealed != 3 || len(done.Lost) != 0 {
			t.Errorf("%+v", done)
		}
		v.open("this gateway", service)
		v.open("one that starts now", v.start(v.store))
		if v.keys() != 1 || before == v.sealedTokens() {
			t.Errorf("%d keys", v.keys())
		}
		// The old key alone opens nothing.
		former, err := identity.ParseSealer(string(old))
		mustBe(t, "old keyset", err, nil)
		accounts, _ := v.store.Accounts(context.Background(), "p1")
		_, err = v.startWith(v.store, former).token(accounts[0])
		mustBe(t, "old keyset", err, identity.ErrSealed)

		if info, err := os.Stat(v.path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if _, err := os.Stat(stray); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the old key is left in %s: %v", stray, err)
		}
	})
}

// killed is the store of a gateway that is killed: it has no time to release a lease.
type killed struct{ identity.Store }

func (killed) ReleaseLease(context.Context, string, string) error { return nil }

func TestRotate_KilledAfterAnyStepItLosesNothing(t *testing.T) {
	var names []string
	for step, ended := 1, false; !ended; step++ {
		inVault(t, func(t *testing.T, v *vault) {
			other := v.start(v.store) // knows nothing of the rotation
			sealer := loadSealer(t, v.path)
			steps := 0
			kill := errors.New("killed")
			sealer.FailAfter(func(name string) error {
				if steps++; steps == step {
					names = append(names, name)
					return kill
				}
				return nil
			})
			_, err := v.startWith(killed{v.store}, sealer).RotateKeyset(context.Background())
			if ended = err == nil; ended {
				return
			}
			mustBe(t, "rotate", err, kill)
			what := fmt.Sprintf("killed after step %d (%s)", step, names[step-1])

			v.open(what+": the other gateway", other)
			next := v.start(v.store)
			v.open(what+": the next process", next)
			v.connect(other, "new") // the other gateway goes on sealing

			_, err = next.RotateKeyset(context.Background())
			mustBe(t, what+": at once", err, identity.ErrRotating)
			time.Sleep(time.Minute)
			v.rotate(next)
			if v.keys() != 1 {
				t.Errorf("%s: %d keys are left", what, v.keys())
			}
			v.open(what+": rotated again", next)
			v.open(what+": rotated again, the other gateway", other)
			v.open(what+": rotated again, a new process", v.start(v.store))
		})
	}
	want := []string{"lease", "new primary key", "field", "field", "field", "nothing left", "older keys removed"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

// faulty is a store that fails at the nth call.
type faulty struct {
	identity.Store
	at, calls int
}

func (f *faulty) fails() error {
	if f.calls++; f.calls == f.at {
		return workspace.ErrStoreDown
	}
	return nil
}

func (f *faulty) Accounts(ctx context.Context, person string) ([]*identity.Account, error) {
	if err := f.fails(); err != nil {
		return nil, err
	}
	return f.Store.Accounts(ctx, person)
}

func (f *faulty) UpdateAccount(ctx context.Context, a *identity.Account) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.Store.UpdateAccount(ctx, a)
}

func (f *faulty) AcquireLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	if err := f.fails(); err != nil {
		return false, err
	}
	return f.Store.AcquireLease(ctx, name, holder, now, until)
}

func TestRotate_AStoreThatFailsAnywhereLosesNothing(t *testing.T) {
	for call, ended := 1, false; !ended; call++ {
		inVault(t, func(t *testing.T, v *vault) {
			store := &faulty{Store: v.store, at: call}
			service := v.start(store)
			_, err := service.RotateKeyset(context.Background())
			if ended = err == nil; ended && call < 8 {
				t.Errorf("only %d calls of the store", call-1)
			}
			if !ended {
				mustBe(t, "rotate", err, workspace.ErrStoreDown)
				v.open(fmt.Sprint("call ", call), v.start(v.store))
				v.rotate(service)
			}
			v.open(fmt.Sprint("call ", call, ", again"), v.start(v.store))
			if v.keys() != 1 {
				t.Errorf("call %d: %d keys", call, v.keys())
			}
		})
	}
}

func TestRotate_ARecordThatChangesMeanwhileKeepsItsChange(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		ctx := context.Background()
		other := v.start(v.store)
		// Sealed with the old key, and not stored yet.
		late, err := v.store.Account(ctx, "github", "1")
		mustBe(t, "account", err, nil)
		mustBe(t, "seal", other.seal(late, "refreshed"), nil)
		newcomer := v.account(other, "newcomer", "token of the newcomer")
		v.tokens["1"], v.tokens["newcomer"] = "refreshed", "token of the newcomer"
		v.tokens["2"] = "refreshed with the new key"

		sealer := loadSealer(t, v.path)
		fields := 0
		sealer.FailAfter(func(step string) error {
			if step != "field" {
				return nil
			}
			if fields++; fields == 1 { // the list is read, its first record is sealed again
				mustBe(t, "update", v.store.UpdateAccount(ctx, late), nil)
				renewed, err := v.store.Account(ctx, "github", "2")
				mustBe(t, "account", err, nil)
				mustBe(t, "seal", other.seal(renewed, v.tokens["2"]), nil)
				mustBe(t, "update", v.store.UpdateAccount(ctx, renewed), nil)
				mustBe(t, "delete", v.store.DeleteAccount(ctx, "oidc", "empty"), nil)
			}
			return nil
		})
		var writer sync.WaitGroup
		writer.Go(func() {
			time.Sleep(29 * time.Second)
			v.add(newcomer)
		})
		v.rotate(v.startWith(v.store, sealer))
		writer.Wait()
		if v.keys() != 1 {
			t.Errorf("%d keys", v.keys())
		}
		v.open("afterwards", v.start(v.store))
		v.open("afterwards, the other gateway", other)
	})
}

// racing is a store in which somebody else writes a record just before the rotation does.
type racing struct {
	identity.Store
	before atomic.Pointer[func()] // once
}

func (r *racing) UpdateAccount(ctx context.Context, a *identity.Account) error {
	if before := r.before.Swap(nil); before != nil {
		(*before)()
	}
	return r.Store.UpdateAccount(ctx, a)
}

func TestRotate_LooksAgainUntilNothingIsSealedWithTheOldKey(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		ctx := context.Background()
		other := v.start(v.store)
		newcomer := v.account(other, "newcomer", "first")
		late := *newcomer
		mustBe(t, "seal", other.seal(&late, "second"), nil) // with the old key
		v.tokens["newcomer"] = "second"
		store := &racing{Store: v.store}
		var writer sync.WaitGroup
		writer.Go(func() {
			time.Sleep(29 * time.Second)
			v.add(newcomer)
			before := func() { // in the last round
				late.Revision = newcomer.Revision
				mustBe(t, "update", v.store.UpdateAccount(ctx, &late), nil)
			}
			store.before.Store(&before)
		})
		v.rotate(v.start(store))
		writer.Wait()
		v.open("afterwards", v.start(v.store))
	})
}

func TestRotate_AnAccountThatIsRemovedMeanwhileIsNoFault(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		sealer := loadSealer(t, v.path)
		sealer.FailAfter(func(step string) error {
			if step == "field" {
				delete(v.tokens, "2")
				return v.store.DeleteAccount(context.Background(), "github", "2")
			}
			return nil
		})
		v.rotate(v.startWith(v.store, sealer))
		v.open("afterwards", v.start(v.store))
	})
}

func TestRotate_OfTwoAtOnceOneRuns(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		errs := make([]error, 2)
		var both sync.WaitGroup
		for i := range errs {
			service := v.start(v.store)
			both.Go(func() { _, errs[i] = service.RotateKeyset(context.Background()) })
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Errorf("%v, %v", errs[0], errs[1])
		}
		mustBe(t, "the other", errors.Join(errs...), identity.ErrRotating)
		v.open("afterwards", v.start(v.store))
		if v.keys() != 1 {
			t.Errorf("%d keys", v.keys())
		}
	})
}

func TestRotate_EndsWithItsCaller(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		service := v.start(v.store)
		_, err := service.RotateKeyset(ctx)
		mustBe(t, "rotate", err, context.DeadlineExceeded)
		v.open("interrupted", service)
		v.rotate(service) // the lease is free
		v.open("afterwards", service)
	})
}

func TestRotate_TwoGatewaysFollowTheFile(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		one, two := v.start(v.store), v.start(v.store)
		for i := range 3 {
			stale := v.start(v.store)
			v.rotate(one)
			v.connect(stale, fmt.Sprint("first of all ", i)) // it has seen nothing of the new key
			v.open("the other gateway", two)
			v.connect(two, fmt.Sprint("after ", i))
			v.open("the one that rotated", one)
			v.rotate(two)
			v.open("the first gateway", one)
		}
	})
}

func TestRotate_AKeysetOfTheEnvironmentTakesTwoSteps(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		install := func(text string) process {
			t.Helper()
			sealer, err := identity.ParseSealer(text)
			mustBe(t, "keyset", err, nil)
			return v.startWith(v.store, sealer)
		}
		text, err := os.ReadFile(v.path)
		mustBe(t, "read", err, nil)
		service := install(string(text))
		first, err := service.RotateKeyset(context.Background())
		mustBe(t, "first step", err, nil)
		if first.Complete || first.Resealed != 0 || strings.Count(first.Keyset, `"keyId":`) != 2 {
			t.Errorf("first step: %+v", first)
		}
		v.open("before it is installed", service)

		service = install(first.Keyset)
		v.open("first keyset", service)
		second, err := service.RotateKeyset(context.Background())
		mustBe(t, "second step", err, nil)
		if !second.Complete || second.Resealed != 3 || strings.Count(second.Keyset, `"keyId":`) != 1 {
			t.Errorf("second step: %+v", second)
		}
		v.open("before the second is installed", service)
		v.open("second keyset", install(second.Keyset))
	})
}

func TestRotate_ADamagedValueKeepsItsKey(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		ctx := context.Background()
		service := v.start(v.store)
		damaged := v.account(service, "damaged", "x")
		damaged.Token[len(damaged.Token)-1] ^= 1
		v.add(damaged)
		_, err := service.RotateKeyset(ctx)
		if err == nil || !strings.Contains(err.Error(), `token of the account "logindamaged" at github is damaged`) {
			t.Error(err)
		}
		if v.keys() != 2 {
			t.Errorf("%d keys", v.keys())
		}
		mustBe(t, "disconnect", v.store.DeleteAccount(ctx, "github", "damaged"), nil)
		v.rotate(service)
		v.open("afterwards", service)
	})
}

func TestRotate_NamesWhatALostKeySealed(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		lost := v.account(v.startWith(v.store, identity.NewSealer()), "lost", "x")
		v.add(lost)
		done := v.rotate(v.start(v.store))
		if diff := cmp.Diff([]string{`token of the account "loginlost" at github`}, done.Lost); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSeal_AKeysetThatIsGoneIsSaid(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		service := v.start(v.store)
		mustBe(t, "chmod", os.Chmod(v.path, 0o644), nil)
		if err := service.seal(&identity.Account{}, ""); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Error(err)
		}
		mustBe(t, "remove", os.Remove(v.path), nil)
		if err := service.seal(&identity.Account{}, ""); err == nil || !strings.Contains(err.Error(), "the keyset cannot be read") {
			t.Error(err)
		}
		v.open("what is known already", service)
		if _, err := service.RotateKeyset(context.Background()); err == nil || !strings.Contains(err.Error(), "the keyset cannot be read") {
			t.Error(err)
		}
	})
}
