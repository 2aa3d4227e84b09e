package identity

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

const (
	rotationLease  = time.Minute
	rotationRenew  = 20 * time.Second
	rotationSettle = 30 * time.Second // from Seal to the store, at most
)

// ErrRotating says that another rotation is under way.
var ErrRotating = errors.New("another rotation of the keyset is under way: wait until it has ended (within a minute, if it was interrupted) and try again")

// Rotation is what [Service.RotateKeyset] did.
type Rotation struct {
	Resealed int // values that were sealed with an older key
	// Keyset is for the operator to install, where the gateway cannot: Tink's JSON.
	Keyset string
	// Complete is false while values may be sealed with an older key, until the Keyset is installed
	// and another call.
	Complete bool
	Lost     []string // values of a key that is not in the keyset at all
}

// RotateKeyset adds a new primary key to the keyset, seals every stored secret with it, and removes
// the older keys once nothing is sealed with them. At no time does a stored secret lack its key,
// so that it may be interrupted anywhere; called again it goes on: a keyset of several keys is a
// rotation that has not ended. Where the keyset comes from elsewhere, it returns the one to install
// instead of writing it, once before and once after the secrets are sealed again.
//
// It lasts half a minute: what was sealed with the older key just before is stored by then.
func (s *Service) RotateKeyset(ctx context.Context) (Rotation, error) {
	if s.cfg.Sealer == nil {
		return Rotation{}, errNoKeyset
	}
	r := rotation{Service: s, sealer: s.cfg.Sealer, holder: NewSecret()}
	if err := r.hold(ctx); err != nil {
		return Rotation{}, err
	}
	defer func() {
		if err := s.cfg.Store.ReleaseLease(context.WithoutCancel(ctx), rotationLeaseName, r.holder); err != nil {
			s.cfg.Log.Warn("the lease of the keyset's rotation ends by itself", "error", err)
		}
	}()
	err := r.run(ctx)
	return r.Rotation, err
}

const rotationLeaseName = "keyset rotation"

type rotation struct {
	*Service
	Rotation
	sealer *Sealer
	holder string
	heldAt time.Time
}

// hold takes or renews the lease.
func (r *rotation) hold(ctx context.Context) error {
	now := r.cfg.Now()
	if now.Sub(r.heldAt) < rotationRenew {
		return nil
	}
	held, err := r.cfg.Store.AcquireLease(ctx, rotationLeaseName, r.holder, now, now.Add(rotationLease))
	if err != nil {
		return err
	}
	if !held {
		return ErrRotating
	}
	r.heldAt = now
	return nil
}

func (r *rotation) run(ctx context.Context) error {
	if err := r.sealer.after("lease"); err != nil {
		return err
	}
	keys, err := r.sealer.read()
	if err != nil {
		return err
	}
	if !keys.rotating() {
		next, err := keys.withNewPrimary()
		if err != nil {
			return err
		}
		if r.sealer.path == "" {
			r.Keyset = string(next.text)
			return nil
		}
		if err := r.sealer.replace(keys, next); err != nil {
			return err
		}
		if err := r.sealer.after("new primary key"); err != nil {
			return err
		}
		keys = next
	}
	if err := r.reseal(ctx, keys); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.reseal(ctx, keys); err != nil {
		return err
	}
	if err := r.sealer.after("nothing left"); err != nil {
		return err
	}
	return r.finish(ctx, keys)
}

// settle waits until what was sealed before the new key was there is in the store.
func (r *rotation) settle(ctx context.Context) error {
	timer := time.NewTimer(rotationSettle)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return r.hold(ctx)
	}
}

// reseal goes over all sealed fields until it finds none that is sealed with an older key.
func (r *rotation) reseal(ctx context.Context, keys *keyset) error {
	for {
		found := 0
		r.Lost = nil
		for field, err := range r.fields(ctx) {
			if err != nil {
				return err
			}
			if err := r.hold(ctx); err != nil {
				return err
			}
			id, _ := sealedWith(field.value)
			switch {
			case len(field.value) == 0 || id == keys.primary():
				continue
			case !keys.has(id):
				r.Lost = append(r.Lost, field.name)
				continue
			}
			found++
			if err := r.resealOne(ctx, field); err != nil {
				return err
			}
			if err := r.sealer.after("field"); err != nil {
				return err
			}
		}
		if found == 0 {
			return nil
		}
	}
}

func (r *rotation) resealOne(ctx context.Context, f sealedField) error {
	plaintext, err := r.sealer.Open(f.value, f.collection, f.person, f.field)
	if errors.Is(err, ErrSealed) {
		return fmt.Errorf("the %s is damaged, or was moved here from another record, and its key is kept for now: %s, and rotate again", f.name, f.remedy)
	}
	if err != nil {
		return err
	}
	value, err := r.sealer.Seal(plaintext, f.collection, f.person, f.field)
	if err != nil {
		return err
	}
	err = f.store(ctx, value)
	// Whoever changed the record meanwhile sealed it anew, perhaps with the older key: the next
	// round sees.
	if errors.Is(err, workspace.ErrConflict) || errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil {
		r.Resealed++
	}
	return err
}

// finish removes the older keys.
func (r *rotation) finish(ctx context.Context, keys *keyset) error {
	next, err := keys.withPrimaryAlone()
	if err != nil {
		return err
	}
	r.heldAt = time.Time{}
	if err := r.hold(ctx); err != nil {
		return err
	}
	if r.sealer.path == "" {
		r.Keyset, r.Complete = string(next.text), true
		return nil
	}
	if err := r.sealer.replace(keys, next); err != nil {
		return err
	}
	r.Complete = true
	if err := r.sealer.after("older keys removed"); err != nil {
		return err
	}
	return sweepBeside(r.sealer.path)
}

// sealedField is one sealed value in the store.
type sealedField struct {
	name                      string // for people to read
	remedy                    string // what to do where it is damaged
	collection, person, field string
	value                     []byte
	store                     func(ctx context.Context, value []byte) error // workspace.ErrConflict, ErrNotFound
}

// fields yields everything in the store that is sealed. A further collection is one line here.
func (r *rotation) fields(ctx context.Context) iter.Seq2[sealedField, error] {
	return func(yield func(sealedField, error) bool) {
		for _, collection := range []func(context.Context) ([]sealedField, error){
			r.accountTokens, r.modelKeys,
		} {
			fields, err := collection(ctx)
			if err != nil {
				yield(sealedField{}, err)
				return
			}
			for _, f := range fields {
				if !yield(f, nil) {
					return
				}
			}
		}
	}
}

func (s *Service) accountTokens(ctx context.Context) ([]sealedField, error) {
	accounts, err := s.cfg.Store.Accounts(ctx, "")
	if err != nil {
		return nil, err
	}
	fields := make([]sealedField, 0, len(accounts))
	for _, a := range accounts {
		fields = append(fields, sealedField{
			name: fmt.Sprintf("token of the account %q at %s", a.Login, a.Provider), remedy: "disconnect the account",
			collection: accountCollection, person: a.Person, field: tokenField, value: a.Token,
			store: func(ctx context.Context, value []byte) error {
				a.Token = value
				return s.cfg.Store.UpdateAccount(ctx, a)
			},
		})
	}
	return fields, nil
}

// Where an account's token is sealed for. It is sealed anew when the account changes hands.
const (
	accountCollection = "accounts"
	tokenField        = "token"
)
