package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// The faults of people's own keys at the provider of language models.
var (
	ErrModelKey          = errors.New("this is no key: paste the whole of it, as the provider shows it, 16 to 512 characters without spaces")
	ErrModelKeyElsewhere = errors.New("your own key for the agent is for another provider than the operator has chosen since: enter one of the new provider's in the settings, or remove yours there")
	ErrModelKeyLost      = errors.New("your own key for the agent cannot be opened with this gateway's keyset any more: enter it again in the settings, or remove it there")
)

// Where a person's key is sealed for.
const (
	modelKeyCollection = "model_keys"
	modelKeyField      = "key"
)

// The lengths of a key, in bytes. Of a shorter one, its last characters would tell too much.
const (
	minModelKey = 16
	maxModelKey = 512
	shownOfKey  = 4 // its last characters, by which people know it
)

// CleanModelKey returns a key without what was copied along with it, or ErrModelKey.
func CleanModelKey(key string) (string, error) {
	key = strings.TrimSpace(key)
	if len(key) < minModelKey || len(key) > maxModelKey || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", ErrModelKey
	}
	return key, nil
}

// SetModelKey keeps the caller's own key, sealed, in the place of an earlier one.
func (s *Service) SetModelKey(ctx context.Context, caller Caller, key string) (ModelKey, error) {
	key, err := CleanModelKey(key)
	if err != nil {
		return ModelKey{}, err
	}
	k := ModelKey{Person: caller.Person.ID, Last: key[len(key)-shownOfKey:], UpdatedAt: s.cfg.Now().UTC()}
	if k.Sealed, err = s.cfg.Sealer.Seal([]byte(s.cfg.ModelsAt+"\n"+key), modelKeyCollection, k.Person, modelKeyField); err != nil {
		return ModelKey{}, err
	}
	if err := s.cfg.Store.PutModelKey(ctx, k); err != nil {
		return ModelKey{}, err
	}
	s.modelKeyChanged(ctx, caller, "set")
	return k, nil
}

// OwnModelKey tells of a person's key; false where they have none.
func (s *Service) OwnModelKey(ctx context.Context, person string) (ModelKey, bool, error) {
	k, err := s.cfg.Store.ModelKey(ctx, person)
	if errors.Is(err, ErrNotFound) {
		return ModelKey{}, false, nil
	}
	return k, err == nil, err
}

// ModelKey returns the key itself, to ask a model with for that person; "" where they have none, or may not sign
// in any more. ErrModelKeyLost when it cannot be opened, ErrModelKeyElsewhere when it was entered for another provider.
func (s *Service) ModelKey(ctx context.Context, person string) (string, error) {
	k, has, err := s.OwnModelKey(ctx, person)
	if err != nil || !has {
		return "", err
	}
	p, err := s.cfg.Store.Person(ctx, person)
	if errors.Is(err, ErrNotFound) || err == nil && p.Disabled {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	key, err := s.cfg.Sealer.Open(k.Sealed, modelKeyCollection, person, modelKeyField)
	if errors.Is(err, ErrSealed) {
		return "", ErrModelKeyLost
	}
	at, own, bound := strings.Cut(string(key), "\n")
	if !bound { // it was entered before keys said whose they are
		return at, err
	}
	if at != s.cfg.ModelsAt {
		return "", ErrModelKeyElsewhere
	}
	return own, err
}

// DeleteModelKey forgets the caller's own key. A missing one is no error.
func (s *Service) DeleteModelKey(ctx context.Context, caller Caller) error {
	if _, has, err := s.OwnModelKey(ctx, caller.Person.ID); err != nil || !has {
		return err
	}
	if err := s.cfg.Store.DeleteModelKey(ctx, caller.Person.ID); err != nil {
		return err
	}
	s.modelKeyChanged(ctx, caller, "removed")
	return nil
}

func (s *Service) modelKeyChanged(ctx context.Context, caller Caller, what string) {
	e := caller.Event(ActionModelKey, "")
	e.Detail = what
	s.Audit(ctx, e)
}

// modelKeys are the sealed keys, for [Service.RotateKeyset].
func (s *Service) modelKeys(ctx context.Context) ([]sealedField, error) {
	keys, err := s.cfg.Store.ModelKeys(ctx)
	if err != nil {
		return nil, err
	}
	fields := make([]sealedField, 0, len(keys))
	for _, k := range keys {
		fields = append(fields, sealedField{
			name: fmt.Sprintf("agent key of the person %s", k.Person), remedy: "let that person enter it again or remove it",
			collection: modelKeyCollection, person: k.Person, field: modelKeyField, value: k.Sealed,
			store: func(ctx context.Context, value []byte) error {
				return s.cfg.Store.ResealModelKey(ctx, k.Person, k.Sealed, value)
			},
		})
	}
	return fields, nil
}
