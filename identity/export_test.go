package identity

import "context"

// Remembered returns how many revocations are in memory.
func (s *Service) Remembered() int {
	n := 0
	for _, m := range s.revoked.Load() {
		n += len(m)
	}
	return n
}

// Apply makes revocations known that the store does not have, dated now.
func (s *Service) Apply(list []Revocation) {
	for i := range list {
		list[i].At = s.cfg.Now()
	}
	s.apply(list)
}

// FailAfter calls step with the name of each step of a rotation; an error ends the rotation there.
func (s *Sealer) FailAfter(step func(name string) error) { s.step = step }

// ConsolePath is consolePath.
func ConsolePath(next string) string { return consolePath(next) }

// RefreshTokens is a round of what Run does.
func (s *Service) RefreshTokens(ctx context.Context) error { return s.refreshTokens(ctx) }
